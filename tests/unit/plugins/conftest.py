"""Fixtures of the tests of plug-ins."""

import pytest

from archsim import plugins


@pytest.fixture(autouse=True)
def own_registries(monkeypatch):
    """Forget at the end of a test what its plug-ins have registered."""
    monkeypatch.setattr(plugins, "_LOADED", {})
    for registry in plugins.REGISTRIES:
        monkeypatch.setattr(registry, "items", dict(registry.items))


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write
