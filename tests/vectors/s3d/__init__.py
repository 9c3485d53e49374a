"""Runners of S3D's reference vectors; see tests/reference/s3d/README.md."""

from tests.vectors.s3d import control, losses

RUNNERS = {**control.RUNNERS, **losses.RUNNERS}
