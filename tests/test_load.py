"""`regnet.load`: a run from its folder, wherever one is, without anything of a stranger's being run."""

import json
import shutil
import sys

import pytest
import torch
from torch import nn

import regnet
from regnet.data import table
from tests.helpers.commands import TINY, record, train, train_into

OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, shape, num_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], num_outputs))

    def forward(self, x):
        return self.layers(x)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loaded") / "run"
    train_into(folder, *TINY, "regularizer=[dropout,l2]", "regularizer.l2.strength=1e-3")
    return folder


@pytest.fixture
def changed(run, tmp_path):
    """A copy of the run whose record, and the model of its config, have other values."""

    def change(model=None, **values):
        shutil.copytree(run, tmp_path / "copy")
        kept = record(run) | values
        kept["config"]["model"] |= model or {}
        (tmp_path / "copy/record.json").write_text(json.dumps(kept))
        return tmp_path / "copy"

    return change


def test_a_run_has_its_network_config_record_and_data(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # not where it was trained
    loaded = regnet.load(run)
    assert loaded.record == record(run)
    assert (loaded.status, loaded.metrics) == ("completed", record(run)["metrics"])
    assert loaded.config.regularizer.l2.strength == 1e-3
    assert not loaded.network.training
    assert not any(module.training for module in loaded.objective.modules())
    test = loaded.data.test
    with torch.no_grad():
        right = (loaded.network(test.x).argmax(1) == test.y).double().mean().item()
    assert right == pytest.approx(record(run)["metrics"]["test"]["accuracy"], abs=1e-6)
    assert "l2" in loaded.objective.penalties
    assert repr(loaded) == f"TrainedRun(folder={run!r})"


def test_the_weights_are_those_of_the_chosen_epoch(run):
    state = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    for name, tensor in regnet.load(str(run)).network.state_dict().items():
        torch.testing.assert_close(tensor, state[f"objective.network.{name}"], rtol=0, atol=0)


def test_the_data_are_read_when_they_are_asked_for(run, monkeypatch):
    reads = []
    read = table.Sklearn.load
    monkeypatch.setattr(table.Sklearn, "load", lambda self: reads.append(self) or read(self))
    loaded = regnet.load(run)
    assert reads == []
    assert loaded.data is loaded.data
    assert len(reads) == 1


def test_loading_draws_no_random_numbers(run):
    before = torch.get_rng_state()
    regnet.load(run)
    assert torch.equal(torch.get_rng_state(), before)


def test_relative_data_are_found_from_any_folder(tmp_path, monkeypatch):
    rows = [f"{i},{i % 3},{i * 0.5}" for i in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,price", *rows]))
    train_into(tmp_path / "run", *TINY[:2], "data=csv", "data.path=table.csv", "data.target=price")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    loaded = regnet.load(tmp_path / "run")
    assert len(loaded.data.train) + len(loaded.data.val) + len(loaded.data.test) == 60
    (tmp_path / "table.csv").unlink()
    with pytest.raises(regnet.UserError, match=r"table\.csv"):
        _ = regnet.load(tmp_path / "run").data


def test_a_network_of_ones_own_is_loaded_where_it_is_allowed(tmp_path, monkeypatch):
    """It is found as any import is, and in the current folder, which is looked through for nothing else."""
    (tmp_path / "mynet_of_load.py").write_text(OWN)
    done = train(*TINY[1:], "model._target_=mynet_of_load.Net", f"hydra.run.dir={tmp_path}/run", cwd=tmp_path)
    assert done.code == 0, done.err
    monkeypatch.chdir(tmp_path)
    paths = list(sys.path)
    with pytest.raises(regnet.UserError, match=r"mynet_of_load\.Net is not in the list.*allow=\[mynet_of_load\]"):
        regnet.load("run")
    assert "mynet_of_load" not in sys.modules
    for allow in (["mynet_of_load"], "mynet_of_load", ("mynet_of_load.Net",)):
        model = regnet.load("run", allow=allow).network.model
        assert type(model).__name__ == "Net"
        assert isinstance(model.layers[1], nn.Linear)
    assert sys.path == paths
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    sys.modules.pop("mynet_of_load")
    with pytest.raises(regnet.UserError, match="cannot be imported"):
        regnet.load(tmp_path / "run", allow=["mynet_of_load"])
    monkeypatch.syspath_prepend(tmp_path)
    assert type(regnet.load(tmp_path / "run", allow=["mynet_of_load"]).network.model).__name__ == "Net"
    sys.modules.pop("mynet_of_load")


@pytest.mark.parametrize("target", ["os.system", "torch.load", "evil.Net", "regnet.commands.in_python.train"])
def test_a_strange_folder_imports_and_calls_nothing(changed, tmp_path, monkeypatch, target):
    (tmp_path / "evil.py").write_text("from pathlib import Path\nPath('marker').touch()\n")
    monkeypatch.chdir(tmp_path)
    folder = changed({"_target_": target, "command": "touch marker"})
    with pytest.raises(regnet.UserError, match=f"its model._target_={target} is not in the list"):
        regnet.load(folder)
    assert not (tmp_path / "marker").exists()
    assert "evil" not in sys.modules


def test_what_is_no_finished_run_is_told_in_one_sentence(run, changed, tmp_path):
    with pytest.raises(regnet.UserError, match="nothing is not the folder of a finished run"):
        regnet.load(tmp_path / "nothing")
    with pytest.raises(regnet.UserError, match=rf"it holds runs, such as {run}$"):
        regnet.load(run.parent)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run / ".hydra", unfinished / ".hydra")
    with pytest.raises(regnet.UserError, match=r"unfinished is not the .*: it has no record\.json$"):
        regnet.load(unfinished)
    folder = changed(status="failed", reason="out of memory", metrics=None)
    with pytest.raises(regnet.UserError, match="copy has nothing to evaluate: failed, out of memory"):
        regnet.load(folder)
    (folder / "record.json").write_text("{")
    with pytest.raises(regnet.UserError, match=r"record\.json cannot be read") as told:
        regnet.load(folder)
    assert "\n" not in str(told.value)


def test_a_damaged_checkpoint_is_named(changed):
    folder = changed()
    (folder / "checkpoints/best.ckpt").write_bytes(b"PK")
    with pytest.raises(regnet.UserError, match=r"best\.ckpt is absent or damaged"):
        regnet.load(folder)


def test_an_error_does_not_end_the_hydra_of_the_program(run, changed):
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from regnet.compose.config_files import config_folder

    folder = changed()
    kept = record(folder)
    del kept["config"]["model"]["shape"], kept["config"]["data"]["shape"]
    (folder / "record.json").write_text(json.dumps(kept))
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        mine = GlobalHydra.instance().hydra
        with pytest.raises(regnet.UserError, match="cannot be built again"):
            regnet.load(folder)
        assert GlobalHydra.instance().hydra is mine
