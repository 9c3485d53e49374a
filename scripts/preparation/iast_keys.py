"""The keys of IAST's official configuration files (``code/sseg/models/default.py``), their defaults, and one file read.

The authors' code (Mei et al., ECCV 2020) has one YAML file a stage; ``iast_official.py`` beside this file makes one
configuration of them.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config_files import read_tree
from common.errors import UserError

DEFAULTS = {
    "WORK_DIR": "",
    "RANDOM_SEED": 888,
    "MODEL.TYPE": "Generalized_Segmentor",
    "MODEL.BACKBONE.TYPE": "R-50-C1-C5",
    "MODEL.BACKBONE.PRETRAINED": True,
    "MODEL.BACKBONE.WITH_IBN": False,
    "MODEL.DECODER.TYPE": "DeepLabV2Dedoder",
    "MODEL.PREDICTOR.TYPE": "BasePredictor",
    "MODEL.PREDICTOR.LOSS": "CrossEntropy",
    "MODEL.PREDICTOR.NUM_CLASSES": 19,
    "MODEL.DISCRIMINATOR.LOSS": "MSELoss",
    "MODEL.DISCRIMINATOR.TYPE": [],
    "MODEL.DISCRIMINATOR.WEIGHT": [],
    "MODEL.DISCRIMINATOR.LR": [],
    "MODEL.DISCRIMINATOR.UPDATE_T": 1.0,
    "MODEL.DISCRIMINATOR.LAMBDA_ENTROPY_WEIGHT": 0.0,
    "MODEL.DISCRIMINATOR.LAMBDA_KLDREG_WEIGHT": 0.0,
    "TRAIN.ITER_VAL": 2000,
    "TRAIN.EPOCHES": 10,
    "TRAIN.OPTIMIZER": "SGD",
    "TRAIN.BATCHSIZE": 2,
    "TRAIN.ITER_REPORT": 50,
    "TRAIN.LR": 0.001,
    "TRAIN.N_PROC_PER_NODE": 1,
    "TRAIN.APEX_OPT": "O1",
    "TRAIN.EARLY_STOPPING": -1,
    "TRAIN.SAVE_ALL": False,
    "TRAIN.RESUME_FROM": "",
    "TRAIN.PSEUDO_RESUME_FROM": "",
    "TRAIN.SCHEDULER": "",
    "TRAIN.COSINEANNEALINGLR.T_MAX": 1,
    "TRAIN.COSINEANNEALINGLR.T_MULT": 1.0,
    "DATASET.TYPE": "",
    "DATASET.ANNS": "",
    "DATASET.IMAGEDIR": "",
    "DATASET.RESIZE_SIZE": [],
    "DATASET.USE_AUG": False,
    "DATASET.NUM_WORKER": 2,
    "DATASET.VAL.TYPE": "",
    "DATASET.VAL.ANNS": "",
    "DATASET.VAL.IMAGEDIR": "",
    "DATASET.VAL.RESIZE_SIZE": [],
    "DATASET.VAL.ORIGIN_SIZE": [2048, 1024],
    "DATASET.TARGET.TYPE": "",
    "DATASET.TARGET.ANNS": "",
    "DATASET.TARGET.IMAGEDIR": "",
    "DATASET.TARGET.PSEUDO_LOSS_WEIGHT": 1.0,
    "DATASET.TARGET.SOURCE_LOSS_WEIGHT": 1.0,
    "DATASET.TARGET.SKIP_GEN_PSEUDO": False,
    "DATASET.TARGET.PSEUDO_SAVE_DIR": "",
    "DATASET.TARGET.PSEUDO_PL": "IAST",
    "DATASET.TARGET.PSEUDO_PL_GAMMA": 1.0,
    "DATASET.TARGET.PSEUDO_PL_BETA": 0.9,
    "DATASET.TARGET.PSEUDO_PL_ALPHA": 0.2,
    "DATASET.TARGET.PSEUDO_BATCH_SIZE": 2,
    "DATASET.TARGET.PSEUDO_SIZE": [1280, 640],
    "DATASET.TARGET.ORIGIN_SIZE": [2048, 1024],
    "TEST.RESIZE_SIZE": [],
    "TEST.USE_FLIP": False,
    "TEST.BATCH_SIZE": 2,
    "TEST.NUM_WORKER": 2,
    "TEST.N_PROC_PER_NODE": 1,
}


@dataclass(frozen=True)
class OfficialFile:
    """One file of the authors: its path, and every key by its dotted name, with the defaults."""

    path: Path
    values: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def refuse(self, key: str, right: str) -> UserError:
        """Return the error that says that a key's value is not known here."""
        return UserError(f"{self.path}: {key} is {self[key]!r}; known here: {right}")

    def beside_the_code(self, key: str) -> Path:
        """Return the path that a key names: such paths are relative to the folder of the authors' ``main.py``."""
        above = (folder for folder in self.path.resolve().parents if (folder / "main.py").is_file())
        return next(above, Path()) / self[key]


def read_official(path: Path) -> OfficialFile:
    """Read one of the authors' YAML files.

    Raises:
        UserError: If the file is no YAML of plain values, has a key that theirs do not have, or a value is of another
            kind than theirs.
    """
    tree, places = read_tree(path)
    values = dict(DEFAULTS)
    for name, value in _flat(tree):
        key = ".".join(name)
        if key not in DEFAULTS:
            near = difflib.get_close_matches(key, DEFAULTS, 1, 0.4)
            told = f" Did you mean '{near[0]}'?" if near else ""
            raise UserError(f"{places[name]}: IAST's configuration has no key '{key}'.{told}")
        if not _alike(value, DEFAULTS[key]):
            raise UserError(f"{places[name]}: {key} is {value!r}; right would be something like {DEFAULTS[key]!r}")
        values[key] = value
    return OfficialFile(path, values)


def _flat(tree: dict, above: tuple = ()) -> list[tuple[tuple, Any]]:
    found = []
    for key, value in tree.items():
        name = (*above, str(key))
        deeper = isinstance(value, dict) and ".".join(name) not in DEFAULTS
        found += _flat(value, name) if deeper else [(name, value)]
    return found


def _alike(value: Any, default: Any) -> bool:
    """Whether a value is of the kind of its default; whole numbers may stand for fractions, not truth for numbers."""
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    return isinstance(value, kinds) and isinstance(value, bool) == isinstance(default, bool)
