"""The tutorial: its code runs, prints what the page says, and no number in its sentences is made up."""

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w./^-])\d+(?:\.\d+)?(?![\w/])")
WHERE_IT_STANDS = re.compile(r"\]\([^)]*\)|SEMANTICS [\d.]+|^#.*|^\d\. ", re.MULTILINE)


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text("utf-8")


def test_blocks_of_the_tutorial_print_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names, printed = {}, ""
    for language, block in FENCE.findall(page):
        if language == "toml":
            path = tmp_path / block.splitlines()[0].removeprefix("# ")
            path.parent.mkdir(exist_ok=True)
            path.write_text(block, "utf-8")
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(block, str(PAGE), "exec"), names)
            printed = out.getvalue()
        elif language == "text":
            assert printed == block
            printed = ""
    assert printed == "", "the last block prints something that the page does not show"


def test_numbers_in_sentences_of_the_tutorial_are_in_its_files_or_outputs(page):
    shown = {float(number) for _, block in FENCE.findall(page) for number in re.findall(r"\d+(?:\.\d+)?", block)}
    sentences = WHERE_IT_STANDS.sub("", FENCE.sub("", page))
    claimed = NUMBER.findall(sentences)
    assert len(claimed) > 20
    assert [number for number in claimed if float(number) not in shown] == []
