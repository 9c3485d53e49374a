"""Pseudo-labels of whole images by the margin of their logits."""

import numpy as np

from common.pseudo.margin import margin_labels, margins, mean_margin


def test_an_image_is_accepted_by_its_margin_or_by_its_probability():
    logits = np.array([[3.0, 0.0, 0.0], [3.0, 2.0, 0.0], [9.0, 1.0, 0.0], [1.0, 1.0, 1.0]], np.float32)
    assert margins(logits).tolist() == [3.0, 1.0, 8.0, 0.0]
    assert mean_margin(logits) == np.float32(3.0)
    assert margin_labels(logits, 3.0, 0.999).tolist() == [-1, -1, 0, -1]  # strictly larger
    assert margin_labels(logits, 100.0, 0.9).tolist() == [0, -1, 0, -1]
