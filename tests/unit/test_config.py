"""Machines and technology: sources of every number, and refusals with hints."""

import csv
import json
import re
from pathlib import Path

import pytest
from harness import arch_with

import archsim
from archsim.config.arch import ArchSpec, fields_of
from archsim.config.dram import bundled_memories, load_dram
from archsim.config.load import bundled_archs
from archsim.config.memo_unit import FmuSpec
from archsim.config.technology import load_technology
from archsim.energy.dram import command_pj
from archsim.energy.ledger import energy_rows
from archsim.energy.parts import area_mm2, parts_of
from archsim.sim.actions import evaluation
from archsim.sim.machines import EPUR

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", bundled_archs())
def test_every_number_has_unit_source_and_certainty(name):
    for field, (value, info) in fields_of(archsim.load_arch(name)).items():
        if isinstance(value, int | float):
            assert (
                info["unit"] and info["source"] and info["certainty"] in {"A", "B", "C", "D", "measured", "choice"}
            ), field


def test_replace_leaves_the_original_unchanged():
    arch = archsim.load_arch("epur")
    assert arch.replace("fmu.latency_cycles", 3).fmu.latency_cycles == 3 and arch.fmu.latency_cycles == 5


@pytest.mark.parametrize("field, value, message", [
    ("fmu.latncy_cycles", 3, "unknown field 'fmu.latncy_cycles', did you mean 'fmu.latency_cycles'"),
    ("fmu.latency_cycles", 0, "fmu.latency_cycles = 0: input should be greater than or equal to 1"),
    ("dpu.lanes", "many", "dpu.lanes = 'many': input should be a valid integer"),
    ("dpu.lanes.deep", 1, "unknown field"),
    ("clock_period_ps", 1.5, "clock_period_ps = 1.5: input should be a valid integer"),
])  # fmt: skip
def test_invalid_fields_are_refused(field, value, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        ArchSpec().replace(field, value)


def test_architecture_file_is_read_or_refused_with_a_hint(tmp_path):
    good, bad = tmp_path / "mine.toml", tmp_path / "bad.toml"
    good.write_text("[dpu]\nlanes = 32\n")
    assert archsim.load_arch(good).dpu.lanes == 32 and archsim.load_arch(good).name == "mine"
    for text, message in {
        "[dpu]\nlane = 3": "unknown key 'dpu.lane', did you mean 'lanes'",
        "[fmu]\nrun_ahed = 3": "did you mean 'run_ahead'",
        "dpu = 3": r"dpu is a int: need a table of keys, written \[dpu\]",
        "x": "not TOML",
    }.items():
        bad.write_text(text)
        with pytest.raises(archsim.ArchsimError, match=message):
            archsim.load_arch(bad)
    with pytest.raises(archsim.ArchsimError, match="no such file"):
        archsim.load_arch(tmp_path / "none.toml")
    with pytest.raises(archsim.ArchsimError, match="did you mean 'epur'"):
        archsim.load_arch("epurr")


def reference(file, **wanted):
    """Return the one row of a reference table with these cells."""
    with (REFERENCE / file).open() as stream:
        rows = [r for r in csv.DictReader(stream) if all(r[k] == v for k, v in wanted.items())]
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize("buffer, row", [
    ("weight_buffer", "wb_2MiB_256b"), ("magnitude_buffer", "wb_mag_1.875MiB_240b"),
])  # fmt: skip
def test_weight_buffer_figures_equal_the_cited_rows(buffer, row):
    cited = reference("sram_bank_sweep_28nm.csv", name=row, device="itrs-lstp", objective="ED2", uca_banks="16")
    assert float(cited["cycle_ns"]) <= 2.0  # it does cycle at 500 MHz
    technology = load_technology("28nm-lstp")
    assert technology.static[buffer].leakage_mw == pytest.approx(float(cited["leak_times_banks_mw"]))
    assert technology.static[buffer].area_mm2 == float(cited["area_mm2"])
    if buffer == "weight_buffer":
        assert technology.actions[buffer]["read"].pj == float(cited["read_pj"])
        assert technology.actions[buffer]["fill"].pj == float(cited["write_pj"])


def test_weight_reads_cost_the_same_with_and_without_fmu():
    """Neither machine may save by the organisation of its weight buffer: same reads, no less leakage."""
    plain = ArchSpec().without_memo()
    for fmu in (FmuSpec(), FmuSpec(sign_bank_width_bits=64), FmuSpec(planes=3)):
        memo = ArchSpec(fmu=fmu)
        assert list(evaluation(memo, 100)) == list(evaluation(plain, 100))
        assert set(EPUR.fill_actions(plain, 5000, 0)) <= set(EPUR.fill_actions(memo, 5000, 0))
    for name in ("28nm-lstp", "28nm-mixed", "28nm-hp"):
        static = load_technology(name).static
        split_mw = static["magnitude_buffer"].leakage_mw + static["sign_bank"].leakage_mw
        assert split_mw >= static["weight_buffer"].leakage_mw


@pytest.mark.parametrize("buffer, row, banks, write", [
    ("input_buffer", "in_8KiB_256b", 1, "write"), ("intermediate_memory", "inter_6MiB_256b", 1, "write"),
    ("memo_buffer", "memo_8KiB_64b", 1, "write"), ("sign_bank", "wb_signbank_16KiB_256b(x8)", 8, "fill"),
])  # fmt: skip
def test_other_buffer_figures_equal_the_cited_rows(buffer, row, banks, write):
    cited = reference("sram_named_28nm.csv", name=row, device="itrs-lstp", temp_k="350")
    technology = load_technology("28nm-lstp")
    read = "predict" if buffer == "sign_bank" else "read"
    assert technology.actions[buffer][read].pj == float(cited["read_pj"])
    assert technology.actions[buffer][write].pj == float(cited["write_pj"])
    assert technology.static[buffer].leakage_mw == pytest.approx(banks * float(cited["leakage_mw"]), rel=1e-4)
    assert technology.static[buffer].area_mm2 == pytest.approx(banks * float(cited["area_mm2"]), rel=1e-3)


def test_arithmetic_energy_is_horowitz_scaled_to_28_nm():
    """From 45 nm and 0.9 V to 28 nm and 0.78 V: capacitance by length, energy by voltage squared."""
    scale = 28 / 45 * (0.78 / 0.9) ** 2
    actions = load_technology("28nm-lstp").actions
    assert actions["dpu"]["mac"].pj == pytest.approx((1.1 + 0.4) * scale, abs=0.005)
    assert actions["mu"]["add"].pj == pytest.approx(0.4 * scale, abs=0.005)
    assert actions["mu"]["multiply"].pj == pytest.approx(1.1 * scale, abs=0.005)
    assert actions["mu"]["exponential"].pj == pytest.approx(5 * actions["dpu"]["mac"].pj)
    assert actions["fmu"]["compare"].pj == pytest.approx((1.1 + 3 * 0.05) * scale, abs=0.005)
    assert actions["fmu"]["xnor_popcount"].pj == pytest.approx((10 + 35) / 2 * 1e-3)


def test_leakage_of_logic_is_one_percent_of_its_power():
    """Power in mW at 500 MHz: 1 pJ per cycle is 0.5 mW."""
    technology = load_technology("28nm-lstp")
    dpu = 0.01 * 16 * technology.actions["dpu"]["mac"].pj * 0.5
    fmu = 0.01 * 2048 * technology.actions["fmu"]["xnor_popcount"].pj * 0.5
    assert technology.static["dpu"].leakage_mw == pytest.approx(dpu, abs=0.0005)
    assert technology.static["mu"].leakage_mw == pytest.approx(dpu / 2, abs=0.0005)
    assert technology.static["fmu"].leakage_mw == pytest.approx(fmu, abs=0.005)


def test_action_without_energy_entry_is_refused():
    with pytest.raises(archsim.ArchsimError, match="no energy entry for dpu.divide"):
        energy_rows({("dpu", "divide"): 1}, 1000, ArchSpec(), load_technology("28nm-lstp"))


def test_energy_of_ten_macs_and_one_burst_equals_hand_arithmetic():
    """In one microsecond: 7 pJ, 512 bits, and the leakage of every part."""
    technology, arch = load_technology("28nm-lstp"), ArchSpec()
    rows = energy_rows({("dpu", "mac"): 10, ("dram", "read"): 1}, 1_000_000, arch, technology)
    by_name = {(r.component, r.action): r.joules for r in rows}
    assert by_name["dpu", "mac"] == pytest.approx(7.0e-12)
    assert by_name["dram", "read"] == pytest.approx(512 * 6e-12)
    assert by_name["intermediate_memory", "leakage"] == pytest.approx(2.7147e-3 * 1e-6)
    assert by_name["magnitude_buffer", "leakage"] == pytest.approx(4 * 0.998016e-3 * 1e-6)


def test_standby_energy_of_main_memory_equals_hand_arithmetic():
    """A microsecond is 1600 memory cycles: 1.1 V times the current of two devices with rows open, idle, or all closed."""
    states = {"active_standby": 34.43e-3, "open_power_down": 11.71e-3, "closed_power_down": 5.71e-3}
    rows = energy_rows({("dram", s): 1600 for s in states}, 0, ArchSpec(), load_technology("28nm-lstp"))
    by_state = {r.action: r.joules for r in rows if r.component == "dram"}
    assert by_state == {s: pytest.approx(1.1 * 2 * amperes * 1e-6) for s, amperes in states.items()}


def test_doubled_devices_double_command_and_standby_energy():
    """Twice the devices per rank double both; twice the ranks double standby only."""
    plain, wide, ranks = (command_pj(arch_with(**{f"dram__{k}": v}).dram) for k, v in
                          (("ranks", 1), ("device_bits", 8), ("ranks", 2)))  # fmt: skip
    for action in ("activate", "refresh", "active_standby", "open_power_down", "closed_power_down"):
        assert wide[action] == 2 * plain[action]
        assert ranks[action] == (2 if "_" in action else 1) * plain[action]
    assert plain["read"] == wide["read"] == ranks["read"] and plain["precharge"] == 0


@pytest.mark.parametrize("preset", bundled_memories())
def test_memory_presets_equal_the_cited_parameters(preset):
    """Every field whose source names a symbol of the parameter file has its value there."""
    spec = load_dram(preset)
    cited = {}
    for group in json.loads((REFERENCE / "lpddr4_params.json").read_text())[spec.reference].values():
        cited |= group
    cited["tCK"] = 1000 * float(cited["tCK"])
    cited["bankgroups x banks_per_group"] = int(cited["bankgroups"]) * int(cited["banks_per_group"])
    checked = 0
    for field, (value, info) in fields_of(spec).items():
        symbol = re.fullmatch(
            r"docs/reference/lpddr4_params.json, (.+), of the set the preset names", info.get("source", "")
        )
        if symbol and symbol[1] != "channel_size":  # MiB: one rank fills the channel
            assert value == float(cited[symbol[1]]), field
            checked += 1
    assert checked > 20


@pytest.mark.parametrize("preset", bundled_memories())
def test_peak_bandwidth_equals_the_reference(preset):
    spec = load_dram(preset)
    with (REFERENCE / "lpddr4_streaming.csv").open() as stream:
        peaks = [float(row["peak_gbps"]) for row in csv.DictReader(stream) if row["config"] == spec.reference]
    assert peaks == pytest.approx([spec.peak_bytes_per_s / 1e9] * 3, abs=0.001)


@pytest.mark.parametrize("field, value, message", [
    ("dram.preset", "lpddr4-3200", "unknown memory 'lpddr4-3200', did you mean 'lpddr4-3200-x32'"),
    ("dram.trefi_cycles", 600, "need \\d+ at least, twice the sum of the other timings"),
    ("dram.columns", 1000, "columns = 1000: need a multiple of 16"),
    ("dram.bus_bits", 24, "bus_bits = 24: need a multiple of 16"),
    ("dram.channels", 65, "dram.channels = 65: .*64"),
    ("dram.queue_depth", 0, "dram.queue_depth = 0: input should be greater than or equal to 1"),
    ("dram.bandwidth_bytes_per_s", 1, "unknown field 'dram.bandwidth_bytes_per_s'"),
])  # fmt: skip
def test_invalid_memory_fields_are_refused(field, value, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        ArchSpec().replace(field, value)


def test_memory_preset_sets_all_fields_and_a_file_overrides_some(tmp_path):
    assert ArchSpec().replace("dram.preset", "lpddr4-2400-x32").dram == load_dram("lpddr4-2400-x32")
    mine = tmp_path / "mine.toml"
    mine.write_text('[dram]\npreset = "lpddr4-2400-x32"\nchannels = 2\n')
    dram = archsim.load_arch(mine).dram
    assert (dram.channels, dram.clock_period_ps, dram.trcd_cycles) == (2, 830, 15)
    assert dram.peak_bytes_per_s == 2 * load_dram("lpddr4-2400-x32").peak_bytes_per_s


def test_doubled_buffer_doubles_area_and_raises_energy_by_2_to_0_56():
    """Area and leakage are proportional to the capacity; energy follows the cited power law."""
    technology, arch = load_technology("28nm-lstp"), ArchSpec()
    double = archsim.load_arch("epur-4mib")
    assert area_mm2(double, technology)["magnitude_buffer"] == 2 * area_mm2(arch, technology)["magnitude_buffer"]
    (small, *_), (large, *_) = (energy_rows({("weight_buffer", "read"): 1}, 0, a, technology) for a in (arch, double))
    assert large.pj_each / small.pj_each == pytest.approx(2**0.56)


def test_baseline_machine_has_no_memoization_parts():
    parts = parts_of(ArchSpec().without_memo())
    assert "weight_buffer" in parts and not {"fmu", "memo_buffer", "sign_bank", "magnitude_buffer"} & set(parts)
