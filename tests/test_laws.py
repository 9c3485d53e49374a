"""The laws of the design: what may import what, and that the twins are twins."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from common.backends import BACKENDS

ROOT = Path(__file__).resolve().parents[1]
FRAMEWORKS = {"torch", "mindspore"}
PACKAGES = ("common", "ms_impl", "torch_impl", "convert", "tests", "scripts")
TOP_LEVEL = {*PACKAGES, "README.md", "requirements.txt", "LICENSE", "pyproject.toml"}


def modules(package: str) -> list[str]:
    """Dotted names of all modules of a package."""
    return [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Top-level names of everything a file imports, anywhere in it."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module.split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("common", {"torch", "mindspore", "torch_impl", "ms_impl", "convert", "scripts", "tests"}),
        ("ms_impl", {"torch", "torch_impl", "convert", "scripts", "tests"}),
        ("torch_impl", {"mindspore", "ms_impl", "convert", "scripts", "tests"}),
        ("convert", {"scripts", "tests"}),
    ],
)
def test_dependencies_point_one_way(package: str, forbidden: set[str]) -> None:
    """No file of a package imports what it must not, not even inside a function."""
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    guilty = {str(p.relative_to(ROOT)): sorted(imported(p) & forbidden) for p in files}
    assert not {p: names for p, names in guilty.items() if names}


def test_common_loads_no_framework() -> None:
    """Importing all of common and convert in a fresh process loads neither framework."""
    names = [n for n in modules("common") + modules("convert") if not n.endswith("__main__")]
    code = f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\n"
    code += f"print(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize(("backend", "absent"), [("torch", "mindspore"), ("mindspore", "torch")])
def test_twin_works_without_the_other_framework(backend: str, absent: str) -> None:
    """Every module of a twin can be imported where the other framework is not installed."""
    package = BACKENDS[backend].split(".")[0]
    block = f"import sys, importlib\nsys.modules[{absent!r}] = None\n"
    code = block + f"for n in {modules(package)!r}: importlib.import_module(n)\nprint('fine')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("fine"), done.stderr[-2000:]


def api(path: Path) -> list[tuple[str, str]]:
    """Public names and arguments of a file, in order of appearance."""
    top = ast.parse(path.read_text(encoding="utf-8")).body
    found = []
    for node in top:
        if isinstance(node, ast.FunctionDef):
            found.append((node.name, ast.unparse(node.args)))
        elif isinstance(node, ast.ClassDef):
            found.append((node.name, ""))
            methods = [f for f in node.body if isinstance(f, ast.FunctionDef)]
            found += [(f"{node.name}.{f.name}", ast.unparse(f.args)) for f in methods]
    return [(name.replace(".construct", ".forward"), args) for name, args in found if _public(name)]


def _public(name: str) -> bool:
    return not name.startswith("_") and ("._" not in name or name.endswith("__init__"))


def twin_files() -> list[str]:
    """Relative paths of all files of either twin."""
    return sorted({str(p.relative_to(ROOT / t)) for t in ("ms_impl", "torch_impl") for p in (ROOT / t).rglob("*.py")})


@pytest.mark.parametrize("name", twin_files())
def test_twins_have_the_same_surface(name: str) -> None:
    """``ms_impl/x.py`` and ``torch_impl/x.py`` hold the same public names and signatures in the same order."""
    ours = {twin: ROOT / twin / name for twin in ("ms_impl", "torch_impl")}
    assert all(path.is_file() for path in ours.values()), f"{name} has no twin"
    assert api(ours["ms_impl"]) == api(ours["torch_impl"])


def test_top_level_is_fixed() -> None:
    """Nothing but the agreed files and folders lies at the top of the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {line.split("/")[0] for line in listed.splitlines()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


@pytest.mark.parametrize("package", ["common", "ms_impl", "torch_impl", "convert", "scripts"])
def test_files_stay_short(package: str) -> None:
    """One idea a file: none is longer than 350 lines."""
    lines = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in (ROOT / package).rglob("*.py")}
    assert not {path: count for path, count in lines.items() if count > 350}


def test_sources_are_ascii() -> None:
    """Sources hold ASCII only."""
    files = [p for package in PACKAGES for p in (ROOT / package).rglob("*.py")]
    assert not [str(p.relative_to(ROOT)) for p in files if not p.read_text(encoding="utf-8").isascii()]


@pytest.mark.parametrize("package", ["common", "ms_impl", "torch_impl", "convert"])
def test_public_things_have_docstrings(package: str) -> None:
    """Every public module, class and function says what it is."""
    bare = []
    for path in (ROOT / package).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [("module", tree), *((n.name, n) for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef))]
        bare += [f"{path.relative_to(ROOT)}: {n}" for n, node in nodes if n[0] != "_" and not ast.get_docstring(node)]
    assert not bare
