"""Pseudo-labels: selection rules with exact thresholds, and the folder they are written to, in bounded memory."""
