"""A student whose teachers' logits were kept learns the same as one that asks its teachers."""

import numpy as np
import pytest

from common.backends import open_backend
from common.draws import generator
from common.schema import EvaluateConfig
from tests import tolerances
from tests.common.methods.worlds import config
from tests.compare import assert_close


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "mindspore"])
def test_kept_logits_are_the_teachers(name: str) -> None:
    """Losses of a step and the gradients, with frozen teachers and with ``teacher_logits`` in the batch."""
    backend = open_backend(name, device="cpu", compile=False)
    of = config({"name": "ddm", "lambda_kl_aux": 0.1}, network={"depth": 18, "width": 8, "init": "kaiming"})
    rng = generator(3, "cached teachers")
    batch = {
        "unlabelled_image": rng.integers(0, 256, (2, 3, 24, 40), dtype=np.uint8),
        "target_image": rng.integers(0, 256, (2, 3, 24, 40), dtype=np.uint8),
        "target_label": rng.integers(0, 19, (2, 24, 40)).astype(np.int32),
    }
    teachers = [backend.build(of.model_copy(update={"seed": seed}), "ddm_region") for seed in (1, 2)]
    frozen = dict(zip(("region_teacher", "sample_teacher"), (teacher.state()["model"] for teacher in teachers)))
    kept = [backend.predictor(teacher, EvaluateConfig()).logits(batch["unlabelled_image"]) for teacher in teachers]
    asking = backend.build(of, "ddm_student", frozen=frozen)
    reading = backend.build(of, "ddm_student")
    want, want_gradients = asking.gradients(batch)
    got, got_gradients = reading.gradients({**batch, "teacher_logits": np.stack(kept, axis=1)})
    assert list(got) == list(want) == ["loss", "kl", "kl_aux", "ce", "main", "aux"]
    for part in want:
        assert_close(part, backend.numpy(got[part]), backend.numpy(want[part]), tolerances.LOSS)
    for parameter, gradient in want_gradients.items():
        assert_close(parameter, got_gradients[parameter], gradient, tolerances.GRADIENT)
    assert not np.array_equal(kept[0], kept[1])
