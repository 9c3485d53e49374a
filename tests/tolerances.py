"""The tolerances of the parity ladder, for the tests: the table itself stands in ``common/tolerances.py``."""

from common.tolerances import *  # noqa: F403
