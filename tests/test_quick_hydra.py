"""What tests compose with is Hydra: the same configs, each a new one, and the same mistakes."""

import contextlib

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from regnet.compose.config_files import config_folder
from tests.helpers.quick_hydra import quick_hydra

CHOICES = [
    ["regularizer=[l2,dropout]", "regularizer.l2.strength=0.5", "seed=${trainer.max_epochs}"],
    ["model=cnn", "++model.new={a: 1}", "~trainer.profiler", "+data.x=[1,2]", "hydra.job.chdir=false"],
    ["~logger", "hydra/launcher=packed", "experiment=small_digits"],
    ["regularizer=l2,none", "seed=range(3)"],
]


def composed(overrides, mode=RunMode.RUN):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        return loader.load_configuration("train", [*overrides], mode)


@pytest.mark.parametrize("overrides", CHOICES)
def test_quick_configs_are_those_of_hydra(overrides):
    mode = RunMode.MULTIRUN if "seed=range(3)" in overrides else RunMode.RUN
    expected = composed(overrides, mode)
    with quick_hydra():
        composed([one for one in overrides if not one.startswith("seed")], mode).hydra.job.name = "changed"
        for _ in range(2):
            got = composed(overrides, mode)
            assert OmegaConf.to_yaml(got) == OmegaConf.to_yaml(expected)
            assert OmegaConf.is_struct(got) == OmegaConf.is_struct(expected)
            assert got.seed == expected.seed
            got.model = None


@pytest.mark.parametrize(
    "mistake", ["regularizer=l3", "optimizer.lrr=1", "~data.shape", "+seed=2", "trainer@x=default"]
)
def test_quick_mistakes_are_those_of_hydra(mistake):
    told = []
    for quick in (contextlib.nullcontext, quick_hydra, quick_hydra):
        with quick(), pytest.raises(HydraException) as raised:
            composed([mistake])
        told.append(str(raised.value))
    assert told == told[:1] * 3
    with quick_hydra():
        assert composed(["seed=7"]).seed == 7


def test_a_file_of_ones_own_is_read_again_when_it_has_changed(tmp_path):
    file = tmp_path / "experiment" / "own.yaml"
    file.parent.mkdir()
    with quick_hydra():
        for seed in (3, 12):
            file.write_text(f"# @package _global_\nseed: {seed}\n")
            assert composed([f"hydra.searchpath=[file://{tmp_path}]", "experiment=own"]).seed == seed
