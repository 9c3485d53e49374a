"""The reference vectors of S3D."""

from tests.vectors.reference import vector_test

test_vector = vector_test("s3d", compile=False)
