"""Effective weights of a recurrent torch module: those its products use, after all parametrisations.

Pruning, weight and spectral normalisation and other parametrisations keep other tensors than the module uses, and some
refresh them only when the module is called. The module is therefore called once, and compared with a plain module of
the weights found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from archsim.errors import NetworkError
from archsim.ir.cells import TORCH_CELLS, Cell

RAW = "_raw"
"""Suffix of the parameter that a dropout of weights keeps beside the weight it drops from."""
STEPS = 5
"""Steps of the sequences that the module is called with."""
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10, torch.float16: 1e-2, torch.bfloat16: 1e-1}
"""Difference of outputs that rounding explains, by type, of outputs up to 1."""
CLASSES = tuple(dict.fromkeys(cell.torch_class for cell in TORCH_CELLS))
"""Names of the modules of `torch.nn` that compute a cell; each has a variant for one step, as `LSTMCell`."""
PLAIN = ", ".join(f"nn.{name}" for name in CLASSES)
BAKE_IN = (
    "bake them in first, as with torch.nn.utils.parametrize.remove_parametrizations(module, NAME), prune.remove or "
    f"remove_weight_norm, or copy what it computes with into a plain {PLAIN}"
)


def torch_class(cell: Cell) -> type[Any]:
    """Return the torch module class of a cell; NetworkError for one that torch does not compute."""
    if not cell.torch_class:
        raise NetworkError(f"no module of torch computes a {cell.name}; accepted: {PLAIN}")
    module_class: type[Any] = getattr(nn, cell.torch_class)
    return module_class


def plain_class(module: nn.Module) -> type[Any] | None:
    """Return the class of `torch.nn` that a module is, `nn.LSTM` or `nn.LSTMCell` for one; None for any other."""
    names = [f"{name}{end}" for name in CLASSES for end in ("", "Cell")]
    return next((getattr(nn, name) for name in names if isinstance(module, getattr(nn, name))), None)


def cells_of(class_name: str, nonlinearity: object = None) -> list[Cell]:
    """Return the cells that a torch class of this name computes, with `nonlinearity` where that is known."""
    name = class_name.removesuffix("Cell")
    return [cell for cell in TORCH_CELLS if cell.torch_class == name and nonlinearity in (None, cell.nonlinearity)]


def weight_names(module: nn.Module) -> list[str]:
    """Return torch's names of the weights of a recurrent module or cell."""
    if isinstance(module, nn.RNNBase):
        return list(module._flat_weights_names)
    return ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]


def effective_weights(module: nn.Module, kind: type[Any], where: str) -> tuple[dict[str, Tensor], Cell]:
    """Return the weights of `module`, a `kind`, in evaluation, by torch's names, and its cell; leave it as it was.

    Raises NetworkError, which lists the tensors there are, where a plain module with these weights computes something
    else: for a `forward` or hook of its own, learned initial states, or a weight that cannot be found.
    """
    if type(module).forward is not kind.forward or "forward" in vars(module):
        raise _refused(module, where, "has a forward of its own, which is not simulated")
    if any(tensor.is_meta or nn.parameter.is_lazy(tensor) for tensor in module.parameters()):
        raise _refused(module, where, "has weights without values: load or initialise them first")
    with torch.no_grad(), torch.random.fork_rng(devices=[]), _evaluating(module):
        some = next(module.parameters())
        x = trial_inputs(module.input_size).to(some.device, some.dtype)
        try:
            outputs = outputs_of(module, x)
            weights = {name: getattr(module, name).detach().clone() for name in weight_names(module)}
            expected = outputs_of(_plain(module, kind, weights), x)
        except (AttributeError, RuntimeError, TypeError) as error:
            raise _refused(module, where, f"cannot be run: {error}") from None
    difference = largest_difference(outputs, expected)
    if not difference <= tolerance(expected):
        raise _refused(
            module, where, f"computes something else than its weights say (outputs differ by {difference:.2g})"
        )
    (cell,) = cells_of(kind.__name__, getattr(module, "nonlinearity", None))
    return weights, cell


def trial_inputs(size: Any) -> Tensor:
    """Return the inputs (STEPS, 2, size) that a module is called with, in float64."""
    # Any inputs do that every weight acts on. These are not random, so that the result is always the same.
    return torch.sin(torch.arange(STEPS * 2 * size, dtype=torch.float64)).reshape(STEPS, 2, -1)


def outputs_of(module: Any, x: Tensor) -> Tensor:
    """Return the outputs of all steps of a recurrent module, or of a cell called step by step; x is (T, B, I)."""
    if isinstance(module, nn.RNNCellBase):
        return cell_outputs(module, x)
    outputs: Tensor = module(x.transpose(0, 1) if module.batch_first else x)[0]
    return outputs


def cell_outputs(cell: Any, x: Tensor) -> Tensor:
    """Return the outputs of all steps of a cell, (T, B, H)."""
    state, outputs = None, []
    for row in x:
        state = cell(row, state)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(outputs)


def tolerance(expected: Tensor) -> float:
    """Return the difference from these outputs that rounding explains; those of a ReLU may be larger than 1."""
    return TOLERANCE.get(expected.dtype, 0.0) * max(1.0, float(expected.abs().max()))


def largest_difference(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference of two tensors, NaN equal to NaN; NaN for tensors of different shape."""
    if ours.shape != theirs.shape:
        return math.nan
    same = ours.isnan() & theirs.isnan()
    return float((ours - theirs).abs().masked_fill(same, 0.0).max())


def _plain(module: nn.Module, kind: type[Any], weights: dict[str, Tensor]) -> nn.Module:
    """Return a plain module of the same shape with these weights."""
    options: dict[str, Any] = {"bias": module.bias}
    if hasattr(module, "nonlinearity"):
        options["nonlinearity"] = module.nonlinearity
    if isinstance(module, nn.RNNBase):
        layout = ("num_layers", "batch_first", "bidirectional")
        options |= {name: getattr(module, name) for name in layout}
        if module.proj_size:  # which only an nn.LSTM takes
            options["proj_size"] = module.proj_size
    plain: nn.Module = kind(module.input_size, module.hidden_size, **options)
    plain.load_state_dict(weights)
    example = next(iter(weights.values()))
    return plain.to(example.device, example.dtype).eval()


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Switch a module to evaluation, with weights that a dropout keeps apart in place; restore it afterwards."""
    names, own = weight_names(module), vars(module)
    training = {part: part.training for part in module.modules()}
    flat = {name: list(own[name]) for name in ("_flat_weights", "_flat_weight_refs") if name in own}
    kept = {name: own[name] for name in names if name in own}
    raw = [name for name in names if f"{name}{RAW}" in module._parameters]
    try:
        module.eval()
        for name in raw:
            setattr(module, name, getattr(module, f"{name}{RAW}").detach())
        yield
    finally:
        for name in names:
            own.pop(name, None)
        own.update(kept | flat)
        for part, was in training.items():
            part.training = was


def _refused(module: nn.Module, where: str, what: str) -> NetworkError:
    plain = set(weight_names(module))
    others = [name for name, _ in (*module.named_parameters(), *module.named_buffers()) if name not in plain]
    found = f"; it keeps {', '.join(others)}: {BAKE_IN}" if others else f"; need a plain {PLAIN}"
    return NetworkError(f"{where}: {type(module).__name__} {what}{found}")
