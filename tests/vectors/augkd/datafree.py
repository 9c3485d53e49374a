"""Step vectors of AuG-KD's stage 1: whole iterations of generator, student and encoder, then an epoch's judgement."""

from collections.abc import Iterator

import numpy as np

from common.schedules import learning_rate
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.augkd.noise import Found, Reference, runner
from tests.vectors.augkd.reading import meta_of
from tests.vectors.augkd.setup import build, configuration, filled


def datafree(vector: Vector, backend, shake: int | None) -> Iterator[Check | Found]:
    """Train for the file's iterations, then judge."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    rates = {"generator_lr": meta["d_lr"], "encoder_lr": meta["e_lr"]}
    shape = {"epochs": meta["g_epoch"], "iterations": meta["iterations"], "inner": arrays["z_inner"].shape[1]}
    config = configuration(meta, "df", datafree={**rates, **shape})
    objective = build(backend, vector, "df", config, ("teacher",), shake)
    networks = {"decoder": objective.generator, "student": objective.network, "encoder": objective.encoder}
    for network in networks.values():
        filled(side, network, shake)
    yield from _first_gradients(side, objective, Reference(vector), networks)
    yield from _iterations(side, objective, vector, networks)
    after = learning_rate(config.optim, meta["iterations"], 10**9)
    rates = [after * meta["d_lr"] / meta["lr"], after, meta["e_lr"]]
    yield Check("rates after the epoch", rates, arrays["lr_after_epoch"], 1e-9, "absolute")
    noise = arrays["val_eps"].astype(np.float32)
    latent = arrays["val_z"].astype(np.float32).reshape(noise.shape)
    for name, value in zip(("decoder", "encoder"), objective.judge(latent, noise)):
        yield Found(f"val_{name}_loss", np.array(value))
    images = objective.normalise(objective.backend.tensor(arrays["val_x_u8"]))
    yield Found("val_student_logits", side.numpy(objective.logits(images)))


def _iterations(side: Twin, objective, vector: Vector, networks: dict) -> Iterator[Found]:
    """Yield every parameter after the iterations of which the file has them, then the losses of all."""
    arrays, reference, before = vector.arrays, Reference(vector), _weights(side, networks)
    losses: dict[str, list] = {"decoder": [], "student": [], "encoder": []}
    for number, (first, latents, noises) in enumerate(zip(*_draws(arrays))):
        rate = learning_rate(objective.config.optim, number, 10**9)
        done = objective.generator_step({"latent": first}, rate)
        losses["decoder"].append(float(side.numpy(done["generator"])))
        for latent, noise in zip(latents, noises):
            done = objective.student_step({"latent": latent, "noise": noise}, rate)
            losses["student"].append(float(side.numpy(done["loss"])))
            losses["encoder"].append(float(side.numpy(done["encoder"])))
        begin = f"after{number + 1}:"
        after = _weights(side, networks)
        for name in reference.names(begin):
            key = name.removeprefix(begin)
            yield Found(name, after[key], before[key])
    for name, values in losses.items():
        yield Found(f"loss_{name}", np.reshape(values, arrays[f"loss_{name}"].shape))


def _draws(arrays: dict) -> list[np.ndarray]:
    """Return latent vectors of the generator's steps, of the students' steps, and the encoder's noise."""
    return [arrays[name].astype(np.float32) for name in ("z_decoder", "z_inner", "eps_inner")]


def _weights(side: Twin, networks: dict) -> dict[str, np.ndarray]:
    """Return all weights by the file's names for them, ``NETWORK:KEY``."""
    found = {}
    for name, network in networks.items():
        weights = side.canonical(side.weights.get_weights(network), network)
        found |= {f"{name}:{key}": value for key, value in weights.items()}
    return found


def _first_gradients(side: Twin, objective, reference: Reference, networks: dict) -> Iterator[Found]:
    """Yield the first gradient of each optimizer, each at the moment of its first step; puts everything back."""
    latent, latents, noises = (one[0] for one in _draws(reference.arrays))
    before, rate = objective.state(), objective.config.optim.lr
    found = {"decoder": objective.generator_gradients({"latent": latent})}
    objective.generator_step({"latent": latent}, rate)
    part = {"latent": latents[0], "noise": noises[0]}
    found["student"], found["encoder"] = objective.student_gradients(part)
    for name, gradients in found.items():
        named = side.canonical(gradients, networks[name])
        begin = f"grad1:{name}:"
        for full in reference.names(begin):
            yield Found(full, named[full.removeprefix(begin)])
    objective.load_state(before)


RUNNERS = {"step_df": runner(datafree)}
