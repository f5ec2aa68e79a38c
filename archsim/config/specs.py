"""The accelerator, part by part. Defaults are E-PUR with the memoization unit of the paper."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from archsim.config.dram import DramSpec, with_preset
from archsim.config.predictor import Predictor
from archsim.config.sourced import MOST, Spec, sourced
from archsim.errors import ConfigError, did_you_mean
from archsim.units import Clock, ceil_div
from archsim.validation import explain

KIB, MIB = 1 << 10, 1 << 20
Dataflow = Literal["step", "mwl"]
Dispatch = Literal["gate", "shared"]


class DpuSpec(Spec):
    """Dot product unit of a computation unit."""

    lanes: int = sourced(16, unit="multiply-adds/cycle", source="E-PUR, PACT 2018", certainty="B", ge=1)
    pipeline_cycles: int = sourced(8, unit="cycle", source="SEMANTICS 2.2, L_d", certainty="choice")


class MuSpec(Spec):
    """Multi-functional unit: bias, activation functions and cell update."""

    interval_cycles: int = sourced(1, unit="cycle", source="SEMANTICS 2.2, II_m", certainty="choice")
    pipeline_cycles: int = sourced(
        20,
        unit="cycle",
        source="SEMANTICS 2.2, L_m; ADD/MUL/EXP take 2/4/5 cycles in E-PUR",
        certainty="choice",
    )
    result_lag: int = sourced(16, unit="results", source="SEMANTICS 2.2, Q_m", certainty="choice", ge=1)
    writeback_cycles: int = sourced(1, unit="cycle", source="SEMANTICS 2.2, L_w", certainty="choice")


class FmuSpec(Spec):
    """Fuzzy memoization unit of a computation unit."""

    width_bits: int = sourced(
        2048, unit="bit/cycle", source="MICRO 2019 paper, binary dot product", certainty="B", ge=1
    )
    latency_cycles: int = sourced(5, unit="cycle", source="MICRO 2019 paper", certainty="B", ge=1)
    run_ahead: int = sourced(16, unit="decisions", source="SEMANTICS 2.2, Q", certainty="choice", ge=1)
    planes: int = sourced(
        1,
        unit="bit/weight",
        source="SEMANTICS 2.2, P: 1, the sign, or as many as the policy needs",
        certainty="choice",
        ge=1,
        most=16,
    )
    bit_operations: int = sourced(
        1,
        unit="operations",
        source="of a bit of a weight with an input: 1, or as many as the policy needs",
        certainty="choice",
        ge=1,
        most=16,
    )
    correctors: int = sourced(
        0,
        unit="multiply-adds",
        source="of a reused product by the change of its prediction; as the policy needs",
        certainty="choice",
        most=1,
    )
    pass_on_cycles: int = sourced(1, unit="cycle", source="SEMANTICS 2.2, c_r", certainty="choice", ge=1)
    memo_buffer_bytes: int = sourced(8 * KIB, unit="byte", source="MICRO 2019 paper", certainty="B", ge=1)
    memo_entry_bytes: int = sourced(
        8, unit="byte", source="y as binary16, prediction as int16, drift as float32", certainty="choice", ge=1
    )
    sign_bank_width_bits: int = sourced(
        256,
        unit="bit",
        source="eight banks of 16 KiB x 256 b make a 2048-bit read, docs/reference",
        certainty="choice",
        ge=1,
    )

    def fitted(self, predictor: Predictor, n_inputs: int) -> FmuSpec:
        """Return the unit with what `predictor` needs for `n_inputs` a neuron: planes, and a memo as deep as before."""
        entry = max(self.memo_entry_bytes, predictor.memo_entry_bytes(n_inputs))
        return self.model_copy(
            update={
                "planes": max(self.planes, predictor.planes),
                "bit_operations": max(self.bit_operations, predictor.bit_operations),
                "correctors": max(self.correctors, int(predictor.corrects)),
                "memo_entry_bytes": entry,
                "memo_buffer_bytes": ceil_div(self.memo_buffer_bytes * entry, self.memo_entry_bytes),
            }
        )


class DeltaSpec(Spec):
    """Delta unit of a computation unit, for policies that skip columns; it takes the memoization unit's place."""

    width: int = sourced(
        16, unit="elements/cycle", source="a word of the input buffer a cycle", certainty="choice", ge=1
    )
    latency_cycles: int = sourced(
        3, unit="cycle", source="read, subtract, compare: one cycle each", certainty="choice", ge=1
    )
    queue_places: int = sourced(16, unit="columns", source="as many as the FMU's decisions", certainty="choice", ge=1)
    propagated_buffer_bytes: int = sourced(
        8 * KIB, unit="byte", source="as large as the input buffer: a binary16 an element", certainty="choice", ge=1
    )
    accumulator_buffer_bytes: int = sourced(
        8 * KIB, unit="byte", source="float32 sums of 1024 units, two each: a GRU's candidate", certainty="choice", ge=1
    )
    accumulator_port_bytes: int = sourced(
        64, unit="byte", source="16 lanes of float32, in two banks", certainty="choice", ge=1
    )


class BufferSpec(Spec):
    """An on-chip buffer of a computation unit."""

    capacity_bytes: int = Field(ge=1, le=MOST["byte"])
    port_bytes: int = sourced(32, unit="byte", source="16 lanes of binary16", certainty="D", ge=1)


class WeightBufferSpec(BufferSpec):
    """Weight buffer; with memoization its sign bits lie in a bank of their own."""

    capacity_bytes: int = sourced(
        2 * MIB, unit="byte", source="E-PUR, PACT 2018, maximised weight locality", certainty="B", ge=1
    )
    banks: int = sourced(
        16,
        unit="banks",
        source="docs/reference/sram_bank_sweep_28nm.csv: the fewest that cycle in 2 ns with LSTP cells; "
        "words interleaved, so fills pass reads by; one bank: they contend",
        certainty="choice",
        ge=1,
    )
    stream_rows: int = sourced(
        16, unit="rows", source="as many as the memoization unit runs ahead", certainty="choice", ge=1, most=4096
    )


class InputBufferSpec(BufferSpec):
    """Buffer of the joint inputs [x; h] of the running step."""

    capacity_bytes: int = sourced(8 * KIB, unit="byte", source="E-PUR, PACT 2018", certainty="B", ge=1)


class IntermediateMemorySpec(BufferSpec):
    """Shared memory for the input and output sequences of layers."""

    capacity_bytes: int = sourced(6 * MIB, unit="byte", source="E-PUR, PACT 2018", certainty="B", ge=1)
    ports: int = sourced(
        1,
        unit="ports",
        source="docs/reference/sram_named_28nm.csv: one read/write port; with more, sequences have one of their own",
        certainty="choice",
        ge=1,
    )


class ArchSpec(Spec):
    """An accelerator: one computation unit per gate, shared memories, one clock.

    `fmu` and `delta` are what a policy may ask for: a machine that runs has one of them at most.
    """

    name: str = "epur"
    description: str = ""
    technology: str = "28nm-lstp"
    clock_period_ps: int = sourced(2000, unit="ps", source="500 MHz, E-PUR, PACT 2018", certainty="B", ge=1)
    dataflow: Dataflow = Field(
        default="step",
        json_schema_extra={
            "unit": "order",
            "source": "step: all products of a step; mwl: products with x_t of all steps first (E-PUR, PACT 2018)",
            "certainty": "choice",
        },
    )
    baseline_dataflow: Dataflow | Literal["same"] = Field(
        default="same", json_schema_extra={"unit": "order", "source": "that of the baseline", "certainty": "choice"}
    )
    dispatch: Dispatch = Field(
        default="gate",
        json_schema_extra={
            "unit": "order",
            "source": "gate: a dot product unit evaluates its own gate (E-PUR, PACT 2018); shared: an idle one "
            "takes a neuron of the gate furthest behind. The baseline's is always gate",
            "certainty": "choice",
        },
    )
    computation_units: int = sourced(
        4, unit="units", source="one per LSTM gate, E-PUR, PACT 2018", certainty="B", ge=1, most=64
    )
    dpu: DpuSpec = DpuSpec()
    mu: MuSpec = MuSpec()
    fmu: FmuSpec | None = FmuSpec()
    delta: DeltaSpec | None = DeltaSpec()
    weight_buffer: WeightBufferSpec = WeightBufferSpec()
    input_buffer: InputBufferSpec = InputBufferSpec()
    intermediate_memory: IntermediateMemorySpec = IntermediateMemorySpec()
    dram: DramSpec = DramSpec()

    @field_validator("fmu", "delta", mode="before")
    @classmethod
    def _false_is_none(cls, value: object) -> object:
        """TOML knows no None: `fmu = false` is the machine without memoization unit, `delta = false` alike."""
        return None if value is False else value

    @field_validator("dram", mode="before")
    @classmethod
    def _preset_beneath(cls, value: object) -> object:
        return with_preset(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _can_share(self) -> ArchSpec:
        if self.dispatch == "shared":
            if self.fmu is None:
                raise ValueError("dispatch = 'shared' without fmu: all units are equally busy, need dispatch = 'gate'")
            if self.weight_buffer.banks == 1:
                raise ValueError("dispatch = 'shared': two units read a weight buffer, need weight_buffer.banks >= 2")
            if self.dataflow != "step":
                raise ValueError(f"dispatch = 'shared', dataflow = {self.dataflow!r}: need dataflow = 'step'")
        return self

    @property
    def clock(self) -> Clock:
        """The accelerator's clock domain."""
        return Clock(self.clock_period_ps)

    def replace(self, field: str, value: object) -> ArchSpec:
        """Return a copy with one field, named with dots (`fmu.latency_cycles`), set to `value`.

        Raises ConfigError naming the field, the value and what would be accepted.
        """
        data = self.model_dump()
        *path, last = field.split(".")
        node: Any = data
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        known = fields_of(self)
        if not isinstance(node, dict) or last not in node:
            raise ConfigError(
                f"{self.name}: unknown field {field!r}{did_you_mean(field, known)}; known: {', '.join(known)}"
            )
        node[last] = value
        if field == "dram.preset":  # a preset brings all its fields
            data["dram"] = {last: value}
        return parse_arch(data, self.name)

    def with_predictor(self, predictor: Predictor, n_inputs: int) -> ArchSpec:
        """The same machine with what a policy's predictor needs."""
        return self.model_copy(update={"fmu": self.fmu and self.fmu.fitted(predictor, n_inputs)})

    def without_memo(self) -> ArchSpec:
        """The same machine without memoization or delta units: the baseline."""
        dataflow = self.dataflow if self.baseline_dataflow == "same" else self.baseline_dataflow
        return self.model_copy(update={"fmu": None, "delta": None, "dataflow": dataflow, "dispatch": "gate"})

    def by_neurons(self) -> ArchSpec:
        """The machine for policies that reuse neurons."""
        return self.model_copy(update={"delta": None})

    def by_columns(self) -> ArchSpec:
        """The machine for policies that skip columns, which all units do alike."""
        return self.model_copy(update={"fmu": None, "dispatch": "gate"})


def parse_arch(data: dict[str, Any], where: str) -> ArchSpec:
    """Check a nested dictionary and build the spec; ConfigError starts with `where`."""
    try:
        return ArchSpec.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error, ArchSpec)}") from None


def fields_of(spec: Spec, prefix: str = "") -> dict[str, tuple[object, dict[str, str]]]:
    """Return every field by dotted name: its value, and its unit, source and certainty."""
    found: dict[str, tuple[object, dict[str, str]]] = {}
    for name, info in type(spec).model_fields.items():
        value = getattr(spec, name)
        if isinstance(value, Spec):
            found |= fields_of(value, f"{prefix}{name}.")
        else:
            extra = info.json_schema_extra
            found[f"{prefix}{name}"] = (value, dict(extra) if isinstance(extra, dict) else {})  # type: ignore[arg-type]
    return found
