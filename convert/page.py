"""The parity certificate as files: ``certificate.json`` for programs, ``certificate.html`` for people."""

import json
from html import escape
from pathlib import Path

from common.checkpoint import write_text
from common.report.tables import Table
from convert.verify import Certificate

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: .5em 0 1.5em; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 8px; border-bottom: 1px solid #e4e4e4; text-align: left; overflow-wrap: anywhere; }
td.number { text-align: right; }
.holds { color: #17632f; } .fails { color: #a32020; }
"""
_WORST = 15  # rows of a long table
_WORDS = {"segmentation": ("pixels", "mIoU"), "classification": ("images", "accuracy")}


def write(certificate: Certificate, folder: Path) -> None:
    """Write both files into ``folder``, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "certificate.json", json.dumps(certificate.record(), indent=1) + "\n")
    write_text(folder / "certificate.html", html(certificate))


def lines(certificate: Certificate) -> list[str]:
    """Return the certificate for a terminal."""
    result = [f"{name:28} {value}" for name, value in _summary(certificate)]
    if certificate.deep:
        parted = certificate.deep["first_layer_that_parts"] or "none"
        result.append(f"{'first layer that parts':28} {parted}")
        for group, gaps in certificate.deep["groups"].items():
            worst = max(gaps, key=_nearness)
            missed = sum(not gap["holds"] for gap in gaps)
            kinks = sum(gap["holds"] and gap["error"] > gap["allowed"] for gap in gaps)
            numbers = f"error {worst['error']:.1e}, floor {worst['floor']:.1e}, allowed {worst['allowed']:.1e}"
            held = f"{len(gaps) - missed} of {len(gaps)} hold" + (f", {kinks} but for a kink" if kinks else "")
            result.append(f"{group:28} {held}; nearest {worst['what']}: {_smooth(worst) or numbers}")
    return result


def html(certificate: Certificate) -> str:
    """Return the certificate as a page that needs nothing outside it."""
    mark = "holds" if certificate.holds else "fails"
    sides = Table("Sides", ["", "A", "B"], texts=3)
    for key in dict.fromkeys(key for side in certificate.sides for key in side):
        sides.add(key, *(str(side.get(key, "-")) for side in certificate.sides))
    summary = Table("Result", ["", ""], texts=2)
    for name, value in _summary(certificate):
        summary.add(name, value)
    body = [
        f'<h1>Parity certificate: <span class="{mark}">{mark}</span></h1>',
        f"<p>{escape(certificate.time)}, {escape(certificate.host)}</p>",
        summary.html(),
        sides.html(),
        "<h2>Inputs</h2><ul>" + "".join(f"<li>{escape(name)}</li>" for name in certificate.inputs) + "</ul>",
        *_deep(certificate),
    ]
    head = f"<!DOCTYPE html><meta charset=utf-8><title>Parity certificate</title><style>{_STYLE}</style>"
    return f"{head}{''.join(body)}\n"


def _summary(certificate: Certificate) -> list[tuple[str, str]]:
    unit, score = _WORDS[certificate.task]
    rows = [
        ("verdict", "holds" if certificate.holds else "FAILS"),
        ("worst relative error", f"{certificate.worst:.2e} (allowed {certificate.tolerance:.0e})"),
        ("median relative error", f"{certificate.median:.2e}"),
        (f"{unit} with equal argmax", f"{100 * certificate.equal:.4f} %"),
    ]
    return rows + [(f"{score}, {name}", f"{value:.4f}") for name, value in certificate.scores.items()]


def _deep(certificate: Certificate) -> list[str]:
    if not certificate.deep:
        return []
    parted = certificate.deep["first_layer_that_parts"]
    result = [f"<h2>In depth</h2><p>First layer that parts: {escape(parted) if parted else 'none'}.</p>"]
    for group, gaps in certificate.deep["groups"].items():
        shown = sorted(gaps, key=_nearness, reverse=True)[:_WORST]
        title = f"{group}: {sum(gap['holds'] for gap in gaps)} of {len(gaps)} hold; the {len(shown)} nearest to failing"
        table = Table(title, ["what", "error", "float64 floor", "allowed", "verdict"])
        for gap in shown:
            numbers = (f"{gap[key]:.1e}" for key in ("error", "floor", "allowed"))
            held = "holds but for a kink" if gap["error"] > gap["allowed"] else "holds"
            verdict = [held if gap["holds"] else "FAILS", _smooth(gap)]
            table.add(gap["what"], *numbers, "; ".join(filter(None, verdict)))
        result += [f"<h3>{escape(title)}</h3>", table.html()]
    return result


def _nearness(gap: dict) -> float:
    """Return an error as a share of what is allowed, both of the smooth form where that decides."""
    error, allowed = gap["smooth"] or (gap["error"], gap["allowed"])
    return error / max(allowed, 1e-30)


def _smooth(gap: dict) -> str:
    """Return in words what the smooth form showed; nothing where it was not asked."""
    return "in the smooth form error {:.1e}, allowed {:.1e}".format(*gap["smooth"]) if gap["smooth"] else ""
