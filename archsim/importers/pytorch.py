"""Import of recurrent torch modules as archsim networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archsim.errors import NetworkError
from archsim.ir.cells import CELLS
from archsim.ir.manifest import StackManifest
from archsim.ir.network import Network
from archsim.ir.tensors import NamedTensors, stack_layers

if TYPE_CHECKING:
    import torch


def from_torch(module: torch.nn.Module, *, name: str | None = None) -> Network:
    """Return the network of an `nn.LSTM` or `nn.GRU`, stacked and bidirectional ones included.

    Weights are those it computes with in evaluation, after pruning, normalisation and other parametrisations. The
    module is called once to find them, and left as it was. Raises NetworkError for any other module, for options that
    archsim does not model (`proj_size`), and for a module that computes something else than its weights say (a
    `forward` of its own, hooks, learned initial states).
    """
    import torch

    from archsim.importers.effective import cell_of, effective_weights

    cell = cell_of(module)
    if cell is None or not isinstance(module, torch.nn.RNNBase):
        plain = ", ".join(f"nn.{cell.torch_class}" for cell in CELLS.values())
        accepted = f"{plain}, or that part of your module, as in module.rnn (module._orig_mod if compiled)"
        raise NetworkError(f"from_torch: {type(module).__name__} is not supported; accepted: {accepted}")
    if module.proj_size:
        raise NetworkError(f"from_torch: proj_size = {module.proj_size} is not supported; accepted: 0")
    weights = effective_weights(module, cell, "from_torch")
    tensors = {key: tensor.to("cpu", torch.float32).numpy() for key, tensor in weights.items()}
    stack = StackManifest(
        prefix="",
        cell=cell.name,
        input_size=module.input_size,
        hidden_size=module.hidden_size,
        num_layers=module.num_layers,
        bidirectional=module.bidirectional,
    )
    layers = tuple(stack_layers(NamedTensors(type(module).__name__, tensors), stack))
    return Network(name=name or f"torch-{cell.name}", layers=layers, provenance=f"torch {torch.__version__}")
