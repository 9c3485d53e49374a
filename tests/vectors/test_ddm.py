"""The reference vectors of DDM."""

from tests.vectors.reference import vector_test

test_vector = vector_test("ddm")
