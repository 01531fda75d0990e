"""A run folder can come from a stranger: evaluating it builds what is on the list of classes, and nothing else."""

import json
import re
import shutil
import sys
from pathlib import Path
from pkgutil import resolve_name

import pytest
import torch
from omegaconf import OmegaConf
from torchvision import models as architectures

from regnet.compose.make import literal, make
from regnet.compose.trust import known, targets, trusted
from regnet.core.errors import UserError
from tests.helpers.commands import TINY, evaluate, finish, record, start, train_into

CONF = Path(__file__).parents[1] / "conf"
EVIL = "from pathlib import Path\nPath('marker').touch()\n"
OWN = """
import os
from torch import nn
from regnet.models import MLP

class Net(MLP):
    pass

def make(**settings):
    return MLP(**settings)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trusted") / "run"
    train_into(folder, *TINY, "regularizer=[dropout,l2]")
    return folder


@pytest.fixture
def changed(run, tmp_path):
    """The same run in the current folder, its record with other values at dotted keys; returns the record."""

    def change(**values):
        if not (tmp_path / "run").exists():
            shutil.copytree(run, tmp_path / "run")
        kept = record(run)
        for key, value in values.items():
            *path, last = key.split("__")
            node = kept
            for name in path:
                node = node[name]
            node[last] = value
        (tmp_path / "run" / "record.json").write_text(json.dumps(kept))
        return kept

    return change


CALLS = [
    {"_target_": "torch.utils.collect_env.run", "command": "touch marker"},
    {"_target_": "torch.load", "f": "marker", "weights_only": False},
    {"_target_": "torch.hub.load", "repo_or_dir": ".", "model": "evil", "source": "local"},
    {"_target_": "torch.hub.download_url_to_file", "url": "file:///etc/passwd", "dst": "marker"},
    {"_target_": "torch.serialization.load", "f": "marker", "weights_only": False},
    {"_target_": "torch.nn.modules.module.torch.load", "f": "marker"},
    {"_target_": "torch.nn.functional.warnings.sys.exit", "status": 0},
    {"_target_": "torch.nn.utils.parametrize.copy.os.system", "command": "touch marker"},
    {"_target_": "torch.optim.optimizer.functools.partial"},
    {"_target_": "torch.save", "obj": 1, "f": "marker"},
    {"_target_": "joblib.load", "filename": "marker"},
    {"_target_": "builtins.open", "file": "marker", "mode": "w"},
    {"_target_": "builtins.exec", "_args_": ["open('marker', 'w')"]},
    {"_target_": "os.system", "command": "touch marker"},
    {"_target_": "subprocess.run", "args": ["touch", "marker"]},
    {"_target_": "pathlib.Path.touch", "_args_": ["marker"]},
    {"_target_": "regnet.run.record.write_record", "folder": ".", "record": {}},
    {"_target_": "regnet.commands.train.run", "cfg": {}, "folder": "marker"},
    {"_target_": "regnet.commands.train.os.system", "command": "touch marker"},
    {"_target_": "regnet.commands.launch.os.system", "command": "touch marker"},
    {"_target_": "regnet.compose.make.instantiate", "config": {}},
    {"_target_": "regnet.report.page.write", "path": "marker", "content": "x"},
    {"_target_": "regnet.training.callbacks.MetricsCsv", "path": "marker"},
    {"_target_": "lightning.pytorch.LightningModule.load_from_checkpoint", "checkpoint_path": "marker"},
    {"_target_": "lightning.fabric.utilities.cloud_io._load", "path_or_url": "marker"},
    {"_target_": "lightning.pytorch.Trainer"},
    {"_target_": "hydra.utils.get_method", "path": "os.system"},
    {"_target_": "torchvision.models.get_model", "name": "resnet18"},
    {"_target_": "torchvision.models.detection.fasterrcnn_resnet50_fpn"},
    {"_target_": "torchvision.models.resnet.load_state_dict_from_url", "url": "file:///etc/passwd"},
    {"_target_": "torchvision.models.resnet18", "weights": "DEFAULT"},
    {"_target_": "torchvision.models.resnet.resnet18", "pretrained": True},
    {"_target_": "torchvision.models.resnet18", "_args_": ["DEFAULT"]},
    {"_target_": "evil.Net"},
    {"_target_": "evil"},
    {"_target_": "run.evil.Net"},
    {"_target_": ""},
    {"_target_": "torch..load"},
    {"_target_": "os.system;x"},
    {"_target_": "${oc.env:HOME}"},
    {"_target_": ["os.system"]},
    {"_target_": {"_target_": "os.system"}},
    {"_target_": None},
    {"_target_": 7},
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: str(call["_target_"]))
def test_nothing_else_is_imported_or_called(changed, tmp_path, call):
    (tmp_path / "evil.py").write_text(EVIL)
    shutil.copy(tmp_path / "evil.py", tmp_path / "hubconf.py")
    changed(config__model=call)
    done = evaluate("run=run", cwd=tmp_path)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert done.err.startswith("regnet-evaluate: run=run: its model.")
    assert not (tmp_path / "marker").exists()
    assert "evil" not in sys.modules


PLACES = [
    "regularizer.l2",
    "regularizer.mine",
    "regularizer.l2.select",
    "regularizer.dropout.deep.0.1",
    "data",
    "data.source",
    "data.augment",
    "data.source.path",
    "model.activation",
    "model.widths.0",
    "model.dropout._args_.0",
    "optimizer",
    "scheduler",
    "trainer",
    "trainer.profiler",
    "callbacks.mine",
    "logger.tensorboard",
    "seed",
    "made_up",
]


def placed(config, place, value):
    """`config` with `value` at a dotted key; a number makes a list."""
    key, _, rest = place.partition(".")
    inner = placed(config.get(key) if isinstance(config, dict) else None, rest, value) if rest else value
    if key.isdigit():
        return [inner] * (int(key) + 1)
    return (config if isinstance(config, dict) else {}) | {key: inner}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("more", [{}, {"_partial_": True}, {"_recursive_": False, "_convert_": "all"}])
def test_wherever_it_stands(place, more):
    call = {"_target_": "builtins.open", "file": "marker", "mode": "w", **more}
    with pytest.raises(UserError, match=r"^run=x: its .*_target_=builtins\.open is not in the list"):
        trusted(placed({"model": {"_target_": "regnet.models.MLP"}}, place, call), [], "run=x")


def test_a_class_is_known_where_it_belongs_only():
    for key, name in [("model", "torch.optim.SGD"), ("optimizer", "torch.nn.Linear"), ("data", "regnet.models.MLP")]:
        with pytest.raises(UserError, match="not in the list"):
            trusted({key: {"_target_": name}}, [], "run=x")


@pytest.mark.parametrize(
    "path", sorted(CONF.glob("[!hbe]*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_whatever_a_person_chooses_by_name_is_known(path):
    group = path.parent.name.replace("perturbation", "data")
    node = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    for key, found in targets({group: node}):
        assert found["_target_"] in known()[group], key


def test_what_is_on_the_list_is_a_class_or_makes_a_network():
    functions = {name for names in known().values() for name in names if not isinstance(resolve_name(name), type)}
    ours = {name for name in functions if name.startswith("regnet.")}
    assert all(name == "regnet.data.data_module" or name.startswith("regnet.models.") for name in ours)
    builders = {architectures.get_model_builder(name) for name in architectures.list_models(module=architectures)}
    assert {resolve_name(name) for name in functions - ours} == builders


def test_a_network_of_the_list_is_built():
    config = {"model": {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.Flatten"}]}}
    built = make(trusted(config, [], "run=x").model, "model")
    assert isinstance(built, torch.nn.Sequential)
    assert isinstance(built[0], torch.nn.Flatten)
    plain = {"model": {"_target_": "torchvision.models.squeezenet1_1", "num_classes": 3, "weights": None}}
    assert make(trusted(plain, [], "run=x").model, "model")(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


@pytest.fixture
def own_run(tmp_path):
    (tmp_path / "mynet_pkg").mkdir()
    (tmp_path / "mynet_pkg" / "__init__.py").touch()
    (tmp_path / "mynet_pkg" / "nets.py").write_text(OWN)
    train_into(tmp_path / "run", *TINY, "model._target_=mynet_pkg.nets.Net")
    return tmp_path


def test_one_s_own_network_is_evaluated_once_it_is_allowed(own_run):
    done = evaluate("run=run", cwd=own_run)
    assert (done.code, done.err) == (
        1,
        "regnet-evaluate: run=run: its model._target_=mynet_pkg.nets.Net is not in the list of classes that a run "
        "folder may name; only if you trust that code, let it be imported and called by allow=[mynet_pkg.nets]\n",
    )
    for allow in ("allow=[mynet_pkg.nets]", "allow=[mynet_pkg]", "allow=[mynet_pkg.nets.Net]"):
        done = evaluate("run=run", allow, cwd=own_run)
        assert (done.code, done.err) == (0, "")
        assert "\nequal to the record\n" in done.out
    for allow in ("allow=[mynet]", "allow=[mynet_pkg.net]", "allow=[nets]", "allow=[]"):
        assert evaluate("run=run", allow, cwd=own_run).code == 1


@pytest.mark.parametrize("allow", ["allow=null", "allow=[[a]]", "allow=3"])
def test_what_is_allowed_is_given_by_name(run, tmp_path, allow):
    done = evaluate(f"run={run}", allow, cwd=tmp_path)
    assert done.code == 1
    assert re.search(r"allow=.* must be a list of texts", done.err)


def test_an_allowed_module_is_not_what_it_has_imported(own_run):
    for name in ("os.system", "nn.Linear", "MLP", "Missing"):
        kept = record(own_run / "run")
        kept["config"]["model"] = {"_target_": f"mynet_pkg.nets.{name}", "command": "touch marker"}
        (own_run / "run" / "record.json").write_text(json.dumps(kept))
        done = evaluate("run=run", "allow=[mynet_pkg.nets]", cwd=own_run)
        assert (done.code, done.err.count("\n")) == (1, 1), done.err
        assert re_allowed(done.err), done.err
        assert not (own_run / "marker").exists()


def re_allowed(text):
    return "which allow=[mynet_pkg.nets] is not of" in text or "cannot be imported" in text


def test_nothing_is_imported_before_all_is_checked(changed, tmp_path):
    (tmp_path / "mynet_first.py").write_text(EVIL)
    kept = changed(config__model={"_target_": "mynet_first.Net"}, config__optimizer={"_target_": "os.system"})
    with pytest.raises(UserError, match=r"optimizer\._target_=os\.system"):
        trusted(kept["config"], ["mynet_first"], "run=run")
    assert "mynet_first" not in sys.modules


TEXTS = ["${oc.env:HOME}", "${now:%Y}", "${run_folder:a,b}", r"\${x}", "a ${data.path} b", "${", r"\\${x}", "$${x}"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_of_a_record_stays_as_it_is(text):
    config = trusted({"data": {"path": text, "names": [text]}}, [], "run=x")
    assert config.data.path == config.data.names[0] == text
    assert OmegaConf.to_container(config, resolve=True) == {"data": {"path": text, "names": [text]}}
    assert OmegaConf.to_container(OmegaConf.create(literal({"a": text})), resolve=True) == {"a": text}


def test_a_text_stays_as_it_is_in_what_is_told(changed, tmp_path):
    changed(config__regularizer__l2__schedule="${oc.env:HOME}")
    done = evaluate("run=run", cwd=tmp_path)
    assert done.code == 1
    assert "regularizer.l2" in done.err
    assert "${oc.env:HOME}" in done.err


def test_an_absent_data_set_is_not_downloaded_to_where_a_record_says(changed, tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **_: fetched.append(args))
    source = {"_target_": "regnet.data.vision.TorchvisionImages", "name": "MNIST", "root": "elsewhere"}
    changed(config__data__source=source)
    done = evaluate("run=run", cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "MNIST is absent in data.root=" in done.err
    assert not fetched
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("vision.TorchvisionImages", "FakeData"), ("vision.TorchvisionImages", "utils"), ("table.Sklearn", "files")],
)
def test_a_source_has_the_names_that_it_knows(changed, tmp_path, kind, name):
    root = {"root": "."} if kind.startswith("vision") else {}
    changed(config__data__source={"_target_": f"regnet.data.{kind}", "name": name, **root})
    done = evaluate("run=run", cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert f"data.source: name='{name}' is none of" in done.err


def test_the_yaml_of_a_folder_is_data(changed, tmp_path):
    changed()
    for text in (
        "hydra: !!python/object/apply:os.system ['touch marker']\n",
        "hydra: {runtime: {cwd: '${oc.env:HOME}'}}\n",
        "[" * 1500,
        "hydra: [1]\n",
        "a0: &a0 [x, x]\n"
        + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}, *a{i}, *a{i}]\n" for i in range(40))
        + "hydra: {runtime: {cwd: *a40}}\n",
        "a0: &a0 {b: 1}\n"
        + "".join(f"a{i + 1}: &a{i + 1} {{<<: [*a{i}, *a{i}, *a{i}, *a{i}]}}\n" for i in range(40))
        + "hydra: {runtime: *a40}\n",
        "hydra: {runtime: {cwd: 3}}\n",
    ):
        (tmp_path / "run" / ".hydra" / "hydra.yaml").write_text(text)
        assert evaluate("run=run", cwd=tmp_path).code == 0
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "values",
    [
        {"config": None},
        {"config": {}},
        {"config__data__shape": "abc"},
        {"config__data__shape": [-1]},
        {"config__data__eval_batch_size": 0},
        {"config__model": []},
        {"config__model__widths": {"a": 1}},
        {"config__regularizer__l2__strength": [1]},
        {"config__data__source": 5},
    ],
    ids=str,
)
def test_a_config_that_cannot_be_built_is_told_in_one_sentence(changed, tmp_path, values):
    changed(**values)
    done = evaluate("run=run", cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert not (tmp_path / "marker").exists()


def test_what_differs_from_the_record_is_no_success(changed, tmp_path):
    kept = changed()
    done = evaluate("run=run", "save=metrics.json", cwd=tmp_path)
    assert (done.code, done.out.rstrip().rpartition("\n")[2]) == (0, "equal to the record")
    for test in ({}, {"loss": 7.0}, {"made_up": 1.0}, kept["metrics"]["test"] | {"accuracy": None}):
        changed(metrics__test=test)
        (tmp_path / "metrics.json").unlink()
        done = evaluate("run=run", "save=metrics.json", cwd=tmp_path)
        assert done.code == 1
        assert "NOT equal to the record" in done.out
        assert json.loads((tmp_path / "metrics.json").read_text()) == kept["metrics"]["test"]


def test_modules_beside_a_strange_folder_are_not_imported(changed, tmp_path):
    """Of names that libraries look for too, installed or not: in a process that has imported nothing yet."""
    for name in ("torch", "yaml", "pandas", "numpy", "bottleneck", "wandb", "sitecustomize", "evil"):
        (tmp_path / f"{name}.py").write_text(EVIL)
    (tmp_path / "hydra_plugins" / "evil").mkdir(parents=True)
    (tmp_path / "hydra_plugins" / "evil" / "__init__.py").write_text(EVIL)
    changed(config__optimizer={"_target_": "evil.Net"})
    done = finish(start("regnet-evaluate", "run=run", cwd=tmp_path))
    assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert "not in the list" in done.err
    assert not (tmp_path / "marker").exists()
