"""Modules that have moved: under their old names they can still be imported, and named in a recorded config."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

SINCE_0_1 = """
regnet              regnet.core                          errors seeds exact metrics tasks values spelling weights roles
regnet              regnet.core                          patterns parametrized console ending threads
regnet.regularizers regnet.core                          hyperparameters
regnet              regnet.run                           checkpoints resuming
regnet              regnet.models                        compact
regnet              regnet.training                      objective module replay operations callbacks
regnet.callbacks    regnet.training.callbacks            averages early_stopping last_checkpoint
regnet.callbacks    regnet.training.callbacks            learning_rate no_profiler penalized progress regularize
regnet.callbacks    regnet.training.callbacks            snapshots step_limit time_limit
regnet              regnet.measures                      monte_carlo
regnet              regnet.compose                       build checks make sites arguments structure quoting
regnet              regnet.compose                       explain config_files protocol trust
regnet              regnet.commands                      evaluate inspect
regnet.regularizers regnet.regularizers.penalties        activities inputs matrices outputs structured
regnet.regularizers regnet.regularizers.updates          constraints proximal sharpness gradients lookahead
regnet.regularizers regnet.regularizers.layers           dropout dropblock gaussian concrete residual
regnet.regularizers regnet.regularizers.weight_layers    draws
regnet.regularizers regnet.regularizers.transforms       augment boxes erasing mixing policies input_noise targets
"""  # from where, to where, and what
MOVED = {  # those that have another name as well, and the rest
    "regnet.hparams": "regnet.run.loggers",
    "regnet.runs": "regnet.run.record",
    "regnet.measure": "regnet.measures.task_metrics",
    "regnet.cli": "regnet.commands.launch",
} | {
    f"{old}.{name}": f"{new}.{name}"
    for old, new, *names in map(str.split, SINCE_0_1.strip().splitlines())
    for name in names
}


def present_name(path: str) -> str:
    """The path of a module, or of something in it, by the name that the module has today."""
    names = path.split(".")
    for count in range(len(names), 0, -1):
        if (module := ".".join(names[:count])) in MOVED:
            return ".".join([MOVED[module], *names[count:]])
    return path


class _Finder(MetaPathFinder, Loader):
    """An old name gives the very module of the new one."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return spec_from_loader(name, self) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(MOVED[spec.name])
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # which importlib has replaced


sys.meta_path.insert(0, _Finder())  # before the one that would find the files of a moved package once more
