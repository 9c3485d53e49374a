"""The datasets of a run by their role, open and checked."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.data.check import check
from common.data.cityscapes import Cityscapes
from common.data.folders import Folders
from common.data.gta5 import Gta5
from common.data.labels import ClassSet, class_set
from common.data.segmentation import SegmentationDataset
from common.data.splits import labelled_split
from common.data.synthia import Synthia
from common.errors import UserError
from common.schema import DatasetConfig

if TYPE_CHECKING:
    from common.config import Config

DATASETS = {"gta5": Gta5, "synthia": Synthia, "cityscapes": Cityscapes, "folders": Folders}


@dataclass(frozen=True)
class Roles:
    """What stages read.

    Attributes:
        classes: The classes of the task.
        source: Labelled source images; None if the method needs none.
        target: Training images of the target domain; None if the method needs none.
        val: Labelled images that are scored.
        labelled: Positions in ``target`` whose labels may be seen, in drawing order.
    """

    classes: ClassSet
    source: SegmentationDataset | None
    target: SegmentationDataset | None
    val: SegmentationDataset
    labelled: tuple[int, ...]


def open_dataset(config: DatasetConfig, classes: ClassSet, role: str = "") -> SegmentationDataset:
    """Open one dataset; reads none of its images.

    Args:
        config: Its section of the configuration.
        classes: The classes of the task.
        role: Key of the section ("data.source"); begins the messages of errors.
    Raises:
        UserError: If files or folders are missing, or options contradict each other.
    """
    try:
        dataset = DATASETS[config.layout](config, classes)
    except UserError as error:
        raise UserError(f"{role}: {error}" if role else str(error)) from None
    dataset.role = role
    return dataset


def open_roles(config: "Config", checked: bool = True) -> Roles:
    """Open the datasets of a run.

    Args:
        config: The configuration; its sections ``data`` and ``classes`` are read.
        checked: Whether each dataset checks itself (``common.data.check``); takes about a second.
    Raises:
        UserError: The first fault: key of the dataset, file, and what repairs it.
    """
    data, known = config.data, class_set(config.classes)
    source, target, val = (
        open_dataset(section, known, f"data.{role}") if section is not None else None
        for role, section in (("source", data.source), ("target", data.target), ("val", data.val))
    )
    labelled = labelled_split(data.labelled, target.names) if target else []
    roles = Roles(known, source, target, val, tuple(labelled))
    if checked:
        for dataset, needed in ((source, None), (target, labelled), (val, None)):
            if dataset is not None:
                check(dataset, needed)
    return roles
