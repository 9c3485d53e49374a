"""K-shot splits of a labelled domain in the official list format of semi-supervised adaptation (MME, ICCV 2019).

    labeled_source_images_real.txt         the whole domain
    labeled_target_images_real_3.txt       three images of each class, whose labels may be seen
    unlabeled_target_images_real_3.txt     all others, the validation images among them; their labels are for scoring
    validation_target_images_real_3.txt    three more images of each class, to choose weights by; always called _3
"""

from collections.abc import Sequence
from pathlib import Path

from common.data.lists import write_list
from common.data.splits import SEED, shots_of_each

Entry = tuple[str, int]  # path below the root, class
VALIDATION = 3  # images of each class


def source_list(folder: Path, domain: str) -> Path:
    """Return the list of a whole domain."""
    return folder / f"labeled_source_images_{domain}.txt"


def target_list(folder: Path, domain: str, kind: str, shots: int) -> Path:
    """Return the list of a part of a domain: ``kind`` is "labeled", "unlabeled" or "validation"."""
    return folder / f"{kind}_target_images_{domain}_{VALIDATION if kind == 'validation' else shots}.txt"


def write_lists(
    folder: Path, domain: str, entries: Sequence[Entry], shots: Sequence[int], seed: int = SEED
) -> list[Path]:
    """Write all lists of a domain; return their files.

    The labelled images of another number of shots are drawn anew, not nested; validation images are none of them.

    Args:
        folder: Made if it is not there.
        domain: Part of the files' names.
        entries: The images with their classes.
        shots: How many labelled images of each class; one set of lists for each number.
        seed: Another seed draws others.
    Raises:
        UserError: If a class has too few images.
    """
    files = [_write(source_list(folder, domain), entries)]
    labels, drawn = [label for _, label in entries], {}
    for count in shots:
        drawn[count] = shots_of_each(labels, count, seed + count)
    seen = [i for positions in drawn.values() for i in positions]
    validation = shots_of_each(labels, VALIDATION, seed, left_out=seen)
    for count, positions in drawn.items():
        known = set(positions)
        rest = [entry for i, entry in enumerate(entries) if i not in known]
        files.append(_write(target_list(folder, domain, "labeled", count), [entries[i] for i in positions]))
        files.append(_write(target_list(folder, domain, "unlabeled", count), rest))
    files.append(_write(target_list(folder, domain, "validation", VALIDATION), [entries[i] for i in validation]))
    return files


def _write(path: Path, entries: Sequence[Entry]) -> Path:
    write_list(path, [(name, str(label)) for name, label in entries])
    return path
