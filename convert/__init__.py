"""Checkpoints between the frameworks, ONNX, and the parity certificate. Stands apart: no twin imports it."""
