"""Tests of TwinDA; the tree mirrors the packages."""
