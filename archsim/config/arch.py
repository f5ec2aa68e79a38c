"""Configuration of an accelerator. The defaults are E-PUR with the memoization unit of the paper."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from archsim.config.buffers import InputBufferSpec, IntermediateMemorySpec, WeightBufferSpec
from archsim.config.delta_unit import DeltaSpec
from archsim.config.dram import DramSpec, with_preset
from archsim.config.field import Spec, annotated
from archsim.config.memo_unit import FmuSpec
from archsim.config.precision import FP16, MachineFormat, Precision, precision_of
from archsim.config.predictor import Predictor
from archsim.errors import ConfigError, UnknownNameError, did_you_mean
from archsim.units import Clock
from archsim.validation import explain, plain

Dataflow = Literal["step", "mwl"]
Dispatch = Literal["gate", "shared"]


class DpuSpec(Spec):
    """Dot product unit of a computation unit."""

    lanes: int = annotated(16, unit="multiply-adds/cycle", source="E-PUR, PACT 2018", certainty="B", ge=1)
    pipeline_cycles: int = annotated(8, unit="cycle", source="SEMANTICS 2.2, L_d", certainty="choice")


class MuSpec(Spec):
    """Multi-functional unit: bias, activation functions and cell update."""

    interval_cycles: int = annotated(1, unit="cycle", source="SEMANTICS 2.2, II_m", certainty="choice")
    pipeline_cycles: int = annotated(
        20,
        unit="cycle",
        source="SEMANTICS 2.2, L_m; ADD/MUL/EXP take 2/4/5 cycles in E-PUR",
        certainty="choice",
    )
    result_lag: int = annotated(16, unit="results", source="SEMANTICS 2.2, Q_m", certainty="choice", ge=1)
    writeback_cycles: int = annotated(1, unit="cycle", source="SEMANTICS 2.2, L_w", certainty="choice")


class ArchSpec(Spec):
    """Accelerator with one computation unit per gate, shared memories and one clock.

    A policy selects `fmu`, `delta` or neither, so that a machine that runs has at most one of them.
    """

    name: str = "epur"
    description: str = ""
    technology: str = "28nm-lstp"
    precision: MachineFormat = Field(
        default="fp16",
        json_schema_extra={
            "unit": "format",
            "source": "fp16: binary16, 16 bits in E-PUR, PACT 2018; int8, int4: weights of 8 or 4 bits, inputs of 8",
            "certainty": "choice",
        },
    )
    clock_period_ps: int = annotated(2000, unit="ps", source="500 MHz, E-PUR, PACT 2018", certainty="B", ge=1)
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
    computation_units: int = annotated(
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
        """Convert False to None, because TOML has no None: `fmu = false` means no memoization unit."""
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
                raise ValueError(
                    "weight_buffer.banks = 1: with dispatch = 'shared' two units read one buffer, need 2 or more"
                )
            if self.dataflow != "step":
                raise ValueError(f"dispatch = 'shared', dataflow = {self.dataflow!r}: need dataflow = 'step'")
        return self

    @property
    def clock(self) -> Clock:
        """Clock domain of the accelerator."""
        return Clock(self.clock_period_ps)

    @property
    def numbers(self) -> Precision:
        """Bits of weights, inputs and memoized products."""
        return precision_of(self.precision)

    def at_precision(self, precision: str) -> ArchSpec:
        """Return the machine on which a run in this precision is simulated, with ports and buffers as they are.

        A machine of binary16 is rebuilt: its dot product and delta units get as many lanes as its ports feed in the
        other format. A machine of another format stays what it is. Raises ConfigError where that is not the run's.
        """
        numbers = precision_of(precision)
        if numbers.name == self.precision:
            return self
        if self.precision != FP16.name:
            fitting = f"need precision {self.precision}, or a machine of fp16"
            raise ConfigError(f"precision = {precision!r}: {self.name} computes in {self.precision}: {fitting}")
        wider = FP16.lane_bits // numbers.lane_bits
        dpu = self.dpu.model_copy(update={"lanes": self.dpu.lanes * wider})
        delta = self.delta and self.delta.in_format(wider, FP16.weight_bits // numbers.weight_bits)
        return self.model_copy(update={"precision": numbers.name, "dpu": dpu, "delta": delta})

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
        node[last] = plain(value)
        if field == "dram.preset":  # a preset sets all fields of the memory
            data["dram"] = {last: value}
        replaced = parse_arch(data, self.name)
        if self.fmu is None or replaced.fmu is None:
            return replaced
        return replaced.model_copy(update={"fmu": replaced.fmu.with_predictor_of(self.fmu)})

    @property
    def predictor_planes(self) -> int:
        """Bits kept per weight for a predictor, its sign included; 0 without one that reads weights."""
        return self.fmu.predictor.planes if self.fmu else 0

    def with_predictor(self, predictor: Predictor, n_inputs: int) -> ArchSpec:
        """Return the architecture with a policy's predictor in its memoization units, if it has any."""
        fitted = self.fmu and self.fmu.fitted(predictor.in_format(self.numbers), n_inputs)
        return self.model_copy(update={"fmu": fitted})

    def without_memo(self) -> ArchSpec:
        """Return the baseline: this machine without memoization and delta units."""
        dataflow = self.dataflow if self.baseline_dataflow == "same" else self.baseline_dataflow
        return self.model_copy(update={"fmu": None, "delta": None, "dataflow": dataflow, "dispatch": "gate"})


def parse_arch(data: dict[str, Any], where: str) -> ArchSpec:
    """Check a nested dictionary and return its spec; raise ConfigError, whose message starts with `where`."""
    try:
        return ArchSpec.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error, ArchSpec)}") from None
    except UnknownNameError as error:  # of a memory
        raise ConfigError(f"{where}: dram.preset: {error}") from None


def fields_of(spec: Spec, prefix: str = "") -> dict[str, tuple[object, dict[str, str]]]:
    """Return every field by dotted name, with its value and its unit, source and certainty."""
    fields: dict[str, tuple[object, dict[str, str]]] = {}
    for name, info in type(spec).model_fields.items():
        value = getattr(spec, name)
        if isinstance(value, Spec):
            fields |= fields_of(value, f"{prefix}{name}.")
        else:
            extra = info.json_schema_extra
            fields[f"{prefix}{name}"] = (value, dict(extra) if isinstance(extra, dict) else {})  # type: ignore[arg-type]
    return fields
