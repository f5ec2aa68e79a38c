"""A policy of a user's own is charged for the hardware that its predictor states: in cycles, joules, mm² and memo."""

import numpy as np
import pytest
from harness import arch_with

import archsim
from archsim.config.arch import ArchSpec
from archsim.config.components import Action, ActionEntry, ComponentTables, StaticEntry
from archsim.config.predictor import BitPlanePredictor, Predictor
from archsim.config.technology import load_technology
from archsim.energy.parts import area_mm2, parts_of

ADD_PJ, COMPARE_PJ, LEAKAGE_MW, AREA_MM2 = 0.3, 0.05, 0.5, 0.25
SKETCH = ComponentTables(
    actions={
        "sketch": {
            "add": ActionEntry(pj=ADD_PJ, bucket="memo", source="test"),
            "compare": ActionEntry(pj=COMPARE_PJ, bucket="memo", source="test"),
        }
    },
    static={"sketch": StaticEntry(leakage_mw=LEAKAGE_MW, area_mm2=AREA_MM2, source="test")},
)


class Sketch(Predictor):
    """An adder of its own component, two instances per computation unit."""

    tables = SKETCH

    def __init__(self, cycles=1, entry_bytes=4, planes=0):
        self.cycles, self.entry_bytes, self.planes = cycles, entry_bytes, planes

    def issue_cycles(self, fmu, n_inputs):
        return self.cycles

    def actions(self, fmu, n_inputs):
        return [Action("sketch", "compare", 1)]

    def input_actions(self, fmu, n_inputs):
        return [Action("sketch", "add", n_inputs)]

    def memo_entry_bytes(self, n_inputs):
        return self.entry_bytes

    def parts(self, fmu):
        return {"sketch": 2}


class EverySecond:
    """Reuses everything on odd steps; its hardware is declared where one is given."""

    name, needs_threshold, uses_memo_unit = "every-second", False, True

    def __init__(self, predictor=None):
        if predictor is not None:
            self.predictor = predictor

    def begin(self, context):
        return self

    def decide(self, step):
        return np.full(step.shape, step.index % 2 == 1)


@pytest.fixture
def run(tiny_lstm, tiny_trace):
    def run(predictor=None, detail="block", **fields):
        return archsim.simulate(tiny_lstm, tiny_trace, arch_with(**fields), EverySecond(predictor), detail=detail)

    return run


def test_policy_without_a_predictor_is_charged_as_bnn(run):
    declared, silent = run(BitPlanePredictor()), run()
    differing = {key for key in silent.record if silent.record[key] != declared.record[key]}
    assert differing <= {"wall_s"}
    assert silent.energy.equals(declared.energy)


def test_issue_cycles_of_a_plug_in_lengthen_every_step(run, tiny_lstm):
    fast, slow = run(Sketch()), run(Sketch(cycles=500))
    layer = tiny_lstm.layers[0]
    last_issue = 500 * (layer.hidden_size - 1)
    steps = np.diff(slow.timing.step_end_cycles(0, 0, 0), prepend=0)
    assert (steps >= last_issue).all()
    assert slow.record["cycles"] > fast.record["cycles"] + slow.record["steps"] * last_issue / 2


@pytest.mark.parametrize("detail", ["block", "neuron"])
def test_actions_of_a_plug_in_cost_the_energy_it_brings_along(run, detail):
    result = run(Sketch(), detail=detail)
    table = result.energy.set_index(["component", "action"])
    passes = [(shape, sum(result.activity.steps(shape))) for shape in result.activity.shapes]
    compared = sum(steps * shape.neurons_per_step for shape, steps in passes)
    added = sum(steps * shape.n_gates * shape.n_inputs for shape, steps in passes)
    assert table.loc[("sketch", "compare"), "count"] == compared
    assert table.loc[("sketch", "add"), "count"] == added
    assert table.loc[("sketch", "compare"), "joules"] == pytest.approx(compared * COMPARE_PJ * 1e-12)
    assert table.loc[("sketch", "add"), "joules"] == pytest.approx(added * ADD_PJ * 1e-12)
    leaked = 2 * ArchSpec().computation_units * LEAKAGE_MW * 1e-3 * result.record["time_s"]
    assert table.loc[("sketch", "leakage"), "joules"] == pytest.approx(leaked)
    assert {"fmu", "sign_bank"}.isdisjoint(result.energy["component"])


def test_area_of_a_plug_in_is_that_of_its_own_parts(run):
    result, baseline = run(Sketch()), area_mm2(ArchSpec().without_memo(), load_technology("28nm-lstp"))
    memo = load_technology("28nm-lstp").static["memo_buffer"].area_mm2
    units = ArchSpec().computation_units
    assert result.record["area_mm2"] == pytest.approx(sum(baseline.values()) + units * (2 * AREA_MM2 + memo))
    assert result.record["area_mm2"] == sum(result.simulated.areas_mm2.values())


def test_planes_of_a_plug_in_are_kept_and_fetched(run):
    without, three = run(Sketch()), run(Sketch(planes=3))
    extra = sum(s.n_gates * -(-2 * s.n_units * s.n_inputs // 8) for s in three.activity.shapes)
    assert three.record["dram_bytes"] - without.record["dram_bytes"] == extra
    assert parts_of(three.simulated.arch)["sign_bank"] == 3 * ArchSpec().computation_units
    assert "weight_buffer" in parts_of(without.simulated.arch)


def test_wide_memo_entries_of_a_plug_in_widen_the_memo_buffer(run):
    narrow, wide = run(Sketch(entry_bytes=4)), run(Sketch(entry_bytes=32))
    assert narrow.simulated.arch.fmu.memo_entry_bytes == 8
    assert wide.simulated.arch.fmu.memo_buffer_bytes == 4 * ArchSpec().fmu.memo_buffer_bytes
    assert wide.simulated.areas_mm2["memo_buffer"] == pytest.approx(4 * narrow.simulated.areas_mm2["memo_buffer"])
    with pytest.raises(archsim.ArchsimError, match="needs fmu.memo_buffer_bytes"):
        run(Sketch(entry_bytes=32), fmu__memo_buffer_bytes=8)


class Unknown(Sketch):
    tables = ComponentTables(static=SKETCH.static)


class Homeless(Sketch):
    tables = ComponentTables(actions=SKETCH.actions)


class Endless(Sketch):
    def issue_cycles(self, fmu, n_inputs):
        return 0


class Halved(Sketch):
    def actions(self, fmu, n_inputs):
        return [Action("sketch", "compare", 0.5)]


@pytest.mark.parametrize("predictor, message", [
    (Unknown(), "no energy entry for sketch"),
    (Homeless(), "no leakage and area entry for sketch"),
    (Endless(), "Endless: issue_cycles = 0: need a whole number >= 1"),
    (Halved(), r"Halved: actions of sketch.compare = 0.5: need a whole number >= 0"),
    ("bnn", "policy 'every-second': predictor is a str"),
])  # fmt: skip
def test_cost_that_is_not_stated_in_full_is_an_error(run, predictor, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        run(predictor)


def test_entries_of_a_technology_take_precedence_over_those_of_a_plug_in():
    technology = load_technology("28nm-lstp")
    mine = ComponentTables(actions={"dpu": {"mac": ActionEntry(pj=9, bucket="memo", source="test")}} | SKETCH.actions)
    both = technology.extended(mine)
    assert both.action("dpu", "mac") == technology.action("dpu", "mac")
    assert both.action("sketch", "add").pj == ADD_PJ


def test_energy_range_of_a_plug_in_covers_every_technology(run):
    """Its components are in none of them."""
    result = run(Sketch())
    assert result.sensitivity.lowest.saving < result.record["energy_saving"] < result.sensitivity.highest.saving


def test_replacing_a_field_keeps_the_predictor(run):
    arch = arch_with().with_predictor(Sketch(cycles=7), 10).replace("dpu.lanes", 8)
    assert arch.fmu.predictor.issue_cycles(arch.fmu, 10) == 7
    plain = arch_with(fmu__planes=3).replace("fmu.planes", 1)
    assert plain == ArchSpec() and plain.predictor_planes == 1
