"""Images in one folder a class, ``root/class/**/image``: Office-31, Office-Home, VisDA-2017, and the user's own.

    source: {layout: class_folders, root: data/office, domains: [amazon/images, webcam/images], size: [32, 32]}

The class is the folder's position in ``classes.names``; without names, among all folders in byte order.
"""

from pathlib import Path

from common.data.classification import ClassificationDataset
from common.data.dataset import Item
from common.data.lists import scan
from common.errors import UserError
from common.schema import ClassificationDatasetConfig


class ClassFolders(ClassificationDataset):
    """The images below the class folders of one domain or of several, each in alphabetical order."""

    @staticmethod
    def class_names(config: ClassificationDatasetConfig) -> tuple[str, ...]:
        """Return the names of the class folders of all domains, in byte order: ``TV`` precedes ``Table``."""
        folders = [_folder(config, domain) for domain in config.domains or (".",)]
        return tuple(sorted({name for folder in folders for name in _class_folders(folder)}))

    def domains(self) -> list[list[Item]]:
        """Return the images of each domain, class by class."""
        if self.config.list is not None:
            raise UserError("layout class_folders takes no list; image_list does")
        return [self._domain(domain) for domain in self.config.domains or (".",)]

    def _domain(self, domain: str) -> list[Item]:
        folder, place = _folder(self.config, domain), {name: i for i, name in enumerate(self.classes.names)}
        prefix = "" if domain == "." else f"{domain}/"
        items, unknown = [], []
        for name in _class_folders(folder):
            if name in place:
                found = (f"{name}/{image}" for image in scan(folder / name, None))
                items += [Item(f"{prefix}{image}", folder / image, place[name]) for image in found]
            else:
                unknown.append(name)
        if unknown and self.config.strict:
            raise UserError(
                f"{folder}: {len(unknown)} folders are none of classes.names, first '{unknown[0]}'; "
                "name them there, or set strict: false to leave them out"
            )
        if not items:
            raise UserError(f"{folder}: holds no images in class folders, such as '{self.classes.names[0]}'")
        return items


def _folder(config: ClassificationDatasetConfig, domain: str) -> Path:
    folder = config.root / domain
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; layout class_folders expects one folder a class there")
    return folder


def _class_folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
