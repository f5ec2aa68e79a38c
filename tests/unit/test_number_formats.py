"""Machines of int8 and int4: bytes, lanes, energies and areas follow the number format."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from harness import arch_with, decided, make_network, make_tokens, make_trace, make_translator, replayed

import archsim
from archsim.activity import PassShape, pass_shapes
from archsim.config.arch import ArchSpec
from archsim.config.load import load_arch
from archsim.config.precision import FP16, INT4, INT8, PRECISIONS
from archsim.config.technology import load_technology
from archsim.config.uncertainty import uncertain_constants
from archsim.energy.parts import area_mm2
from archsim.errors import ConfigError, DoesNotFitError
from archsim.experiment.run_config import resolve
from archsim.report.study import with_gains_over_fp16
from archsim.sim.items import PassSegment, weight_groups
from archsim.sim.machines import DELTA, EPUR, check_fit
from archsim.sim.machines.delta.costs import column_times
from archsim.sim.machines.epur.costs import step_times
from archsim.sim.memory.weight_buffers import group_bytes

FORMATS = ("fp16", "int8", "int4")
TECHNOLOGIES = ("28nm-lstp", "28nm-mixed", "28nm-hp")


def at(precision, arch=None):
    return (arch or ArchSpec()).at_precision(precision)


def replay(network, trace, precision, policy="bnn", theta=0.5, arch=None, detail="block"):
    """Return the result of a machine of this format on the decisions of fp16, which no machine changes."""
    inference = decided(network, trace, arch or ArchSpec(), policy, theta)
    return replayed(network, trace, at(precision, arch), policy, theta, detail=detail, inference=inference)


@pytest.fixture(scope="module")
def network():
    return make_network("lstm", inputs=96, units=32, layers=2)


@pytest.fixture(scope="module")
def results(network):
    """Results of bnn on each format, by its name."""
    return {name: replay(network, make_trace(network, (6, 3)), name) for name in FORMATS}


@pytest.mark.parametrize("name", ["int8", "int4"])
def test_preset_equals_epur_rebuilt_for_the_precision(name):
    preset, rebuilt = load_arch(f"epur-{name}"), at(name, load_arch("epur"))
    assert preset == rebuilt.model_copy(update={"name": preset.name, "description": preset.description})


def test_run_in_fp32_is_simulated_on_the_machine_of_fp16():
    assert at("fp32") == at("fp16") == ArchSpec() and PRECISIONS["fp32"] is FP16


def test_machine_of_another_precision_is_refused_with_both_names(network):
    with pytest.raises(ConfigError, match="precision = 'fp16': epur-int8 computes in int8: need precision int8"):
        archsim.simulate(network, make_trace(network, (2,)), "epur-int8", threshold=0.5, precision="fp16")
    with pytest.raises(ConfigError, match="precision = 'int7': accepted: fp16, fp32, int8, int4"):
        at("int7")


def test_precision_left_out_is_that_of_the_machine(network):
    trace = make_trace(network, (2,))
    assert resolve(network, trace, "epur-int4", "none", None, None, "block", 0).precision == "int4"
    assert resolve(network, trace, "epur", "none", None, None, "block", 0).precision == "fp16"


def test_fields_set_by_a_user_stay_and_lanes_fill_the_ports():
    arch = at("int4", arch_with(dpu__lanes=4, delta__width=8, weight_buffer__banks=2))
    assert (arch.dpu.lanes, arch.delta.width, arch.weight_buffer.banks) == (8, 16, 2)
    assert arch.weight_buffer.port_bytes == arch.input_buffer.port_bytes == 32
    for numbers in (FP16, INT8, INT4):
        lanes = at(numbers.name).dpu.lanes
        assert numbers.input_bytes(lanes) == 32 and numbers.weight_bytes(lanes) <= 32  # a word of each port a cycle


@pytest.mark.parametrize("precision, dot, column", [("fp16", 63, 20), ("int8", 32, 10), ("int4", 32, 10)])
def test_cycles_of_a_row_and_a_column_follow_the_lanes(precision, dot, column):
    segment = PassSegment(PassShape(0, 0, 4, 320, 1000), numbers=PRECISIONS[precision])
    arch = at(precision)
    assert step_times(arch, segment).dot_cycles == dot
    assert column_times(DELTA.spec(arch), segment).column_cycles == column
    assert step_times(arch, segment).issue_cycles == 1  # the predictor reads as many signs as before


def test_step_without_reuse_takes_the_closed_form_in_every_precision(network):
    """S_{t+1} - S_t = H·c_d + L_d + L_m + L_w, with c_d = ceil(N / W)."""
    trace = make_trace(network, (3,))
    for precision, lanes in (("fp16", 16), ("int8", 32), ("int4", 32)):
        for detail in ("block", "neuron"):
            result = replay(network, trace, precision, "none", None, detail=detail)
            ends = result.timing.step_end_cycles(0, 0, 0)
            assert list(np.diff(ends)) == [32 * -(-128 // lanes) + 8 + 20 + 1] * 2


def test_weights_take_half_and_a_quarter_of_the_bytes():
    shapes = [PassShape(0, 0, 4, 10, 101)]
    sizes = {}
    for precision in FORMATS:
        arch = DELTA.spec(at(precision))
        (group,) = weight_groups(shapes, arch)
        sizes[precision] = group_bytes(DELTA, arch, group)
    assert sizes == {"fp16": 101 * 20, "int8": 101 * 10, "int4": 101 * 5}


def test_rows_and_columns_of_int4_end_with_a_byte():
    (group,) = weight_groups([PassShape(0, 0, 4, 9, 101)], at("int4"))
    assert group_bytes(EPUR, at("int4").without_memo(), group) == 9 * 51
    assert group_bytes(DELTA, DELTA.spec(at("int4")), group) == 101 * 5


def test_main_memory_moves_weights_and_sequences_in_their_bits(network, results):
    weights = 4 * 32 * (128 + 64)
    for precision, numbers in (("fp16", FP16), ("int8", INT8), ("int4", INT4)):
        ends = 9 * numbers.input_bytes(96 + 32)
        assert results[precision].record["dram_bytes"] == numbers.weight_bytes(weights) + ends


def test_rows_that_stream_in_fp16_stay_on_chip_in_int8(network):
    trace = make_trace(network, (5,))
    arch = arch_with(weight_buffer__capacity_bytes=32 * 128)  # a gate of the first layer in 8 bits
    moved = {p: replay(network, trace, p, "none", None, arch=arch).record["dram_bytes"] for p in FORMATS}
    once = 4 * 32 * (128 + 64) + 5 * (96 + 32)
    assert moved["int8"] == once
    assert moved["fp16"] > 2 * 2 * once
    assert moved["int4"] < once


def test_memo_and_predictor_are_those_of_fp16(results):
    """A memo entry keeps y as binary16, and a predictor reads one sign per weight."""
    for component, action in (("memo_buffer", "read"), ("memo_buffer", "write"), ("sign_bank", "predict"),
                              ("fmu", "xnor_popcount"), ("fmu", "compare")):  # fmt: skip
        assert len({results[p].simulated.count(component, action) for p in FORMATS}) == 1
    assert INT8.memo_bits == INT4.memo_bits == 16


def test_words_read_hold_as_many_numbers_as_fit(results):
    count = {p: results[p].simulated.count for p in FORMATS}
    rows = {p: count[p]("dpu", "mac") for p in FORMATS}
    assert rows["fp16"] == rows["int8"] == rows["int4"] > 0
    reads = {p: count[p]("weight_buffer", "read") for p in FORMATS}
    assert reads["fp16"] == 2 * reads["int8"] == 4 * reads["int4"]  # rows of 128 and 64 are whole words in all
    assert count["fp16"]("input_buffer", "read") == 2 * count["int8"]("input_buffer", "read")
    assert count["int8"]("input_buffer", "read") == count["int4"]("input_buffer", "read")


def test_scaling_and_requantising_are_charged_to_integers_only(network, results):
    """Two products and a sum per evaluated neuron; a product and two comparisons per stored element of h."""
    evaluated = results["fp16"].activity.neurons_total - results["fp16"].activity.neurons_reused()
    updates = 9 * 2 * 32
    for precision in ("int8", "int4"):
        multiplies = results[precision].simulated.count("mu", "multiply")
        assert multiplies - results["fp16"].simulated.count("mu", "multiply") == 2 * evaluated + updates
        adds = results[precision].simulated.count("mu", "add")
        assert adds - results["fp16"].simulated.count("mu", "add") == evaluated + 2 * updates


def test_baseline_is_the_machine_of_the_same_precision(network, results):
    trace = make_trace(network, (6, 3))
    for precision in FORMATS:
        plain = replay(network, trace, precision, "none", None).record
        assert results[precision].record["baseline_cycles"] == plain["cycles"]
        assert results[precision].record["baseline_energy_j"] == plain["energy_j"]


def test_fewer_bits_take_less_time_and_energy_with_and_without_reuse(results):
    for key in ("energy_j", "baseline_energy_j", "energy_scratchpad_j", "energy_operations_j", "energy_dram_j"):
        figures = [results[p].record[key] for p in FORMATS]
        assert figures[0] > figures[1] > figures[2], key
    for key in ("cycles", "baseline_cycles"):
        figures = [results[p].record[key] for p in FORMATS]
        assert figures[0] > figures[1] >= figures[2], key


@pytest.mark.parametrize("policy, theta", [("bnn", 0.5), ("lowbit:correct=on", 0.5), ("delta", 0.1), ("none", None)])
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_energy_breakdown_sums_to_the_total(network, precision, policy, theta):
    result = replay(network, make_trace(network, (4,)), precision, policy, theta)
    parts = [result.record[f"energy_{part}_j"] or 0 for part in ("scratchpad", "operations", "dram", "memo", "static")]
    assert sum(parts) == pytest.approx(result.record["energy_j"], rel=1e-12)
    assert (result.energy["count"] * result.energy["pj_each"] * 1e-12).sum() == pytest.approx(sum(parts), rel=1e-12)


def test_both_details_agree_on_a_head_and_a_decoder():
    network = make_translator(width=7, units=6)
    trace = make_tokens(network, [3, 5])
    for precision in ("int8", "int4"):
        block, neuron = (replay(network, trace, precision, "none", None, detail=d) for d in ("block", "neuron"))
        ours, theirs = block.record, neuron.record
        assert all(ours[k] == theirs[k] for k in ("cycles", "energy_j", "head_time_s", "head_energy_j"))


def test_values_of_8_bits_pass_a_multiplier_of_4_twice():
    """Scores and contexts are products of encoder outputs with a vector, which have no weights of 4 bits."""
    network = make_translator(width=7, units=6)
    trace = make_tokens(network, [3])
    macs = {p: replay(network, trace, p, "none", None).record["head_macs"] for p in FORMATS}
    steps = replay(network, trace, "int8", "none", None).record["steps"] - 3
    assert macs["int8"] == macs["fp16"]
    assert macs["int4"] - macs["int8"] == steps * 2 * 3 * 6


def test_delta_machine_keeps_a_sum_per_scale():
    """The sums over x and over h have scales of their own, so a gate of integers keeps both."""
    network = make_network("lstm", inputs=4, units=8)
    for precision, sums in (("fp16", 1), ("int8", 2), ("int4", 2)):
        arch = DELTA.spec(at(precision, arch_with(delta__accumulator_buffer_bytes=8 * sums * 4)))
        check_fit(network, pass_shapes(network), arch)
        with pytest.raises(DoesNotFitError, match=r"delta\.accumulator_buffer_bytes"):
            check_fit(network, pass_shapes(network), arch.replace("delta.accumulator_buffer_bytes", 8 * sums * 4 - 1))


def test_accesses_of_propagated_values_cost_by_their_bits(network):
    """A word of 32 elements of 8 bits is as wide as one of 16 elements of 16."""
    trace = make_trace(network, (4,))
    cost = {}
    for precision in FORMATS:
        table = replay(network, trace, precision, "delta", 0.1).energy.set_index(["component", "action"])["pj_each"]
        cost[precision] = {action: table["propagated_buffer", action] for action in ("read", "write")}
    assert cost["fp16"] == cost["int8"] == cost["int4"]


@pytest.mark.parametrize("name", TECHNOLOGIES)
def test_arithmetic_of_integers_is_horowitz_scaled_to_28_nm(name):
    energy, area = 28 / 45 * (0.78 / 0.9) ** 2, (28 / 45) ** 2 * 1e-6
    for precision, multiply, square_um in (("int8", 0.2, 282), ("int4", 0.1, 141)):
        table = load_technology(name).at_precision(precision)
        assert table.actions["dpu"]["mac"].pj == pytest.approx((multiply + 0.1) * energy, abs=0.001)
        assert table.static["dpu"].area_mm2 == pytest.approx(32 * (square_um + 137) * area, rel=0.005)
        assert table.actions["delta_unit"]["compare"].pj == pytest.approx(2 * 0.03 * energy, abs=0.0005)
        assert table.static["delta_unit"].area_mm2 == pytest.approx(32 * 2 * 36 * area, rel=0.005)
        for component in ("dpu", "delta_unit"):
            entry, pj = table.static[component], {"dpu": "mac", "delta_unit": "compare"}[component]
            share = entry.leakage_mw / (32 * table.actions[component][pj].pj * 0.5)
            assert share == pytest.approx(0.01 if name == "28nm-lstp" else 0.1, rel=0.02)


@pytest.mark.parametrize("name", TECHNOLOGIES)
def test_splitting_signs_off_saves_no_leakage_in_any_precision(name):
    for precision, banks in (("fp16", 1), ("int8", 2), ("int4", 4)):
        table = load_technology(name).at_precision(precision)
        static, signs = table.static, load_technology(name).static["sign_bank"]
        assert (
            static["magnitude_buffer"].leakage_mw + static["sign_bank"].leakage_mw >= static["weight_buffer"].leakage_mw
        )
        assert static["sign_bank"].area_mm2 == pytest.approx(banks * signs.area_mm2, rel=1e-5)


def test_area_of_integer_machines_is_smaller_by_their_multipliers():
    table = load_technology("28nm-lstp")
    areas = {p: area_mm2(at(p).without_memo(), table) for p in FORMATS}
    assert areas["fp16"]["dpu"] > areas["int8"]["dpu"] > areas["int4"]["dpu"]
    for component in ("weight_buffer", "input_buffer", "intermediate_memory", "mu"):
        assert areas["fp16"][component] == areas["int8"][component] == areas["int4"][component]


def test_precision_without_entries_in_a_technology_is_refused():
    table = load_technology("28nm-lstp").model_copy(update={"precisions": {}})
    with pytest.raises(ConfigError, match="technology 28nm-lstp: no entries for precision int8"):
        table.at_precision("int8")


def test_savings_span_the_range_of_the_precision(results):
    for precision in FORMATS:
        spread, mac = results[precision].sensitivity, uncertain_constants().mac_pj[precision]
        assert spread.nominal.saving == pytest.approx(results[precision].record["energy_saving"], rel=1e-12)
        assert {corner.mac_pj for corner in spread.corners} == {mac.low, mac.high}
        assert mac.low <= spread.nominal.mac_pj <= mac.high


def test_digests_of_precisions_differ_and_that_of_fp16_knows_no_others(network):
    trace = make_trace(network, (2,))
    configs = [resolve(network, trace, "epur", "bnn", 0.5, p, "block", 0) for p in PRECISIONS]
    assert len({c.digest for c in configs}) == len({c.baseline_digest for c in configs}) == len(PRECISIONS)
    fewer = configs[0].technology.model_copy(update={"precisions": {}})
    assert replace(configs[0], technology=fewer).digest == configs[0].digest


def test_report_puts_all_precisions_over_fp16_without_reuse(results):
    records = [results[p].record for p in FORMATS]
    points = with_gains_over_fp16(pd.DataFrame(records))
    plain = records[0]
    for (_, point), record in zip(points.iterrows(), records, strict=True):
        assert point["speedup_over_fp16"] == plain["baseline_cycles"] / record["cycles"]
        assert point["energy_saving_over_fp16"] == pytest.approx(1 - record["energy_j"] / plain["baseline_energy_j"])
    assert points["speedup_over_fp16"][0] == plain["speedup"]
    other = pd.DataFrame([plain, records[1] | {"trace": "another"}])
    assert with_gains_over_fp16(other)["speedup_over_fp16"].isna().tolist() == [False, True]
    alone = pd.DataFrame(records[:1])
    assert with_gains_over_fp16(alone) is alone
