"""SYNTHIA-RAND-CITYSCAPES: ``RGB/0000000.png`` and its labels, in either of two forms.

``parsed_LABELS`` holds 8 bit raw ids (``prepare_data.py synthia`` writes it); the original ``GT/LABELS`` holds
16 bit RGB PNGs whose first channel is the id. The first is taken where it exists.
"""

from common.data.files import read_ids_16bit
from common.data.labels import ClassSet, synthia_table
from common.data.layout import Ids, Layout, ids_of
from common.data.segmentation import SegmentationDataset
from common.schema import DatasetConfig

PARSED, ORIGINAL = "parsed_LABELS", "GT/LABELS"
RAW_IDS = range(23)  # 0 void, 13 parking, 14 road work and 22 lane marking are known and ignored


class Synthia(SegmentationDataset):
    """9,400 images of 1280x760 (Ros et al., CVPR 2016)."""

    def layout(self, config: DatasetConfig) -> Layout:
        """Return SYNTHIA's folders; image and label have the same name."""
        parsed = (config.root / PARSED).is_dir() or not (config.root / ORIGINAL).is_dir()
        labels = config.labels or (PARSED if parsed else ORIGINAL)
        repair = f"python scripts/prepare_data.py synthia {config.root}"
        suffix = config.image_suffix or ".png"
        return Layout(config.images or "RGB", labels, suffix, config.label_suffix or ".png", read_ids_16bit, repair)

    def id_table(self, config: DatasetConfig, classes: ClassSet) -> Ids:
        """Return the meaning of SYNTHIA's own ids."""
        return ids_of(config, classes, synthia_table, RAW_IDS)
