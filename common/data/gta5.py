"""GTA5: ``images/00001.png`` beside ``labels/00001.png``, palette PNGs whose indices are Cityscapes label ids."""

from common.data.layout import Layout
from common.data.segmentation import SegmentationDataset
from common.schema import DatasetConfig


class Gta5(SegmentationDataset):
    """24,966 images of about 1914x1052 (Richter et al., ECCV 2016)."""

    def layout(self, config: DatasetConfig) -> Layout:
        """Return GTA5's folders; image and label have the same name."""
        suffix = config.image_suffix or ".png"
        return Layout(config.images or "images", config.labels or "labels", suffix, config.label_suffix or ".png")
