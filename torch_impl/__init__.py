"""PyTorch twin of TwinDA: backend, networks, losses, optimizers, objectives. Its sibling is ``ms_impl``."""
