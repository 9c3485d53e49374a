"""Descriptions of the networks, one file a family; what they compute is in the twins' ``nets``."""
