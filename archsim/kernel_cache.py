"""Folder for compiled kernels, in case that those which numba tries cannot be written."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable

from numba import config

from archsim.errors import ArchsimWarning

CACHE_VARIABLE = "NUMBA_CACHE_DIR"


def provide_cache(compiled: Callable[[Callable[[], None]], object], function: Callable[[], None]) -> None:
    """Provide a cache folder if `compiled`, numba's decorator with `cache=True`, finds none for `function`.

    The folder is private to this process and removed at its end, because compiled code from a folder that others may
    write to must not run. Worker processes inherit it through their environment. Warns with ArchsimWarning.
    """
    try:
        compiled(function)
    except RuntimeError as error:
        if "no locator" not in str(error):
            raise
        folder = tempfile.mkdtemp(prefix="archsim-kernels-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ[CACHE_VARIABLE] = folder
        config.reload_config()
        warnings.warn(
            "neither the folder of archsim nor the home folder can be written: kernels are compiled into "
            f"{folder} and removed at the end; set {CACHE_VARIABLE} to a folder that keeps them",
            ArchsimWarning,
            stacklevel=2,
        )
