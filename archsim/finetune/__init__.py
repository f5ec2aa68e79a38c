"""Training with exactly the reuse decisions of the machine; needs the extra `train`.

This is the only package that imports torch immediately, and no other part of archsim imports this package.
"""

from __future__ import annotations

from archsim.errors import ConfigError

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise ConfigError("archsim.finetune needs torch, which is not installed: pip install 'archsim[train]'") from None

from archsim.finetune.rnn import ReuseRNN, ReuseRun

__all__ = ["ReuseRNN", "ReuseRun"]
