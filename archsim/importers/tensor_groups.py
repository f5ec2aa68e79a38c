"""Groups of tensors that are recurrent by their names, as torch and Keras give them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from archsim.errors import NetworkError
from archsim.importers.tensor_files import StoredTensor, Tensors
from archsim.ir.cells import CELLS

WANTED = (
    "NAME.weight_ih_l0, NAME.weight_hh_l0, NAME.bias_ih_l0, NAME.bias_hh_l0 (torch nn.LSTM, nn.GRU, nn.RNN; also _l1, "
    "..., _reverse), NAME.weight_ih, NAME.weight_hh, ... (LSTMCell, GRUCell, RNNCell), NAME/kernel, "
    "NAME/recurrent_kernel, NAME/bias (Keras)"
)
Part = tuple[int, int]
"""Layer and direction, 1 for the reverse one."""
_ROLES = "weight_ih|weight_hh|weight_hr|bias_ih|bias_hh|peepholes"
_TORCH = re.compile(rf"(?P<prefix>.*?)(?P<role>{_ROLES})(?:_l(?P<layer>\d+)(?P<reverse>_reverse)?)?")
_DERIVED = re.compile(
    rf"(?P<prefix>.*?)(?:parametrizations\.(?:{_ROLES})_l\d+(?:_reverse)?\..*"
    rf"|(?:{_ROLES})_l\d+(?:_reverse)?_(?:orig|mask|raw|g|v|u))"
)
_KERAS = re.compile(r"(?P<prefix>.*?)(?P<role>kernel|recurrent_kernel|bias)(?::0)?")
_KERAS_ROLES = {"kernel": "weight_ih", "recurrent_kernel": "weight_hh", "bias": "bias"}
_CELLS = {4: "lstm", 3: "gru", 1: "rnn"}
"""Cell by the number of its gates, where no other is asked for."""


@dataclass
class TensorGroup:
    """Tensors of one recurrent module or layer, found by their names."""

    prefix: str
    gate_order: str
    """Gate order of the framework that names tensors like this."""
    parts: dict[Part, dict[str, StoredTensor]] = field(default_factory=dict)
    """Tensors by role (weight_ih, weight_hh, bias_ih, bias_hh, or Keras's bias), by layer and direction."""
    names: list[str] = field(default_factory=list)
    derived: list[str] = field(default_factory=list)
    """Names of tensors that a parametrisation makes weights of."""
    cell_asked_for: str | None = None

    @property
    def name(self) -> str:
        """Prefix as it is written for `--prefix`."""
        return self.prefix.rstrip("./") or "''"

    @property
    def depth(self) -> int:
        """Number of layers."""
        return 1 + max(layer for layer, _ in self.parts)

    @property
    def bidirectional(self) -> bool:
        """True if a layer has a reverse direction."""
        return any(side for _, side in self.parts)

    @property
    def n_gates(self) -> int:
        """Gates by the shape of the first weights of h, 0 for a shape of no cell."""
        part = self.parts[min(self.parts)]
        shape = part["weight_hh"].shape
        if self.has_projection:  # weights of h are (G·H, R), the projection is (R, H)
            units = part["weight_hr"].shape[-1]
            return shape[0] // units if units and shape[0] % units == 0 else 0
        return max(shape) // min(shape) if len(shape) == 2 and min(shape) and max(shape) % min(shape) == 0 else 0

    @property
    def cell(self) -> str:
        """Name of the cell that was asked for, or the one of its gates and peepholes."""
        return self.cell_asked_for or f"{_CELLS[self.n_gates]}{'-peepholes' * self.has_peepholes}"

    @property
    def has_peepholes(self) -> bool:
        """True if its first layer has peephole weights."""
        return "peepholes" in self.parts[min(self.parts)]

    @property
    def has_projection(self) -> bool:
        """True if its first layer has a projection, torch's `proj_size`."""
        return "weight_hr" in self.parts[min(self.parts)]

    def take_as(self, where: str, cell: str) -> None:
        """Read the group as a cell by name; NetworkError if that has another number of gates, or other peepholes."""
        wanted = CELLS[cell]
        if wanted.n_gates != self.n_gates or bool(wanted.peephole_gates) != self.has_peepholes:
            gates = f"{self.n_gates} gate{'s' * (self.n_gates > 1)}{' with peepholes' * self.has_peepholes}"
            raise NetworkError(f"{where} has {gates}, those of a {self.cell}; cell = {cell!r} was asked for")
        self.cell_asked_for = cell

    @property
    def refusal(self) -> str:
        """Reason why this group cannot be simulated; empty if it can."""
        if self.derived:
            made = "are made into weights by a parametrisation: load them into their module and use archsim.from_torch"
            return f"{', '.join(self.derived)} {made}"
        for layer in range(self.depth):
            for side in range(1 + self.bidirectional):
                where = f"layer {layer}, {'reverse' if side else 'forward'}"
                part = self.parts.get((layer, side), {})
                if ("weight_hr" in part) != self.has_projection:
                    return f"{where} differs from the first layer in having a projection, weight_hr"
                needed = ("weight_ih", "weight_hh", *(("peepholes",) * self.has_peepholes))
                if missing := [role for role in needed if role not in part]:
                    return f"{where} has no {' and no '.join(missing)}"
        if self.n_gates not in _CELLS:
            shape = self.parts[min(self.parts)]["weight_hh"].shape
            known = "those of an LSTM are (4·H, H), of a GRU (3·H, H), of an RNN (H, H)"
            return f"its weights of h have shape {shape}: {known}"
        for what, is_there in (("peepholes", self.has_peepholes), ("a projection", self.has_projection)):
            if is_there and self.n_gates != CELLS["lstm"].n_gates:
                return f"it has {what} and {self.n_gates} gates: only an LSTM has both"
        return ""

    @property
    def summary(self) -> str:
        """Sizes in words."""
        kernel, recurrent = (self.parts[min(self.parts)][role].shape for role in ("weight_ih", "weight_hh"))
        inputs = kernel[0] if self.gate_order == "keras" else kernel[-1]
        layers = f"{self.depth} layer{'s' * (self.depth > 1)}{' bidirectional' * self.bidirectional}"
        units = max(recurrent) // self.n_gates
        projected = f" projected to {min(recurrent)}" if units != min(recurrent) else ""
        return f"{self.cell}, {layers}, {inputs} inputs, {units} units{projected}"


def find_groups(tensors: Tensors) -> list[TensorGroup]:
    """Return the groups of recurrent tensors, in the order of the file."""
    groups: dict[str, TensorGroup] = {}
    for name, tensor in tensors.items():
        if match := _TORCH.fullmatch(name):
            group = groups.setdefault(match["prefix"], TensorGroup(match["prefix"], "torch"))
            part = int(match["layer"] or 0), int(match["reverse"] is not None)
            group.parts.setdefault(part, {})[match["role"]] = tensor
            group.names.append(name)
        elif match := _DERIVED.fullmatch(name):
            group = groups.setdefault(match["prefix"], TensorGroup(match["prefix"], "torch"))
            group.derived.append(name.removeprefix(match["prefix"]))
            group.names.append(name)
    groups.update(_keras_groups(tensors))
    return [group for group in groups.values() if group.parts or group.derived]


def _keras_groups(tensors: Tensors) -> dict[str, TensorGroup]:
    """Return Keras's layers; `forward_` and `backward_` of one name are the directions of one."""
    groups: dict[str, TensorGroup] = {}
    matches = {name: match for name in tensors if (match := _KERAS.fullmatch(name))}
    recurrent = {match["prefix"] for match in matches.values() if match["role"] == "recurrent_kernel"}
    for name, match in matches.items():
        prefix = match["prefix"]
        if prefix not in recurrent:  # the kernel of a dense layer or a convolution
            continue
        forward = prefix.replace("backward_", "forward_")
        is_reverse = forward != prefix and forward in recurrent
        group = groups.setdefault(forward if is_reverse else prefix, TensorGroup(forward, "keras"))
        group.parts.setdefault((0, int(is_reverse)), {})[_KERAS_ROLES[match["role"]]] = tensors[name]
        group.names.append(name)
    return groups


def require_groups(where: str, groups: list[TensorGroup], tensors: Tensors) -> None:
    """Raise NetworkError with the names that are wanted, and those that were found, if there is no group."""
    if not groups:
        raise NetworkError(f"{where}: no tensor has the name of a recurrent weight. {_names_of(tensors)}")


def choose_groups(
    where: str, groups: list[TensorGroup], prefixes: Iterable[str], tensors: Tensors
) -> list[TensorGroup]:
    """Return the groups of these prefixes, one after the other, or the only one that can be simulated.

    Raises NetworkError, which lists the prefixes there are, or the names that are wanted and those that were found.
    """
    require_groups(where, groups, tensors)
    if prefixes := list(prefixes):
        return [_named(where, groups, prefix) for prefix in prefixes]
    usable = [group for group in groups if not group.refusal]
    if not usable:
        raise NetworkError(f"{where}: {'; '.join(f'{group.name}: {group.refusal}' for group in groups)}")
    if len(usable) > 1:
        listed = "; ".join(f"{group.name} ({group.summary})" for group in usable)
        raise NetworkError(f"{where} holds several recurrent parts: choose by prefix (--prefix). Found: {listed}")
    return usable


def _named(where: str, groups: list[TensorGroup], prefix: str) -> TensorGroup:
    """Return the group of a prefix, or the only one of which the prefix is the end, else the beginning or a part.

    Checkpoints nest state dicts, and Keras puts a cell into each layer: `lstm` stands for `lstm/lstm_cell`.
    """
    asked = prefix.strip("./")
    exact = [group for group in groups if group.prefix.strip("./") == asked]
    ending = [group for group in groups if group.name.endswith((f".{asked}", f"/{asked}"))]
    within = [group for group in groups if f".{asked}.".replace("/", ".") in f".{group.name}.".replace("/", ".")]
    found = exact or ending or within
    if len(found) != 1:
        listed = "; ".join(f"{group.name} ({group.refusal or group.summary})" for group in found or groups)
        number = "several recurrent parts have" if found else "no recurrent part has"
        raise NetworkError(f"{where}: {number} the prefix {prefix!r}; found: {listed}")
    if found[0].refusal:
        raise NetworkError(f"{where}: {found[0].name}: {found[0].refusal}")
    return found[0]


MAX_NAMES = 40
"""Names of tensors that a message lists."""


def _names_of(tensors: Tensors) -> str:
    """Return the names that are wanted and those that were found, with shapes."""
    found = [f"{name} {tensor.shape}" for name, tensor in list(tensors.items())[:MAX_NAMES]]
    more = f" and {len(tensors) - MAX_NAMES} more" if len(tensors) > MAX_NAMES else ""
    return (
        f"Wanted: {WANTED}. Found: {', '.join(found) or 'no tensors'}{more}. "
        "Arrays of other names go through archsim.Network.from_weights"
    )
