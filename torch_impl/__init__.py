"""The PyTorch twin: networks, losses, optimizers and methods in PyTorch; what needs no tensor is in ``common``."""

import os

# Threads of the CPU kernels sleep while they wait. Spinning, PyTorch's default, makes a step several times slower as
# soon as anything else, a loader process for example, wants a core. Read once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
