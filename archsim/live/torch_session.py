"""Attachment to a torch model: inside a with block its recurrent modules compute as the machine would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from archsim.errors import ConfigError
from archsim.inference.policy_parameters import Threshold
from archsim.ir.network import Scales
from archsim.live.frames import MEMORY_BYTES, FrameStore
from archsim.live.part import Part
from archsim.live.runners import PartRunners
from archsim.live.session import Session
from archsim.policies import Policy, policy_from

if TYPE_CHECKING:
    import torch


def attach(
    model: torch.nn.Module,
    policy: Policy | str = "bnn",
    threshold: Threshold | Mapping[str, Threshold] | None = None,
    precision: str = "fp16",
    layer: str | Sequence[str] | None = None,
    *,
    scales: Scales | Mapping[str, Scales] | None = None,
    compare: bool = True,
    memory_bytes: int = MEMORY_BYTES,
) -> Attachment:
    """Return a context manager inside which the recurrent modules of `model` compute as archsim's machine would.

    `nn.LSTM`, `nn.GRU`, `nn.RNN` and their cells for one step are attached, all of them or those named by `layer`;
    everything else is the model's own. `with attach(...) as session` gives a Session, which records what goes through
    them. The model is as before afterwards. Gradients through an attached module raise ConfigError.

    threshold: θ for all, or by name of the module; needed unless the policy has none.
    scales: those of inputs, for all or by name of the module; needed by policies that quantise inputs, unless θ comes
    from `calibrate`, which has measured them.
    compare: whether to measure the output change against the run without reuse, which takes as long again.
    memory_bytes: recorded inputs that stay in memory; more go to a temporary folder, until the session is dropped.
    The with statement raises NetworkError, with a table of all modules, if one of them cannot be attached.
    """
    return Attachment(model, policy_from(policy), threshold, precision, layer, scales, compare, memory_bytes)


@dataclass
class Attachment:
    """Context manager that replaces `forward` of a model's recurrent modules, and puts it back."""

    model: torch.nn.Module
    policy: Policy
    threshold: Threshold | Mapping[str, Threshold] | None
    precision: str
    layer: str | Sequence[str] | None
    scales: Scales | Mapping[str, Scales] | None
    compare: bool
    memory_bytes: int
    _undo: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> Session:
        try:
            import torch
        except ModuleNotFoundError:
            raise ConfigError("attach needs torch, which is not installed: pip install 'archsim[train]'") from None
        from archsim.live.torch_forwards import CellForward, Forward, StackForward
        from archsim.live.torch_modules import find_attachable

        if not isinstance(self.model, torch.nn.Module):
            raise ConfigError(f"model is a {type(self.model).__name__}: need a torch.nn.Module")
        for name, module in self.model.named_modules():
            if isinstance(vars(module).get("forward"), Forward):
                raise ConfigError(f"{name or type(module).__name__} is attached already: leave that with block first")
        found, table = find_attachable(self.model, self.layer)
        frames, names = FrameStore(self.memory_bytes), [one.network.name for one in found]
        runners = PartRunners(self.policy, self.threshold, self.scales, self.precision, self.compare)
        parts = [Part(one.network.name, runners.runner(one.network, names), frames) for one in found]
        # Nothing is replaced before everything has been checked.
        for part, one in zip(parts, found, strict=True):
            kind = StackForward if isinstance(one.module, torch.nn.RNNBase) else CellForward
            # The plain class has no `forward` in the instance, so taking it away restores the module.
            one.module.forward = kind(part, one.module)
            self._undo.callback(part.end)
            self._undo.callback(vars(one.module).pop, "forward", None)
        return Session(parts, table)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()
