"""What objectives of classification share: the cross entropy on a labelled batch."""

from torch import Tensor

from torch_impl.class_losses import cross_entropies
from torch_impl.objective import Objective


class ClassificationObjective(Objective):
    """An objective whose network gives the logits of whole images."""

    def classification(self, image: Tensor, label: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Return the mean cross entropy, () float32.

        All ranks have as many images: the mean over ranks is what one rank with all images computes.

        Args:
            image: (N, 3, H, W) uint8 RGB.
            label: (N,) int32.
            dropout: (N, units) uint8, 1 for what is kept; None where the network has no dropout.
        """
        return cross_entropies(self.network(self.normalise(image), dropout)[-1], label).mean()
