"""Sensitivity and utilisation of a run."""

import pytest
from harness import arch_with, make_network, make_trace

import archsim
from archsim.config.uncertainty import uncertain_constants


@pytest.fixture(scope="module")
def result():
    network = make_network("lstm", inputs=20, units=12, layers=2)
    return archsim.simulate(network, make_trace(network, (4, 6)), "epur", "bnn", 0.5)


@pytest.fixture(scope="module")
def streaming():
    network = make_network("lstm", inputs=200, units=40)
    arch = arch_with(weight_buffer__capacity_bytes=4000)
    return archsim.simulate(network, make_trace(network, (9,)), arch, "bnn", 0.5)


def test_nominal_saving_equals_the_record(result):
    assert result.sensitivity.nominal.saving == pytest.approx(result.record["energy_saving"], rel=1e-12)


def test_savings_span_the_nominal_one_over_all_corners(result):
    spread, ranges = result.sensitivity, uncertain_constants()
    assert spread.lowest.saving <= spread.nominal.saving <= spread.highest.saving
    assert len(spread.corners) == 4 * len(ranges.technologies)
    assert {(c.mac_pj, c.dram_pj_per_bit) for c in spread.corners} == {
        (mac, bit) for mac in (0.65, 1.5) for bit in (4.0, 9.4)
    }


def test_saving_of_a_corner_equals_a_run_with_its_constants(result):
    """Costing a finished run again equals simulating a machine of that technology."""
    corner = next(c for c in result.sensitivity.alone if c.technology == "28nm-hp")
    network = make_network("lstm", inputs=20, units=12, layers=2)
    machine = arch_with(technology="28nm-hp")
    again = archsim.simulate(network, make_trace(network, (4, 6)), machine, "bnn", 0.5)
    assert corner.saving == pytest.approx(again.record["energy_saving"], rel=1e-12)


def test_higher_dram_transfer_energy_raises_dram_energy_only(result):
    dear = arch_with(dram__transfer_pj_per_bit=9.4)
    network = make_network("lstm", inputs=20, units=12, layers=2)
    again = archsim.simulate(network, make_trace(network, (4, 6)), dear, "bnn", 0.5)
    assert again.record["energy_dram_j"] > result.record["energy_dram_j"]
    assert again.record["energy_scratchpad_j"] == result.record["energy_scratchpad_j"]


def test_utilisation_shares_of_each_unit_add_up_to_one(result, streaming):
    for run in (result, streaming):
        table = run.utilisation.set_index("unit")
        assert (table >= 0).all(axis=None)
        assert table.sum(axis=1).to_numpy() == pytest.approx(1.0, abs=1e-9)
        assert set(table.index) == {
            *("machine", "MU", "weight fill", "intermediate memory", "DRAM"),
            *(f"CU{k}.{unit}" for k in range(4) for unit in ("DPU", "FMU")),
        }


def test_streaming_machine_waits_for_weights(streaming):
    table = streaming.utilisation.set_index("unit")
    assert table.loc["CU0.DPU", "weights"] > 0.3
    assert table.loc["DRAM", "busy"] > 0.5


def test_busy_share_equals_the_work_done(result):
    """The MU takes one cycle per cell and an FMU one per neuron: 10 steps, 2 layers of 12."""
    table = result.utilisation.set_index("unit")
    for unit in ("MU", "CU0.FMU", "CU3.FMU"):
        assert table.loc[unit, "busy"] * result.simulated.run.time_ps == pytest.approx(10 * 2 * 12 * 2000)
