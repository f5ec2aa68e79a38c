"""Recurrent modules inside a torch model: plain, scripted or dynamically quantised, and the weights of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from archsim.errors import NetworkError, did_you_mean
from archsim.importers.effective import (
    CLASSES,
    cell_outputs,
    cells_of,
    effective_weights,
    largest_difference,
    outputs_of,
    plain_class,
    tolerance,
    torch_class,
    trial_inputs,
)
from archsim.ir.cells import TORCH_CELLS, Cell

Weights = dict[str, Tensor]
QUANTISED = "torch.ao.nn.quantized.dynamic"
NAMES = (*CLASSES, *(f"{name}Cell" for name in CLASSES))
"""Names of the classes of `torch.nn` that are simulated."""
ACCEPTED = f"{', '.join(f'nn.{name}' for name in NAMES)}, plain, scripted or dynamically quantised"
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
    """Return all recurrent modules of a model, without what lies inside one."""
    found: list[TorchPart] = []
    for name, module in model.named_modules():
        within = any(name.startswith(f"{part.name}.") or part.name == "" for part in found)
        if not within and (_is_recurrent(module) or _is_recurrent_script(module)):
            found.append(TorchPart(name, module))
    return found


def _is_recurrent(module: nn.Module) -> bool:
    quantised = _is_quantised(module) and type(module).__name__ in NAMES
    return isinstance(module, nn.RNNBase | nn.RNNCellBase) or quantised


def _is_quantised(module: nn.Module) -> bool:
    return type(module).__module__.startswith(QUANTISED)


def _is_recurrent_script(module: nn.Module) -> bool:
    if not isinstance(module, torch.jit.ScriptModule):
        return False
    return bool({"weight_hh_l0", "weight_hh"} & set(_own(module))) or module.original_name in CLASSES


def _own(module: nn.Module) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in module.named_parameters(recurse=False)}


class TorchWeights(NamedTuple):
    """Weights of a part by torch's names, its cell, and what to say of them, which may be empty."""

    weights: Weights
    cell: Cell
    note: str = ""


def weights_of(part: TorchPart, where: str) -> TorchWeights:
    """Return the weights of a part.

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
    return TorchWeights(*effective_weights(module, kind, where))


def _quantised_weights(part: TorchPart, where: str) -> TorchWeights:
    """Return dequantised weights, and how far outputs are from those of the module, whose inputs are quantised, too."""
    module = part.module
    stored = {**module.get_weight(), **module.get_bias()}
    weights = {
        name: (tensor.dequantize() if tensor.is_quantized else tensor).detach().float()
        for name, tensor in stored.items()
    }
    kinds = {str(tensor.dtype).removeprefix("torch.") for tensor in stored.values() if tensor.is_quantized}
    note = f"dequantised from {', '.join(sorted(kinds)) or 'float16'}"
    trial, reason = _best_trial(weights, part)
    if trial is None:
        raise NetworkError(f"{where}: {part} cannot be run: {reason}")
    if not trial.difference <= QUANTISED_TOLERANCE:
        raise NetworkError(f"{where}: {part} computes something else than its weights say (by {trial.difference:.2g})")
    in_trial = f"outputs of the quantised module differed by {trial.difference:.1g} in a trial"
    return TorchWeights(weights, trial.cell, f"{note}; {in_trial}")


def _script_weights(part: TorchPart, where: str) -> TorchWeights:
    """Return the parameters of a script by their names, after a trial against a plain module where it can be called."""
    weights = _own(part.module)
    if "weight_hh" not in weights and "weight_hh_l0" not in weights:
        held = "keeps its weights packed (quantised?)" if not weights else f"has the parameters {', '.join(weights)}"
        raise NetworkError(f"{where}: {part} {held}; need torch's names, weight_ih_l0 or weight_ih, ...")
    trial, reason = _best_trial(weights, part)
    if trial is not None and not trial.difference <= trial.tolerance:
        raise NetworkError(f"{where}: {part} computes something else than its weights say (by {trial.difference:.2g})")
    by_class = cells_of(part.kind) if part.kind in NAMES else []
    if trial is None and len(by_class) != 1:
        classes = " or ".join(CLASSES)
        unknown = f"has more than one meaning ({', '.join(map(repr, by_class))})" if by_class else f"is no {classes}"
        raise NetworkError(f"{where}: {part} {unknown} by its class, and cannot be run to compare: {reason}")
    note = f"script of {part.kind}{', not run to compare' if trial is None else ''}"
    return TorchWeights(weights, trial.cell if trial else by_class[0], note)


class Trial(NamedTuple):
    """Comparison of a module with a plain one of its weights."""

    cell: Cell
    difference: float
    """Largest difference of outputs; NaN for outputs of another shape."""
    tolerance: float
    """Difference that rounding explains."""


def _best_trial(weights: Weights, part: TorchPart) -> tuple[Trial | None, str]:
    """Return the trial against the plain module that differs least, or None and why there is none.

    Modules of one number of gates may be of several cells: `nn.RNN` with tanh or ReLU.
    """
    trials, reason = [], "its weights have the shapes of no " + " or ".join(CLASSES)
    for cell in TORCH_CELLS:
        plain = _plain_module(weights, cell)
        if plain is not None:
            trial, reason = _compared(plain, cell, part.module)
            trials += [trial] if trial is not None else []
    known = [trial for trial in trials if trial.difference == trial.difference]
    return (min(known, key=lambda trial: trial.difference) if known else (trials[0] if trials else None)), reason


def _compared(plain: Any, cell: Cell, module: Any) -> tuple[Trial | None, str]:
    """Return the comparison of a module with a plain one, or None and why the module did not run."""
    example = next(plain.parameters())
    x = trial_inputs(plain.input_size).to(example.device, example.dtype)

    def stack_outputs(x: Tensor) -> Tensor:
        # A scripted nn.LSTM has no forward, but one per kind of input; the first takes padded tensors.
        outputs: Tensor = getattr(module, "forward__0", module)(x)[0]
        return outputs

    ways: list[Callable[[Tensor], Tensor]] = [lambda x: cell_outputs(module, x)]
    if isinstance(plain, nn.RNNBase):  # a script does not say whether the batch comes first
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
    if not differences:
        return None, reason
    return Trial(cell, min(differences, key=lambda value: (value != value, value)), tolerance(expected)), reason


def _plain_module(weights: Weights, cell: Cell) -> Any:
    """Return a plain torch module of a cell with these weights; None if they have the shapes of another."""
    is_cell = "weight_hh" in weights
    end = "" if is_cell else "_l0"
    recurrent, kernel = weights[f"weight_hh{end}"], weights[f"weight_ih{end}"]
    projection = weights.get(f"weight_hr{end}")
    units = recurrent.shape[-1] if projection is None else projection.shape[-1]
    if recurrent.ndim != 2 or kernel.ndim != 2 or len(recurrent) != cell.n_gates * units:
        return None
    options: dict[str, Any] = {"bias": any("bias" in key for key in weights), **cell.torch_options}
    if not is_cell:
        depth = sum(key.startswith("weight_hh_l") and not key.endswith("_reverse") for key in weights)
        options |= {"num_layers": depth, "bidirectional": any(key.endswith("_reverse") for key in weights)}
    if projection is not None:
        if not cell.may_project:
            return None
        options["proj_size"] = len(projection)
    kind = getattr(nn, f"{cell.torch_class}Cell") if is_cell else torch_class(cell)
    plain = kind(kernel.shape[1], units, **options)
    try:
        plain.load_state_dict(weights)
    except RuntimeError:
        return None
    return plain.to(recurrent.device, recurrent.dtype).eval()
