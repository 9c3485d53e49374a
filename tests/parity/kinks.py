"""Kinks of ReLU and max pooling: images for which no rounding moves a network past one."""

from collections.abc import Callable

CLEAR = 3e-6  # distance from a kink, in standard deviations; float32 errs by some 3e-7 here


def clearance(network, run: Callable, is_pool: Callable[[str, object], bool]) -> float:
    """Return how near any input of a ReLU is to 0, or two candidates of a maximum to each other, per deviation.

    Args:
        network: PyTorch's, in float64; left in evaluation mode.
        run: Given the network, lets it see the images.
        is_pool: Given path and layer, whether it takes maxima.
    """
    import torch

    found = []

    def relu(_, inputs):
        found.append(float(inputs[0].abs().min() / inputs[0].std()))

    def pool(layer, inputs):
        size, step, padding = (layer.kernel_size, layer.stride, 0) if hasattr(layer, "stride") else (3, 2, 1)
        patches = torch.nn.functional.unfold(inputs[0], size, padding=padding, stride=step).unflatten(1, (-1, size**2))
        first, second = patches.topk(2, dim=2).values.unbind(2)
        if bool((first > 0).any()):
            found.append(float((first - second)[first > 0].min() / inputs[0].std()))

    layers = list(network.named_modules())
    hooks = [layer.register_forward_pre_hook(relu) for _, layer in layers if isinstance(layer, torch.nn.ReLU)]
    hooks += [layer.register_forward_pre_hook(pool) for path, layer in layers if is_pool(path, layer)]
    with torch.no_grad():
        run(network.eval())
    for hook in hooks:
        hook.remove()
    return min(found)
