"""The classes that act in turn are known to the report by name; here they are held against the classes themselves."""

import inspect

from regnet import regularizers
from regnet.compose.checks import CONTRADICTIONS
from regnet.compose.config_files import config_folder, read_config
from regnet.regularizers import BatchTransform, Update, WeightLayer
from regnet.report.order import IN_TURN


def test_classes_of_one_kind_and_stage_act_in_turn():
    classes = {}  # name of an entry ─► those of its options
    for path in sorted((config_folder() / "regularizer").glob("*.yaml")):
        for name, node in read_config(path).items():
            target = node["_target_"] if isinstance(node, dict) else "ShiftFlip"  # that of data.augment
            classes.setdefault(name, set()).add(target.rpartition(".")[2])
    places = {}
    for name, kinds in classes.items():
        for kind in (getattr(regularizers, kind, None) for kind in kinds):
            base = next((base for base in (BatchTransform, Update, WeightLayer) if _is(kind, base)), None)
            if base is not None:
                places.setdefault((base.__name__, getattr(kind, "stage", None)), {}).setdefault(name, set()).add(kind)
    several = [
        {kind.__name__ for kinds in entries.values() for kind in kinds}
        for entries in places.values()
        if len(entries) > 1 and not any(entries.keys() <= rivals for rivals, _ in CONTRADICTIONS)
    ]
    assert sorted(map(sorted, IN_TURN)) == sorted(map(sorted, several))


def _is(kind, base):
    return inspect.isclass(kind) and issubclass(kind, base)
