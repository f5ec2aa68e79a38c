"""Recurrent modules inside a torch model: plain, scripted or dynamically quantised, and the weights of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archsim.errors import NetworkError, did_you_mean
from archsim.importers.effective import (
    TOLERANCE,
    cell_outputs,
    effective_weights,
    largest_difference,
    outputs_of,
    plain_class,
    trial_inputs,
)

Weights = dict[str, Tensor]
QUANTISED = "torch.ao.nn.quantized.dynamic"
ACCEPTED = "nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell, plain, scripted or dynamically quantised"
QUANTISED_TOLERANCE = 0.1
"""Largest difference of outputs that the quantised inputs of a dynamically quantised module may explain."""


@dataclass(frozen=True)
class TorchPart:
    """Recurrent module with its name in the model, empty if it is the model itself."""

    name: str
    module: Any

    @property
    def kind(self) -> str:
        """Class of the module, that of its source for a script."""
        return str(getattr(self.module, "original_name", type(self.module).__name__))

    def __str__(self) -> str:
        sizes = [f"{getattr(self.module, size, None)}" for size in ("input_size", "hidden_size")]
        inside = "" if "None" in sizes else f" of {' inputs, '.join(sizes)} units"
        return f"{self.name or 'the model itself'} ({self.kind}{inside})"


def find_part(model: nn.Module, layer: str | None, where: str) -> TorchPart:
    """Return the recurrent module called `layer`, or the only one in it; without `layer`, the only one in the model.

    Raises NetworkError, which lists the recurrent modules there are.
    """
    modules = dict(model.named_modules())  # not get_submodule, which scripts do not have
    root = layer or ""
    found = recurrent_parts(model)
    listed = "; ".join(map(str, found)) or "none"
    if root not in modules:
        raise NetworkError(f"{where}: no module {root!r}{did_you_mean(root, modules)}; recurrent modules: {listed}")
    inside = [part for part in found if part.name == root or root == "" or part.name.startswith(f"{root}.")]
    if not inside:
        what = f"{root} ({type(modules[root]).__name__})" if root else type(model).__name__
        others = f"; recurrent modules elsewhere: {listed}" if found else ""
        raise NetworkError(f"{where}: {what} is not supported; accepted: {ACCEPTED}, or a model with one in it{others}")
    if len(inside) > 1:
        several = "; ".join(map(str, inside))
        raise NetworkError(f"{where}: several recurrent modules: choose one by layer=NAME. Found: {several}")
    return inside[0]


def recurrent_parts(model: nn.Module) -> list[TorchPart]:
    """Return all recurrent modules of a model, nn.RNN among them, without what lies inside one."""
    found: list[TorchPart] = []
    for name, module in model.named_modules():
        within = any(name.startswith(f"{part.name}.") or part.name == "" for part in found)
        if not within and (_is_recurrent(module) or _is_recurrent_script(module)):
            found.append(TorchPart(name, module))
    return found


def _is_recurrent(module: nn.Module) -> bool:
    quantised = _is_quantised(module) and type(module).__name__ in ("LSTM", "GRU", "LSTMCell", "GRUCell", "RNNCell")
    return isinstance(module, nn.RNNBase | nn.RNNCellBase) or quantised


def _is_quantised(module: nn.Module) -> bool:
    return type(module).__module__.startswith(QUANTISED)


def _is_recurrent_script(module: nn.Module) -> bool:
    if not isinstance(module, torch.jit.ScriptModule):
        return False
    return bool({"weight_hh_l0", "weight_hh"} & set(_own(module))) or module.original_name in ("LSTM", "GRU")


def _own(module: nn.Module) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in module.named_parameters(recurse=False)}


def weights_of(part: TorchPart, where: str) -> tuple[Weights, str]:
    """Return the weights of a part by torch's names, and what to say of them, which may be empty.

    Raises NetworkError for a module that is not simulated, or that computes something else than its weights say.
    """
    module = part.module
    if isinstance(module, torch.jit.ScriptModule):
        return _script_weights(part, where)
    if _is_quantised(module):
        return _quantised_weights(part, where)
    kind = plain_class(module)
    if kind is None:
        raise NetworkError(f"{where}: {part} is not supported; accepted: {ACCEPTED}")
    return effective_weights(module, kind, where), ""


def _quantised_weights(part: TorchPart, where: str) -> tuple[Weights, str]:
    """Return dequantised weights, and how far outputs are from those of the module, whose inputs are quantised, too."""
    module = part.module
    stored = {**module.get_weight(), **module.get_bias()}
    weights = {
        name: (tensor.dequantize() if tensor.is_quantized else tensor).detach().float()
        for name, tensor in stored.items()
    }
    kinds = {str(tensor.dtype).removeprefix("torch.") for tensor in stored.values() if tensor.is_quantized}
    note = f"dequantised from {', '.join(sorted(kinds)) or 'float16'}"
    difference, reason = _compared(weights, module, hasattr(module, "batch_first"))
    if difference is None:
        raise NetworkError(f"{where}: {part} cannot be run: {reason}")
    if not difference <= QUANTISED_TOLERANCE:
        raise NetworkError(f"{where}: {part} computes something else than its weights say (by {difference:.2g})")
    return weights, f"{note}; outputs of the quantised module differed by {difference:.1g} in a trial"


def _script_weights(part: TorchPart, where: str) -> tuple[Weights, str]:
    """Return the parameters of a script by their names, after a trial against a plain module where it can be called."""
    weights = _own(part.module)
    is_cell = "weight_hh" in weights
    if not is_cell and "weight_hh_l0" not in weights:
        held = "keeps its weights packed (quantised?)" if not weights else f"has the parameters {', '.join(weights)}"
        raise NetworkError(f"{where}: {part} {held}; need torch's names, weight_ih_l0 or weight_ih, ...")
    difference, reason = _compared(weights, part.module, not is_cell)
    own_class = part.kind in ("LSTM", "GRU", "LSTMCell", "GRUCell")
    if difference is None and not own_class:
        raise NetworkError(f"{where}: {part} is no LSTM or GRU by its class, and cannot be run to compare: {reason}")
    example = next(iter(weights.values()))
    if difference is not None and not difference <= TOLERANCE.get(example.dtype, 0.0):
        raise NetworkError(f"{where}: {part} computes something else than its weights say (by {difference:.2g})")
    return weights, f"script of {part.kind}{', not run to compare' if difference is None else ''}"


def _compared(weights: Weights, module: Any, is_stack: bool) -> tuple[float | None, str]:
    """Return the largest difference of a module's outputs from those of a plain one, or None and why it did not run."""
    plain = _plain_module(weights)
    if plain is None:
        return None, "its weights have the shapes of no LSTM or GRU"
    example = next(iter(weights.values()))
    x = trial_inputs(plain.input_size).to(example.device, example.dtype)

    def stack_outputs(x: Tensor) -> Tensor:
        # A scripted nn.LSTM has no forward, but one per kind of input; the first takes padded tensors.
        outputs: Tensor = getattr(module, "forward__0", module)(x)[0]
        return outputs

    ways: list[Callable[[Tensor], Tensor]] = [lambda x: cell_outputs(module, x)]
    if is_stack:  # a script does not say whether the batch comes first
        ways = [stack_outputs, lambda x: stack_outputs(x.transpose(0, 1).contiguous()).transpose(0, 1)]
    differences, reason, was = [], "", module.training
    module.eval()
    try:
        with torch.no_grad():
            expected = outputs_of(plain, x)
            for way in ways:
                try:
                    differences.append(largest_difference(way(x), expected))
                except (AttributeError, RuntimeError, TypeError, NotImplementedError) as error:
                    reason = str(error).strip().splitlines()[-1]
    finally:
        module.train(was)
    known = [difference for difference in differences if difference == difference]
    return (min(known) if known else (differences[0] if differences else None)), reason


def _plain_module(weights: Weights) -> Any:
    """Return a plain torch module with these weights; None if they have the shapes of none."""
    is_cell = "weight_hh" in weights
    end = "" if is_cell else "_l0"
    recurrent, kernel = weights[f"weight_hh{end}"], weights[f"weight_ih{end}"]
    projection = weights.get(f"weight_hr{end}")
    units = recurrent.shape[-1] if projection is None else projection.shape[-1]
    name = {3: "GRU", 4: "LSTM"}.get(len(recurrent) // units) if recurrent.ndim == 2 else None
    if name is None or kernel.ndim != 2 or (projection is not None and name != "LSTM"):
        return None
    options: dict[str, Any] = {"bias": any("bias" in key for key in weights)}
    if not is_cell:
        depth = sum(key.startswith("weight_hh_l") and not key.endswith("_reverse") for key in weights)
        options |= {"num_layers": depth, "bidirectional": any(key.endswith("_reverse") for key in weights)}
    if projection is not None:
        options["proj_size"] = len(projection)
    plain = getattr(nn, f"{name}{'Cell' * is_cell}")(kernel.shape[1], units, **options)
    try:
        plain.load_state_dict(weights)
    except RuntimeError:
        return None
    return plain.to(recurrent.device, recurrent.dtype).eval()
