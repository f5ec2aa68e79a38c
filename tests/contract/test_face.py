"""The names of docs/CONTRACT.md: Python face and record."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from harness import make_network, make_trace

import archsim

RECORD_KEYS = """
network trace arch policy threshold precision detail sequences steps neurons_total neurons_reused
reuse_fraction macs_total macs_avoided_fraction cycles time_s baseline_cycles speedup energy_j
baseline_energy_j energy_saving energy_scratchpad_j energy_operations_j energy_dram_j energy_memo_j
energy_static_j dram_bytes area_mm2 head_macs head_time_s head_energy_j baseline_head_time_s
baseline_head_energy_j speedup_with_head energy_saving_with_head output_change metric
metric_baseline metric_baseline_low metric_baseline_high metric_value metric_value_low metric_value_high
metric_loss metric_loss_low metric_loss_high events wall_s archsim_version digest
""".split()


@pytest.fixture(scope="module")
def result():
    network = make_network("lstm", inputs=5, units=4, bidirectional=True)
    return archsim.simulate(network, make_trace(network, (6, 3)), threshold=0.5)


def test_every_public_name_exists():
    for name in archsim.__all__:
        assert getattr(archsim, name) is not None
    assert dir(archsim) == archsim.__all__
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        _ = archsim.simulat


def test_summary_has_the_keys_of_the_contract(result):
    summary = result.summary()
    assert isinstance(summary, pd.Series) and list(summary.index) == RECORD_KEYS


def test_figures_that_do_not_apply_are_none(result):
    assert result.record["metric"] is None and result.record["metric_loss"] is None
    network = make_network("gru", inputs=3, units=2)
    none = archsim.simulate(network, make_trace(network, (4,)), policy="none").record
    assert none["threshold"] is None and none["energy_memo_j"] is None
    assert none["speedup"] == 1.0 and none["energy_saving"] == 0.0 and none["output_change"] == 0.0


def test_outputs_decisions_and_step_ends_have_contract_shapes(result):
    assert [o.shape for o in result.outputs] == [(6, 8), (3, 8)]
    assert result.activity.reused(0, 0, 1).shape == (6, 4, 4)
    assert result.activity.reused(0, 0, 1).dtype == np.bool_
    assert result.timing.step_end_cycles(1, 0, 0).shape == (3,)
    assert result.timing.step_end_cycles(1, 0, 0).dtype == np.int64
    assert {"component", "action", "count", "pj_each", "joules"} <= set(result.energy.columns)


@pytest.mark.parametrize("pass_key", [(2, 0, 0), (0, 1, 0), (0, 0, 2), (-1, 0, 0)])
def test_nonexistent_pass_raises_index_error(result, pass_key):
    for look_up in (result.activity.reused, result.timing.step_end_cycles):
        with pytest.raises(IndexError) as caught:
            look_up(*pass_key)
        assert isinstance(caught.value, archsim.ArchsimError)


def test_changing_a_returned_array_leaves_the_result_unchanged(result):
    result.timing.step_end_cycles(0, 0, 0)[:] = 0
    assert result.timing.step_end_cycles(0, 0, 0).all()
    assert result.activity == result.activity and result.activity != result.timing


def test_reverse_pass_decisions_are_in_processing_order():
    """Step 0 of a reverse pass is the last input, so nothing is reused there."""
    network = make_network("lstm", inputs=2, units=3, bidirectional=True)
    trace = archsim.Trace.from_arrays([np.ones((5, 2), np.float32)])
    reused = archsim.simulate(network, trace, threshold=100.0).activity.reused(0, 0, 1)
    assert not reused[0].any() and reused[1:].any()


def test_json_record_and_timeline_match_the_contract(result, tmp_path):
    result.to_json(tmp_path / "r.json")
    (record,) = json.loads((tmp_path / "r.json").read_text())
    assert list(record) == RECORD_KEYS
    result.timeline(tmp_path / "t.json")
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    spans = [e for e in events if e["ph"] == "X"]
    tracks = {e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert tracks >= {"sequencer", "CU0.FMU", "CU3.DPU", "MU", "fill", "sequences"}
    assert all(e["dur"] >= 0 and e["ts"] >= 0 for e in spans)
    end_us = max(e["ts"] + e["dur"] for e in spans)
    assert end_us <= record["time_s"] * 1e6


@pytest.mark.parametrize("argument, value, message", [
    ("precision", "fp8", "precision = 'fp8': accepted: fp16, fp32"),
    ("detail", "blocks", "detail = 'blocks': accepted: block, neuron"),
    ("seed", -1, "seed = -1: need a whole number"),
    ("threshold", None, "has no calibrated threshold"),
    ("arch", "epurr", "unknown architecture"),
])  # fmt: skip
def test_invalid_arguments_are_refused(argument, value, message):
    network = make_network("gru", inputs=3, units=2)
    arguments = {"threshold": 0.1, argument: value}
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.simulate(network, make_trace(network, (4,)), **arguments)


def test_import_loads_no_heavy_library():
    """Importing the package brings in none of the heavy libraries."""
    code = "import archsim, sys; print([m for m in ('numba', 'simpy', 'pandas', 'torch', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_runs_in_two_processes_give_the_same_bytes(tmp_path):
    """Equal inputs and seed give equal digest, outputs and times in separate processes."""
    code = (
        "import archsim, sys, hashlib; sys.path.insert(0, sys.argv[1]); from harness import *;"
        "n = make_network('lstm', inputs=40, units=33, layers=2); r = archsim.simulate(n, make_trace(n, (9, 30)), threshold=0.4);"
        "r.record.pop('wall_s'); print(r.record, hashlib.sha256(b''.join(o.tobytes() for o in r.outputs)).hexdigest())"
    )
    from pathlib import Path

    tests = str(Path(__file__).parents[1])
    runs = [
        subprocess.run([sys.executable, "-c", code, tests], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] and "reuse_fraction" in runs[0]


def test_baseline_serves_several_policies_of_its_network_only():
    """A given baseline changes no figure; one of another network is refused."""
    network = make_network("gru", inputs=3, units=4)
    trace = make_trace(network, (5, 7))
    first = archsim.simulate(network, trace, threshold=0.2)
    alone, after = (archsim.simulate(network, trace, policy="oracle", threshold=0.4, baseline=b).record
                    for b in (None, first.baseline))  # fmt: skip
    assert {k: v for k, v in alone.items() if k != "wall_s"} == {k: v for k, v in after.items() if k != "wall_s"}
    with pytest.raises(archsim.ArchsimError, match="baseline is that of another network"):
        archsim.simulate(make_network("gru", inputs=3, units=5), trace, threshold=0.2, baseline=first.baseline)
