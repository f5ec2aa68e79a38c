"""Energy of a main memory's commands and of its waking hours, from its currents (as DRAMsim3 and Micron reckon)."""

from __future__ import annotations

from archsim.config.dram import DramSpec


def command_pj(spec: DramSpec) -> dict[str, float]:
    """Return pJ per action: a command; a burst of data; a memory cycle of one channel in each standby state.

    V x mA x ns is pJ. Currents are of one device, commands go to all devices of a rank. Closing a row is part of
    opening it (IDD0 is measured over the whole cycle). Data are charged by the bit, interface and all.
    """
    rank = spec.vdd_v * spec.clock_period_ps / 1000 * (spec.bus_bits // spec.device_bits)
    row_cycle = spec.idd0_ma * (spec.tras_cycles + spec.trp_cycles)
    row_background = spec.idd3n_ma * spec.tras_cycles + spec.idd2n_ma * spec.trp_cycles
    burst = spec.transfer_pj_per_bit * spec.burst_bytes * 8
    return {
        "activate": rank * (row_cycle - row_background),
        "precharge": 0.0,
        "read": burst,
        "write": burst,
        "refresh": rank * (spec.idd5_ma - spec.idd3n_ma) * spec.trfc_cycles,
        "active_standby": rank * spec.ranks * spec.idd3n_ma,
        "open_power_down": rank * spec.ranks * spec.idd3p_ma,
        "closed_power_down": rank * spec.ranks * spec.idd2p_ma,
    }
