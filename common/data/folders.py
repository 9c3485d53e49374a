"""The user's own data by configuration alone: an image folder and a label folder, or a list file.

    source: {layout: folders, root: data/mine, images: photos, image_suffix: .jpg, labels: masks,
             label_suffix: _mask.png, class_map: {1: 0, 2: 1}, ignore: [0]}

Labels hold ids (grey or palette PNG), train ids, or colours (``label_ids: palette``). Without ``class_map`` ids are
Cityscapes label ids, or train ids for custom classes.
"""

from common.data.labels import ClassSet, lookup
from common.data.layout import Ids, Layout, ids_of, official_ids
from common.data.segmentation import SegmentationDataset
from common.schema import DatasetConfig


class Folders(SegmentationDataset):
    """Images with labels of the same name but for the suffix."""

    def layout(self, config: DatasetConfig) -> Layout:
        """Return the configured folders; ``images`` alone is the root, ``labels`` alone means that there are none."""
        return Layout(config.images or ".", config.labels, config.image_suffix, config.label_suffix or ".png")

    def id_table(self, config: DatasetConfig, classes: ClassSet) -> Ids:
        """Return the meaning of the ids: ``class_map``, else Cityscapes label ids, else the custom train ids."""
        if classes.label_ids:
            return official_ids(config, classes)
        return ids_of(config, classes, lambda own: lookup({i: i for i in range(len(own))}), range(len(classes)))
