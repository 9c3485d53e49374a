"""The reference vectors of IAST."""

from tests.vectors.reference import vector_test

test_vector = vector_test("iast")
