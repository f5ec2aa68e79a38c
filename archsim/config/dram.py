"""Main memory: shape, timing and currents of LPDDR4. Defaults are LPDDR4-3200 with one channel of 32 bit."""

from __future__ import annotations

import tomllib
from typing import Any

from pydantic import ValidationError, model_validator

from archsim.config.field import Spec, annotated
from archsim.errors import ConfigError, UnknownNameError
from archsim.files import bundled_tables
from archsim.validation import explain

PRESETS = "archsim.config.memories"
REFERENCE = "docs/reference/lpddr4_params.json, {}, of the set the preset names"


def _timing(default: int, symbol: str) -> Any:
    return annotated(default, unit="memory cycle", source=REFERENCE.format(symbol), certainty="measured")


def _shape(default: int, unit: str, symbol: str, most: int | None = None) -> Any:
    return annotated(default, unit=unit, source=REFERENCE.format(symbol), certainty="measured", ge=1, most=most)


def _current(default: float, symbol: str) -> Any:
    return annotated(default, unit="mA", source=REFERENCE.format(symbol), certainty="measured")


class DramSpec(Spec):
    """LPDDR4 channels and the scheduler in front of each of them."""

    preset: str = "lpddr4-3200-x32"
    reference: str = "jedec3200_x32"
    """Name of the parameter set in docs/reference/lpddr4_params.json."""
    channels: int = _shape(1, "channels", "channels", 64)
    ranks: int = _shape(1, "ranks/channel", "channel_size", 16)
    banks: int = _shape(8, "banks/rank", "bankgroups x banks_per_group", 64)
    columns: int = _shape(1024, "words/row", "columns")
    bus_bits: int = _shape(32, "bit", "bus_width")
    device_bits: int = _shape(16, "bit", "device_width")
    burst_length: int = _shape(16, "words", "BL")
    clock_period_ps: int = _shape(625, "ps", "tCK")
    queue_depth: int = annotated(
        96, unit="requests/channel", certainty="measured", ge=1, most=4096,
        source="docs/reference/lpddr4_params.json: trans_queue_size 32, and cmd_queue_size 8 for each of 8 banks",
    )  # fmt: skip
    row_hit_limit: int = annotated(
        4, unit="requests", source="DRAMsim3: row hits before an older request closes the row", certainty="B", ge=1
    )
    controller_cycles: int = annotated(
        1, unit="memory cycle", certainty="measured",
        source="docs/reference/lpddr4_pairs.csv: first latency less tRCD, CL and BL/2",
    )  # fmt: skip
    trcd_cycles: int = _timing(29, "tRCD")
    trp_cycles: int = _timing(29, "tRP")
    cl_cycles: int = _timing(34, "CL")
    cwl_cycles: int = _timing(14, "CWL")
    tras_cycles: int = _timing(68, "tRAS")
    trrd_cycles: int = _timing(16, "tRRD_S")
    tfaw_cycles: int = _timing(64, "tFAW")
    tccd_cycles: int = _timing(8, "tCCD_L")
    twr_cycles: int = _timing(29, "tWR")
    twtr_cycles: int = _timing(16, "tWTR_L")
    trtp_cycles: int = _timing(12, "tRTP")
    trtrs_cycles: int = _timing(1, "tRTRS")
    tppd_cycles: int = _timing(4, "tPPD")
    trfc_cycles: int = _timing(448, "tRFC")
    trefi_cycles: int = _shape(6246, "memory cycle", "tREFI", 10**9)
    transfer_pj_per_bit: float = annotated(
        6.0, unit="pJ/bit", certainty="C", source="docs/reference: LPDDR4 4 to 8 pJ/bit in public figures, middle"
    )
    vdd_v: float = annotated(1.1, unit="V", source=REFERENCE.format("VDD"), certainty="measured")
    idd0_ma: float = _current(51.48, "IDD0")
    idd2p_ma: float = _current(5.71, "IDD2P")
    idd2n_ma: float = _current(31.02, "IDD2N")
    idd3p_ma: float = _current(11.71, "IDD3P")
    idd3n_ma: float = _current(34.43, "IDD3N")
    idd5_ma: float = _current(107.11, "IDD5AB")

    @model_validator(mode="after")
    def _holds_together(self) -> DramSpec:
        cycles = sum(getattr(self, name) for name in type(self).model_fields if name.endswith("_cycles"))
        # A refresh, its precharges and a row cycle take at most `busy`, so twice that leaves time for requests.
        busy = cycles - self.trefi_cycles + self.banks * self.tppd_cycles + self.burst_cycles
        if self.trefi_cycles < 2 * busy:
            need = f"need {2 * busy} at least, twice the sum of the other timings"
            raise ValueError(f"trefi_cycles = {self.trefi_cycles}: {need}")
        if self.idd5_ma < self.idd3n_ma:
            raise ValueError(f"idd5_ma = {self.idd5_ma}: need at least idd3n_ma, {self.idd3n_ma}")
        # IDD0 contains the standby current, and the energy of an activation is their difference.
        standby = self.idd3n_ma * self.tras_cycles + self.idd2n_ma * self.trp_cycles
        if self.idd0_ma * (self.tras_cycles + self.trp_cycles) < standby:
            raise ValueError(f"idd0_ma = {self.idd0_ma}: less than the standby current of the same cycles")
        for name, value, unit in (
            ("columns", self.columns, self.burst_length),
            ("bus_bits", self.bus_bits, 8),
            ("bus_bits", self.bus_bits, self.device_bits),
            ("burst_length", self.burst_length, 2),
        ):
            if value % unit:
                raise ValueError(f"{name} = {value}: need a multiple of {unit}")
        return self

    @property
    def burst_bytes(self) -> int:
        """Bytes moved by one column command."""
        return self.bus_bits // 8 * self.burst_length

    @property
    def burst_cycles(self) -> int:
        """Cycles that a burst occupies the bus, at two words per cycle."""
        return self.burst_length // 2

    @property
    def row_bursts(self) -> int:
        """Bursts per row of a bank."""
        return self.columns // self.burst_length

    @property
    def devices(self) -> int:
        """Number of devices in all channels and ranks."""
        return self.channels * self.ranks * (self.bus_bits // self.device_bits)

    @property
    def peak_bytes_per_s(self) -> float:
        """Bandwidth of all channels while data buses are never idle."""
        return self.channels * self.burst_bytes * 1e12 / (self.burst_cycles * self.clock_period_ps)


def bundled_memories() -> list[str]:
    """Return the names of the presets."""
    return list(bundled_tables(PRESETS))


def with_preset(values: dict[str, Any]) -> dict[str, Any]:
    """Return a memory's fields, with defaults from its preset; UnknownNameError for an unknown preset."""
    presets, name = bundled_tables(PRESETS), values.get("preset", DramSpec().preset)
    if not isinstance(name, str) or name not in presets:
        raise UnknownNameError("memory", str(name), presets)
    return {"preset": name} | tomllib.loads(presets[name].read_text("utf-8")) | values


def load_dram(preset: str) -> DramSpec:
    """Load a memory preset by name."""
    try:
        return DramSpec.model_validate(with_preset({"preset": preset}))
    except ValidationError as error:
        raise ConfigError(f"memory {preset}: {explain(error, DramSpec)}") from None
