"""Known answers of SEMANTICS.md, made by an independent numpy program (tests/golden/vectors/README.md)."""

from pathlib import Path

import numpy as np
import pytest

import archsim
from archsim.ir.cells import cell_named
from archsim.ir.layers import Layer, make_direction
from archsim.ir.network import Network

VECTORS = sorted(Path(__file__).parent.glob("vectors/*.npz"))


@pytest.mark.parametrize("path", VECTORS, ids=lambda p: p.stem)
@pytest.mark.parametrize("detail", ["block", "neuron"])
def test_decisions_outputs_and_cycles_equal_the_known_answers(path, detail):
    _, cell_name, policy, precision, _ = path.stem.split("-")
    known, cell = np.load(path), cell_named(cell_name)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    direction = make_direction(path.stem, cell, {name: known[name] for name in names})
    inputs, units = direction.weight_ih.shape[1], direction.weight_hh.shape[1]
    network = Network(path.stem, (Layer("l0", cell, inputs, units, (direction,)),))
    trace = archsim.Trace.from_arrays([known["x"]])
    theta = float(known["threshold"])
    result = archsim.simulate(network, trace, policy=policy, threshold=theta, precision=precision, detail=detail)
    baseline = archsim.simulate(network, trace, policy="none", precision=precision, detail=detail)

    np.testing.assert_array_equal(result.activity.reused(0, 0, 0), known["reused"])
    np.testing.assert_allclose(result.outputs[0], known["outputs"], atol=1e-3 if precision == "fp16" else 1e-5)
    np.testing.assert_array_equal(result.timing.step_end_cycles(0, 0, 0), known["step_end_cycles"])
    np.testing.assert_array_equal(baseline.timing.step_end_cycles(0, 0, 0), known["baseline_step_end_cycles"])
