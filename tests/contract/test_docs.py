"""What the documentation shows runs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from archsim.config.specs import parse_arch
from archsim.ir.manifest import HeadManifest, Manifest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{page}.md" for page in ("how-a-run-flows", "files", "memory"))]


def blocks(language):
    """(page, code) of every fenced block of a language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(code, id=f"{page.name}-{i}")
        for page in PAGES
        for i, code in enumerate(fence.findall(page.read_text("utf-8")))
    ]


@pytest.mark.parametrize("code", blocks("python"))
def test_examples_run(code, tmp_path):
    if "torch" in code:
        pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("code", blocks("toml"))
def test_file_examples_parse(code):
    """A network manifest has stacks, a part of one has a head; anything else is an architecture."""
    data = tomllib.loads(code)
    if "stacks" in data:
        Manifest.model_validate(data)
    elif "head" in data:
        TypeAdapter(HeadManifest).validate_python(data["head"])
    else:
        parse_arch(data, "example")


def test_the_two_commands_are_marked():
    """.ci/run takes them from the README by these marks."""
    text = PAGES[0].read_text("utf-8")
    for mark in ("run", "test"):
        assert re.search(rf"<!-- command: {mark} -->\n```bash\n[^\n]+\n```\n", text)


def test_links_inside_the_repository_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
