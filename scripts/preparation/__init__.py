"""Commands of ``prepare_data.py``, and what they read of the authors' files."""
