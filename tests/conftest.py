"""Set-up of all tests: one computing thread a process, unless the caller says otherwise.

Both frameworks keep a pool of threads that spin while they wait. Where both live in one process on two cores, or
several tests run at once, tiny networks then take ten times as long.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
