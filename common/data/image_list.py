"""Images named by a list file, ``path label`` a line: DomainNet, Office-Home and Office-31 as SSDA splits them.

    source: {layout: image_list, root: data/multi, list: data/txt/multi/labeled_source_images_real.txt}

The lists are those of MME (Saito et al., ICCV 2019), which S3D shares; labels are positions in ``classes.names``.
"""

from common.data.classification import ClassificationDataset, found_list
from common.data.dataset import Item
from common.data.lists import folder_classes, read_class_list
from common.schema import ClassificationDatasetConfig


class ImageList(ClassificationDataset):
    """The images of one list; a line without a label, or with -1, is an image without one."""

    @staticmethod
    def class_names(config: ClassificationDatasetConfig) -> tuple[str, ...]:
        """Return the folder above the first image of each label; the labels as text where folders are not classes."""
        entries = read_class_list(found_list(config))
        first: dict[int, str] = {}
        for path, label in entries:
            if label is not None:
                first.setdefault(label, path)
        labels = range(max(first, default=-1) + 1)
        names = folder_classes(first[label] for label in labels if label in first)
        return tuple(names) if len(names) == len(labels) else tuple(str(label) for label in labels)

    def domains(self) -> list[list[Item]]:
        """Return the images of the list, as one domain."""
        config, path = self.config, found_list(self.config)
        entries = read_class_list(path)
        return [[Item(name, config.root / name, self._known(label, f"{path}: {name}")) for name, label in entries]]
