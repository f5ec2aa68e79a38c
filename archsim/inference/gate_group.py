"""Gates of a pass that are decided together: their policy, memo and weights of h.

Most cells have one group. A GRU with reset before the product has two, because its candidate reads r ⊙ h in place of h:
to a policy they are two passes, each with the inputs that its neurons read.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from archsim.errors import ConfigError
from archsim.inference.weights import StoredWeights
from archsim.ir.layers import Layer, State
from archsim.kernels.arrays import F32, Bools
from archsim.kernels.numerics.products import accumulate, select_products
from archsim.kernels.prediction.recurrent_steps import PassArrays
from archsim.kernels.prediction.reuse_decider import ReuseDecider, check_reuse_decider
from archsim.kernels.prediction.reuse_rule import apply_memo
from archsim.policies.kernel_pass import KernelPass
from archsim.policies.protocol import PassContext, ReusePolicy, Step, correction_of


def group_contexts(context: PassContext, layer: Layer) -> list[PassContext]:
    """Return the context of each group of gates of a pass."""
    n_units = layer.hidden_size
    contexts = []
    for gates in layer.cell.gate_groups:
        rows = slice(gates.start * n_units, gates.stop * n_units)
        contexts.append(
            replace(
                context,
                weight_ih=context.weight_ih[rows],
                weight_hh=context.weight_hh[rows],
                n_gates=gates.stop - gates.start,
                thresholds=context.thresholds[gates],
            )
        )
    return contexts


class GateGroup:
    """Gates `gates` of a pass in progress. Their memos start empty and live for this pass only (SEMANTICS 1.4).

    Raises ConfigError for a policy that breaks its contract.
    """

    def __init__(
        self,
        gates: slice,
        layer: Layer,
        weights: StoredWeights,
        policy: ReusePolicy,
        context: PassContext,
        state: State,
        *,
        fp16_memo: bool,
    ) -> None:
        self.policy = policy
        self.pass_policy = policy.begin(context)
        if not hasattr(self.pass_policy, "decide"):
            began = f"policy {policy.name!r} began a pass with {self.pass_policy!r}"
            raise ConfigError(f"{began}: need an object with decide(step)")
        self.n_gates = context.n_gates
        self.decider = self._decider(context, layer)
        of_product = layer.cell.product_gates
        products = np.flatnonzero((of_product >= gates.start) & (of_product < gates.stop))
        self.columns = slice(int(products[0]) * layer.hidden_size, int(products[-1] + 1) * layer.hidden_size)
        """Columns of the weights and of the products that belong to these gates."""
        self.arrays = PassArrays(
            hidden=select_products(weights.of_h, self.columns),
            gate_of_product=of_product[products] - gates.start,
            memo=np.zeros((context.batch, products.size, layer.hidden_size), np.float32),
            c=state.c,
            h=state.h,
            update=weights.update,
            fp16_memo=fp16_memo,
        )

    def _decider(self, context: PassContext, layer: Layer) -> ReuseDecider | None:
        """Return the decider of the kernel; None for a plug-in whose own `decide` has to be called."""
        if type(self.pass_policy) is not KernelPass or "decide" in vars(self.pass_policy):
            return None
        decider = self.pass_policy.decider
        try:
            check_reuse_decider(decider, context.batch, context.n_gates, layer.hidden_size, layer.joint_size)
        except ValueError as error:
            raise ConfigError(f"policy {self.policy.name!r} began a pass that does not fit: {error}") from None
        return decider

    def finish_products(self, index: int, x: F32, h: F32, products: F32) -> Bools:
        """Complete the products (B, P·H) of all gates with those that these gates read of `h` (B, H), in Python.

        h: r ⊙ h where these gates read that. Products become memoized ones where reused. Returns the decisions.
        """
        arrays, B = self.arrays, len(x)
        own = np.ascontiguousarray(products[:, self.columns])
        accumulate(h, arrays.hidden, own)
        by_product, memo = own.reshape(B, -1, arrays.memo.shape[2]), arrays.memo[:B]
        step = Step(index, x, h, by_product, memo, self.n_gates)
        reused = self.pass_policy.decide(step)
        _check_decision(self.policy, step, reused)
        correction = correction_of(self.pass_policy)
        _check_correction(self.policy, step, correction)
        apply_memo(by_product, memo, reused, arrays.gate_of_product, arrays.fp16_memo, correction)
        products[:, self.columns] = own
        return reused


def _check_correction(policy: ReusePolicy, step: Step, correction: object) -> None:
    if correction is None:
        return
    if not isinstance(correction, np.ndarray) or (correction.dtype, correction.shape) != (np.float32, step.shape):
        given = f"{correction.dtype} of shape {correction.shape}" if isinstance(correction, np.ndarray) else correction
        raise ConfigError(f"policy {policy.name!r} corrects by {given}, need float32 of shape {step.shape}")


def _check_decision(policy: ReusePolicy, step: Step, reused: Bools) -> None:
    """Raise ConfigError for decisions of a plug-in that no kernel could read, or that break the contract."""
    if not isinstance(reused, np.ndarray) or reused.dtype != np.bool_ or reused.shape != step.shape:
        given = f"{reused.dtype} of shape {reused.shape}" if isinstance(reused, np.ndarray) else repr(reused)
        raise ConfigError(f"policy {policy.name!r} decided {given}, need bool of shape {step.shape}")
    if step.index == 0 and reused.any():
        raise ConfigError(f"policy {policy.name!r} reuses neurons at step 0, where every memo is empty")
    check_unit(policy, reused)


def check_unit(policy: ReusePolicy, reused: Bools) -> None:
    """Raise ConfigError for reuse by a policy that says it needs no memoization unit."""
    if not policy.uses_memo_unit and reused.any():
        raise ConfigError(f"policy {policy.name!r} reuses neurons but says it needs no memoization unit")
