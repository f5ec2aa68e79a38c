"""Extreme machines: simulated alike in both details, or refused with one message."""

import json

import numpy as np
import pytest
from harness import arch_with, make_network, make_trace

import archsim
from archsim.config.arch import ArchSpec, fields_of

NUMBERS = [field for field, (value, _) in fields_of(ArchSpec()).items() if isinstance(value, int | float)]

FOUND_DIFFERENT = [
    # Each once gave the two details different times.
    {"cell": "lstm", "inputs": 58, "units": 2, "layers": 2, "lengths": [7, 7, 7], "theta": 0.0, "fields": {
        "dpu__lanes": 1, "dpu__pipeline_cycles": 1, "mu__interval_cycles": 0, "mu__pipeline_cycles": 2,
        "mu__result_lag": 1, "mu__writeback_cycles": 2, "fmu__width_bits": 64, "fmu__latency_cycles": 1,
        "fmu__run_ahead": 4, "weight_buffer__capacity_bytes": 480, "weight_buffer__port_bytes": 2,
        "weight_buffer__banks": 1, "weight_buffer__stream_rows": 1, "intermediate_memory__capacity_bytes": 30,
        "intermediate_memory__port_bytes": 2, "dram__columns": 16, "dram__queue_depth": 1}},
    {"cell": "gru", "inputs": 1, "units": 1, "layers": 2, "lengths": [6, 4], "theta": 0.0, "fields": {
        "weight_buffer__banks": 1, "weight_buffer__port_bytes": 1, "weight_buffer__capacity_bytes": 6,
        "intermediate_memory__port_bytes": 7, "intermediate_memory__ports": 2, "intermediate_memory__capacity_bytes": 1,
        "dram__queue_depth": 1, "dataflow": "mwl", "clock_period_ps": 10_000, "mu__writeback_cycles": 0,
        "dpu__pipeline_cycles": 0}},
]  # fmt: skip


@pytest.mark.parametrize("case", FOUND_DIFFERENT, ids=lambda case: case["cell"])
def test_details_agree_on_machines_that_once_differed(case):
    sizes = {name: case[name] for name in ("inputs", "units", "layers")}
    network = make_network(case["cell"], **sizes, bidirectional=case["cell"] == "gru")
    trace, machine = make_trace(network, case["lengths"]), arch_with(**case["fields"])
    block, neuron = (
        archsim.simulate(network, trace, machine, "bnn", case["theta"], detail=detail) for detail in ("block", "neuron")
    )
    assert (
        block.simulated.counts == neuron.simulated.counts
        and block.simulated.run.time_ps == neuron.simulated.run.time_ps
    )
    for key, ends in block.timing.ends.items():
        np.testing.assert_array_equal(ends, neuron.timing.ends[key])


@pytest.mark.parametrize("value", [10**12, 2**62, 10**20, 0, -1, float("inf"), float("nan")])
@pytest.mark.parametrize("field", NUMBERS)
def test_extreme_field_values_are_refused_or_simulated(field, value):
    """No value ends in a traceback, in hours of work, or in a figure that is no number."""
    network = make_network("lstm", inputs=3, units=2)
    try:
        machine = ArchSpec().replace(field, type(fields_of(ArchSpec())[field][0])(value) if value == value else value)
    except (archsim.ArchsimError, OverflowError):
        return
    try:
        record = archsim.simulate(network, make_trace(network, (3,)), machine, threshold=0.5).record
    except archsim.ArchsimError:
        return
    json.dumps(record, allow_nan=False)


@pytest.mark.parametrize("field, most", [
    ("computation_units", 64), ("dram.queue_depth", 4096), ("weight_buffer.stream_rows", 4096), ("dram.channels", 64),
])  # fmt: skip
def test_hardware_size_is_accepted_up_to_its_limit(field, most):
    ArchSpec().replace(field, most)
    with pytest.raises(archsim.ArchsimError, match=str(most)):
        ArchSpec().replace(field, most + 1)


@pytest.mark.parametrize("fields, message", [
    ({"trcd_cycles": 2500, "trrd_cycles": 6246}, "trefi_cycles = 6246: need"),
    ({"idd0_ma": 0.0}, "idd0_ma = 0.0: less than the standby current"),
    ({"idd5_ma": 0.0}, "idd5_ma = 0.0: need at least idd3n_ma"),
    ({"vdd_v": float("inf")}, "finite|less than"),
])  # fmt: skip
def test_inconsistent_memory_fields_are_refused(fields, message):
    machine = ArchSpec()
    with pytest.raises(archsim.ArchsimError, match=message):
        for field, value in fields.items():
            machine = machine.replace(f"dram.{field}", value)
