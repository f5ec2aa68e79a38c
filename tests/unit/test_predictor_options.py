"""Options of predictors in the names of policies."""

import pytest

import archsim
from archsim.config.predictor import BitPlanePredictor
from archsim.policies import BinaryPolicy, LowBitPolicy, NoReuse, TernaryPolicy, policy_from


def test_policy_names_with_options_round_trip():
    for name in ("bnn", "bnn:throttle=off", "lowbit:bits=4", "lowbit:bits=2,throttle=off,guard=8", "ternary:guard=2"):
        assert policy_from(name).name == name
    assert policy_from("lowbit:throttle=ON,bits=3").name == "lowbit"
    assert LowBitPolicy(bits=4, throttle=False).name == "lowbit:bits=4,throttle=off"
    assert BinaryPolicy.name == "bnn" and TernaryPolicy().name == "ternary"


def test_policy_names_distinguish_large_numbers():
    one, other = (policy_from(f"bnn:guard={guard}") for guard in (1234567, 1234568))
    assert one.name == "bnn:guard=1234567" != other.name
    assert policy_from(one.name).guard == 1234567


def test_options_of_plug_ins_appear_in_their_names(registry):
    """Options appear whether the class declares them itself or passes some on to its parent."""

    class Every(NoReuse):
        name = "every"

        def __init__(self, *, period: int = 4) -> None:
            self.period = period

    class Windowed(BinaryPolicy):
        name = "windowed"

        def __init__(self, *, window: int = 4, throttle: bool = True, guard: int = 0) -> None:
            super().__init__(throttle=throttle, guard=guard)
            self.window = window

    for policy in (Every, Windowed):
        archsim.register_policy(policy)
    assert [policy_from(name).name for name in ("every", "every:period=8")] == ["every", "every:period=8"]
    assert policy_from("windowed:window=2").window == 2
    assert policy_from("windowed:throttle=off").name == "windowed:throttle=off"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: BinaryPolicy(throttle="off"), "throttle = 'off': need on or off"),
        (lambda: BinaryPolicy(guard=2.5), "guard = 2.5: need a whole number"),
        (lambda: LowBitPolicy(bits=[3]), r"bits = \[3\]: need a whole number"),
        (lambda: LowBitPolicy(bits=7, correct=True), "need 2 to 6 where correct = on"),
        (lambda: BitPlanePredictor(planes=0), "planes = 0: need 1 to 16"),
    ],
)
def test_invalid_arguments_of_a_policy_are_refused(make, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        make()


@pytest.mark.parametrize(
    "name, message",
    [
        ("lowbit:bits=1", "bits = 1: need 2 to 8"),
        ("lowbit:bits=9", "bits = 9"),
        ("lowbit:bits=three", "need a whole number"),
        ("bnn:throttle=maybe", "need on or off"),
        ("bnn:bits=3", "unknown option 'bits'"),
        ("bnn:throtle=off", "did you mean 'throttle'"),
        ("bnn:guard=-1", "guard = -1"),
        ("bnn:guard", "need key=value"),
        ("bnn:guard=1,guard=2", "each key once"),
        ("oracle:guard=2", "unknown option 'guard'.*known: none"),
        ("lowbits:bits=2", "unknown policy 'lowbits'.*did you mean 'lowbit'"),
    ],
)
def test_invalid_option_is_refused_by_name(name, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        policy_from(name)
