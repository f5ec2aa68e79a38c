"""Sessions of attached parts: simulation of what was recorded, sums and shares, inputs in files."""

import gc
import json

import numpy as np
import pytest

import archsim

torch = pytest.importorskip("torch")
from harness_torch import Model  # noqa: E402
from torch import nn  # noqa: E402

from archsim import attach  # noqa: E402


@pytest.fixture
def model():
    torch.manual_seed(5)
    return Model().eval()


@pytest.fixture
def x():
    torch.manual_seed(6)
    return torch.cumsum(torch.randn(4, 9, 3), dim=1) * 0.3


@pytest.mark.parametrize("policy, precision", [("bnn", "fp16"), ("delta", "fp32"), ("none", "fp16")])
def test_simulation_of_a_session_is_that_of_its_network_and_trace(policy, precision, x, computed_policies):
    module = nn.LSTM(3, 5, 2, batch_first=True)
    with attach(module, policy, 0.3, precision) as session:
        module(x)
        module(x[:2], None)
    result = session.simulate("epur")
    assert computed_policies == [], "nothing is inferred again"
    direct = archsim.simulate(session.network, session.trace, policy=policy, threshold=0.3, precision=precision)
    assert result.record | {"wall_s": 0} == direct.record | {"wall_s": 0}
    assert result.energy.equals(direct.energy)
    live = session.record
    for key in (
        "sequences",
        "steps",
        "neurons_total",
        "neurons_reused",
        "reuse_fraction",
        "macs_total",
        "output_change",
    ):
        assert live[key] == direct.record[key], key
    assert live["macs_avoided_fraction"] == pytest.approx(direct.record["macs_avoided_fraction"], abs=1e-12)


def test_outputs_with_reuse_are_those_of_a_simulation(x):
    module = nn.GRU(3, 5, bidirectional=True, batch_first=True)
    with attach(module, "bnn", 0.5) as session, torch.no_grad():
        outputs = module(x)[0]
    result = archsim.simulate(session.network, session.trace, threshold=0.5)
    np.testing.assert_array_equal(outputs.numpy(), np.stack(result.outputs))


# Sessions


def test_shares_of_the_parts_sum_to_the_whole(model, x):
    with attach(model, "bnn", {"encoder.rnn": 0.5, "second": 0.2, "cell": 0.0}) as session:
        model(x)
    result = session.simulate()
    parts = list(result.parts.values())
    assert list(result.record) == list(parts[0].record)
    for key in ("cycles", "baseline_cycles", "neurons_reused", "macs_total", "dram_bytes", "steps", "events"):
        assert result.record[key] == sum(part.record[key] for part in parts), key
    for key in ("energy_j", "time_s", "energy_dram_j", "baseline_energy_j"):
        assert result.record[key] == pytest.approx(sum(part.record[key] for part in parts)), key
    for key in ("cycles_share", "energy_j_share", "macs_total_share"):
        assert result.shares[key].sum() == pytest.approx(1), key
    assert result.energy["joules"].sum() == pytest.approx(result.record["energy_j"])
    assert result.record["speedup"] == result.record["baseline_cycles"] / result.record["cycles"]
    assert result.record["threshold"] is None, "parts have θ of their own"
    assert [r["reuse_fraction"] for r in session.record["parts"]] == [p.record["reuse_fraction"] for p in parts]
    for key in ("neurons_reused", "reuse_fraction", "output_change"):
        assert result.record[key] == session.record[key], key


def test_a_sum_is_written_as_json_with_its_parts(model, x, tmp_path):
    with attach(model, "bnn", 0.5) as session:
        model(x)
    result = session.simulate()
    result.to_json(tmp_path / "r.json")
    records = json.loads((tmp_path / "r.json").read_text())
    assert [r["network"] for r in records] == ["encoder.rnn + second + cell", "encoder.rnn", "second", "cell"]
    assert list(result.summary().index) == list(records[0])
    assert "encoder.rnn, second, cell" in repr(result)


def test_networks_and_traces_of_several_parts_go_by_name(model, x):
    with attach(model, "none") as session:
        model(x)
    assert list(session.network) == list(session.trace) == ["encoder.rnn", "second", "cell"]
    assert session.trace["cell"].sequences[0].shape == (9, 6)


def test_a_part_that_was_never_called_is_in_no_sum(model, x):
    with attach(model, "none") as session:
        model.second(torch.ones(3, 2, 4))
    assert list(session.simulate().parts) == ["second"]
    assert [r["output_change"] for r in session.record["parts"]] == [None, 0.0, None]


def test_a_session_without_calls_says_so(model):
    with attach(model, "none") as session:
        pass
    for ask in (session.simulate, lambda: session.trace):
        with pytest.raises(archsim.ArchsimError, match=r"nothing has gone through encoder.rnn, second, cell yet"):
            ask()
    assert session.record["reuse_fraction"] is None


def test_an_output_change_that_was_not_measured_is_none(model, x):
    with attach(model, "bnn", 0.5, compare=False) as session:
        model(x)
    assert session.record["reuse_fraction"] > 0
    assert [session.record["output_change"], *(r["output_change"] for r in session.record["parts"])] == [None] * 4
    assert session.simulate().record["output_change"] is None
    with attach(model, "none", compare=False) as session:
        model(x)
    assert session.record["output_change"] == 0.0, "nothing is reused"


def test_initial_states_are_recorded(x):
    module = nn.GRU(3, 5, 2, batch_first=True)
    h = torch.rand(2, 4, 5)
    with attach(module, "none") as session, torch.no_grad():
        module(x)
        module(x, h)
        module(x, torch.zeros(2, 4, 5))
    starts = session.trace.starts
    assert [(start.layer, start.direction) for start in starts] == [(0, 0), (1, 0)]
    np.testing.assert_array_equal(starts[1].h, np.concatenate([np.zeros((4, 5)), h[1].numpy(), np.zeros((4, 5))]))


def test_scales_are_measured_on_a_session_and_given_to_the_next(x):
    module = nn.GRU(3, 5, batch_first=True)
    with attach(module, "none") as first:
        module(x)
    scales = archsim.measure_scales(first.network, first.trace)
    with attach(module, "ternary", 0.3, scales={"GRU": scales}) as session:
        module(x)
    assert session.record["neurons_reused"] > 0


# Inputs on disk


def test_inputs_beyond_the_limit_go_to_files_that_are_removed(model, x):
    with attach(model, "bnn", 0.5) as in_memory:
        for _ in range(3):
            model(x)
    with attach(model, "bnn", 0.5, memory_bytes=1000) as session:
        for _ in range(3):
            model(x)
    folder = session.parts["cell"].frames.folder
    assert len(list(folder.glob("*.frames"))) > 1
    assert in_memory.parts["cell"].frames.folder is None
    traces = session.trace
    assert {name: trace.digest for name, trace in traces.items()} == {
        name: trace.digest for name, trace in in_memory.trace.items()
    }
    assert session.simulate().record["digest"] == in_memory.simulate().record["digest"]
    del session
    gc.collect()
    assert not folder.exists()
    assert np.isfinite(traces["cell"].sequences[0]).all(), "what was read before stays valid"


def test_a_trace_of_files_takes_no_memory_of_its_own(x):
    module = nn.GRU(3, 5, batch_first=True)
    with attach(module, "none", memory_bytes=10) as session:
        module(x)
    first, second = session.trace.sequences[0], session.trace.sequences[0]
    assert first.ctypes.data == second.ctypes.data
    assert not first.flags.writeable


def test_a_folder_that_cannot_be_made_is_named(model, x, monkeypatch):
    def full(**options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    before = [dict(vars(module)) for module in model.modules()]
    message = "recorded inputs cannot be written there: No space left on device"
    with pytest.raises(archsim.ArchsimError, match=message), attach(model, "none", memory_bytes=10):
        model(x)
    assert [dict(vars(module)) for module in model.modules()] == before


def test_closing_a_session_removes_its_files(x):
    module = nn.GRU(3, 5, batch_first=True)
    with attach(module, "none", memory_bytes=10) as session:
        module(x)
    folder = session.parts["GRU"].frames.folder
    session.close()
    assert not folder.exists()
