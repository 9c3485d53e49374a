"""The reference vectors of AuG-KD."""

from tests.vectors.reference import vector_test

test_vector = vector_test("augkd", compile=False)
