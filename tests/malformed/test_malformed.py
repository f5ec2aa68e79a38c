"""Every malformed input raises one UsageError of a few lines that names the file, and nothing else."""

import re
import tracemalloc

import pytest

from archsim.errors import UsageError
from malformed import arrays, text

CASES = [*text.CASES, *arrays.CASES]
MOST_BYTES = 1 << 26
"""Bytes of memory that a refusal may take."""


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_malformed_input_is_refused_in_one_short_message(case, tmp_path):
    read = case.make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    tracemalloc.start()
    try:
        with pytest.raises(UsageError) as refused:
            read()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    message = str(refused.value)
    assert re.search(case.says, message, re.DOTALL), message
    assert len(message.splitlines()) <= 6 and len(message.replace(str(tmp_path), "")) <= 2500
    assert peak_bytes < MOST_BYTES and sorted(tmp_path.rglob("*")) == before


def test_catalogue_has_300_cases_with_unique_names():
    names = [case.name for case in CASES]
    assert len(names) >= 300 and len(set(names)) == len(names)
