"""Pinned figures of a real network: any change of decisions, cycles or joules shows here.

`python tests/golden/test_golden.py "why it changed"` pins them anew; the diff of golden.json is reviewed like code.
"""

import json
import sys
from pathlib import Path

import pytest

import archsim

GOLDEN = Path(__file__).parent / "golden.json"
EXACT = ("steps", "neurons_reused", "cycles", "baseline_cycles", "dram_bytes", "metric_value", "digest")
CLOSE = ("energy_j", "baseline_energy_j", "area_mm2")


def figures(policy):
    """The pinned part of a record: ten bundled reviews at the calibrated threshold."""
    trace = archsim.load_trace("imdb-lstm").limit(10)
    record = archsim.simulate("imdb-lstm", trace, policy=policy, keep_outputs=False).record
    return {key: record[key] for key in EXACT + CLOSE}


@pytest.mark.parametrize("policy", ["bnn", "oracle", "none"])
def test_figures_have_not_moved(policy):
    golden, found = json.loads(GOLDEN.read_text())[policy], figures(policy)
    assert {k: found[k] for k in EXACT} == {k: golden[k] for k in EXACT}
    for key in CLOSE:
        assert found[key] == pytest.approx(golden[key], rel=1e-12)


def pin(why):
    """Write golden.json with its birth certificate."""
    import numba
    import numpy

    versions = {"archsim": archsim.__version__, "numba": numba.__version__, "numpy": numpy.__version__}
    golden = {"_meta": {"why": why, **versions}, **{policy: figures(policy) for policy in ("bnn", "oracle", "none")}}
    GOLDEN.write_text(json.dumps(golden, indent=2) + "\n")


if __name__ == "__main__":
    pin(sys.argv[1])
