"""Import of recurrent torch modules as archsim networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archsim.errors import NetworkError
from archsim.importers.weight_files import layers_of_state
from archsim.ir.network import Network

if TYPE_CHECKING:
    import torch

WHERE = "from_torch"


def from_torch(model: torch.nn.Module, *, layer: str | None = None, name: str | None = None) -> Network:
    """Return the network of an `nn.LSTM`, `nn.GRU` or `nn.RNN`, stacked and bidirectional ones included, or of a cell.

    layer: name of the recurrent module inside `model`, as in `model.named_modules()`, or of a module with only one in
    it. Without it the model has to hold exactly one. Scripted modules are read by their class and the names of their
    parameters, dynamically quantised ones are dequantised, which `Network.provenance` says.

    Weights are those it computes with in evaluation, after pruning, normalisation and other parametrisations. The
    module is called once to find them, and left as it was. Raises NetworkError, which lists the recurrent modules there
    are, for a module that is not there or not the only one; and
    for a module that computes something else than its weights say (a `forward` of its own, hooks, learned states).
    """
    import torch

    from archsim.importers.torch_parts import find_part, weights_of

    if not isinstance(model, torch.nn.Module):
        raise NetworkError(f"{WHERE}: got a {type(model).__name__}, need a torch module")
    part = find_part(model, layer, WHERE)
    weights, cell, note = weights_of(part, WHERE)
    arrays = {key: tensor.to("cpu", torch.float32).numpy() for key, tensor in weights.items()}
    layers = layers_of_state(f"{WHERE}: {part}", cell, arrays)
    notes = [f"torch {torch.__version__}", *([part.name] if part.name else []), *([note] if note else [])]
    return Network(name=name or f"torch-{layers[0].cell.name}", layers=layers, provenance=", ".join(notes))
