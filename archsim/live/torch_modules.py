"""Recurrent modules of a torch model, those that can be attached, and the table of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archsim.errors import NetworkError, UnknownNameError
from archsim.importers.effective import CLASSES, plain_class
from archsim.importers.pytorch import from_torch
from archsim.importers.table import ImportRow, ImportTable
from archsim.importers.torch_parts import TorchPart, recurrent_parts
from archsim.ir.network import Network

ATTACHED = ", ".join(f"nn.{name}, nn.{name}Cell" for name in CLASSES)
WRAPPERS = {
    "OptimizedModule": "is compiled, so replaced layers might not be called: attach its _orig_mod",
    "DataParallel": "runs copies of its layers: attach its module",
}


@dataclass(frozen=True, eq=False)
class Attachable:
    """Recurrent module that can be attached, by its name in the model, and its network."""

    module: nn.Module
    network: Network


def find_attachable(model: nn.Module, layer: str | Sequence[str] | None) -> tuple[list[Attachable], ImportTable]:
    """Return the recurrent modules to attach, all or those named by `layer`, and the table of the model's modules.

    A model that is recurrent itself goes by the name of its class. Raises NetworkError with the table if one of them
    cannot be attached or there is none, UnknownNameError for a name that no recurrent module has.
    """
    title = type(model).__name__
    recurrent = {part.name or title: part for part in recurrent_parts(model)}
    chosen = list(recurrent) if layer is None else [layer] if isinstance(layer, str) else list(layer)
    for name in chosen:
        if name not in recurrent:
            raise UnknownNameError("recurrent module", name, recurrent)
    found, rows = [], []
    for name, part in recurrent.items():
        outcome = _attachable(name, part, model) if name in chosen else None
        rows.append(_row(name, part, outcome))
        found += [outcome] if isinstance(outcome, Attachable) else []
    table = ImportTable(title, (*rows, *_others(model, recurrent_parts(model))))
    if table.refused:
        ways = "leave them outside by naming the others, as in layer=['NAME'], or replace them"
        raise NetworkError(f"{title} has recurrent modules that cannot be attached: {ways}\n{table}")
    if not found:
        raise NetworkError(f"{title} has no recurrent module to attach, need one of {ATTACHED}")
    return found, table


def _attachable(name: str, part: TorchPart, model: nn.Module) -> Attachable | str:
    """Return a module with its network, or the reason why it cannot be attached."""
    if isinstance(part.module, torch.jit.ScriptModule):
        return "compiled by TorchScript, so its forward cannot be replaced: attach the model that it was made of"
    for wrapper in _wrappers_of(part.module, model):
        return f"its {type(wrapper).__name__} {WRAPPERS[type(wrapper).__name__]}"
    if plain_class(part.module) is None:
        return f"not attached; accepted: {ATTACHED}, not quantised"
    try:
        return Attachable(part.module, from_torch(part.module, name=name))
    except NetworkError as error:
        return str(error).removeprefix("from_torch: ")


def _wrappers_of(module: nn.Module, model: nn.Module) -> Iterator[nn.Module]:
    wrappers = (outer for outer in model.modules() if type(outer).__name__ in WRAPPERS)
    return (outer for outer in wrappers if any(inner is module for inner in outer.modules()))


def _row(name: str, part: TorchPart, outcome: Attachable | str | None) -> ImportRow:
    """Return the row of a module that can be attached, cannot for a reason, or is left outside."""
    if outcome is None:
        return ImportRow(name, part.kind, "left outside", "not named by layer")
    if isinstance(outcome, str):
        return ImportRow(name, part.kind, "refused", outcome)
    layers = outcome.network.layers
    directions = ", two directions" if len(layers[0].directions) > 1 else ""
    projected = f" projected to {layers[0].projection_size}" if layers[0].projection_size else ""
    units = f"units {layers[0].hidden_size}{projected}"
    sizes = f"layers {len(layers)}, inputs {layers[0].input_size}, {units}{directions}"
    return ImportRow(name, part.kind, "simulated here", sizes)


def _others(model: nn.Module, recurrent: Sequence[TorchPart]) -> Iterator[ImportRow]:
    """Yield a row per class of the modules that are not recurrent and have no others inside."""
    names: dict[str, list[str]] = {}
    inside = {module for part in recurrent for module in part.module.modules()}
    for name, module in model.named_modules():
        if module not in inside and not any(module.children()):
            names.setdefault(type(module).__name__, []).append(name or type(module).__name__)
    for kind, which in names.items():
        yield ImportRow(which[0] if len(which) == 1 else f"{which[0]}, … ({len(which)})", kind, "left outside")
