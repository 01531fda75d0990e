"""Every run of a study has a folder of its own, also where `hydra.sweep.subdir` is another than regnet's."""

from omegaconf import DictConfig, OmegaConf

from ..core.errors import UserError
from ..run.identity import identity

BY_VALUES = "${run_folder:"  # regnet's own, which has another name for every other run


class FoldersApart:
    """Remembers which run has which folder. Jobs of the same values are one run, and share it."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}

    def add(self, config: DictConfig) -> None:
        """A composed job, whose folder is known.

        Raises:
            UserError: another run has its folder; each would replace what the other left there.
        """
        task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        folder, run = str(config.hydra.runtime.output_dir), identity(task)
        if self.runs.setdefault(folder, run) != run:
            raise UserError(
                f"hydra.sweep.subdir gives two different runs the folder {folder}; without it each has its own, and "
                "hydra.sweep.subdir='${hydra.job.num}' numbers them"
            )


def names_by_values(config: DictConfig) -> bool:
    """Whether the folders of a study's runs are regnet's own."""
    sweep = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    return isinstance(sweep, dict) and str(sweep["subdir"]).startswith(BY_VALUES)
