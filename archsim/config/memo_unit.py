"""The fuzzy memoization unit of a computation unit."""

from __future__ import annotations

from archsim.config.field import Spec, annotated
from archsim.config.predictor import MOST_BITS, Predictor
from archsim.units import KIB, ceil_div


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
        most=MOST_BITS,
    )
    bit_operations: int = annotated(
        1,
        unit="operations",
        source="of a bit of a weight with an input: 1, or as many as the policy needs",
        certainty="choice",
        ge=1,
        most=MOST_BITS,
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
