"""Pinned figures of the bundled networks; a change of decisions, cycles or joules fails here.

`python tests/golden/test_golden.py "why it changed"` pins them anew; the diff of golden.json is reviewed like code.
"""

import json
import sys
from pathlib import Path

import pytest

import archsim

GOLDEN = Path(__file__).parent / "golden.json"
EXACT = ("steps", "neurons_reused", "cycles", "baseline_cycles", "dram_bytes", "metric_value", "head_macs", "digest")
CLOSE = ("energy_j", "baseline_energy_j", "area_mm2", "head_time_s", "head_energy_j")
SEQUENCES = {"imdb-lstm": 10, "eesen-bilstm": 2, "ds2-gru": 4, "mnmt-lstm": 10}
CASES = [*((network, "bnn") for network in SEQUENCES), ("imdb-lstm", "oracle"), ("imdb-lstm", "none")]


def figures(network, policy):
    """Return the pinned part of a record: a few bundled sequences at the calibrated threshold."""
    trace = archsim.load_trace(network).limit(SEQUENCES[network])
    record = archsim.simulate(network, trace, policy=policy, keep_outputs=False).record
    return {key: record[key] for key in EXACT + CLOSE}


@pytest.mark.parametrize("network, policy", CASES)
def test_figures_equal_the_pinned_ones(network, policy):
    golden, result = json.loads(GOLDEN.read_text())[f"{network} {policy}"], figures(network, policy)
    assert {k: result[k] for k in EXACT} == {k: golden[k] for k in EXACT}
    for key in CLOSE:
        assert result[key] == pytest.approx(golden[key], rel=1e-12)


def pin(why):
    """Write golden.json anew, with the reason and the versions."""
    import numba
    import numpy

    versions = {"archsim": archsim.__version__, "numba": numba.__version__, "numpy": numpy.__version__}
    golden = {"_meta": {"why": why, **versions}, **{" ".join(case): figures(*case) for case in CASES}}
    GOLDEN.write_text(json.dumps(golden, indent=2) + "\n")


if __name__ == "__main__":
    pin(sys.argv[1])
