"""Multi30k: captions of photographs in English and their German translations (Elliott et al., 2016)."""

from __future__ import annotations

from pathlib import Path

from archsim.corpora.roots import check_split, data_root, first_folder
from archsim.errors import TraceError
from archsim.reading import is_there, lines_of, read_text
from archsim.traceio.trace import Trace

_FILES = {"train": "train", "valid": "val", "test": "test_2016_flickr"}
_FORM = "lc.norm.tok"


def multi30k_trace(split: str, root: Path | None = None) -> Trace:
    """Read English sentences with German references from the public layout of task 1, lower-cased and tokenised.

    Splits: `train`, `valid` (the corpus's val), `test` (its test_2016_flickr); `all` takes every pair of files
    NAME.en and NAME.de in the folder, in the order of their names.
    """
    check_split(split)
    root = root or data_root()
    candidates = [root, root / "multi30k", root / "data" / "task1" / "tok", root / "dataset" / "data" / "task1" / "tok"]
    folder = first_folder(candidates, lambda path: any(path.glob("*.en")), f"sentences like val.{_FORM}.en")
    if split == "all":
        stems = sorted(path.with_suffix("") for path in folder.glob("*.en"))
    else:
        stems = [folder / f"{_FILES[split]}.{_FORM}"]
    pairs = [pair for stem in stems for pair in _pairs(stem)]
    trace = Trace.from_texts([en for en, _ in pairs], [de for _, de in pairs], name=f"multi30k-{split}")
    return trace.described("captions in English, targets in German", "Multi30k task 1, Elliott et al., 2016")


def _pairs(stem: Path) -> list[tuple[str, str]]:
    """Return pairs of sentences of STEM.en and STEM.de, without lines that are blank in both."""
    english, german = (_lines(stem.with_name(f"{stem.name}.{language}")) for language in ("en", "de"))
    if len(english) != len(german):
        raise TraceError(f"{stem}: {len(english)} lines of .en and {len(german)} of .de, need the same number")
    pairs = list(zip(english, german, strict=True))
    for number, (en, de) in enumerate(pairs, 1):
        if bool(en.strip()) != bool(de.strip()):
            raise TraceError(f"{stem}: line {number} is blank in one language")
    return [(en, de) for en, de in pairs if en.strip()]


def _lines(path: Path) -> list[str]:
    if not is_there(path):
        raise TraceError(f"{path} does not exist: need both languages of a split")
    return lines_of(read_text(path, TraceError, "a sentence per line"))
