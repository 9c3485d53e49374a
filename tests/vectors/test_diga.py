"""The reference vectors of DiGA."""

from tests.vectors.reference import vector_test

test_vector = vector_test("diga")
