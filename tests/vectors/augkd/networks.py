"""Network vectors of AuG-KD: logits, latent vectors, images, BatchNorm statistics, key manifests, first weights."""

import re
from collections.abc import Callable, Iterator

import numpy as np

from common.names import added, translate
from common.networks.latent import AnchorConfig, EncoderConfig, GeneratorConfig
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.augkd.reading import LATENT, classifier_config, images_of, meta_of, network_of

PLAIN = 1e-5  # absolute: filled weights, evaluation mode
FLOAT32 = {  # absolute, float32: how far the official float32 runs of these networks are from their float64 runs, x 10
    "resnet18": 1e-4, "resnet34": 9e-4, "resnet50": 1e-3, "mobilenet_v2": 2e-4, "shufflenet_v2": 3e-4,
    "mobilenet_v3": 1e-4, "efficientnet_b0": 1e-4,
}  # fmt: skip


def calibrate(side: Twin, network, *inputs: np.ndarray):
    """Give a network the batch statistics of one pass in training mode, leave it in evaluation mode, return its output.

    Statistics that are 0 before the pass become the batch's times the layer's momentum. PyTorch's is set to 1 for it,
    so that they are the official ones to the bit: one ReLU on the other side would change gradients by a percent.
    """
    layers = {path: layer for path, layer in side.layers(network) if hasattr(layer, "momentum")}
    momenta = {path: layer.momentum for path, layer in layers.items()}
    if side.name == "torch":
        _set_momenta(layers, dict.fromkeys(layers, 1.0))
    before = side.weights.get_weights(network)
    running = [name for name in before if re.search(r"(running|moving)_(mean|var|variance)$", name)]
    side.weights.set_weights(network, {**before, **{name: np.zeros_like(before[name]) for name in running}})
    side.training.set_mode(network, True)
    outputs = network(*map(side.tensor, inputs))
    after = side.weights.get_weights(network)
    batch = {name: after[name] / np.float64(layers[name.rpartition(".")[0]].momentum) for name in running}
    if side.name == "torch":
        _set_momenta(layers, momenta)
    side.weights.set_weights(network, {**after, **batch})
    side.training.set_mode(network, False)
    return outputs


def _set_momenta(layers: dict, momenta: dict[str, float]) -> None:
    for path, layer in layers.items():
        layer.momentum = momenta[path]


def classifier(vector: Vector, backend) -> Iterator[Check]:
    """Logits with filled weights, in training mode, and in evaluation mode with the statistics of a batch."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    network = network_of(side, classifier_config(meta["model"]), meta["num_classes"])
    images, calibration = images_of(arrays["x_u8"], meta), images_of(arrays["calib_u8"], meta)
    tol = next((tol for name, tol in FLOAT32.items() if meta["model"].startswith(name)), None)
    if tol is None:  # the same rule for networks of which the files' README has no number
        names = [f"logits_{name}" for name in ("train_calib", "eval_calibrated")]
        tol = max(1e-4, *(10 * float(np.abs(arrays[name] - arrays[f"f64_{name}"]).max()) for name in names))
    logits = side.numpy(network(side.tensor(images))[-1])
    yield Check("plain", logits, arrays["logits_eval_plain"], PLAIN, "absolute")
    trained = side.numpy(calibrate(side, network, calibration)[-1])
    yield Check("train", trained, arrays["logits_train_calib"], tol, "absolute")
    calibrated = side.numpy(network(side.tensor(images))[-1])
    yield Check("calibrated", calibrated, arrays["logits_eval_calibrated"], tol, "absolute")
    weights = side.canonical(side.weights.get_weights(network), network)
    names = [name for name in weights if name.endswith("running_mean")]
    for place, name in (("first", names[0]), ("last", names[-1])):
        for statistic in ("mean", "var"):
            want = arrays[f"bn_{place}_{statistic}"]
            got = weights[name.replace("running_mean", f"running_{statistic}")][: len(want)]
            yield Check(f"{place} {statistic}", got, want, tol, "absolute")
    counts = {"params": sum(value.size for name, value in weights.items() if "running_" not in name)}
    counts |= {"bn_layers": len(names), "bn_channels": sum(weights[name].size for name in names)}
    yield Check("counts", list(counts.values()), [meta[name] for name in counts], kind="exact")


def generator(vector: Vector, backend) -> Iterator[Check]:
    """Images of the generator; the conditional one reads labels, the other ignores them."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    conditional = "cond" in vector.stem
    config = GeneratorConfig(latent=meta["latent"], size=meta["img_size"], conditional=conditional)
    network, step = network_of(side, config, meta["num_classes"]), 3 if conditional else 2
    if match := re.search(r"::(\d+)", meta.get("stored_slice", "")):
        step = int(match[1])
    given = side.tensor(arrays["z"]), side.tensor(arrays["y"].astype(np.int32))
    yield Check("plain", side.numpy(network(*given))[..., ::step, ::step], arrays["img_eval_plain"], 1e-4, "absolute")
    trained = side.numpy(calibrate(side, network, arrays["calib_z"], arrays["calib_y"].astype(np.int32)))
    want = arrays["img_train_calib"]
    yield Check("train", trained[: len(want), ..., ::step, ::step], want, 1e-4, "absolute")
    calibrated = side.numpy(network(*given))[..., ::step, ::step]
    yield Check("calibrated", calibrated, arrays["img_eval_calibrated"], 1e-4, "absolute")


def encoder(vector: Vector, backend) -> Iterator[Check]:
    """Latent vectors, means and log-variances; noise and log-variance are clipped."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    network = network_of(side, EncoderConfig(latent=meta["latent"], size=meta["img_size"]), meta["num_classes"])
    images, calibration = (arrays[name].astype(np.float32) / np.float32(255) for name in ("x_u8", "calib_u8"))
    labels, noise = arrays["y"].astype(np.int32), arrays["eps"].astype(np.float32)

    def check(suffix: str, tol: float) -> Iterator[Check]:
        outputs = network(side.tensor(images), side.tensor(labels), side.tensor(noise))
        for name, output in zip(("z", "mu", "log_var"), outputs):
            if name + suffix in arrays:
                yield Check(name + suffix, side.numpy(output), arrays[name + suffix], tol, "absolute")

    yield from check("_plain", 1e-5)
    silence = np.zeros((len(calibration), meta["latent"]), np.float32)
    trained = calibrate(side, network, calibration, arrays["calib_y"].astype(np.int32), silence)
    for name, output in zip(("mu", "log_var"), trained[1:]):
        want = arrays[f"{name}_train_calib"]
        yield Check(f"{name} train", side.numpy(output)[: len(want)], want, 1e-4, "absolute")
    yield from check("", 1e-4)
    weights = side.weights.get_weights(network)
    side.weights.set_weights(network, {**weights, "fc_var.weight": weights["fc_var.weight"] * 20})
    yield from check("_clipped", 1e-3)


def anchor(vector: Vector, backend) -> Iterator[Check]:
    """Anchors and masks, and the gradient with respect to the latent vector in training mode."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    network = network_of(side, AnchorConfig(latent=meta["latent"]), meta["num_classes"])
    given = side.tensor(arrays["z"]), side.tensor(arrays["y"].astype(np.int32))
    for name, output in zip(("out", "mask"), network(*given)):
        yield Check(f"{name} plain", side.numpy(output), arrays[f"{name}_plain"], 1e-4, "absolute")
    labels = arrays["calib_y"].astype(np.int32)
    for name, output in zip(("out", "mask"), calibrate(side, network, arrays["calib_z"], labels)):
        yield Check(f"{name} train", side.numpy(output), arrays[f"{name}_train_calib"], 1e-4, "absolute")
    for name, output in zip(("out", "mask"), network(*given)):
        yield Check(name, side.numpy(output), arrays[name], 1e-4, "absolute")
    side.training.set_mode(network, True)
    weight, label = side.tensor(arrays["grad_weight"]), side.tensor(labels)
    _, (grad,) = side.gradients(lambda z: ((network(z, label)[0] * weight).sum(),), arrays["calib_z"])
    yield Check("grad z", grad, arrays["grad_z"], 1e-3, "absolute")


def statistics(vector: Vector, backend) -> Iterator[Check]:
    """What the hook on every BatchNorm of a teacher sees, the norms of its distance, and their gradient."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    network = network_of(side, classifier_config(meta["model"]), meta["num_classes"])
    calibrate(side, network, images_of(arrays["calib_u8"], meta))
    hook = side.module("nets.statistics").InputStatistics(network)
    step = round(hook.channels / len(arrays["mean"]))
    names = str(arrays["bn_order"])
    yield Check("order", ",".join(hook.names), ",".join(re.findall(r"[\w.]+", names)), kind="exact")

    def distance(images):
        _, mean, variance = hook(images)
        own = hook.running()
        norms = [side.module("datafree").norm(seen - stored) for seen, stored in zip((mean, variance), own)]
        return norms[0] + norms[1], *norms, mean, variance, *own

    outputs, (grad,) = side.gradients(distance, images_of(arrays["x_u8"], meta))
    for name, got in zip(("reg", "mean_norm", "var_norm"), outputs):
        yield Check(name, got, arrays[name], 1e-4)
    for name, got in zip(("mean", "var", "bn_mean", "bn_var"), outputs[3:]):
        yield Check(name, got[::step], arrays[name], 1e-3)
    want = arrays["grad_x"]
    skip = round(grad.shape[2] / want.shape[2])
    yield Check("grad x", grad[:, :, ::skip, ::skip], want, 1e-3)


def manifest(config: Callable[[dict], object]) -> Callable[[Vector, object], Iterator[Check]]:
    """Return the runner of a manifest: names, shapes and types in the official order.

    MindSpore lists a BatchNorm's members in another order and has no counters, so its names are compared sorted.
    """

    def run(vector: Vector, backend) -> Iterator[Check]:
        side = twin(backend.name)
        want = [(name, tuple(shape), kind) for name, shape, kind in vector.content]
        shapes = {name: shape for name, shape, _ in want}
        network = network_of(side, config(vector.stem, shapes), classes_of(shapes))
        found = side.weights.get_weights(network)
        got = [(name, value.shape, str(value.dtype)) for name, value in found.items()]
        if side.name == "mindspore":
            kinds, entries = side.weights.layer_kinds(network), {name: entry for name, *entry in got}
            names = translate(entries, kinds, "torch")
            counters = [(name, (), "int64") for name in added(kinds, names.values())]
            got, want = sorted([(new, *entries[old]) for old, new in names.items()] + counters), sorted(want)
        yield Check("names, shapes, types", np.array(list(map(str, got))), np.array(list(map(str, want))), kind="exact")

    return run


def classes_of(shapes: dict[str, tuple]) -> int:
    """Return the number of classes that a manifest's shapes tell; 31, the official one, where they do not."""
    heads = ("classifier.3.bias", "classifier.1.bias", "fc.bias")
    found = [shapes[name][0] for name in heads if name in shapes]
    found += [shapes[name][1] for name in ("embed_class.0.weight", "embed_class.weight") if name in shapes]
    return found[0] if found else 31


def generator_config(stem: str, shapes: dict[str, tuple]) -> GeneratorConfig:
    """Return the generator of a manifest; a conditional one's linear layer reads latent vector and label."""
    outputs, inputs = shapes["embed.0.weight"]
    conditional = stem.startswith("cond")
    latent = LATENT if conditional else inputs
    return GeneratorConfig(latent=latent, size=4 * round((outputs / 256) ** 0.5), conditional=conditional)


def encoder_config(stem: str, shapes: dict[str, tuple]) -> EncoderConfig:
    """Return the encoder of a manifest."""
    return EncoderConfig(latent=shapes["fc_mu.bias"][0], size=round(shapes["embed_class.0.bias"][0] ** 0.5))


def anchor_config(stem: str, shapes: dict[str, tuple]) -> AnchorConfig:
    """Return the anchor network of a manifest."""
    return AnchorConfig(latent=shapes["embed_class.bias"][0])


def first_weights(vector: Vector, backend) -> Iterator[Check]:
    """Ranges of the first weights: extremes near the official draw's, mean and deviation within sampling error."""
    side = twin(backend.name)
    configs = {"encoder": EncoderConfig(), "generator": GeneratorConfig(), "anchornet": AnchorConfig()}
    networks = {name: side.nets.build_network(config, classes_of({})) for name, config in configs.items()}
    weights = {name: side.canonical(side.weights.get_weights(one), one) for name, one in networks.items()}
    for key, (low, high, mean, deviation) in vector.content.items():
        name, _, parameter = key.partition(":")
        value = weights[name][parameter].astype(np.float64)
        widest, few = max(abs(low), abs(high)), 1.0 / np.sqrt(value.size)
        yield Check(f"{key} range", max(np.abs(value).max() - widest, 0.0), 0.0, 3.0 * few * widest, "absolute")
        yield Check(f"{key} mean", value.mean(), mean, 6.0 * few * deviation, "absolute")
        yield Check(f"{key} deviation", value.std(), deviation, min(6.0 * few, 1.0) * deviation, "absolute")


def _named(stem: str, shapes: dict[str, tuple]):
    return classifier_config(stem)


RUNNERS = {
    "net_": classifier,
    "net_generator": generator,
    "net_cond_generator": generator,
    "net_encoder": encoder,
    "net_anchornet": anchor,
    "bn_hook": statistics,
    "generator": manifest(generator_config),
    "cond_generator": manifest(generator_config),
    "encoder": manifest(encoder_config),
    "anchornet": manifest(anchor_config),
    **{name: manifest(_named) for name in ("resne", "wide_resnet", "mobilenet_v", "efficientnet_b", "shufflenet_v2")},
    "init_stats": first_weights,
}
