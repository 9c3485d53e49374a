"""BDD100K (Yu et al., CVPR 2020), semantic segmentation: labels are PNGs of the 19 train ids of Cityscapes."""

import numpy as np

from common.data.labels import ClassSet, train_id_table
from common.data.layout import Ids, Layout, ids_of
from common.data.segmentation import SegmentationDataset
from common.schema import DatasetConfig


def bdd_table(classes: ClassSet) -> np.ndarray:
    """Return the uint8 (256,) table from BDD100K's ids, the 19 train ids, to the train ids of ``classes``."""
    return train_id_table(classes)


class Bdd(SegmentationDataset):
    """1,000 validation images of 1280x720."""

    def layout(self, config: DatasetConfig) -> Layout:
        """Return BDD100K's folders of a split."""
        split = config.split or "val"
        images, labels = config.images or f"images/{split}", config.labels or f"gtFine/{split}"
        return Layout(images, labels, config.image_suffix or ".jpg", config.label_suffix or "_train_id.png")

    def id_table(self, config: DatasetConfig, classes: ClassSet) -> Ids:
        """Return the meaning of train ids."""
        return ids_of(config, classes, bdd_table, range(19))
