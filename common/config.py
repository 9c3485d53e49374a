"""Reading a configuration: YAML with ``extends:`` and ``--set a.b=c``.

Errors name file, line, key and the nearest valid key.
"""

import difflib
import operator
import typing
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from common.config_files import find_config, override, read_tree
from common.data.roles import DATASETS
from common.errors import UserError
from common.methods import METHODS
from common.methods.baselines import Baseline
from common.networks import DEFAULT, FAMILIES, NetworkConfig
from common.schema import (
    ClassesConfig,
    ClassificationDatasetConfig,
    DataConfig,
    DatasetConfig,
    EvaluateConfig,
    InputConfig,
    OptimConfig,
    Strict,
    Task,
    TrainConfig,
)

_ROLES = ("source", "source_val", "target", "val", "test", "labelled")
TAGGED = (("method",), ("network",), *(("data", role) for role in _ROLES))  # sections with several forms
MethodSettings = reduce(operator.or_, (method.Settings for method in METHODS.values()))
MethodConfig = Annotated[MethodSettings, Field(discriminator="name")]


class PublishedRow(Strict):
    """A number that a paper states; ``evaluate.py`` and the report print it beside ours."""

    row: str  # name of the row, for example "DDM" or "M_RL, round 1"
    metric: Literal["mIoU19", "mIoU16", "mIoU13", "mIoU", "accuracy", "mean accuracy", "top-3", "top-5"]
    value: float  # percent
    source: str  # where the paper says so, for example "table 1"
    per_class: tuple[float, ...] | None = None  # percent, in train id order


class Config(Strict):
    """A whole configuration. ``name`` and the backend name the run folder ``out/name/backend``."""

    name: str
    out: Path = Path("runs")
    task: Task = "segmentation"
    seed: int = 1234
    classes: ClassesConfig = ClassesConfig()
    data: DataConfig
    input: InputConfig = InputConfig()
    network: NetworkConfig = FAMILIES[DEFAULT]()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    method: MethodConfig
    baselines: tuple[Baseline, ...] = ()  # rows beside the method
    published: tuple[PublishedRow, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _classes_of_the_task(cls, tree: Any) -> Any:
        """Classification has no class set of its own: its classes are the ones that are named, or found in the data."""
        if isinstance(tree, dict) and tree.get("task") == "classification":
            classes = tree.get("classes") or {}
            if isinstance(classes, dict):
                return {**tree, "classes": {"set": "custom", **classes}}
        return tree

    @model_validator(mode="after")
    def _one_task(self) -> "Config":
        method = METHODS[self.method.name]
        if self.task not in method.TASKS:
            known = ", ".join(name for name, one in METHODS.items() if self.task in one.TASKS)
            raise ValueError(f"method {self.method.name!r} is not for task {self.task!r}; for it there are: {known}")
        if self.task != self.network.TASK:
            known = ", ".join(name for name, family in FAMILIES.items() if self.task == family.TASK)
            raise ValueError(f"network {self.network.name!r} is not for task {self.task!r}; for it there are: {known}")
        wanted = ClassificationDatasetConfig if self.task == "classification" else DatasetConfig
        for role, section in self.data:
            if isinstance(section, DatasetConfig | ClassificationDatasetConfig) and not isinstance(section, wanted):
                layout = section.layout
                raise ValueError(f"data.{role}: layout {layout!r} is not for task {self.task!r}; set task or layout")
        return self

    @model_validator(mode="after")
    def _whole_images(self) -> "Config":
        """Refuse what a task would pass over in silence."""
        if self.task == "classification":
            if self.evaluate.scales != (1.0,) or self.evaluate.window:
                raise ValueError("evaluate.scales and evaluate.window are for segmentation; classification knows flip")
            if self.classes.absent != "skip":
                raise ValueError("classes.absent is for segmentation; leave it out")
            if self.data.colour.mode != "off":
                raise ValueError("data.colour is for segmentation; set data.colour.mode: off")
        elif self.evaluate.protocol != "all":
            raise ValueError("evaluate.protocol: ssda is for classification; segmentation scores all images")
        return self

    @model_validator(mode="after")
    def _one_line_name(self) -> "Config":
        if not self.name or self.name.startswith(("/", ".")) or ".." in self.name.split("/"):
            raise ValueError(f"name {self.name!r} must be a relative path without '..'; it names the run folder")
        return self

    def run_folder(self, backend: str, seed: int | None = None) -> Path:
        """Folder of this configuration's run on a backend ("torch" or "mindspore"), one of its own for a ``seed``."""
        return self.out / self.name / (backend if seed is None else f"{backend}-seed{seed}")


def load_config(path: str | Path, overrides: typing.Sequence[str] = ()) -> Config:
    """Read, merge and check a configuration.

    Args:
        path: A YAML file, or the name of one below ``common/configs`` (``ddm/toy`` or ``ddm/toy.yaml``).
        overrides: ``"a.b=value"`` texts, later ones win; the value is YAML.
    Raises:
        UserError: One line: file, line, key, what is wrong, and the nearest valid key for an unknown one.
    """
    tree, places = read_tree(find_config(Path(path)))
    for text in overrides:
        override(tree, places, text)
    try:
        return with_class_names(Config.model_validate(tree))
    except ValidationError as error:
        raise UserError(_explain(error, places, Path(path))) from None


def with_class_names(config: Config) -> Config:
    """Return a classification's configuration with the names of its classes, taken from the data where it has none.

    Where the data is not there either, nothing is filled in: whoever needs the classes then says so.

    Raises:
        UserError: If a list of the data is not as it should be.
    """
    if config.task != "classification" or config.classes.names:
        return config
    for section in (config.data.source, config.data.target, config.data.val):
        if section is not None and section.root.is_dir():
            names = DATASETS[section.layout].class_names(section)
            return config.model_copy(update={"classes": config.classes.model_copy(update={"names": names})})
    return config


def dump(config: Config) -> str:
    """Return the resolved configuration as YAML; ``load_config`` reads it back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, width=120)


def _explain(error: ValidationError, places: dict, path: Path) -> str:
    """Turn the first pydantic error into one line with its place, and say how many more there are."""
    details = error.errors()
    details.sort(key=lambda item: item["type"] != "extra_forbidden")
    first = details[0]
    location = _without_tags(first["loc"])
    where = next((places[location[:n]] for n in range(len(location), -1, -1) if location[:n] in places), str(path))
    section, key = ".".join(map(str, location[:-1])), location[-1] if location else ""
    if first["type"] == "extra_forbidden":
        known = [name for name in _known_keys(location[:-1]) if name != key]  # another form may have this very key
        near = difflib.get_close_matches(str(key), known, 1, 0.4)
        line = f"{where}: {section or 'the configuration'} has no key '{key}'."
        line += f" Did you mean '{near[0]}'?" if near else f" Known keys: {', '.join(known)}."
    elif first["type"] == "missing":
        line = f"{where}: {section or 'the configuration'} lacks the key '{key}'."
    elif not location:  # what contradicts itself is not one key
        line = f"{where}: {first['msg'].removeprefix('Value error, ')}."
    else:
        line = f"{where}: {'.'.join(map(str, location))}: {first['msg']}; got {str(first['input'])[:60]!r}."
    return line + (f" ({len(details) - 1} more)" if len(details) > 1 else "")


def _without_tags(location: tuple) -> tuple:
    """Drop the tag that pydantic adds behind a section with several forms."""
    for section in TAGGED:
        if location[: len(section)] == section:
            return location[: len(section)] + location[len(section) + 1 :]
    return location


def _known_keys(location: tuple) -> list[str]:
    """Return the keys of the section at ``location``; for ``method`` and ``network`` those of all together."""
    models: list[type[BaseModel]] = [Config]
    for part in location:
        fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        models = [model for annotation in fields for model in _models(annotation)]
    return sorted({key for model in models for key in model.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]
