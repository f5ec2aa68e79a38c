"""Predictors with a few bits: codes of weights and inputs, whose scales are folded away (docs/predictors.md).

The level spacing of the input quantiser is folded into the weights before they are quantised. A prediction is then an
integer times one scale per neuron; the relative change is a ratio, so the scale is dropped.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.config.predictor import BitPlanePredictor
from archsim.errors import ConfigError
from archsim.kernels.arrays import F32, U64
from archsim.kernels.numerics.fp16 import FP16_MAX, to_fp16
from archsim.kernels.prediction.bitplanes import (
    MAX_CODE_BITS,
    mean_magnitudes,
    pack_joint_codes,
    pack_joint_ternary,
)
from archsim.kernels.prediction.reuse_decider import CODES, NO_CORRECTION, NO_LEVELS, TERNARY, PredictorNetwork
from archsim.policies.predicted import DRIFT_BYTES, PredictedPolicy
from archsim.policies.protocol import PassContext

TERNARY_INPUT, TERNARY_WEIGHT = 0.6, 0.7
"""Least magnitude that counts, as a share of a mean: that of x or h on calibration data, that of a row of weights."""
MAX_CORRECTING_BITS = 6
"""Most bits with `correct=on`: beyond, binary16 rounds the unit of a correction by more than 0.6 %."""
INT32_MAX = (1 << 31) - 1
TINY = np.finfo(np.float32).tiny
"""Lower bound of an input's level spacing and of a row's mean, so that nothing is divided by zero."""
LEVEL_SPACING = {2: 1.0, 3: 0.6, 4: 0.35, 5: 0.2, 6: 0.1, 7: 0.05, 8: 0.025}
"""Level spacing of a quantiser by bits, as a share of the same means."""


class TernaryPolicy(PredictedPolicy):
    """Policy that predicts with a ternary network: signs, and a mask of numbers too small to count."""

    name = "ternary"
    predictor_kind = TERNARY
    needs_scales = True

    def __init__(self, *, throttle: bool = True, guard: int = 0) -> None:
        super().__init__(throttle=throttle, guard=guard)

    @property
    def predictor(self) -> BitPlanePredictor:
        """Hardware with two planes: XNOR of the signs, AND of the masks."""
        return BitPlanePredictor(planes=2, drift_bytes=DRIFT_BYTES if self.throttle else 0)

    def predictor_network(self, context: PassContext) -> PredictorNetwork:
        """Return signs and masks of the weights."""
        folded = _fold(context, TERNARY_INPUT)
        least = np.float32(TERNARY_WEIGHT) * folded.means
        return _predictor_network(folded, pack_joint_ternary(folded.weight_ih, least, folded.weight_hh, least))


class LowBitPolicy(PredictedPolicy):
    """Policy that predicts with a network of a few bits per weight and input.

    correct: whether a reused product is the memoized one plus the change of the prediction, in its unit.
    """

    name = "lowbit"
    predictor_kind = CODES
    needs_scales = True

    def __init__(self, *, bits: int = 3, throttle: bool = True, correct: bool = False, guard: int = 0) -> None:
        super().__init__(throttle=throttle, guard=guard, bits=bits, correct=correct)
        if bits not in LEVEL_SPACING:
            raise ConfigError(
                f"policy {self.name!r}: bits = {bits}: need 2 to {MAX_CODE_BITS}; one bit is policy 'bnn'"
            )
        if correct and bits > MAX_CORRECTING_BITS:
            raise ConfigError(
                f"policy {self.name!r}: bits = {bits}: need 2 to {MAX_CORRECTING_BITS} where correct = on"
            )
        self.bits = bits
        self.correct = correct

    @property
    def predictor(self) -> BitPlanePredictor:
        """Hardware with a plane per bit, each of which is combined with every bit of an input."""
        largest = ((1 << self.bits) - 1) ** 2
        return BitPlanePredictor(
            planes=self.bits,
            bit_operations=self.bits,
            largest_product=largest,
            drift_bytes=DRIFT_BYTES if self.throttle else 0,
            corrects=self.correct,
        )

    def predictor_network(self, context: PassContext) -> PredictorNetwork:
        """Return the codes of the weights."""
        bits, n_inputs = self.bits, context.weight_ih.shape[1] + context.weight_hh.shape[1]
        # Twice, because the difference of two predictions has to fit, too; each lies in ±N·largest².
        if 2 * n_inputs * ((1 << bits) - 1) ** 2 > INT32_MAX:
            raise ConfigError(f"policy 'lowbit': {bits} bits of {n_inputs} inputs outgrow int32: need fewer bits")
        folded = _fold(context, LEVEL_SPACING[bits])
        spacings = np.float32(LEVEL_SPACING[bits]) * folded.means
        planes = pack_joint_codes(folded.weight_ih, spacings, folded.weight_hh, spacings, bits)
        if not self.correct:
            return _predictor_network(folded, planes)
        # Both codes count half spacings, so their product counts quarters. The machine keeps the scale as binary16.
        scale = to_fp16(np.minimum(spacings / np.float32(4), np.float32(FP16_MAX)))
        return _predictor_network(folded, planes, scale)


class _FoldedWeights(NamedTuple):
    """Weights multiplied by the level spacings of their inputs, and the spacings themselves."""

    x_spacing: np.float32
    h_spacing: np.float32
    weight_ih: F32
    weight_hh: F32
    means: F32
    """Mean magnitude of each row, (G·H,)."""


def _fold(context: PassContext, share: float) -> _FoldedWeights:
    assert context.scales is not None, "checked before any pass begins"
    x_spacing, h_spacing = (np.maximum(np.float32(share) * np.float32(scale), TINY) for scale in context.scales)
    weight_ih, weight_hh = context.weight_ih * x_spacing, context.weight_hh * h_spacing
    means = np.maximum(mean_magnitudes(weight_ih, weight_hh), TINY)
    return _FoldedWeights(x_spacing, h_spacing, weight_ih, weight_hh, means)


def _predictor_network(folded: _FoldedWeights, planes: U64, correction_scale: F32 = NO_CORRECTION) -> PredictorNetwork:
    """Return the network of these planes, (planes, G·H, words) transposed to (planes, words, G·H) for kernels."""
    weights_t = np.ascontiguousarray(planes.transpose(0, 2, 1))
    return PredictorNetwork(weights_t, folded.x_spacing, folded.h_spacing, correction_scale, NO_LEVELS)
