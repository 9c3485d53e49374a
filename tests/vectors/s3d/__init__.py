"""Runners of S3D's reference vectors; see tests/reference/s3d/README.md."""

from tests.vectors.s3d import control, data, losses, networks, steps

RUNNERS = {**control.RUNNERS, **data.RUNNERS, **losses.RUNNERS, **networks.RUNNERS, **steps.RUNNERS}
