"""Which regularizers act in turn, so that the order in which they are chosen means something."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..run.identity import chosen
from ..run.record import RecordedRun

# The report imports no torch, and so knows the classes by their names. Those of one set act one after the other, on
# the same: all others are added up, or have places of their own, or are not combined with each other.
IN_TURN = (
    {"ShiftFlip", "RandAugment", "TrivialAugment", "AugMix", "AutoAugment", "Cutout", "RandomErasing", "InputNoise"},
    {"MaxNorm", "MinMaxNorm", "UnitNorm", "NonNegative", "SpectralClip", "OrthogonalProjection"}
    | {"ProximalL1", "ProximalL0", "ProximalGroupLasso"},
    {"DropConnect", "L0", "VariationalDropout"},
)

Nodes = Mapping[str, Any]  # the entries of regularizers in a config, by their names
Turns = list[list[str]]


def known_nodes(runs: Sequence[RecordedRun]) -> dict[str, Any]:
    """The entries of all regularizers that any of the runs chose."""
    entries = [run.config.get("regularizer") or {} for run in runs]
    return {name: own[name] for own in entries for name in chosen(own)}


def in_turn(names: Sequence[str], nodes: Nodes) -> Turns:
    """Those of the chosen that act in turn, in their order: a list for each place where several do.

    Layers that are put behind modules (`after`) may be behind the same one. Of a class that is not regnet's nothing is
    known: it may act in turn with all of these.
    """
    places: dict[str, list[str]] = {}
    for name in names:
        places.setdefault(_place(nodes.get(name)), []).append(name)
    places.pop("", None)
    if "own" in places:
        acting = {name for group in places.values() for name in group}
        places = {"own": [name for name in names if name in acting]}
    return [group for group in places.values() if len(group) > 1]


def _place(node: Any) -> str:
    if not isinstance(node, Mapping):
        return "own"
    target = str(node.get("_target_"))
    if node.get("after"):
        return "after"
    if "." in target and not target.startswith("regnet."):
        return "own"
    name = target.rpartition(".")[2]
    return next((str(place) for place, classes in enumerate(IN_TURN) if name in classes), "")
