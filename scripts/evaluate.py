"""Score a trained network, or predict images, on one framework or several side by side.

    python scripts/evaluate.py runs/ddm/toy/torch                                  # the last row of a run
    python scripts/evaluate.py runs/ddm/toy/torch --stage round1/region --best     # another row, its best weights
    python scripts/evaluate.py runs/ddm/toy/torch --stage round1/region,round1/sample  # their ensemble
    python scripts/evaluate.py runs/ddm/toy/torch --backends torch,mindspore,onnx  # the same weights on all
    python scripts/evaluate.py --backends mindspore,torch,onnx student.ckpt --config ddm/toy
    python scripts/evaluate.py ddm/gta5_to_cityscapes_100 --backend torch --weights student.pth
    python scripts/evaluate.py runs/ddm/toy/torch --image street.png --out out     # overlay of an image, or of a folder
    python scripts/evaluate.py runs/s3d/digits/torch --image photos                # prints "path label confidence"
    python scripts/evaluate.py runs/augkd/digits/torch --calibration               # is it as sure as it is right?

Prints IoU or accuracy of each class and the published numbers beside ours. --out receives scores.json and
confusion.csv, with --save-predictions also a PNG an image: train ids, or the label ids that the official Cityscapes
evaluator reads; for classification predictions.txt, "path label" a line; with --calibration also calibration.json, the
expected calibration error and its bins of confidence.
Weights of one framework are converted on their way to the other. Several backends: their differences, and the share
of pixels or images on which each disagrees with the first; --out also receives disagreement.json and pictures of where.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402

from common.backends import BACKENDS, SUFFIXES, open_backend  # noqa: E402
from common.calibration import Calibration, Confident, calibration_table  # noqa: E402
from common.checkpoint import write_text  # noqa: E402
from common.cli import run  # noqa: E402
from common.config import Config  # noqa: E402
from common.data.check import check  # noqa: E402
from common.data.classification import fit  # noqa: E402
from common.data.dataset import ImageDataset  # noqa: E402
from common.data.files import read_image  # noqa: E402
from common.data.labels import class_set  # noqa: E402
from common.data.lists import scan, write_list  # noqa: E402
from common.data.roles import open_dataset  # noqa: E402
from common.data.transforms import resize_image, stack_images  # noqa: E402
from common.disagreement import DISAGREEMENTS, Disagreement  # noqa: E402
from common.errors import UserError  # noqa: E402
from common.evaluate import ClassEvaluation, Evaluation, evaluate, true_label  # noqa: E402
from common.export import class_lines, score_table, write_overlay, write_prediction, write_scores  # noqa: E402
from common.methods.supervised import OBJECTIVES  # noqa: E402
from common.pictures import fitted, write_png  # noqa: E402
from common.report.results import add_published, scores_by_name  # noqa: E402
from common.report.tables import Table  # noqa: E402
from common.subject import WEIGHTS, Subject, find_subject, only_predicting  # noqa: E402


def main() -> int:
    """Parse the command line, predict, print; return the exit status."""
    options = _parser().parse_args()
    if options.save_predictions and not options.out:
        raise UserError("--save-predictions needs --out, the folder that receives them")
    calibrations: dict[str, Calibration] = {}
    console = Console(highlight=False)
    config, weights, title = _what(options)
    if options.calibration and config.task != "classification":
        raise UserError(f"--calibration is for classification; {config.name} is {config.task}")
    names = (options.backends or options.backend or _backend_of(weights[0])).split(",")
    evaluations: dict[str, Evaluation | ClassEvaluation] = {}
    with TemporaryDirectory(prefix="twinda-") as folder:
        classes, kind = class_set(config.classes), DISAGREEMENTS[config.task]
        disagreement = kind(Path(folder), classes) if len(names) > 1 else None
        for name in names:
            backend, predictor = _open(name, config, weights, options.device)
            part = name if len(names) > 1 else ""
            if options.image:
                (_classify_images if config.task == "classification" else _overlay_images)(
                    config, predictor, options, part
                )
            else:
                watch = disagreement.watcher(name) if disagreement else None
                confident = Confident(predictor) if options.calibration else None
                evaluations[name] = _score(config, backend, confident or predictor, options, part, watch)
                if confident:
                    calibrations[name] = confident.result(options.out and options.out / part)
            backend.close()
        if evaluations and disagreement and options.out:
            _write_disagreement(disagreement, _dataset(config, options), options.out)
    if evaluations:
        console.print(f"{title}: {', '.join(map(str, weights))}", soft_wrap=True)
        console.print(score_table(evaluations).rich())
        if calibrations:
            console.print(calibration_table(calibrations).rich())
        if disagreement:
            console.print(disagreement.table().rich())
        if config.published:
            console.print(_published(config, evaluations).rich())
    return 0


def _what(options: argparse.Namespace) -> Subject:
    """Return what is evaluated, with the overrides of the command line."""
    overrides = [*options.set]
    if options.scales:
        overrides.append(f"evaluate.scales=[{options.scales}]")
    if options.flip:
        overrides.append("evaluate.flip=true")
    which = "best" if options.best else "last"
    return find_subject(options.what, overrides, options.weights, options.config, options.stage, which)


def _backend_of(weights: Path) -> str:
    """Return the framework whose files end like this one."""
    found = next((name for name, suffix in SUFFIXES.items() if suffix == weights.suffix), None)
    if found is None:
        raise UserError(f"{weights}: say on which framework to evaluate: --backend {' or '.join(BACKENDS)}")
    return found


def _open(name: str, config: Config, weights: list[Path], device: str) -> tuple:
    """Return a backend, and what predicts with the weights on it; ``onnx`` exports them on the way.

    Several weights predict as one: the mean of their logits.
    """
    bare = only_predicting(config)
    if name == "onnx":
        objectives = [_exported(bare, file) for file in weights]
        backend = objectives[0].backend
    else:
        backend = open_backend(name, device=device)
        objectives = [_filled(backend, bare, file) for file in weights]
    joined = objectives[0] if len(objectives) == 1 else backend.ensemble(objectives)
    return backend, backend.predictor(joined, config.evaluate)


def _exported(config: Config, weights: Path):
    """Export a checkpoint and return an objective whose logits onnxruntime computes."""
    from convert import subject
    from convert.inspection import canonical_weights  # only when ONNX is asked for
    from convert.reading import read
    from convert.sides import exported_side

    return exported_side(subject.Subject(weights, config, canonical_weights(read(weights))), "cpu").objective


def _filled(backend, config: Config, weights: Path):
    """Build an objective and fill its network."""
    objective = backend.build(config, OBJECTIVES[config.task])
    with TemporaryDirectory(prefix="twinda-") as folder:
        native = weights
        if weights.suffix in WEIGHTS and weights.suffix != backend.suffix:
            from convert.single import convert_file  # only when the frameworks differ

            native = Path(folder) / f"weights{backend.suffix}"
            convert_file(weights, native)
        try:
            objective.load_weights(backend.load(native))
        except UserError as error:
            line = str(error).replace(str(native), str(weights))
            raise UserError(line if str(weights) in line else f"{weights}: {line}") from None
    return objective


def _dataset(config: Config, options: argparse.Namespace) -> ImageDataset:
    """Return the images that are scored: those of --role, else the test set where there is one."""
    role = options.role or ("test" if config.data.test else "val")
    section = getattr(config.data, role)
    if section is None:
        raise UserError(f"--role {role}: {config.name} has no data.{role}")
    return open_dataset(section, class_set(config.classes), f"data.{role}")


def _score(config: Config, backend, predictor, options: argparse.Namespace, part: str, watch=None):
    """Predict the images, save what was asked for, return the evaluation; ``watch`` sees every prediction too."""
    classes, out = class_set(config.classes), options.out and options.out / part
    dataset, chosen = _dataset(config, options), {}
    check(dataset)

    def save(index: int, prediction: np.ndarray, truth: np.ndarray) -> None:
        if options.save_predictions and config.task == "classification":
            chosen[index] = int(prediction[0])
        elif options.save_predictions:
            write_prediction(out / "predictions", dataset.names[index], prediction, classes, options.save_predictions)
        if watch:
            watch(index, prediction, truth)
        if options.calibration:
            predictor.see(prediction, truth)

    settings = config.classes.left_out, config.evaluate.batch_size
    result = evaluate(predictor.labels, dataset, classes, *settings, save, backend, absent=config.classes.absent)
    if out:
        write_scores(out, result)
    if chosen:
        write_list(out / "predictions.txt", [(dataset.names[i], str(label)) for i, label in sorted(chosen.items())])
    return result


def _write_disagreement(disagreement: Disagreement, dataset: ImageDataset, out: Path) -> None:
    """Write where the backends disagree: numbers, and pictures of the images on which they do most."""
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "disagreement.json", json.dumps(disagreement.record(), indent=1) + "\n")
    for name, picture in disagreement.pictures(partial(_shown, dataset)).items():
        write_png(out / f"disagreement_{name}", picture)


def _shown(dataset: ImageDataset, index: int) -> np.ndarray:
    """Return an image at the size of its label map; as it is where it has none."""
    truth = true_label(dataset, index)
    return fitted(dataset.image(index), truth.shape[::-1]) if truth.ndim else dataset.image(index)


def _images(place: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, image) of one image file, or of all below a folder."""
    folder = place if place.is_dir() else place.parent
    names = scan(folder, None) if place.is_dir() else [place.name]
    if not names:
        raise UserError(f"{place}: holds no image files")
    for name in names:
        yield name, read_image(folder / name)


def _overlay_images(config: Config, predictor, options: argparse.Namespace, part: str) -> None:
    """Predict label maps of one image or of a folder of them at their own size, and write overlays."""
    if not options.out:
        raise UserError("--image needs --out, the folder that receives the overlay")
    classes, size = class_set(config.classes), config.data.val.size
    for name, image in _images(options.image):
        seen = resize_image(image, size) if size else image
        labels = predictor.labels(stack_images([seen]), image.shape[:2])[0]
        print(write_overlay(options.out / part / Path(name).parent, Path(name).stem, image, labels, classes))


def _classify_images(config: Config, predictor, options: argparse.Namespace, part: str) -> None:
    """Print path, class and confidence of one image or of a folder of them; --out also receives classes.txt."""
    lines = []
    for name, image in _images(options.image):
        path = str(options.image / name) if options.image.is_dir() else str(options.image)
        probabilities = predictor.scores(stack_images([fit(image, config.data.val)]), "probabilities")
        lines += class_lines([path], probabilities, class_set(config.classes))
        print(f"{part}: {lines[-1]}" if part else lines[-1])
    if options.out:
        (options.out / part).mkdir(parents=True, exist_ok=True)
        write_text(options.out / part / "classes.txt", "\n".join(lines) + "\n")


def _published(config: Config, evaluations: dict[str, Evaluation | ClassEvaluation]) -> Table:
    """Return the numbers that the configuration says were published, beside ours."""
    header = ["row", "metric", "source", "published", *(f"ours, {name}" for name in evaluations)]
    table = Table("Published numbers beside ours", header, texts=3)
    ours = [scores_by_name(evaluation.record()) for evaluation in evaluations.values()]
    for row in config.published:
        add_published(table, row.model_dump(), class_set(config.classes).names, ours)
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", metavar="RUN_OR_WEIGHTS", help="a run folder, weights, or a config with --weights")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--backend", choices=BACKENDS, help="framework; without it that of the weights")
    which.add_argument("--backends", metavar="A,B", help="several, side by side: torch, mindspore, onnx")
    parser.add_argument("--weights", type=Path, help="a .pth or .ckpt file, instead of a run's own")
    parser.add_argument("--config", help="configuration of a weights file that lies in no run folder")
    parser.add_argument("--stage", help="stage of the run, or several, A,B, as an ensemble; else the last one")
    parser.add_argument("--best", action="store_true", help="the weights that scored best on target labels (an oracle)")
    parser.add_argument("--role", choices=("val", "test", "source_val"), help="images to score (test, else val)")
    parser.add_argument("--image", type=Path, help="predict this image, or all below this folder, instead of scoring")
    parser.add_argument("--out", type=Path, help="folder for scores, predictions and overlays")
    parser.add_argument("--scales", metavar="A,B", help="multi-scale prediction, for example 0.5,1.0,1.5")
    parser.add_argument("--flip", action="store_true", help="also predict the mirror image")
    parser.add_argument("--calibration", action="store_true", help="classification: confidence beside accuracy")
    parser.add_argument("--save-predictions", choices=("train_ids", "label_ids"),
                        help="also a PNG an image, with these ids; for classification a list 'path label'")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="override a key; may be repeated")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ascend")
    return parser


if __name__ == "__main__":
    run(main)
