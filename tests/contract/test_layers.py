"""Ranks of the packages: imports point down, which is read from the files."""

import ast
import configparser
from pathlib import Path

import archsim

LAYERS = [
    "_version errors",
    "cores units registry validation paper ownership reading sums escaping kernel_cache",
    "files",
    "kernels sealed",
    "config task_metrics",
    "ir",
    "activity",
    "traceio policies engine",
    "importers inference sim corpora",
    "energy plugins",
    "experiment calibration finetune",
    "live contract",
    "sweeps",
    "report",
    "reproduce exploration",
    "advising",
    "cli",
    "__main__",
]
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row.split()}
ROOT = Path(archsim.__file__).parent


def imported_modules(node):
    """Return the full names that a statement imports; `from archsim import x` counts as archsim.x."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0
    return [f"archsim.{alias.name}" for alias in node.names] if node.module == "archsim" else [node.module]


def package_imports():
    """Yield (importing package, imported package, file) of every import inside archsim."""
    for path in sorted(ROOT.rglob("*.py")):
        importer = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if importer in ("__init__", "models", "traces"):
            continue  # the public face may know everybody; it is lazy
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for module in imported_modules(node):
                if module.startswith("archsim."):
                    yield importer, module.split(".")[1], path.name


def test_imports_point_down():
    """A package imports lower ranks only; packages of one rank do not import each other."""
    upward = [(a, b, f) for a, b, f in package_imports() if a != b and RANK[a] <= RANK[b]]
    assert upward == []


def test_every_package_has_a_rank():
    packages = {p.name.removesuffix(".py") for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert packages - {"__init__", "models", "traces"} == set(RANK)


def test_setup_lists_every_package_of_the_tree():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg", "utf-8")
    folders = {path.parent.relative_to(ROOT.parent) for path in ROOT.rglob("__init__.py")}
    installed = {".".join(folder.parts) for folder in folders} | {"archsim.models", "archsim.traces"}
    assert sorted(setup["options"]["packages"].split()) == sorted(installed)


def test_kernels_import_numba_and_numpy_only():
    allowed = {"__future__", "collections", "operator", "typing", "numpy", "numba", "llvmlite", "archsim"}
    for path in (ROOT / "kernels").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert {module.split(".")[0] for module in imported_modules(node)} <= allowed, path.name


def test_only_the_command_line_prints():
    for path in ROOT.rglob("*.py"):
        if "cli" not in path.parts:
            calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
            assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id in ("print", "exit")], path.name
