"""Commands of ``prepare_data.py``."""
