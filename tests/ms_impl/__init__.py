"""Tests of what only the MindSpore twin has."""
