"""Runners of S3D's reference vectors; see tests/reference/s3d/README.md."""

from collections.abc import Iterator

from tests.vectors import Check, Vector
from tests.vectors.s3d import control, data, losses, networks, steps


def predictor(vector: Vector, backend) -> Iterator[Check]:
    """The manifest of a predictor for any number of classes, or its outputs: both kinds of file begin alike."""
    yield from (networks.manifest if vector.path.suffix == ".json" else losses.predictor)(vector, backend)


RUNNERS = {
    **control.RUNNERS,
    **data.RUNNERS,
    **losses.RUNNERS,
    **networks.RUNNERS,
    **steps.RUNNERS,
    "predictor": predictor,
}
