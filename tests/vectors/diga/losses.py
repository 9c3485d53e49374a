"""Loss vectors of DiGA: segmentation, distillation, translation."""

from collections.abc import Iterator

import numpy as np

from common.data.class_mixing import label_edges
from common.networks.translator import Vgg19Config
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.diga.cases import cases

LOSS, OHEM, EDGE, DEEP = 1e-5, 1e-4, 1e-6, 1e-4  # relative to the largest magnitude


def cross_entropy(vector: Vector, backend) -> Iterator[Check]:
    """Cross entropy divided by all pixels whose label is not negative."""
    side = twin(backend.name)
    for case, arrays, _ in cases(vector):
        label = _label(side, arrays["target"])
        (loss,), (grad,) = side.gradients(
            lambda z: (side.losses.cross_entropy(z, label, over="all"),), arrays["logits"]  # noqa: B023
        )
        yield Check(f"{case} loss", loss, arrays["loss"], LOSS)
        yield Check(f"{case} gradient", grad, arrays["grad"], LOSS)


def ohem(vector: Vector, backend) -> Iterator[Check]:
    """Cross entropy of the hardest pixels."""
    side = twin(backend.name)
    function = side.module("consistency").ohem_cross_entropy
    for case, arrays, params in cases(vector):
        label, options = _label(side, arrays["target"]), (params["thres"], params["min_kept"])
        (loss,), (grad,) = side.gradients(lambda z: (function(z, label, *options),), arrays["logits"])  # noqa: B023
        yield Check(f"{case} loss", loss, np.nan_to_num(arrays["loss"]), OHEM)
        yield Check(f"{case} gradient", grad, np.nan_to_num(arrays["grad"]), OHEM)


def distillation(vector: Vector, backend) -> Iterator[Check]:
    """Symmetric distillation, value and gradient with respect to the student."""
    side = twin(backend.name)
    function = side.module("consistency").symmetric_distillation
    for case, arrays, params in cases(vector):
        teacher, scale = side.tensor(arrays["teacher"]), params["scale"]
        (loss,), (grad,) = side.gradients(lambda z: (function(teacher, z, scale),), arrays["student"])  # noqa: B023
        yield Check(f"{case} loss", loss, arrays["loss"], LOSS)
        yield Check(f"{case} gradient", grad, arrays["grad"], LOSS)


def masked_distillation(vector: Vector, backend) -> Iterator[Check]:
    """Distillation over some of the pixels."""
    side = twin(backend.name)
    function = side.module("consistency").masked_distillation
    for case, arrays, _ in cases(vector):
        teacher, mask = side.tensor(arrays["teacher"]), side.tensor(arrays["mask"])
        (loss,), (grad,) = side.gradients(lambda z: (function(teacher, z, mask),), arrays["student"])  # noqa: B023
        yield Check(f"{case} loss", loss, arrays["loss"], LOSS)
        yield Check(f"{case} gradient", grad, arrays["grad"], LOSS)


def vgg_loss(vector: Vector, backend) -> Iterator[Check]:
    """Perceptual loss on five levels of VGG-19; the manifest beside it holds the names."""
    side = twin(backend.name)
    network = side.nets.build_network(Vgg19Config(), 0)
    if vector.path.suffix == ".json":
        want = [(name, tuple(shape)) for name, shape, _ in vector.content]
        own = side.canonical(side.weights.get_weights(network), network)
        got = [(f"vgg.{name}", value.shape) for name, value in own.items()]
        yield Check("names, shapes", np.array(list(map(str, got))), np.array(list(map(str, want))), kind="exact")
        return
    side.fill(network, "torch", "vgg.")
    translation = side.module("translation")
    for case, arrays, _ in cases(vector):
        like = side.tensor(arrays["y"])
        (loss,), (grad,) = side.gradients(
            lambda x: (translation.perceptual_loss(network, x, like),), arrays["x"]  # noqa: B023
        )
        levels = translation.perceptual_distances(network, side.tensor(arrays["x"]), like)
        yield Check(f"{case} loss", loss, arrays["loss"], DEEP)
        yield Check(f"{case} gradient", grad, arrays["grad"], DEEP)
        yield Check(f"{case} levels", np.stack([side.numpy(one) for one in levels]), arrays["l1_per_level"], DEEP)


def seg_edge(vector: Vector, backend) -> Iterator[Check]:
    """Reconstruction at label boundaries."""
    side = twin(backend.name)
    function = side.module("translation").edge_loss
    for case, arrays, _ in cases(vector):
        edges = label_edges(arrays["label"])
        images, mask = side.tensor(arrays["in"]), side.tensor(edges)
        (loss,), (grad,) = side.gradients(lambda out: (function(out, images, mask),), arrays["out"])  # noqa: B023
        yield Check(f"{case} edges", edges, arrays["edges"], kind="exact")
        yield Check(f"{case} loss", loss, arrays["loss"], EDGE)
        yield Check(f"{case} gradient", grad, arrays["grad"], EDGE)


def lsgan(vector: Vector, backend) -> Iterator[Check]:
    """Least-squares losses of discriminator and generator, with gradients."""
    side = twin(backend.name)
    translation, critic = side.module("translation"), side.module("nets.translator").Discriminator()
    side.fill(critic, "torch")
    for case, arrays, _ in cases(vector):
        real, fake = (arrays[name].astype(np.float32) / 128 - 1 for name in ("real_u8", "fake_u8"))
        (loss,), (grad,) = side.gradients(lambda x: (translation.generator_loss(critic(x)),), fake)
        grads = side.parameter_gradients(critic, lambda net, r, f: translation.critic_loss(net(r), net(f)), real, fake)
        judged = (critic(side.tensor(real)), critic(side.tensor(fake)))
        yield Check(f"{case} loss_d", side.numpy(translation.critic_loss(*judged)), arrays["loss_d"], DEEP)
        yield Check(f"{case} loss_g", loss, arrays["loss_g"], DEEP)
        yield Check(f"{case} gradient", grad[:, :, ::2, ::2], arrays["grad_fake_s2"], DEEP)
        wanted = {"cnns.0.0.conv.weight": ("grad_d_cnns_0_0", 8), "cnns.2.4.bias": ("grad_d_cnns_2_4_bias", None)}
        wanted["cnns.1.4.weight"] = ("grad_d_cnns_1_4_weight", None)
        for name, (key, first) in wanted.items():
            yield Check(f"{case} {key}", grads[name][:first], arrays[key], DEEP)


def _label(side: Twin, array: np.ndarray):
    return side.tensor(array.astype(np.int32))


RUNNERS = {
    "cross_entropy2d": cross_entropy,
    "ohem": ohem,
    "distillation": distillation,
    "masked_distillation": masked_distillation,
    "vgg_loss": vgg_loss,
    "seg_edge": seg_edge,
    "lsgan": lsgan,
}
