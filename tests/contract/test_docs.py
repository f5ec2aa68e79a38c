"""Examples of the documentation run, and its links and references resolve."""

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from functools import reduce
from pathlib import Path

import pytest
from pydantic import TypeAdapter

import archsim
from archsim.cli.main import archsim as command_line
from archsim.config.arch import parse_arch
from archsim.ir.manifest import HeadManifest, Manifest
from archsim.policies import policy_from
from archsim.sweeps.grid import load_grid

PAGE_NAMES = (
    *(
        "how-a-run-flows",
        "advice",
        "own-model",
        "recipes",
        "sweeps",
        "predictors",
        "cluster",
        "files",
        "memory",
        "performance",
    ),
)
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{page}.md" for page in PAGE_NAMES)]
ALL_PAGES = [path for folder in (".", "docs", "docs/reference", "models/*") for path in ROOT.glob(f"{folder}/*.md")]


def blocks(language):
    """(page, code) of every fenced block of a language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(code, id=f"{page.name}-{i}")
        for page in PAGES
        for i, code in enumerate(fence.findall(page.read_text("utf-8")))
    ]


@pytest.mark.parametrize("code", blocks("python"))
def test_python_examples_run_and_print(code, tmp_path):
    needed = {"torch": ["torch"], "Onnx": ["onnx", "onnxruntime"]}
    for package in (package for word, packages in needed.items() if word in code for package in packages):
        pytest.importorskip(package)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("code", blocks("toml"))
def test_toml_examples_are_valid(code):
    """A manifest has stacks, a part of one has a head, a grid has axes; anything else is an architecture."""
    data = tomllib.loads(code)
    if "stacks" in data:
        Manifest.model_validate(data)
    elif "head" in data:
        TypeAdapter(HeadManifest).validate_python(data["head"])
    elif "axes" in data:
        load_grid(data)
    else:
        parse_arch(data, "example")


def said_by(commands, folder):
    """Output of each command of a page, run in a folder."""
    said = []
    for command in commands.splitlines():
        words = shlex.split(command, comments=True)
        assert words.pop(0) == "archsim"
        run = [sys.executable, "-P", "-c", "from archsim.cli.main import main; main()", *words]
        done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    return said


def test_import_commands_run_after_the_example_before_them(tmp_path):
    """The commands of docs/own-model.md run on the file that its example saves."""
    pytest.importorskip("torch")
    text = (ROOT / "docs" / "own-model.md").read_text("utf-8")
    saving, commands = re.search(
        r"^```python\n((?:(?!^```).)*checkpoint\.pt.*?)^```$.*?^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    ).groups()
    subprocess.run([sys.executable, "-c", saving], cwd=tmp_path, capture_output=True, check=True)
    said = said_by(commands, tmp_path)
    assert "check passed" in said[0] and re.search(r"model.out +tensors +left outside", said[0])
    assert "128" in said[1]


def test_sweep_tutorial_commands_run(tmp_path):
    """The three commands of docs/sweeps.md run as they are written."""
    text = (ROOT / "docs" / "sweeps.md").read_text("utf-8")
    grid, commands = (
        re.search(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1] for kind in ("toml", "bash")
    )
    (tmp_path / "fmu.toml").write_text(grid, "utf-8")
    said = said_by(commands, tmp_path)
    assert "16 points: 16 to run" in said[0] and "8 inference runs, 2 baselines" in said[0]
    assert (tmp_path / "fmu" / "report.html").is_file()


def test_advice_command_of_its_page_runs(tmp_path):
    text = (ROOT / "docs" / "advice.md").read_text("utf-8")
    (said,) = said_by(re.search(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1], tmp_path)
    assert said.startswith(("YES, by ", "NO: ")) and "What bounds the machine" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["advice.html", "advice.json"]


def test_readme_marks_the_run_and_test_commands():
    """.ci/run takes the commands from the README by these marks."""
    text = PAGES[0].read_text("utf-8")
    for mark in ("run", "test"):
        assert re.search(rf"<!-- command: {mark} -->\n```bash\n[^\n]+\n```\n", text)


def test_links_inside_the_repository_resolve():
    for page in ALL_PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"


def test_files_and_folders_named_in_pages_exist():
    path_of_ours = r"`((?:archsim|docs|models|scripts|tests|traces)/[\w./-]+)`"
    today = [page for page in ALL_PAGES if page.name != "CHANGELOG.md"]  # which names what is gone, too
    named = {(page.name, path) for page in today for path in re.findall(path_of_ours, page.read_text("utf-8"))}
    assert len(named) > 30
    assert sorted((page, path) for page, path in named if "NAME" not in path and not (ROOT / path).exists()) == []


def test_entries_of_deviations_have_consecutive_ids_and_a_status():
    rows = re.findall(r"^\| (.*)", (ROOT / "docs" / "DEVIATIONS.md").read_text("utf-8"), re.MULTILINE)[1:]
    entries = [re.match(r'<a id="d(\d+)"></a>D(\d+) \| (settled|open|superseded by D\d+) \| ', row) for row in rows]
    assert [entry and (int(entry[1]), int(entry[2])) for entry in entries] == [(i, i) for i in range(1, len(rows) + 1)]


def test_every_reference_to_a_deviation_names_an_entry():
    known = set(re.findall(r'<a id="(d\d+)">', (ROOT / "docs" / "DEVIATIONS.md").read_text("utf-8")))
    for page in ALL_PAGES:
        for text, target in re.findall(r"\[D(\d+)\]\([^)]*DEVIATIONS\.md#(\w+)\)", page.read_text("utf-8")):
            assert target == f"d{text}" and target in known, f"{page}: D{text}"


def test_python_names_of_the_contract_are_there_unless_marked():
    text = (ROOT / "docs" / "CONTRACT.md").read_text("utf-8")
    code = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]
    for line in code.splitlines():
        for name in re.findall(r"archsim\.(\w+(?:\.\w+)?)\(", line):
            is_there = reduce(lambda owner, part: getattr(owner, part, None), name.split("."), archsim) is not None
            is_option = name == "from_torch"  # there, for fewer modules than the marked lines say
            assert is_option or is_there == ("# (not yet)" not in line), line


def test_commands_of_the_contract_are_there_unless_marked():
    text = (ROOT / "docs" / "CONTRACT.md").read_text("utf-8")
    for row in re.findall(r"^\| `archsim .*", text, re.MULTILINE):
        usage, is_marked = row.split("`")[1], "(not yet)" in row.split("` ")[1].split("|")[0]
        for name in re.findall(r"archsim ([\w-]+)", row.rsplit("|", 2)[0]):
            command = command_line.commands.get(name)
            options = {word for parameter in command.params for word in parameter.opts} if command else set()
            is_there = command is not None and set(re.findall(r"--[\w-]+", usage)) <= options
            assert is_there != is_marked, row


def test_policies_of_the_semantics_are_there():
    text = (ROOT / "docs" / "SEMANTICS.md").read_text("utf-8")
    named = re.findall(r"^(?:- )?`([\w-]+:\w+=\w+(?:,\w+=\w+)?)`", text, re.MULTILINE)
    assert {"bnn:centre=on", "delta:weighted=on", "delta:weighted=on,tail=B"} <= set(named)
    for name in named:
        assert policy_from(name.replace("=B", "=4")).name == name.replace("=B", "=4")


def test_dask_recipes_bind_to_private_addresses():
    text = (ROOT / "docs" / "cluster.md").read_text("utf-8")
    starts = [line for line in text.splitlines() if re.search(r"\bdask,? (scheduler|worker)", line)]
    assert len(starts) == 6
    assert all("--host" in line or "--interface" in line for line in starts)
    assert "0.0.0.0" not in text and "The network must be trusted" in text


def test_every_place_that_the_glossary_names_exists():
    text = (ROOT / "docs" / "GLOSSARY.md").read_text("utf-8")
    rows = re.findall(r"^\| (.*) \| (.*) \| (.*) \|$", text, re.MULTILINE)
    where = {term: place for term, _, place in rows if term != "term"}
    assert len(where) > 60
    assert [term for term, place in where.items() if not exists(place)] == []


def exists(place):
    """Whether a section of SEMANTICS, an entry of DEVIATIONS, a page, a file or a name in a module is there."""
    kind, _, key = place.partition(" ")
    if kind == "SEMANTICS":
        heading = rf"^##+ {re.escape(key)}[. ]"
        return re.search(heading, (ROOT / "docs" / "SEMANTICS.md").read_text("utf-8"), re.MULTILINE) is not None
    if kind == "DEVIATIONS":
        return f'<a id="{key.lower()}"></a>' in (ROOT / "docs" / "DEVIATIONS.md").read_text("utf-8")
    if page := re.fullmatch(r"\[(.*)\]\(\1\)", place):
        return (ROOT / "docs" / page[1]).is_file()
    name = place.strip("`")
    if "/" in name:
        return (ROOT / name).is_file()
    module, _, attribute = name.rpartition(".")
    return hasattr(importlib.import_module(module), attribute)


def test_every_folder_of_the_package_is_in_the_list_of_folders():
    text = (ROOT / "docs" / "how-a-run-flows.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.*?) \| ", text, re.MULTILINE)
    listed = {name.rstrip("/") for row in rows for name in re.findall(r"`([\w/.]+)`", row)} - {"archsim"}
    package = ROOT / "archsim"
    top = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    folders = {str(path.parent.relative_to(package)) for path in package.glob("**/__init__.py")} - {"."}
    assert {name for name in listed if not (package / name).exists()} == set()
    assert {name for name in top | folders if name not in listed and Path(name).parts[0] not in listed} == set()
