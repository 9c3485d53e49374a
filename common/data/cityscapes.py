"""Cityscapes: ``leftImg8bit/<split>/<city>/NAME_leftImg8bit.png`` and ``gtFine/<split>/<city>/NAME_gtFine_...png``."""

from common.data.layout import Layout
from common.data.segmentation import SegmentationDataset
from common.errors import UserError
from common.schema import DatasetConfig

LABEL_IDS, TRAIN_IDS = "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"


class Cityscapes(SegmentationDataset):
    """2,975 training and 500 validation images of 2048x1024 (Cordts et al., CVPR 2016)."""

    def layout(self, config: DatasetConfig) -> Layout:
        """Return the folders of the split (``train`` unless the configuration says another).

        Raises:
            UserError: If labelTrainIds files are named but ``label_ids`` says that they hold label ids.
        """
        split = config.split or "train"
        train_ids = config.label_ids == "train_ids"
        suffix = config.label_suffix or (TRAIN_IDS if train_ids else LABEL_IDS)
        if suffix.endswith("TrainIds.png") and config.label_ids == "ids" and config.class_map is None:
            raise UserError(f"label_suffix '{suffix}' names train ids: set label_ids: train_ids")
        repair = f"python scripts/prepare_data.py trainids {config.root}" if train_ids else ""
        images = config.images or f"leftImg8bit/{split}"
        labels = config.labels or f"gtFine/{split}"
        return Layout(images, labels, config.image_suffix or "_leftImg8bit.png", suffix, repair=repair)
