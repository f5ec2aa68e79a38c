"""Training with the very reuse that a network will meet on the machine; needs the extra `train`.

The only package that imports torch at once, and no other part of archsim imports it.
"""

from __future__ import annotations

from archsim.errors import ConfigError

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise ConfigError("archsim.finetune needs torch, which is not installed: pip install 'archsim[train]'") from None

from archsim.finetune.rnn import ReuseRNN, ReuseRun

__all__ = ["ReuseRNN", "ReuseRun"]
