"""Recurrent modules of a torch model, those that can be attached, and the table of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archsim.errors import NetworkError, UnknownNameError
from archsim.importers.effective import plain_class
from archsim.importers.pytorch import from_torch
from archsim.importers.table import ImportRow, ImportTable
from archsim.ir.cells import CELLS
from archsim.ir.network import Network

ATTACHED = ", ".join(f"nn.{cell.torch_class}, nn.{cell.torch_class}Cell" for cell in CELLS.values())
RECURRENT = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
"""Names of torch's recurrent classes, quantised and scripted ones included."""
WRAPPERS = {
    "OptimizedModule": "is compiled, so replaced layers might not be called: attach its _orig_mod",
    "DataParallel": "runs copies of its layers: attach its module",
}


@dataclass(frozen=True, eq=False)
class TorchPart:
    """Recurrent module that can be attached."""

    name: str
    module: nn.Module
    network: Network


def find_parts(model: nn.Module, layer: str | Sequence[str] | None) -> tuple[list[TorchPart], ImportTable]:
    """Return the recurrent modules to attach, all or those named by `layer`, and the table of the model's modules.

    Raises NetworkError with the table if one of them cannot be attached or there is none, UnknownNameError for a name
    that no recurrent module has.
    """
    title = type(model).__name__
    recurrent = {name or title: module for name, module in model.named_modules() if _is_recurrent(module)}
    chosen = list(recurrent) if layer is None else [layer] if isinstance(layer, str) else list(layer)
    for name in chosen:
        if name not in recurrent:
            raise UnknownNameError("recurrent module", name, recurrent)
    parts, rows = [], []
    for name, module in recurrent.items():
        if name in chosen:
            part = _part(name, module, model)
            rows.append(_row(name, module, part))
            parts += [part] if isinstance(part, TorchPart) else []
        else:
            rows.append(ImportRow(name, type(module).__name__, "left outside", "not named by layer"))
    table = ImportTable(title, (*rows, *_others(model)))
    if table.refused:
        ways = "leave them outside by naming the others, as in layer=['NAME'], or replace them"
        raise NetworkError(f"{title} has recurrent modules that cannot be attached: {ways}\n{table}")
    if not parts:
        raise NetworkError(f"{title} has no recurrent module to attach, need one of {ATTACHED}")
    return parts, table


def _is_recurrent(module: nn.Module) -> bool:
    kinds = [kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith("torch.")]
    scripted = getattr(module, "original_name", "") if isinstance(module, torch.jit.ScriptModule) else ""
    return scripted in RECURRENT or any(kind in RECURRENT for kind in kinds)


def _part(name: str, module: nn.Module, model: nn.Module) -> TorchPart | str:
    """Return a module with its network, or the reason why it cannot be attached."""
    if isinstance(module, torch.jit.ScriptModule):
        return "compiled by TorchScript, so its forward cannot be replaced: attach the model that it was made of"
    for wrapper in _wrappers_of(module, model):
        return f"its {type(wrapper).__name__} {WRAPPERS[type(wrapper).__name__]}"
    if plain_class(module) is None:
        return f"not simulated; accepted: {ATTACHED}"
    try:
        return TorchPart(name, module, from_torch(module, name=name))
    except NetworkError as error:
        return str(error).removeprefix("from_torch: ")


def _wrappers_of(module: nn.Module, model: nn.Module) -> Iterator[nn.Module]:
    wrappers = (outer for outer in model.modules() if type(outer).__name__ in WRAPPERS)
    return (outer for outer in wrappers if any(inner is module for inner in outer.modules()))


def _row(name: str, module: nn.Module, part: TorchPart | str) -> ImportRow:
    kind = type(module).__name__
    if isinstance(part, str):
        return ImportRow(name, kind, "refused", part)
    layers = part.network.layers
    directions = ", two directions" if len(layers[0].directions) > 1 else ""
    sizes = f"layers {len(layers)}, inputs {layers[0].input_size}, units {layers[0].hidden_size}{directions}"
    return ImportRow(name, kind, "simulated here", sizes)


def _others(model: nn.Module) -> Iterator[ImportRow]:
    """Yield a row per class of the modules that are not recurrent and have no others inside."""
    names: dict[str, list[str]] = {}
    inside = {part for module in model.modules() if _is_recurrent(module) for part in module.modules()}
    for name, module in model.named_modules():
        if module not in inside and not any(module.children()):
            names.setdefault(type(module).__name__, []).append(name or type(module).__name__)
    for kind, which in names.items():
        yield ImportRow(which[0] if len(which) == 1 else f"{which[0]}, … ({len(which)})", kind, "left outside")
