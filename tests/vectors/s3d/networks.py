"""Network vectors of S3D, MME and APE: logits, features, styles and assistants, key manifests, perturbations."""

import re
from collections.abc import Iterator

import numpy as np

from common.names import added, translate
from common.networks import NetworkConfig
from common.networks.plain import AlexNetConfig, VGG16Config
from common.networks.resnet import ResNetConfig
from tests.reference.fill import fill
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.s3d.cases import cases

LOGITS, EXACT, ASSIST, ASSIST_TRAIN, PERTURBED = 1e-5, 1e-9, 3e-5, 1e-4, 1e-4
REPEAT = 8  # the files keep small images, each pixel of which stands for 8x8


def network_config(name: str) -> NetworkConfig:
    """Return the description of an official network by its name: resnet34, alexnet, vgg16, ..."""
    if match := re.fullmatch(r"resnet(\d+)", name):
        form = {"maxpool": "unpadded", "average": "fixed7", "imagenet_fc": True, "head": "predictor_deep"}
        return ResNetConfig(depth=int(match[1]), **form)
    return {"alexnet": AlexNetConfig, "vgg16": VGG16Config, "vgg": VGG16Config}[name](dropout=0.0)


def filled(side: Twin, network, scale: float = 1.0) -> dict[str, np.ndarray]:
    """Return the reference weights under a network's own names; head keys are bare, the last layer is scaled."""
    names, result = side.names(network), {}
    for own, value in side.weights.get_weights(network).items():
        canonical = names[own]
        array = fill(canonical.removeprefix("head."), value.shape)
        last = canonical in ("head.fc.weight", "head.fc2.weight")
        result[own] = array * np.float32(scale) if last else array
    return result


def official(side: Twin, name: str, classes: int):
    """Return an official network with the weights that belong to its keys, in evaluation mode."""
    network = side.nets.build_network(network_config(name), classes)
    side.weights.set_weights(network, filled(side, network))
    return network


def large(small: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return small images with every pixel repeated, cut to ``size`` = (height, width)."""
    height, width = map(int, size)
    return np.ascontiguousarray(small.repeat(REPEAT, axis=2).repeat(REPEAT, axis=3)[:, :, :height, :width])


def forward(vector: Vector, backend) -> Iterator[Check]:
    """Features and logits in evaluation mode; on PyTorch in float64 too."""
    side, name = twin(backend.name), vector.stem.split("_")[1]
    for case, arrays in cases(vector):
        network = official(side, name, int(arrays["num_class"]))
        images = large(arrays["x_small"], arrays["hw"])
        features, _, logits = network(side.tensor(images))
        stride = int(arrays["feat_stride"])
        yield Check(f"{case} features", side.numpy(features)[:, ::stride], arrays["feat"], LOGITS)
        yield Check(f"{case} logits", side.numpy(logits), arrays["logits"], LOGITS)
        if side.name == "torch":
            exact = network.double()(side.tensor(images.astype(np.float64)))[-1]
            yield Check(f"{case} logits, float64", side.numpy(exact), arrays["logits_f64"], EXACT)


def assist(vector: Vector, backend) -> Iterator[Check]:
    """A labelled pass with styles, an assistant pass, and the running statistics that they leave."""
    side, name = twin(backend.name), vector.stem.split("_")[1]
    for case, arrays in cases(vector):
        network = official(side, name, int(arrays["num_class"]))
        training = bool(arrays["train_bn"])
        side.training.set_mode(network, training)
        tol = ASSIST_TRAIN if training else ASSIST
        got = _assisted(side, network, arrays, np.float32)
        for key in [key for key in got if key in arrays]:
            yield Check(f"{case} {key}", got[key], arrays[key], tol)
        weights = side.canonical(side.weights.get_weights(network), network)
        for key in [key for key in arrays if key.startswith("bn_after_")]:
            buffer = key.removeprefix("bn_after_")
            if buffer in weights or side.name == "torch":  # MindSpore counts no batches
                value = weights[buffer] if buffer in weights else side.weights.get_weights(network)[buffer]
                yield Check(f"{case} {key}", value, arrays[key], tol)
        if side.name == "torch" and not training:
            exact = _assisted(side, network.double(), arrays, np.float64)["assistant_logits"]
            yield Check(f"{case} assistant, float64", exact, arrays["assistant_logits_f64"], EXACT)


def _assisted(side: Twin, network, arrays: dict, dtype: type) -> dict[str, np.ndarray]:
    """Return everything that an ``assist`` vector may hold, by its name there."""
    labelled, unlabelled = (
        side.tensor(large(arrays[f"x_{name}_small"], arrays["hw"]).astype(dtype)) for name in ("lab", "unl")
    )
    points = int(str(arrays["sty_layer"]).removeprefix("layer"))
    lab, styles = network.embed(labelled, points)
    unl, assistant = network.assist(unlabelled, styles, side.tensor(arrays["lam"]), network.OWN_STATISTICS)
    result = {}
    for name, features in (("lab", lab), ("unl", unl), ("assistant", assistant)):
        result[f"{name}_logits"] = side.numpy(network.classify(features)[1])
        result[f"{name}_feat_s4"] = side.numpy(features)[:, ::4]
    for number, (mean, variance) in enumerate(styles, 1):
        result[f"style{number}_mean"] = side.numpy(mean)[:, :, 0, 0]
        result[f"style{number}_var"] = side.numpy(variance)[:, :, 0, 0]
    return result


def manifest(vector: Vector, backend) -> Iterator[Check]:
    """Names, shapes, types of the official state dicts, in order; see the runner of DDM's manifests."""
    side, name = twin(backend.name), vector.stem
    want = [(key, tuple(shape), kind) for key, shape, kind in vector.content]
    if name.startswith("predictor"):
        classes = int(want[-1][1][0])
        kind = "predictor_deep" if name.startswith("predictor_deep") else "predictor"
        network = side.module("nets.predictors").PREDICTORS[kind](want[-1][1][1], classes, 0.05)
    else:
        network = side.nets.build_network(network_config(name), 2)
    entries = {
        key: (value.shape, str(value.dtype))
        for key, value in side.weights.get_weights(network).items()
        if not key.startswith("head.")
    }
    kinds = side.weights.layer_kinds(network)
    names = translate(entries, kinds, "torch") if side.name == "mindspore" else {key: key for key in entries}
    got = [(new, *entries[old]) for old, new in names.items()]
    if side.name == "mindspore":
        got += [(key, (), "int64") for key in added(kinds, names.values())]
        got, want = sorted(got), sorted(want)
    yield Check("names, shapes, types", np.array(list(map(str, got))), np.array(list(map(str, want))), kind="exact")


def perturb(vector: Vector, backend) -> Iterator[Check]:
    """APE's perturbation of a toy network, the consistency there, its gradients and running statistics."""
    side = twin(backend.name)
    module = side.module("perturbation")
    for case, arrays in cases(vector):
        network, still = (_toy(side, arrays) for _ in range(2))
        side.weights.set_weights(network, filled(side, network))
        side.training.keep_statistics(side.training.share_parameters(network, still))
        side.training.set_mode(network, True)
        side.training.set_mode(still, True)
        images, noise = side.tensor(arrays["x"]), side.tensor(arrays["noise"])
        steps = float(arrays["xi"]), float(arrays["eps"])
        perturbation = module.adversarial_perturbation(still, images, noise, *steps)
        yield Check(f"{case} perturbation", side.numpy(perturbation), arrays["r_adv"], PERTURBED)
        loss, clean, latent = module.perturbed_consistency(network, still, images, perturbation)
        yield Check(f"{case} clean", side.numpy(clean), arrays["clean_features"], PERTURBED)
        yield Check(f"{case} latent", side.numpy(latent), arrays["latent_perturbed"], PERTURBED)
        yield Check(f"{case} loss", 10.0 * side.numpy(loss), arrays["loss_consistency"], PERTURBED)
        after = side.canonical(side.weights.get_weights(network), network)
        yield Check(f"{case} statistics", after["bn.running_mean"], arrays["bn_running_mean_after"], PERTURBED)

        def consistency(network, x):
            return 10.0 * module.perturbed_consistency(network, still, x, perturbation)[0]  # noqa: B023

        found = side.canonical(side.parameter_gradients(network, consistency, arrays["x"]), network)
        for key, (name, part) in _TOY_GRADIENTS.items():
            if key in arrays:
                yield Check(f"{case} {key}", found[name][part], arrays[key], PERTURBED)


_TOY_GRADIENTS = {
    "grad_G_conv": ("conv.weight", slice(None)),
    "grad_G_lin": ("lin.weight", slice(None)),
    "grad_F1_fc1_s": ("head.fc1.weight", slice(None, None, 16)),
}


def _toy(side: Twin, arrays: dict):
    """Return the toy network of the file: convolution, BatchNorm, ReLU, mean, linear layer, predictor."""
    residual, predictors = side.module("nets.resnet"), side.module("nets.predictors")

    class Toy(side.module("nets.classifier").Classifier):
        HEADS = ("head.",)

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = residual.convolution(3, 6, 3, 2), residual.batch_norm(6)
            self.activation, features = residual.ACTIVATIONS["relu"](), int(arrays["inc"])
            self.lin = predictors.linear(6, features)
            head = {"plain": "predictor", "deep": "predictor_deep"}[str(arrays["kind"])]
            self.add_head(ResNetConfig(head=head), features, int(arrays["num_class"]))

        def stage(self, x, number):
            return self.activation(self.bn(self.conv(x))) if number == 1 else x

        def tail(self, x, dropout=None):
            return self.lin(x.mean((2, 3)))

    return Toy()


RUNNERS = {
    "net_": forward,
    "assist_": assist,
    "resnet": manifest,
    "alexnet": manifest,
    "vgg": manifest,
    "ape_perturb": perturb,
}
