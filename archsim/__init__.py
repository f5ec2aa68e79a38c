"""archsim: does caching neuron outputs pay off on an RNN accelerator, for my network, at my accuracy?

>>> import archsim
>>> result = archsim.simulate("imdb-lstm", "imdb-lstm", policy="bnn")  # doctest: +SKIP
>>> result.summary()["speedup"]  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from archsim._version import __version__ as __version__

if TYPE_CHECKING:  # type checkers do not run `__getattr__`; `X as X` marks a name that this package exports
    from archsim.advising.advise import advise as advise
    from archsim.config.arch import ArchSpec as ArchSpec
    from archsim.config.load import load_arch as load_arch
    from archsim.corpora.catalogue import load_trace as load_trace
    from archsim.errors import ArchsimError as ArchsimError
    from archsim.experiment.replay import replay_dram as replay_dram
    from archsim.experiment.result import Result as Result
    from archsim.experiment.simulate import simulate as simulate
    from archsim.exploration.search import explore as explore
    from archsim.importers.onnx_import import from_onnx as from_onnx
    from archsim.importers.pytorch import from_torch as from_torch
    from archsim.inference.measure import measure_scales as measure_scales
    from archsim.ir.folder import load_network as load_network
    from archsim.ir.network import Network as Network
    from archsim.live.calibrate import calibrate as calibrate
    from archsim.live.onnx_model import OnnxModel as OnnxModel
    from archsim.live.torch_session import attach as attach
    from archsim.plugins import load_plugin as load_plugin
    from archsim.policies import register_policy as register_policy
    from archsim.sim.machines import register_machine as register_machine
    from archsim.sweeps.frames import read_sweep as read_sweep
    from archsim.sweeps.run import run_sweep as run_sweep
    from archsim.task_metrics.metrics import register_metric as register_metric
    from archsim.traceio.files import write_trace as write_trace
    from archsim.traceio.trace import Trace as Trace

# Numba, SimPy and pydantic are slow to import, so a name imports its module only when it is first used.
_HOMES = {
    "ArchSpec": "archsim.config.arch",
    "ArchsimError": "archsim.errors",
    "Network": "archsim.ir.network",
    "OnnxModel": "archsim.live.onnx_model",
    "Result": "archsim.experiment.result",
    "Trace": "archsim.traceio.trace",
    "advise": "archsim.advising.advise",
    "attach": "archsim.live.torch_session",
    "calibrate": "archsim.live.calibrate",
    "explore": "archsim.exploration.search",
    "from_onnx": "archsim.importers.onnx_import",
    "from_torch": "archsim.importers.pytorch",
    "load_arch": "archsim.config.load",
    "load_network": "archsim.ir.folder",
    "load_plugin": "archsim.plugins",
    "load_trace": "archsim.corpora.catalogue",
    "measure_scales": "archsim.inference.measure",
    "read_sweep": "archsim.sweeps.frames",
    "register_machine": "archsim.sim.machines",
    "register_metric": "archsim.task_metrics.metrics",
    "register_policy": "archsim.policies",
    "replay_dram": "archsim.experiment.replay",
    "run_sweep": "archsim.sweeps.run",
    "simulate": "archsim.experiment.simulate",
    "write_trace": "archsim.traceio.files",
}

__all__ = sorted(["__version__", *_HOMES])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'archsim' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
