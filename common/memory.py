"""Memory that Python has freed goes back to the system."""

import ctypes
import gc
import sys


def give_back() -> None:
    """Collect reference cycles, and let glibc return the pages it keeps; elsewhere the second part does nothing.

    Networks leave freed pages behind, which glibc keeps for this process while others starve: three train steps of
    DeepLabV2-R101 on a CPU left 1.1 GB, of which 0.8 GB came back.
    """
    gc.collect()
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # absent in musl
    if trim is not None:
        trim(0)
