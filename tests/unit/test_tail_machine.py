"""The low-bit tail of the delta machine: cycles, counts, energy and area by hand, and refusals."""

import numpy as np
import pytest
from click.testing import CliRunner
from harness import arch_with, make_network, make_trace
from harness_policies import Columns, Tailed

import archsim
from archsim.activity import pass_shapes
from archsim.advising.bottlenecks import time_shares
from archsim.cli.main import archsim as command_line
from archsim.config.arch import ArchSpec
from archsim.config.load import load_arch
from archsim.config.technology import load_technology
from archsim.energy.parts import area_mm2, complete, parts_of
from archsim.errors import DoesNotFitError
from archsim.sim import waits
from archsim.sim.machines import DELTA, check_fit
from archsim.sim.machines.delta.tail import TAIL_PARTS, code_bits

TECHNOLOGIES = ["28nm-lstp", "28nm-hp", "28nm-mixed"]


def run(bits=2, **options):
    """Return a GRU of 20 units over 12 inputs: two steps, at the second of which elements 0, 8, 16 and 24 enter."""
    network = make_network("gru", inputs=12, units=20)
    return archsim.simulate(network, make_trace(network, [2]), policy=Tailed(bits, every=8), threshold=1.0, **options)


def ends(result):
    return result.timing.step_end_cycles(0, 0, 0).tolist()


@pytest.mark.parametrize("detail", ["block", "neuron"])
def test_tail_beside_four_columns_takes_no_time(detail):
    """Step 0: 32 columns of two cycles from 3 on, ready at 75. Step 1: four columns from 3 to 11, ready at 19.

    The codes are known at 4, and a neuron's tail at 13, 14, .... Twenty updates follow, then 20 + 1 cycles.
    """
    assert ends(run(detail=detail)) == ends(run(0, detail=detail)) == [75 + 19 + 21, 115 + 19 + 19 + 21]


@pytest.mark.parametrize("detail", ["block", "neuron"])
def test_tail_of_two_cycles_per_neuron_holds_up_the_updates(detail):
    """32 bits per cycle: rows of 64 bits take two, so tails are ready at 14, 16, ..., 52, updates end 21 later."""
    result = run(detail=detail, arch=arch_with(delta__tail_width_bits=32))
    assert ends(result) == [115, 115 + 52 + 21]
    period, times = 2000, result.simulated.unit_times
    for k in range(3):
        assert times.waited_ps[f"CU{k}.tail", waits.CODES] == 4 * period
        assert times.worked_ps[f"CU{k}.tail"] == 20 * 2 * period
    assert times.waited_ps["MU", waits.PRODUCTS] == (75 + 19) * period
    assert times.waited_ps["MU", waits.TAIL] == (52 - 19 - 19) * period
    assert not run(0).simulated.unit_times.waited_ps["MU", waits.TAIL]


@pytest.mark.parametrize("detail", ["block", "neuron"])
def test_actions_and_energy_of_a_tail_equal_hand_arithmetic(detail):
    """One of two steps has a tail. Three gates of 20 rows of 32 weights of two bits; the candidate has two products."""
    result, without = run(detail=detail), run(0, detail=detail)
    expected = {
        ("tail_quantiser", "quantise"): (3 * 32, 0.53),
        ("code_buffer", "write"): (3, 4.195),
        ("code_buffer", "read"): (3, 3.5784),
        ("tail_bank", "read"): (3 * 20, 8.8781),
        ("tail_bank", "fill"): (3 * 5, 13.4732),  # 1280 bits
        ("tail_multiplier", "bit_product"): (3 * 640 * 4, 0.00146),
        ("tail_adder", "add"): (3 * 640, 0.0234),
        ("tail_buffer", "write"): (3 * 2 + (2 + 2 + 3), 13.9358),  # factors at the start; tails, 16 to a word
        ("tail_buffer", "read"): (3 * 2 + (2 + 2 + 3), 8.1864),
        ("tail_scaler", "mac"): (20 * 4, 0.7),
    }
    counts = result.simulated.counts
    assert {key: n for key, n in counts.items() if key[0] in TAIL_PARTS} == {key: n for key, (n, _) in expected.items()}
    rows = [r for r in result.simulated.energy if r.component in TAIL_PARTS and r.action != "leakage"]
    assert sum(row.joules for row in rows) * 1e12 == pytest.approx(1208.71, abs=0.01)
    for row in rows:
        count, pj = expected[row.component, row.action]
        assert row.joules == pytest.approx(count * pj * 1e-12, rel=1e-9)
    more = {key: counts[key] - without.simulated.counts[key] for key in (
        ("intermediate_memory", "read"), ("intermediate_memory", "write"), ("dpu", "mac"), ("mu", "add")
    )}  # fmt: skip
    assert list(more.values()) == [3 * 3, 3 * 3, 0, 0]  # 20 factors of four bytes
    assert result.record["dram_bytes"] - without.record["dram_bytes"] == 3 * (160 + 80)


def test_codes_are_read_again_per_neuron_if_a_row_takes_more_than_one_cycle():
    """64 bits of codes in words of 256 bits."""
    narrow = run(arch=arch_with(delta__tail_width_bits=32)).simulated
    assert narrow.count("code_buffer", "read") == 3 * 20
    assert narrow.count("code_buffer", "write") == 3


def test_codes_of_a_one_bit_tail_have_two_bits():
    assert run(1).simulated.count("tail_multiplier", "bit_product") == 3 * 640 * 2
    assert run(3).simulated.count("tail_multiplier", "bit_product") == 3 * 640 * 9


def test_sequence_of_one_step_has_no_tail():
    network = make_network("lstm", inputs=12, units=20)
    counts = archsim.simulate(network, make_trace(network, [1]), policy=Tailed(2), threshold=1.0).simulated.counts
    assert {key for key in counts if key[0] in TAIL_PARTS} == {("tail_bank", "fill"), ("tail_buffer", "write")}


@pytest.mark.parametrize("name", TECHNOLOGIES)
def test_tail_takes_area_in_banks_multipliers_and_buffers(name):
    """Two bits take 2 / 16 of the weight buffer's bits in smaller banks, and a unit of some 0.03 mm² without them."""
    table = load_technology(name)
    areas = {bits: area_mm2(DELTA.spec_for(ArchSpec(), Tailed(bits), 100), table) for bits in range(1, 7)}
    plain = area_mm2(DELTA.spec_for(ArchSpec(), Columns(), 100), table)
    for bits, area in areas.items():
        assert set(area) - set(plain) == set(TAIL_PARTS)
        assert area["tail_bank"] == pytest.approx(bits * area_mm2(ArchSpec(), table)["sign_bank"], rel=1e-6)
        arithmetic = (area["tail_multiplier"] + area["tail_adder"]) / 4
        assert 1 < arithmetic / (plain["dpu"] / 4) < 4
    assert parts_of(DELTA.spec_for(ArchSpec(), Tailed(3), 100))["tail_adder"] == 4 * 683


@pytest.mark.parametrize("name", TECHNOLOGIES)
@pytest.mark.parametrize("precision", ["fp16", "int8", "int4"])
def test_multipliers_and_adders_cost_less_than_and_with_popcount(precision, name):
    """What the unit is built of is the cheaper of two designs, whatever the bits."""
    table = load_technology(name).at_precision(precision)
    product, add = table.action("tail_multiplier", "bit_product").pj, table.action("tail_adder", "add").pj
    for bits in range(1, 7):
        operations = bits * max(bits, 2)
        assert operations * product + add < operations * table.action("fmu", "xnor_popcount").pj
    assert product == pytest.approx(0.2 / 64 * 28 / 45 * (0.78 / 0.9) ** 2, rel=0.01)
    assert add == pytest.approx(0.05 * 28 / 45 * (0.78 / 0.9) ** 2, rel=0.01)


@pytest.mark.parametrize("precision", ["fp16", "int8", "int4"])
def test_tail_bank_has_a_bit_of_each_weight_that_the_weight_buffer_holds(precision):
    arch = ArchSpec().at_precision(precision)
    assert 8 * arch.delta.tail_plane_bytes * arch.numbers.weight_bits == 8 * arch.weight_buffer.capacity_bytes
    if precision != "fp16":
        assert load_arch(f"epur-{precision}").delta == arch.delta
    spec, table = DELTA.spec_for(arch, Tailed(3), 100), load_technology("28nm-lstp")
    assert area_mm2(spec, table)["tail_bank"] == pytest.approx(
        3 * 4 * 16 / arch.numbers.weight_bits * load_technology("28nm-lstp").component("sign_bank").area_mm2, rel=1e-5
    )
    assert complete(table, spec).action("tail_bank", "read").pj == table.action("sign_bank", "predict").pj


def test_networks_larger_than_the_tail_bank_are_refused():
    """Two layers of 20·(12 + 20) and 20·(20 + 20) weights per gate: 80 and 100 bytes per bit, together 180."""
    network = make_network("gru", inputs=12, units=20, layers=2)
    for capacity, need in ((1 << 21, 180), (1600, 100), (2560, 160)):
        arch = DELTA.spec_for(arch_with(weight_buffer__capacity_bytes=capacity), Tailed(2), 40)
        check_fit(network, pass_shapes(network), arch.replace("delta.tail_plane_bytes", need))
        message = f"needs delta.tail_plane_bytes >= {need} bytes, the machine has {need - 1}"
        with pytest.raises(DoesNotFitError, match=message):
            check_fit(network, pass_shapes(network), arch.replace("delta.tail_plane_bytes", need - 1))


@pytest.mark.parametrize("bits", [7, -1, 1.5, True])
def test_policy_with_a_tail_that_no_unit_has_is_refused(bits, tiny_lstm, tiny_trace):
    with pytest.raises(archsim.ArchsimError, match="tail_bits = .*: need a whole number from 0 to 6"):
        archsim.simulate(tiny_lstm, tiny_trace, policy=Tailed(bits), threshold=1.0)


def test_tail_fields_enter_digests_of_column_policies_only(tiny_lstm, tiny_trace):
    def digest(policy, bits):
        arch = arch_with(delta__tail_bits=bits)
        return archsim.simulate(tiny_lstm, tiny_trace, arch, policy, threshold=0.2).record["digest"]

    assert digest("bnn", 0) == digest("bnn", 3) and digest("delta", 0) != digest("delta", 3)


def test_savings_span_the_range_of_arithmetic_of_few_bits():
    """The costs of the tail's arithmetic are varied where there is a tail, and nowhere else."""
    spread, plain = run().sensitivity, run(0).sensitivity
    assert {corner.few_bits for corner in spread.corners} == {0.7, 8.0} and len(spread.corners) == 24
    low, high = (one.saving for one in spread.alone if one.few_bits != 1)
    assert low > spread.nominal.saving > high
    assert {one.few_bits for one in (*plain.corners, *plain.alone)} == {1.0} and len(plain.corners) == 12


def test_timeline_shows_the_tail_unit_in_both_details(tmp_path):
    spans = {}
    for detail in ("block", "neuron"):
        result = run(detail=detail)
        uses = result.utilisation.set_index("unit")
        assert 0 < uses["busy"]["CU0.tail"] < 1
        result.timeline(tmp_path / detail)
        text = (tmp_path / detail).read_text()
        assert "CU2.tail" in text and "CU2.tail" not in run(0).utilisation["unit"].tolist()
        spans[detail] = text.count("tail, layer 0") + text.count("layer 0, tail")
    assert spans == {"block": 3, "neuron": 3}


def test_show_prints_the_parts_of_a_policys_unit_and_their_area(registry, monkeypatch):
    """Four units with two banks each: 8 · 0.183408 mm²."""
    monkeypatch.setenv("COLUMNS", "160")  # wide enough for the names of fields
    archsim.register_policy(Tailed)
    shown = CliRunner().invoke(command_line, ["show", "mine"]).output
    cells = {row.split()[1]: row.split() for row in shown.splitlines() if "tail_bank" in row}
    assert cells["tail_bank"][3:6] == ["8", "│", f"{4 * 2 * 0.183408:.4f}"]
    assert "tail_adder" not in CliRunner().invoke(command_line, ["show", "delta"]).output
    assert "its unit" not in CliRunner().invoke(command_line, ["show", "bnn"]).output
    assert "delta.tail_plane_bytes" in CliRunner().invoke(command_line, ["show", "epur"]).output


def test_time_that_the_cells_wait_for_a_tail_is_a_cause_of_its_own():
    """14 cycles of the second step, as of the test of two cycles per neuron above."""
    result = run(arch=arch_with(delta__tail_width_bits=32))
    shares = time_shares(result)
    assert shares["waiting for the tail of few bits"] == pytest.approx(14 / result.record["cycles"], rel=1e-3)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-9)


def test_tail_makes_no_step_shorter_and_more_bits_none_either():
    network = make_network("lstm", inputs=70, units=9)
    arch, trace = arch_with(delta__tail_width_bits=64), make_trace(network, [6])
    policies = [Tailed(bits, every=20) for bits in range(7)]
    cycles = [archsim.simulate(network, trace, arch, p, threshold=1.0).record["cycles"] for p in policies]
    assert cycles == sorted(cycles) and cycles[0] < cycles[-1]
    assert np.all(np.diff([code_bits(DELTA.spec_for(arch, p, 79).delta) for p in policies]) >= 0)
