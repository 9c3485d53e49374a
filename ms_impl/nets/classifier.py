"""What every network of classification does: features, classes, and S3D's passes at the four style points."""

from mindspore import Tensor, nn, ops
from mindspore.nn import Cell as Network

from common.networks.classifier import ClassifierBase
from ms_impl.nets.layers import linear
from ms_impl.nets.predictors import PREDICTORS, reverse_gradient
from ms_impl.styles import Style, style_of, transfer

POINTS = 4  # maps whose statistics are an image's style


class Classifier(nn.Cell):
    """A backbone in five parts, ``stage`` 1 to 4 and ``tail``, with a linear classifier ``fc`` or a predictor ``head``.

    Attributes:
        OWN_STATISTICS: Whose statistics S3D's official code normalises an assistant's maps with behind the first
            point: ``"assistant"``, or ``"ordinary"``, those of the image's unchanged maps.
        PASSES: Methods that compute with the network beside ``construct``.
    """

    OWN_STATISTICS = "assistant"
    PASSES = ("embed", "assist", "classify")

    def add_head(self, config: ClassifierBase, inputs: int, classes: int) -> None:
        """Add the classifier that a network's description names: ``fc`` or ``head``."""
        self.head = None
        if config.head == "linear":
            self.fc = linear(inputs, classes)
        else:
            self.head = PREDICTORS[config.head](inputs, classes, config.temperature)

    def stage(self, x: Tensor, number: int) -> Tensor:
        """Map the images or the maps of the last point to those of point ``number``, 1 to 4."""
        raise NotImplementedError

    def tail(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Map the maps of point 4 to features (N, D)."""
        raise NotImplementedError

    def construct(self, images: Tensor, dropout: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, latent and logits of images.

        Args:
            images: (N, 3, H, W) float32, normalised.
            dropout: (N, units) 1 for what is kept, 0 for what is dropped; None drops nothing.
        Returns:
            (N, D), (N, L) and (N, classes): what the backbone gives, what the last layer sees, and logits.
        """
        features, _ = self.embed(images, 0, dropout)
        return (features, *self.classify(features))

    def top(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what ``construct`` does, of the maps of point 4."""
        features = self.tail(maps)
        return (features, *self.classify(features))

    def classify(self, features: Tensor, reversal: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return latent and logits of features (N, D).

        Args:
            features: (N, D).
            reversal: Factor of a gradient reversal, behind ``fc1`` in a deep predictor, else before everything.
        """
        if self.head is not None:
            return self.head(features, reversal)
        latent = reverse_gradient(features, reversal) if reversal else features
        return latent, self.fc(latent)

    def embed(
        self, images: Tensor, points: int = 0, dropout: Tensor | None = None
    ) -> tuple[Tensor, tuple[Style, ...]]:
        """Return features (N, D), and the styles of the first ``points`` points (S3D's ``forward_mean_var``).

        Args:
            images: (N, 3, H, W) float32, normalised.
            points: How many, 0 to 4.
            dropout: As in ``construct``.
        """
        x, styles = images, ()
        for number in range(1, POINTS + 1):
            x = self.stage(x, number)
            if number <= points:
                styles = (*styles, style_of(x))
        return self.tail(x, dropout), styles

    def assist(
        self,
        images: Tensor,
        styles: tuple[Style, ...],
        mix: Tensor,
        own: str,
        dropout: Tensor | None = None,
        assistant_dropout: Tensor | None = None,
        still: Network | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the features (N, D) of images, and of their assistants in other styles (S3D's ``forward_assistant``).

        The assistants carry no gradient; in training they count in the running statistics of BatchNorm, as officially.

        Args:
            images: (N, 3, H, W) float32, normalised.
            styles: Of the labelled images, of one point or more, from ``embed``; image i takes the style of image i.
            mix: (points, N) float32 in [0, 1]: share of the labelled image's style at each point.
            own: ``"assistant"`` or ``"ordinary"``, as ``OWN_STATISTICS``.
            dropout: Of the images, as in ``construct``.
            assistant_dropout: Of the assistants.
            still: The same network, which the assistants pass instead, so that they count in no running statistics.
        """
        other = self if still is None else still
        x = self.stage(images, 1)
        assistant = transfer(x, style_of(x), styles[0], mix[0])
        for number in range(2, POINTS + 1):
            x = self.stage(x, number)
            assistant = other.stage(ops.stop_gradient(assistant), number)
            if number <= len(styles):
                style = style_of(assistant if own == "assistant" else x)
                assistant = transfer(assistant, style, styles[number - 1], mix[number - 1])
        return self.tail(x, dropout), ops.stop_gradient(other.tail(assistant, assistant_dropout))


def drop(x: Tensor, kept: Tensor | None, rate: float) -> Tensor:
    """Return (N, D) with the units zero where ``kept`` is, and the others larger by 1 / (1 - rate)."""
    return x if kept is None else x * kept.astype(x.dtype) / (1.0 - rate)
