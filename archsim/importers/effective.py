"""Effective weights of a recurrent torch module: those its products use, after all parametrisations.

Pruning, weight and spectral normalisation and other parametrisations keep other tensors than the module uses, and some
refresh them only when the module is called. The module is therefore called once, and compared with a plain module of
the weights found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from archsim.errors import NetworkError
from archsim.ir.cells import CELLS, Cell

RAW = "_raw"
"""Suffix of the parameter that a dropout of weights keeps beside the weight it drops from."""
STEPS = 5
"""Steps of the sequences that the module is called with."""
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10, torch.float16: 1e-2, torch.bfloat16: 1e-1}
"""Difference of outputs that rounding explains, by type; outputs are at most 1."""
PLAIN = " or ".join(f"nn.{cell.torch_class}" for cell in CELLS.values())
BAKE_IN = (
    "bake them in first, as with torch.nn.utils.parametrize.remove_parametrizations(module, NAME), prune.remove or "
    f"remove_weight_norm, or copy what it computes with into a plain {PLAIN}"
)


def torch_class(cell: Cell) -> type[Any]:
    """Return the torch module class of a cell."""
    module_class: type[Any] = getattr(nn, cell.torch_class)
    return module_class


def cell_of(module: nn.Module) -> Cell | None:
    """Return the cell of a recurrent torch module, None for any other."""
    return next((cell for cell in CELLS.values() if isinstance(module, torch_class(cell))), None)


def effective_weights(module: nn.RNNBase, cell: Cell, where: str) -> dict[str, Tensor]:
    """Return the weights of `module` in evaluation, by torch's names, and leave the module as it was.

    Raises NetworkError, which lists the tensors there are, where a plain module with these weights computes something
    else: for a `forward` or hook of its own, learned initial states, or a weight that cannot be found.
    """
    kind = torch_class(cell)
    if type(module).forward is not kind.forward or "forward" in vars(module):
        raise _refused(module, where, "has a forward of its own, which is not simulated")
    if any(tensor.is_meta or nn.parameter.is_lazy(tensor) for tensor in module.parameters()):
        raise _refused(module, where, "has weights without values: load or initialise them first")
    with torch.no_grad(), torch.random.fork_rng(devices=[]), _evaluating(module):
        some = next(module.parameters())
        # Any inputs do that every weight acts on. These are not random, so that the result is always the same.
        x = torch.sin(torch.arange(STEPS * 2 * module.input_size, dtype=torch.float64)).reshape(STEPS, 2, -1)
        x = x.to(some.device, some.dtype)
        x = x.transpose(0, 1) if module.batch_first else x
        try:
            outputs = module(x)[0]
            weights = {name: getattr(module, name).detach().clone() for name in module._flat_weights_names}
            expected = _plain(module, kind, weights)(x)[0]
        except (AttributeError, RuntimeError, TypeError) as error:
            raise _refused(module, where, f"cannot be run: {error}") from None
    tolerance = TOLERANCE.get(some.dtype, 0.0)
    if outputs.shape != expected.shape or not torch.allclose(outputs, expected, 0.0, tolerance, equal_nan=True):
        difference = float((outputs - expected).abs().max()) if outputs.shape == expected.shape else float("nan")
        raise _refused(
            module, where, f"computes something else than its weights say (outputs differ by {difference:.2g})"
        )
    return weights


def _plain(module: nn.RNNBase, kind: type[Any], weights: dict[str, Tensor]) -> nn.RNNBase:
    """Return a plain module of the same shape with these weights."""
    plain: nn.RNNBase = kind(
        module.input_size,
        module.hidden_size,
        module.num_layers,
        bias=module.bias,
        batch_first=module.batch_first,
        bidirectional=module.bidirectional,
    )
    plain.load_state_dict(weights)
    example = next(iter(weights.values()))
    return plain.to(example.device, example.dtype).eval()


@contextmanager
def _evaluating(module: nn.RNNBase) -> Iterator[None]:
    """Switch a module to evaluation, with weights that a dropout keeps apart in place; restore it afterwards."""
    names = module._flat_weights_names
    training = {part: part.training for part in module.modules()}
    flat = list(module._flat_weights), list(module._flat_weight_refs)
    kept = {name: vars(module)[name] for name in names if name in vars(module)}
    raw = [name for name in names if f"{name}{RAW}" in module._parameters]
    try:
        module.eval()
        for name in raw:
            setattr(module, name, getattr(module, f"{name}{RAW}").detach())
        yield
    finally:
        for name in names:
            vars(module).pop(name, None)
        vars(module).update(kept)
        module._flat_weights, module._flat_weight_refs = flat
        for part, was in training.items():
            part.training = was


def _refused(module: nn.RNNBase, where: str, what: str) -> NetworkError:
    plain = set(module._flat_weights_names)
    others = [name for name, _ in (*module.named_parameters(), *module.named_buffers()) if name not in plain]
    found = f"; it keeps {', '.join(others)}: {BAKE_IN}" if others else f"; need a plain {PLAIN}"
    return NetworkError(f"{where}: {type(module).__name__} {what}{found}")
