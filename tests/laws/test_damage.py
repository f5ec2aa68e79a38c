"""Damaged files: a reader returns an object or raises one UsageError, whatever bits flipped or are missing."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed.arrays import h5, npz, safetensors, tensor
from malformed.text import MANIFEST, recording

from archsim.config.load import load_arch
from archsim.corpora.digits import read_samples
from archsim.errors import UsageError
from archsim.ir.folder import read_manifest
from archsim.ir.tensors import read_weights
from archsim.sweeps.grid import load_grid
from archsim.traceio.files import read_trace

ARCH = "name = 'x'\nfmu = false\n[dpu]\nlanes = 16\n[dram]\npreset = 'lpddr4-2400-x32'\nchannels = 2\n"
GRID = "[axes]\nseed = [1, 2]\nthreshold = {from = 0, to = 1, step = 0.1}\n[fixed]\nnetwork = 'x'\n[[skip]]\nseed = 1\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return reader, suffix and content of an intact file of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    return {
        "npz": (read_trace, ".npz", npz(folder, {}).read_bytes()),
        "h5": (read_trace, ".h5", h5(folder, {}).read_bytes()),
        "weights": (read_weights, ".safetensors", safetensors(tensor())),
        "wav": (read_samples, ".wav", recording()),
        "arch": (load_arch, ".toml", ARCH.encode()),
        "grid": (load_grid, ".toml", GRID.encode()),
        "manifest": (read_manifest, ".toml", MANIFEST.encode()),
    }


@pytest.mark.parametrize("kind", ["npz", "h5", "weights", "wav", "arch", "grid", "manifest"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6), st.floats(0, 1), st.booleans())
def test_reader_of_a_damaged_file_returns_or_raises_usage_error(kind, whole, tmp_path, flips, keep, cuts):
    read, suffix, content = whole[kind]
    data = np.frombuffer(content, np.uint8).copy()
    for position, value in flips:
        data[int(position * (len(data) - 1))] ^= value
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(data[: int(keep * len(data))].tobytes() if cuts else data.tobytes())
    try:
        read(path)
    except UsageError as error:
        assert len(str(error).splitlines()) <= 6
