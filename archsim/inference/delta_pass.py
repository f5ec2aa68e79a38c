"""Pass of one (layer, direction) over a batch, column-skipping: changed inputs update the sums of products."""

from __future__ import annotations

import numpy as np

from archsim.config.delta_unit import MAX_TAIL_BITS
from archsim.errors import ConfigError
from archsim.inference.batching import Batch
from archsim.inference.recurrent_pass import begin_state, step_by_step, update_cells
from archsim.inference.weights import StoredWeights, tail_weights
from archsim.ir.layers import Layer, State
from archsim.kernels.arrays import F32, I8, U8, Bools, CodeSums
from archsim.kernels.numerics.integer_tiles import TILE
from archsim.kernels.numerics.rounding import stored, stored_levels
from archsim.kernels.prediction.delta_update import add_changes, add_code_changes
from archsim.kernels.prediction.tail_update import TailScales, add_tail
from archsim.policies.columns import ColumnContext, ColumnPolicy, ColumnStep
from archsim.policies.protocol import declaration
from archsim.policies.tail import code_sum_type, code_values, codes_per_threshold, largest_remainder
from archsim.units import ceil_div


class ColumnSkippingPass:
    """A pass whose policy skips columns of weights. It keeps each input as last propagated and the sums of products.

    Sums start at 0 and live for this pass only. Raises ConfigError for a policy that breaks its contract.
    """

    def __init__(
        self,
        layer: Layer,
        weights: StoredWeights,
        policy: ColumnPolicy,
        threshold: float,
        size: int,
        *,
        start: State | None = None,
    ) -> None:
        self.layer = layer
        self.weights = weights
        self.policy = policy
        self.pass_policy = policy.begin(
            ColumnContext(
                n_inputs=layer.joint_size,
                batch=size,
                threshold=threshold,
                weight_ih=weights.weight_ih,
                weight_hh=weights.weight_hh,
                input_weights=weights.input_weights,
            )
        )
        if not (hasattr(self.pass_policy, "represent") and hasattr(self.pass_policy, "decide")):
            began = f"policy {policy.name!r} began a pass with {self.pass_policy!r}"
            raise ConfigError(f"{began}: need an object with represent(inputs) and decide(step)")
        self.state = begin_state(layer, weights, size, start)
        self.bytes_per_step = ceil_div(layer.joint_size, 8)
        self.propagated = np.zeros((size, layer.joint_size), np.float32)
        self.sums = ColumnSums(weights, size)
        bits = declaration(policy).tail_bits
        if bits not in range(MAX_TAIL_BITS + 1):
            raise ConfigError(f"policy {policy.name!r} declares tail_bits = {bits!r}: need 0 to {MAX_TAIL_BITS}")
        self.tail = TailSums(layer, weights, bits, threshold, size) if bits else None

    def stored_inputs(self, inputs: F32) -> F32:
        """Return inputs (rows, I) as the machine stores them for this layer."""
        return stored(inputs, self.weights.x_rounding)

    def input_products(self, inputs: F32) -> F32:
        """Return no products, (rows, I) to (rows, 0), because each step decides which of its inputs enter."""
        return np.empty((inputs.shape[0], 0), np.float32)

    def run(self, window: Batch, inputs: F32, products: F32) -> tuple[F32, U8]:
        """Run the steps of a window from step-major rows; return step-major h and bit-packed skips."""
        return step_by_step(self, window, inputs, products)

    def advance(self, index: int, inputs: F32, products: F32) -> tuple[F32, U8]:
        """Run step `index` of the first B sequences from their inputs (B, I).

        Returns h (B, H), a view that the next step overwrites, and bit-packed skips (B, bytes), where 1 means skipped.
        """
        B = inputs.shape[0]
        values = self._represented(np.hstack([inputs, self.state.h[:B]]))
        skipped = self.pass_policy.decide(ColumnStep(index, values, self.propagated[:B]))
        self._check_skips(index, skipped, values.shape)
        products = self.sums.updated(values, self.propagated[:B], skipped)
        if self.tail is not None:
            products = self.tail.added(products, values, self.propagated[:B])
        h = update_cells(self.layer, self.weights, products.reshape(B, self.layer.cell.n_products, -1), self.state)
        return h, np.packbits(skipped, axis=1)

    def _represented(self, inputs: F32) -> F32:
        values = self.pass_policy.represent(inputs)
        if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.shape != inputs.shape:
            raise ConfigError(
                f"policy {self.policy.name!r} represents inputs by {_given(values)}, "
                f"need float32 of shape {inputs.shape}"
            )
        return values if values is inputs else self.sums.as_stored(values)

    def _check_skips(self, index: int, skipped: Bools, shape: tuple[int, ...]) -> None:
        """Raise ConfigError for skips that no kernel could read, or that break the contract."""
        if not isinstance(skipped, np.ndarray) or skipped.dtype != np.bool_ or skipped.shape != shape:
            raise ConfigError(f"policy {self.policy.name!r} decided {_given(skipped)}, need bool of shape {shape}")
        if index == 0 and skipped.any():
            raise ConfigError(f"policy {self.policy.name!r} skips columns at step 0, where every sum is empty")


class ColumnSums:
    """Sums of products of a pass in float32; or in integers, which stay exact however many changes are added."""

    def __init__(self, weights: StoredWeights, size: int) -> None:
        of_x = weights.of_x
        self.weights = weights
        self.is_integer = bool(of_x.spacing)
        self.n_x = weights.weight_ih.shape[1]
        self.products = np.zeros((size, of_x.n_products), np.float32)
        """Products of the last step, (B, P·H): the sums themselves, unless those are integers."""
        self.code_sums = np.zeros((size, 2, len(of_x.tiles) * TILE), np.int32)
        """Sums over x and over h, (B, 2, P·H and more); empty unless they are integers."""

    def as_stored(self, values: F32) -> F32:
        """Return represented values of [x; h] (B, N) as an input buffer holds them."""
        if not self.is_integer:
            return values
        return stored_levels(values, self.n_x, self.weights.of_x.spacing, self.weights.of_h.spacing)

    def updated(self, values: F32, propagated: F32, skipped: Bools) -> F32:
        """Return the products (B, P·H) after the changes of the elements that are not skipped, until the next step.

        `propagated` becomes the value of each element that enters.
        """
        B, weights = len(values), self.weights
        products, sums = self.products[:B], self.code_sums[:B]
        if self.is_integer:
            add_code_changes(values, propagated, skipped, self.n_x, (weights.of_x, weights.of_h), sums, products)
        else:
            add_changes(values, propagated, skipped, weights.joint_columns, products)
        return products


class TailSums:
    """Low-bit tail of a pass: products of what has not entered, as codes of `bits` bits (SEMANTICS 1.4)."""

    def __init__(self, layer: Layer, weights: StoredWeights, bits: int, threshold: float, size: int) -> None:
        self.codes_t, spacings = tail_weights(layer, weights, bits)
        largest = np.float32(largest_remainder(bits))
        values = code_values(spacings, threshold, bits)
        self.scales = TailScales(weights.input_weights, codes_per_threshold(threshold, bits), largest, values)
        self.remainders: I8 = np.zeros((size, layer.joint_size), np.int8)
        """Code of what has not entered of each element, (B, N)."""
        self.code_sums: CodeSums = np.zeros((size, len(spacings)), code_sum_type(layer.joint_size, bits))
        self.products = np.zeros((size, len(spacings)), np.float32)

    def added(self, products: F32, values: F32, propagated: F32) -> F32:
        """Return products (B, P·H) plus the tail of values - propagated, which are 0 where an element has just entered.

        The next step overwrites them.
        """
        B = len(values)
        remainders, code_sums, out = self.remainders[:B], self.code_sums[:B], self.products[:B]
        add_tail(values, propagated, self.codes_t, self.scales, remainders, code_sums, products, out)
        return out


def _given(values: object) -> str:
    return f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else repr(values)
