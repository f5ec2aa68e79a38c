"""Networks of torch modules that take one recurrent step, `nn.LSTMCell` and `nn.GRUCell`, from effective weights."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from archsim.errors import NetworkError
from archsim.importers.effective import BAKE_IN, TOLERANCE
from archsim.ir.cells import CELLS, Cell
from archsim.ir.layers import Layer, make_direction
from archsim.ir.network import Network

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def cell_class(cell: Cell) -> type[Any]:
    """Return the torch class of one step of a cell."""
    module_class: type[Any] = getattr(nn, f"{cell.torch_class}Cell")
    return module_class


def cell_of_step(module: nn.Module) -> Cell | None:
    """Return the cell that a torch module takes one step of; None for any other module."""
    return next((cell for cell in CELLS.values() if isinstance(module, cell_class(cell))), None)


def network_of_step(module: nn.RNNCellBase, cell: Cell, name: str) -> Network:
    """Return the network of one layer that a module takes one step of, and leave the module as it was.

    Weights are those it computes with in evaluation, after parametrisations. The module is called once to find them.
    Raises NetworkError for a module that computes something else than its weights say.
    """
    tensors = _effective_weights(module, cell)
    weights: dict[str, ArrayLike | None] = {
        key: None if t is None else t.to("cpu", torch.float32).numpy() for key, t in tensors.items()
    }
    direction = make_direction(name, cell, weights)
    layer = Layer(name, cell, module.input_size, module.hidden_size, (direction,))
    return Network(name, (layer,), provenance=f"torch {torch.__version__}")


def _effective_weights(module: nn.RNNCellBase, cell: Cell) -> dict[str, Tensor | None]:
    kind, title = cell_class(cell), type(module).__name__
    if type(module).forward is not kind.forward or "forward" in vars(module):
        raise NetworkError(f"{title} has a forward of its own, which is not simulated; need a plain nn.{kind.__name__}")
    if any(tensor.is_meta or nn.parameter.is_lazy(tensor) for tensor in module.parameters()):
        raise NetworkError(f"{title} has weights without values: load or initialise them first")
    before, training = dict(vars(module)), {part: part.training for part in module.modules()}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            module.eval()
            some = next(module.parameters())
            # Inputs that every weight acts on, and that are always the same.
            x = torch.sin(torch.arange(2 * module.input_size, dtype=torch.float64)).reshape(2, -1)
            x = x.to(some.device, some.dtype)
            outputs = _hidden(module(x))
            tensors = {name: getattr(module, name) for name in NAMES}
            weights = {name: None if t is None else t.detach().clone() for name, t in tensors.items()}
            plain = kind(module.input_size, module.hidden_size, bias=module.bias).to(some.device, some.dtype)
            plain.load_state_dict({name: tensor for name, tensor in weights.items() if tensor is not None})
            expected = _hidden(plain(x))
    except (AttributeError, RuntimeError, TypeError) as error:
        raise NetworkError(f"{title} cannot be run: {error}") from None
    finally:
        # A hook that refreshes a weight sets it as an attribute.
        vars(module).clear()
        vars(module).update(before)
        for part, was in training.items():
            part.training = was
    tolerance = TOLERANCE.get(some.dtype, 0.0)
    if outputs.shape != expected.shape or not torch.allclose(outputs, expected, 0.0, tolerance, equal_nan=True):
        raise NetworkError(f"{title} computes something else than its weights say: {BAKE_IN}Cell")
    return weights


def _hidden(outputs: Any) -> Tensor:
    hidden: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return hidden
