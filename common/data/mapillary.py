"""Mapillary Vistas v1.2 (Neuhold et al., ICCV 2017): 66 classes, mapped to those of Cityscapes."""

import numpy as np

from common.data.labels import ClassSet, lookup, train_id_table
from common.data.layout import Ids, Layout, ids_of
from common.data.segmentation import SegmentationDataset
from common.schema import DatasetConfig

# fmt: off
MAPILLARY_IDS = {
    13: 0, 24: 0, 41: 0, 2: 1, 15: 1, 17: 2, 6: 3, 3: 4, 45: 5, 47: 5, 48: 6, 50: 7, 30: 8, 29: 9, 27: 10, 19: 11,
    20: 12, 21: 12, 22: 12, 55: 13, 61: 14, 54: 15, 58: 16, 57: 17, 52: 18,
}
# fmt: on


def mapillary_table(classes: ClassSet) -> np.ndarray:
    """Return the uint8 (256,) table from Mapillary's ids to the train ids of ``classes``, as DiGA maps them."""
    return train_id_table(classes)[lookup(MAPILLARY_IDS)]


class Mapillary(SegmentationDataset):
    """2,000 validation images of many sizes."""

    def layout(self, config: DatasetConfig) -> Layout:
        """Return Mapillary's folders of a split; image and label have the same stem."""
        split = config.split or "validation"
        images, labels = config.images or f"{split}/images", config.labels or f"{split}/labels"
        return Layout(images, labels, config.image_suffix or ".jpg", config.label_suffix or ".png")

    def id_table(self, config: DatasetConfig, classes: ClassSet) -> Ids:
        """Return the meaning of the 66 ids."""
        return ids_of(config, classes, mapillary_table, range(66))
