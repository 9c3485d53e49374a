"""The datasets of a run by their role, open and checked."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.data.bdd import Bdd
from common.data.check import check
from common.data.cityscapes import Cityscapes
from common.data.class_folders import ClassFolders
from common.data.classification import ClassificationDataset
from common.data.dataset import ImageDataset
from common.data.folders import Folders
from common.data.gta5 import Gta5
from common.data.image_list import ImageList
from common.data.labels import ClassSet, class_set
from common.data.mapillary import Mapillary
from common.data.splits import labelled_split
from common.data.synthia import Synthia
from common.errors import UserError
from common.schema import ClassificationDatasetConfig, DatasetConfig

if TYPE_CHECKING:
    from common.config import Config

DATASETS = {
    "gta5": Gta5,
    "synthia": Synthia,
    "cityscapes": Cityscapes,
    "bdd": Bdd,
    "mapillary": Mapillary,
    "folders": Folders,
    "image_list": ImageList,
    "class_folders": ClassFolders,
}


@dataclass(frozen=True)
class Roles:
    """What stages read.

    Attributes:
        classes: The classes of the task.
        source: Labelled source images; None if the method needs none.
        target: Training images of the target domain; None if the method needs none.
        val: Labelled images that are scored.
        labelled: Positions in ``target`` whose labels may be seen, in drawing order.
        labelled_target: Classification: the target images whose labels may be seen, which may lie outside ``target``.
        source_val: Labelled images that a network of the source domain is scored on.
        test: Labelled images that are scored at the end of a stage, where ``val`` is there to choose weights.
    """

    classes: ClassSet
    source: ImageDataset | None
    target: ImageDataset | None
    val: ImageDataset
    labelled: tuple[int, ...] = ()
    labelled_target: ClassificationDataset | None = None
    source_val: ImageDataset | None = None
    test: ImageDataset | None = None

    def named(self) -> dict[str, ImageDataset]:
        """Return the datasets that there are, by their key in the section ``data``."""
        every = {
            "source": self.source,
            "source_val": self.source_val,
            "target": self.target,
            "labelled": self.labelled_target,
            "val": self.val,
            "test": self.test,
        }
        return {role: dataset for role, dataset in every.items() if dataset is not None}

    def must_have_labels(self, role: str) -> tuple[int, ...] | None:
        """Return the positions of a dataset that must have labels; None for all of them."""
        return self.labelled if role == "target" else None


def open_dataset(
    config: DatasetConfig | ClassificationDatasetConfig, classes: ClassSet, role: str = ""
) -> ImageDataset:
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
    data, known = config.data, _classes(config)
    source, source_val, target, val, test = (
        open_dataset(section, known, f"data.{role}") if section is not None else None
        for role, section in (
            ("source", data.source),
            ("source_val", data.source_val),
            ("target", data.target),
            ("val", data.val),
            ("test", data.test),
        )
    )
    if isinstance(data.labelled, ClassificationDatasetConfig):
        shots, labelled = open_dataset(data.labelled, known, "data.labelled"), []
    else:
        target, shots, labelled = _divided(config, target)
    for dataset in filter(None, (source, target)):  # baselines do not resize what the method would
        dataset.fits_labels = getattr(config.method, "FITS_LABELS", False) and not config.baselines
    roles = Roles(known, source, target, val, tuple(labelled), shots, source_val, test)
    if checked:
        for role, dataset in roles.named().items():
            check(dataset, roles.must_have_labels(role))
    return roles


def _classes(config: "Config") -> ClassSet:
    """Return the classes of the task; where only the data could name them, tell what of it is not there."""
    if config.task == "classification" and not config.classes.names:
        for role, section in (("source", config.data.source), ("target", config.data.target), ("val", config.data.val)):
            if section is not None and not section.root.is_dir():
                raise UserError(f"data.{role}: {section.root}: no such folder; classes.names is to be taken from it")
    return class_set(config.classes)


def _divided(
    config: "Config", target: ImageDataset | None
) -> tuple[ImageDataset | None, ClassificationDataset | None, list[int]]:
    """Return the target, its labelled images as a dataset of their own (classification), and their positions."""
    split = config.data.labelled
    if target is None or split is None:
        return target, None, []
    if config.task == "segmentation":
        return target, None, labelled_split(split, target.names)
    labels = [-1 if item.label is None else item.label for item in target.items]
    chosen = labelled_split(split, target.names, labels, target.classes.names)
    shots = target.subset(chosen)
    shots.role = "data.labelled"
    if split == "all":
        return target, shots, chosen
    rest = target.subset([i for i in range(len(target)) if i not in set(chosen)])
    return rest, shots, []
