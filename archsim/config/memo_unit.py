"""The fuzzy memoization unit of a computation unit."""

from __future__ import annotations

from pydantic import PrivateAttr

from archsim.config.field import Spec, annotated
from archsim.config.predictor import MAX_UNIT_BITS, BitPlanePredictor, Predictor
from archsim.errors import ConfigError
from archsim.units import KIB, ceil_div
from archsim.validation import whole_number


class FmuSpec(Spec):
    """Fuzzy memoization unit of a computation unit."""

    width_bits: int = annotated(
        2048, unit="bit/cycle", source="MICRO 2019 paper, binary dot product", certainty="B", ge=1
    )
    latency_cycles: int = annotated(5, unit="cycle", source="MICRO 2019 paper", certainty="B", ge=1)
    run_ahead: int = annotated(16, unit="decisions", source="SEMANTICS 2.2, Q", certainty="choice", ge=1)
    planes: int = annotated(
        1,
        unit="bit/weight",
        source="SEMANTICS 2.2, P: 1, the sign, or as many as the policy needs",
        certainty="choice",
        ge=1,
        most=MAX_UNIT_BITS,
    )
    bit_operations: int = annotated(
        1,
        unit="operations",
        source="of a bit of a weight with an input: 1, or as many as the policy needs",
        certainty="choice",
        ge=1,
        most=MAX_UNIT_BITS,
    )
    correctors: int = annotated(
        0,
        unit="multiply-adds",
        source="of a reused product by the change of its prediction; as the policy needs",
        certainty="choice",
        most=1,
    )
    pass_on_cycles: int = annotated(1, unit="cycle", source="SEMANTICS 2.2, c_r", certainty="choice", ge=1)
    memo_buffer_bytes: int = annotated(8 * KIB, unit="byte", source="MICRO 2019 paper", certainty="B", ge=1)
    memo_entry_bytes: int = annotated(
        8,
        unit="byte",
        source="y as binary16, prediction as int16, drift as float32; at least what the predictor needs",
        certainty="choice",
        ge=1,
    )
    sign_bank_width_bits: int = annotated(
        256,
        unit="bit",
        source="eight banks of 16 KiB x 256 b make a 2048-bit read, docs/reference",
        certainty="choice",
        ge=1,
    )

    _predictor: Predictor = PrivateAttr(default_factory=BitPlanePredictor)

    @property
    def predictor(self) -> Predictor:
        """Predictor in the unit, with at least what the fields above give it."""
        return self._predictor.built_into(self)

    def with_predictor(self, predictor: Predictor) -> FmuSpec:
        """Return the unit with another predictor and all fields as they are."""
        unit = self.model_copy()
        unit._predictor = predictor
        return unit

    def with_predictor_of(self, unit: FmuSpec) -> FmuSpec:
        """Return the unit with the predictor of another and all fields as they are."""
        return self.with_predictor(unit._predictor)

    def fitted(self, predictor: Predictor, n_inputs: int) -> FmuSpec:
        """Return the unit with a predictor for at most `n_inputs` inputs per neuron, and a memo as deep as before.

        Raises ConfigError for a predictor whose cost makes no sense.
        """
        built = predictor.built_into(self)
        check_predictor(built, self, n_inputs)
        entry = max(self.memo_entry_bytes, built.memo_entry_bytes(n_inputs))
        update = {
            **built.unit_fields(),
            "correctors": int(built.corrects),
            "memo_entry_bytes": entry,
            "memo_buffer_bytes": ceil_div(self.memo_buffer_bytes * entry, self.memo_entry_bytes),
        }
        return self.model_copy(update=update).with_predictor(predictor)


def check_predictor(predictor: Predictor, fmu: FmuSpec, n_inputs: int) -> None:
    """Raise ConfigError for a stated cost that is no whole number, or too small."""
    stated = [
        ("planes", predictor.planes, 0),
        ("issue_cycles", predictor.issue_cycles(fmu, n_inputs), 1),
        ("memo_entry_bytes", predictor.memo_entry_bytes(n_inputs), 1),
    ]
    stated += [("constant_bytes", predictor.constant_bytes(n_inputs), 0)]
    actions = [*predictor.actions(fmu, n_inputs), *predictor.input_actions(fmu, n_inputs)]
    actions += predictor.pass_actions(fmu, n_inputs)
    stated += [(f"actions of {component}.{action}", number, 0) for component, action, number in actions]
    stated += [(f"parts of {component}", number, 0) for component, number in predictor.parts(fmu).items()]
    for name, value, least in stated:
        if whole_number(value) is None or value < least:
            raise ConfigError(
                f"predictor {type(predictor).__name__}: {name} = {value!r}: need a whole number >= {least}"
            )
