"""What the plain stacks of convolutions, AlexNet and VGG-16, share as classifiers."""

from torch import Tensor

from torch_impl.nets.classifier import Classifier


class PlainClassifier(Classifier):
    """A sequence of layers ``features`` with fully connected layers behind it.

    Attributes:
        ENDS: Number of layers before each style point.
    """

    HEADS = ("head.", "fc.", "classifier.")
    OWN_STATISTICS = "ordinary"
    ENDS: tuple[int, int, int, int]

    def stage(self, x: Tensor, number: int) -> Tensor:
        """Map images (N, 3, H, W), or the maps of the last point, to the maps of point ``number``."""
        for index in range(0 if number == 1 else self.ENDS[number - 2], self.ENDS[number - 1]):
            x = self.features[index](x)
        return x

    def rest(self, x: Tensor) -> Tensor:
        """Map the maps of the last point to those that the fully connected layers take."""
        for index in range(self.ENDS[-1], len(self.features)):
            x = self.features[index](x)
        return x
