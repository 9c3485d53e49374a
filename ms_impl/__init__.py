"""MindSpore twin of TwinDA: backend, networks, losses, optimizers, objectives. Its sibling is ``torch_impl``."""

import os

# On CPUs with AVX-512 or AMX MindSpore's oneDNN falls back to its reference kernel for k > 1 convolutions, 60 to 400
# times slower. The cap must be set before mindspore is imported; it concerns the CPU only and yields to the user's own.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")

# Errors only: warnings of the graph compiler about compiling once a stage would bury the progress lines.
os.environ.setdefault("GLOG_v", "3")
