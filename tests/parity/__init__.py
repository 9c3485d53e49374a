"""Tests of the parity ladder: both twins side by side."""
