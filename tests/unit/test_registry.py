"""Registries: bundled names, users' items, and items of installed packages through entry points."""

from importlib.metadata import EntryPoint

import pytest

import archsim
from archsim import registry as module
from archsim.policies import POLICIES
from archsim.registry import Registry
from archsim.sim.machines import MACHINES
from archsim.task_metrics.metrics import METRICS

GROUPS = {"archsim.policies": POLICIES, "archsim.task_metrics": METRICS, "archsim.machines": MACHINES}


class Thing:
    """Item of a registry."""

    def __init__(self, name):
        self.name = name


FIRST, SECOND, TAKEN, MISNAMED = Thing("first"), Thing("second"), Thing("bundled"), Thing("other")


@pytest.fixture
def things(monkeypatch):
    """Return a function that makes a registry, given what installed packages advertise as `name = attribute`."""

    def make(*points):
        def installed(group):
            assert group == "archsim.things"
            return [EntryPoint(name, f"{__name__}:{attribute}", group) for name, attribute in points]

        monkeypatch.setattr(module, "entry_points", installed)
        made = Registry("thing", "archsim.things")
        made.bundle("bundled", Thing("bundled"))
        return made

    return make


def test_items_of_installed_packages_are_found_by_name(things):
    registry = things(("first", "FIRST"), ("second", "SECOND"))
    assert registry.get("first").name == "first" and "second" in registry
    assert list(registry) == ["bundled", "first", "second"]


def test_bundled_item_is_found_without_loading_packages(things):
    registry = things(("first", "NOWHERE"))
    assert registry.get("bundled").name == "bundled" and "bundled" in registry


def test_registered_item_stays_where_a_package_has_the_same_name(things):
    registry, mine = things(("first", "FIRST")), Thing("first")
    registry.register(mine, "test")
    assert registry.get("first") is mine and list(registry) == ["bundled", "first"] and registry.get("first") is mine


@pytest.mark.parametrize("points, message", [
    ([("first", "NOWHERE")], r"entry point first = .*:NOWHERE of the group archsim.things cannot be loaded: AttributeError"),
    ([("bundled", "TAKEN")], "'bundled' is built in, need another name"),
    ([("first", "MISNAMED")], "the thing calls itself 'other': need one name"),
    ([("first", "FIRST"), ("first", "Thing('first')")], "cannot be loaded"),
    ([("first", "GROUPS")], "name = None: need letters"),
])  # fmt: skip
def test_package_with_an_unusable_item_is_named(points, message, things):
    registry = things(*points)
    for _ in range(2):  # a failure is not forgotten
        with pytest.raises(archsim.ArchsimError, match=message):
            list(registry)


def test_two_packages_with_one_name_are_refused(things, monkeypatch):
    registry = things(("first", "FIRST"), ("first", "ALIAS"))
    monkeypatch.setitem(globals(), "ALIAS", Thing("first"))
    with pytest.raises(archsim.ArchsimError, match="another package has a thing of this name: uninstall one"):
        list(registry)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a,b", "a=b", None, 3])
def test_name_that_options_could_not_follow_is_refused(name, things):
    with pytest.raises(archsim.ArchsimError, match=r"here: name = .*: need letters, digits and \. \+ - _"):
        things().register(Thing(name), "here")


def test_later_registration_replaces_an_earlier_one(things):
    registry = things()
    for thing in (FIRST, Thing("first")):
        assert registry.register(thing, "here") is thing and registry.get("first") is thing


@pytest.mark.parametrize("group, item, message", [
    ("archsim.policies", Thing("mine"), "is a Thing: need a class"),
    ("archsim.policies", Thing, "has no name, needs_threshold, uses_memo_unit, begin"),
    ("archsim.task_metrics", Thing("mine"), "is a Thing: need an archsim.task_metrics.metrics.Metric"),
    ("archsim.machines", type(MACHINES.get("epur")), "is no instance of archsim.sim.machines.Machine"),
])  # fmt: skip
def test_item_of_another_kind_is_refused(group, item, message):
    registry = GROUPS[group]
    assert registry.group == group
    with pytest.raises(archsim.ArchsimError, match=f"here {message}"):
        registry.register(item, "here")


def test_unknown_name_tells_how_one_is_added(things):
    with pytest.raises(
        archsim.ArchsimError, match="or that of a plug-in: --plugin FILE, or a package with the entry-point"
    ):
        things().get("firsst")
