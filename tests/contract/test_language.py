"""Language of docstrings and comments, as far as a test can check what ruff cannot."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for folder in ("archsim", "scripts")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
KERNELS = ("numerics", "prediction", "pipeline", "dram")
MIN_COMMENTS = 0.01
"""Comments per line of the packages with the hardest code; a floor, not a target."""
CLAUSE_WITHOUT_NOUN = re.compile(r"(What|How|Of|Those|Who|Which|The same|That (in|of|which))\b")


def docstrings(tree):
    """Yield the line and text of each docstring, those below attributes and constants included."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            value = getattr(statement, "value", None)
            if isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value.strip()


def paths_named(text):
    """Return the paths in a text that begin at the repository root or, for short, at a folder of the package."""
    folders = [path.parent.name for path in (ROOT / "archsim").glob("*/__init__.py")]
    tops = "|".join(["archsim", "docs", "models", "scripts", "tests", "traces", *folders])
    return re.findall(rf"(?<![\w/.-])((?:{tops})/[\w./-]*\w)", text)


def property_docstrings(tree):
    """Yield the line and text of the docstring of each property."""
    for node in ast.walk(tree):
        decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else ()
        if any("property" in ast.unparse(decorator) for decorator in decorators):
            yield node.lineno, ast.get_docstring(node) or ""


def complaints(source):
    """Return the docstrings of a text that open with a clause, or with an action where they should name a value."""
    tree = ast.parse(source)
    clauses = [entry for entry in docstrings(tree) if CLAUSE_WITHOUT_NOUN.match(entry[1])]
    actions = [entry for entry in property_docstrings(tree) if entry[1].startswith("Return ")]
    return [f"{line}: {text.splitlines()[0]}" for line, text in sorted(clauses + actions)]


def comments(source):
    """Return the comments of a text, without those that only instruct a tool."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    texts = [token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT]
    return [text for text in texts if not text.startswith(("type:", "mypy:", "noqa"))]


BAD_EXAMPLE = '''
"""What is simulated."""
LIMIT = 3
"""Of words."""
class Thing:
    """The same for all."""
    @property
    def size(self):
        """Return the size."""
def total():
    """Return the sum, which is what callers need."""  # noqa: D401
'''


def test_checker_reports_clauses_and_actions_of_a_bad_example():
    assert complaints(BAD_EXAMPLE) == [
        "2: What is simulated.",
        "4: Of words.",
        "6: The same for all.",
        "8: Return the size.",
    ]


def test_checker_counts_comments_but_no_instructions_to_tools():
    assert comments(BAD_EXAMPLE) == [] and comments("x = 1  # because of y") == ["because of y"]


def test_docstrings_open_with_a_noun_or_a_verb_as_fits_what_they_describe():
    reports = {path: complaints(source) for path, source in SOURCES.items()}
    assert [f"{path}:{line}" for path, lines in reports.items() for line in lines] == []


def test_files_and_folders_named_in_docstrings_exist():
    texts = [(path, text) for path, source in SOURCES.items() for _, text in docstrings(ast.parse(source))]
    named = {(path, name) for path, text in texts for name in paths_named(text)}
    assert len(named) > 10
    missing = [entry for entry in named if not any((root / entry[1]).exists() for root in (ROOT, ROOT / "archsim"))]
    assert sorted(missing) == []


@pytest.mark.parametrize("package", KERNELS)
def test_kernel_package_has_comments(package):
    sources = [source for path, source in SOURCES.items() if path.startswith(f"archsim/kernels/{package}/")]
    assert sum(len(comments(source)) for source in sources) >= MIN_COMMENTS * sum(
        map(len, map(str.splitlines, sources))
    )
