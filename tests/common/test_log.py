"""The run's voices: one line for people, metrics.jsonl for programs, event files for TensorBoard."""

import io
import json
import struct
from pathlib import Path

import pytest
from rich.console import Console

from common.errors import UserError
from common.log import Journal, Pace, RunLog, format_line, format_seconds, read_journal
from common.meter import Meter
from common.run_folder import RunFolder
from common.tensorboard import EventFile
from tests.fake_backend import FakeBackend

PACE = Pace(seconds=0.31, data_seconds=0.01, memory_gib=9.8)


def test_line_for_people() -> None:
    """The format that the style guide shows."""
    values = {"source": 0.412, "target": 0.388, "kept": 0.613, "agreed/road": 0.4}
    line = format_line("adapt", 1200, 4000, values, 1.7e-4, PACE)
    assert line == (
        "adapt 1200/4000  source 0.412  target 0.388  kept 61.3%  lr 1.7e-4  0.31 s (data 0.01)  9.8 GiB  eta 0:14:28"
    )


DURATIONS = [(0, "0:00:00"), (59.6, "0:01:00"), (3661, "1:01:01"), (360_000, "100:00:00")]
NUMBERS = [(0.0, "0.000"), (1e-5, "1.0e-5"), (123456.0, "1.2e5"), (12.3456, "12.346")]


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_durations(seconds: float, text: str) -> None:
    """Hours may have any number of digits."""
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(("value", "text"), NUMBERS)
def test_numbers_stay_readable(value: float, text: str) -> None:
    """Small and large ones in scientific notation."""
    assert f"loss {text}" in format_line("s", 1, 2, {"loss": value}, 1.0, PACE)


def test_journal_rewinds_to_a_checkpoint(tmp_path: Path) -> None:
    """Later lines of the stage and a torn last line go, other stages stay."""
    journal = Journal(tmp_path / "metrics.jsonl")
    for stage, step in (("a", 10), ("a", 20), ("b", 10), ("b", 20), ("b", 30)):
        journal.write({"stage": stage, "step": step, "loss": float("nan")})
    journal.write({"stage": "b", "step": 20, "mIoU": 50.0, "final": True})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "b", "st')
    assert len(read_journal(tmp_path / "metrics.jsonl")) == 6
    journal.rewind("b", 20)
    journal.write({"stage": "b", "step": 30, "loss": 0.5})
    journal.close()
    entries = read_journal(tmp_path / "metrics.jsonl")
    assert [(e["stage"], e["step"]) for e in entries] == [("a", 10), ("a", 20), ("b", 10), ("b", 20), ("b", 30)]
    assert entries[0]["loss"] is None and entries[-1]["loss"] == 0.5 and all("time" in e for e in entries)


def test_plain_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    """Long lines are not wrapped; the journal and the curves hold the same numbers."""
    out = io.StringIO()
    log = RunLog(RunFolder(tmp_path), Console(file=out, width=40, highlight=False, markup=False))
    with log.stage("round1/region", 0, 100) as stage:
        stage.losses(20, {"loss": 0.25, "kept": 0.5}, 1e-4, PACE)
        stage.scores(20, {"mIoU19": 41.256})
    lines = out.getvalue().splitlines()
    assert lines[0] == format_line("round1/region", 20, 100, {"loss": 0.25, "kept": 0.5}, 1e-4, PACE)
    assert lines[1] == "round1/region 20/100  mIoU19 41.26"
    first, second = read_journal(tmp_path / "metrics.jsonl")
    assert first["loss"] == 0.25 and first["lr"] == 1e-4 and first["eta_seconds"] == 24.8 and first["memory_gib"] == 9.8
    assert second["mIoU19"] == 41.256
    assert events(tmp_path / "tensorboard" / "round1" / "region") == [
        (20, "loss", 0.25), (20, "kept", 0.5), (20, "lr", pytest.approx(1e-4)), (20, "mIoU19", pytest.approx(41.256)),
    ]  # fmt: skip


def test_progress_bar_on_a_terminal(tmp_path: Path) -> None:
    """The bar shows the same line."""
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=True, highlight=False)
    with RunLog(RunFolder(tmp_path), console).stage("adapt", 0, 100) as stage:
        stage.losses(20, {"loss": 0.25}, 1e-4, PACE)
        stage.advance(21)
    assert "loss 0.250" in out.getvalue() and "eta 0:00:25" in out.getvalue()


def test_silent_on_other_ranks(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Nothing is printed or written."""
    log = RunLog(None)
    with log.stage("adapt", 0, 100) as stage:
        stage.losses(20, {"loss": 0.25}, 1e-4, PACE)
        stage.sync()
    log.warn("nobody hears")
    assert not list(tmp_path.iterdir()) and capsys.readouterr().out == ""


def events(folder: Path) -> list[tuple[int, str, float]]:
    """(step, tag, value) of every scalar, read with TensorBoard's own message types; checks the framing."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            body = data[12 : 12 + length]
            assert struct.unpack("<I", data[8:12])[0] == masked_crc32c(data[:8])
            assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked_crc32c(body)
            event, data = Event.FromString(body), data[16 + length :]
            found += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
            if event.session_log.status:
                found = [entry for entry in found if entry[0] < event.step]  # as TensorBoard does
    return found


def test_curves_continue_where_a_checkpoint_was(tmp_path: Path) -> None:
    """A resumed run supersedes the points after the checkpoint."""
    for first in (0, 200):
        file = EventFile(tmp_path, first + 1 if first else 0)
        for step in range(first + 100, 501, 100):
            file.scalars(step, {"loss": float(step + first)})
        file.close()
    points = {step: value for step, _, value in events(tmp_path)}
    assert points == {100: 100, 200: 200, 300: 500, 400: 600, 500: 700}


def test_pictures_reach_tensorboard(tmp_path: Path) -> None:
    """As PNG with their size."""
    from tensorboardX.proto.event_pb2 import Event

    file = EventFile(tmp_path)
    file.picture(7, "mixed", b"png bytes" * 50, (640, 320))
    file.close()
    data = next(tmp_path.iterdir()).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    data = data[16 + length :]
    (length,) = struct.unpack("<Q", data[:8])
    (value,) = Event.FromString(data[12 : 12 + length]).summary.value
    assert (value.tag, value.image.width, value.image.height, value.image.colorspace) == ("mixed", 640, 320, 3)
    assert value.image.encoded_image_string == b"png bytes" * 50


def test_meter_means_survive_a_checkpoint() -> None:
    """Saving in the middle of an interval changes nothing, to the bit."""
    values = [0.1, 0.7, 1 / 3, 1e-3]
    whole, cut = Meter(FakeBackend()), Meter(FakeBackend())
    for meter in (whole, cut):
        for value in values[:2]:
            meter.add({"loss": value})
        meter.check("here")
    cut = Meter(FakeBackend(), json.loads(json.dumps(cut.state())))
    for meter in (whole, cut):
        for value in values[2:]:
            meter.add({"loss": value})
        meter.check("here")
    assert whole.take() == cut.take() == {"loss": pytest.approx(sum(values) / 4)}
    assert whole.state() == {"sums": {}, "count": 0}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_meter_misses_no_loss_that_is_not_finite(bad: float) -> None:
    """Even when later ones are finite again; all losses are named."""
    meter = Meter(FakeBackend())
    for loss in (1.0, bad, 1.0):
        meter.add({"loss": loss, "target": 2.0})
    with pytest.raises(UserError, match=r"adapt, step 3: a loss is not finite: loss (nan|-?inf), target finite"):
        meter.check("adapt, step 3")
