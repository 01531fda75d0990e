"""Every file in conf/data builds a data module that works."""

import os
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from regnet.data import DataModule
from regnet.regularizers import BatchTransform

CONF = Path(__file__).parents[2] / "conf" / "data"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
KNOBS = {"batch_size", "eval_batch_size", "train_size", "val_fraction", "test_fraction", "split_seed", "seed"}


def settings(name, tmp_path):
    """What a person must say beside `data=name`."""
    table = tmp_path / "table.csv"
    table.write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    needed = {"csv": [f"data.path={table}", "data.target=y"], "image_folder": [f"data.path={tmp_path}"]}
    return needed.get(name, [])


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_is_built(name, compose_data, tmp_path):
    config = compose_data(name, *settings(name, tmp_path), "data.batch_size=7", "data.split_seed=5")
    module = instantiate(config)
    assert isinstance(module, DataModule)
    assert (module.batch_size, module.split_seed, module.seed) == (7, 5, 0)
    assert set(config) >= KNOBS | {"augment", "shape", "classes", "num_classes", "num_outputs"}
    assert isinstance(instantiate(config.augment), BatchTransform)
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("name", ["digits", "wine", "breast_cancer", "diabetes", "csv"])
def test_what_needs_no_download_gives_batches(name, compose_data, tmp_path):
    module = instantiate(compose_data(name, *settings(name, tmp_path)))
    module.setup()
    x, y = next(iter(module.train_dataloader()))
    assert x.shape[1:] == module.shape
    assert len(x) == len(y)
    assert [len(loader) > 0 for loader in module.val_dataloader()] == [True, True]
    assert len(module.test_dataloader()) > 0


def test_where_downloads_are_kept(compose_data, monkeypatch):
    monkeypatch.delenv("REGNET_DATA", raising=False)
    assert compose_data("mnist").source.root == "data"
    monkeypatch.setenv("REGNET_DATA", os.sep + "elsewhere")
    assert compose_data("mnist").source.root == "/elsewhere"
    assert compose_data("mnist", "data.root=here").source.root == "here"


@pytest.mark.parametrize("name", ["csv", "image_folder"])
def test_own_data_must_be_named(name, compose_data):
    with pytest.raises(MissingMandatoryValue, match=r"data\.path"):
        instantiate(compose_data(name))
