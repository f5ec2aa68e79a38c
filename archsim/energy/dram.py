"""Energy of a main memory's commands and standby states from its currents, as in DRAMsim3 and Micron's calculator."""

from __future__ import annotations

from archsim.config.dram import DramSpec


def command_pj(spec: DramSpec) -> dict[str, float]:
    """Return pJ per action: per command, per burst of data, and per memory cycle of a channel in each standby state."""
    # V x mA x ns is pJ. Currents are per device, and a command goes to all devices of a rank.
    rank = spec.vdd_v * spec.clock_period_ps / 1000 * (spec.bus_bits // spec.device_bits)
    # IDD0 is measured over a whole row cycle, so an activation contains the precharge; standby is accounted apart.
    row_cycle = spec.idd0_ma * (spec.tras_cycles + spec.trp_cycles)
    row_background = spec.idd3n_ma * spec.tras_cycles + spec.idd2n_ma * spec.trp_cycles
    # Data are charged per bit, which includes the interface, so no burst current is needed.
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
