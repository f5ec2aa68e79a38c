"""Fixtures of the tests of commands."""

import pytest
from harness import write_lstm_files


@pytest.fixture(scope="module")
def user_files(tmp_path_factory):
    """Return a folder with a network and a trace."""
    return write_lstm_files(tmp_path_factory.mktemp("own"), lengths=(5, 3))
