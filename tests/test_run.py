"""One run from its command line to its folder, and from its folder back to the same numbers."""

import csv
import json
import os
import re
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.hparams.api_pb2 import Status

import regnet
import regnet.commands.train
import regnet.run.life
from tests.helpers.commands import TINY, evaluate, finish, record, start, train, train_into
from tests.helpers.documents import ROOT

ALL = "[dropout,l2,ema,mixup,max_norm]"
ALL_KINDS = [f"regularizer={ALL}", "regularizer.l2.strength=1e-3", "regularizer.ema.decay=0.9"]
CLASSES = ["data.train_size=300", "data.batch_size=32", "model.widths=[32]", "trainer.max_epochs=12", *ALL_KINDS]
NUMBERS = ["data=diabetes", "model.widths=[16]", "trainer.max_epochs=12", "optimizer.lr=1", *ALL_KINDS]
DIVERGING = [*TINY, "data.batch_size=10", "optimizer=sgd", "optimizer.lr=1e9", "regularizer=l2"]
LONG = [*CLASSES, "trainer.max_epochs=60", "scheduler=cosine", "callbacks.last.every_seconds=0.2"]


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def results(folder):
    """All that must be bitwise the same of two equal runs."""
    kept = record(folder)
    return (folder / "metrics.csv").read_text(), kept["metrics"], kept["best_epoch"], kept["epochs"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of each task, with a regularizer of every kind."""
    folder = tmp_path_factory.mktemp("runs")
    for name, arguments in {"classes": CLASSES, "numbers": NUMBERS}.items():
        train_into(folder / name, *arguments)
    return folder


def test_the_folder_holds_everything_of_the_run(runs):
    folder = runs / "classes"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expected = {".hydra/config.yaml", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "metrics.csv", "record.json"}
    assert expected <= found
    assert any(name.startswith("events.out.tfevents") for name in found)
    assert not [name for name in found if name.endswith(".part") or name.startswith(".record")]
    for name in ("best", "last"):
        assert torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize(
    ("name", "metrics"),
    [("classes", {"loss", "accuracy", "nll", "ece"}), ("numbers", {"loss", "rmse", "r2"})],
)
def test_the_record_has_every_field_with_sane_values(runs, name, metrics):
    kept = record(runs / name)
    assert (kept["status"], kept["reason"], kept["seed"]) == ("completed", None, 0)
    assert (kept["device"], kept["launcher"]) == ("cpu", "basic")
    assert set(ALL_KINDS) < set(kept["overrides"])
    assert kept["config"]["regularizer"]["l2"]["strength"] == 1e-3
    assert kept["config"]["folder"] == str(runs / name)
    assert kept["epochs"] == kept["config"]["trainer"]["max_epochs"] > kept["best_epoch"] >= 0
    assert 0 < kept["seconds"] < 100
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*\+00:00", kept["started"])
    assert kept["versions"].keys() == {"regnet", "torch", "torchvision", "lightning", "hydra-core", "python"}
    assert kept["versions"]["regnet"] == regnet.__version__
    for part in ("train", "val", "test", "gap"):
        assert kept["metrics"][part].keys() == metrics
    assert 0 <= kept["metrics"]["zeros"] <= kept["metrics"]["sparsity"] < 0.5
    assert kept["metrics"]["weight_norm"] > 0
    for key, better in {"loss": -1, "accuracy": 1, "rmse": -1, "r2": 1}.items():
        if key in metrics:
            parts = kept["metrics"]
            assert parts["gap"][key] == pytest.approx(better * (parts["train"][key] - parts["val"][key]))


@pytest.mark.parametrize("name", ["classes", "numbers"])
def test_the_page_on_the_record_names_every_field_and_column(runs, name):
    _, fields, columns, *_ = re.split("^## ", (ROOT / "docs" / "record.md").read_text(), flags=re.MULTILINE)
    named = [re.findall("`([^`]+)`", row.split("|")[1]) for row in fields.splitlines() if row.startswith("| `")]
    assert {key for row in named for key in row} == record(runs / name).keys()
    cells = [row.split("|")[1] for row in columns.splitlines() if row.startswith("| `")]
    patterns = [re.sub("<[^>]+>", ".+", key) for cell in cells for key in re.findall("`([^`]+)`", cell)]
    patterns += [f"weights/{of}/.+" for of in ("norm", "sparsity", "zeros")]
    found = rows(runs / name)[0].keys()
    assert not [column for column in found if not any(re.fullmatch(pattern, column) for pattern in patterns)]
    unused = {pattern for pattern in patterns if not any(re.fullmatch(pattern, column) for column in found)}
    assert unused == {"lr/1", "strength/.+", "rate/.+"}  # of several groups, and of what has a schedule


@pytest.mark.parametrize("name", ["classes", "numbers"])
def test_metrics_csv_has_a_row_an_epoch_and_the_record_that_of_the_best(runs, name):
    table, kept = rows(runs / name), record(runs / name)
    assert [row["epoch"] for row in table] == list(range(kept["epochs"]))
    losses = [row["val/loss"] for row in table]
    assert kept["best_epoch"] == losses.index(min(losses))
    assert name == "classes" or kept["best_epoch"] < kept["epochs"] - 1  # best and last are not the same here
    best, metrics = table[kept["best_epoch"]], kept["metrics"]
    for part, prefix in {"train": "train_eval", "val": "val", "gap": "gap"}.items():
        assert metrics[part] == {key: best[f"{prefix}/{key}"] for key in metrics[part]}
    for key, column in {"sparsity": "sparsity", "zeros": "zeros", "weight_norm": "norm"}.items():
        assert metrics[key] == best[f"weights/{column}"]
    for row in table:
        assert row["train/objective"] == pytest.approx(row["train/loss"] + row["train/penalty/l2"], rel=1e-5)
        assert row["train/share/l2"] == pytest.approx(row["train/penalty/l2"] / row["train/objective"], rel=1e-5)


@pytest.mark.parametrize("part", ["test", "val"])
@pytest.mark.parametrize("name", ["classes", "numbers"])
def test_an_evaluation_gives_the_recorded_metrics_exactly(runs, tmp_path, name, part):
    done = evaluate(f"run={runs / name}", f"part={part}", "save=metrics.json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "\nequal to the record\n" in done.out
    assert json.loads((tmp_path / "metrics.json").read_text()) == record(runs / name)["metrics"][part]


def test_an_evaluation_under_noise(runs, tmp_path):
    def measured(*arguments):
        done = evaluate(f"run={runs / 'classes'}", *arguments, "save=metrics.json", cwd=tmp_path)
        assert done.code == 0, done.err
        return json.loads((tmp_path / "metrics.json").read_text())

    def noisy(strength, seed=0):
        return measured("perturbation=pixel_noise", f"perturbation.strength={strength}", f"seed={seed}")

    clean = measured()
    assert clean["accuracy"] > 0.7
    assert noisy(0) == clean
    assert noisy(1)["accuracy"] < clean["accuracy"] - 0.2
    assert noisy(1) == noisy(1) != noisy(1, seed=1)
    sweep = ["-m", f"run={runs / 'classes'}", "perturbation=pixel_noise", "perturbation.strength=0,1"]
    done = evaluate(*sweep, cwd=tmp_path)
    assert done.code == 0
    assert re.findall(r"accuracy +(\S+)", done.out) == [f"{noisy(n)['accuracy']:.6g}" for n in (0, 1)]


def test_the_events_of_a_run(runs):
    events = EventAccumulator(str(runs / "classes")).Reload()
    written = set(events.Tags()["scalars"])
    metrics = ("loss", "accuracy", "nll", "ece")
    expected = {f"{part}/{name}" for part in ("val", "train_eval", "gap") for name in metrics}
    expected |= {f"when_best/{part}/{name}" for part in ("train", "val", "test", "gap") for name in metrics}
    expected |= {"train/loss", "train/objective", "train/penalty/l2", "train/share/l2"}
    expected |= {"weights/norm", "weights/sparsity", "weights/zeros", "when_best/sparsity", "when_best/weight_norm"}
    assert expected <= written
    assert not [name for name in written if name.startswith("hp_metric")]
    # TensorBoard's page begins with curves: what is a single dot comes after them
    curves = [len(events.Scalars(name)) > 1 for name in sorted(written, key=str.lower) if not name.startswith("step/")]
    assert curves == sorted(curves, reverse=True)
    kept = record(runs / "classes")
    assert events.Scalars("when_best/test/loss")[-1].value == pytest.approx(kept["metrics"]["test"]["loss"])
    assert [scalar.value for scalar in events.Scalars("val/loss")] == pytest.approx(
        [row["val/loss"] for row in rows(runs / "classes")]
    )


def session(folder):
    """What HPARAMS knows of a run: its hyper-parameters, and how it ended."""
    events = EventAccumulator(str(folder)).Reload()
    started, ended = (
        events.SummaryMetadata(tag).plugin_data.content
        for tag in (hparams.SESSION_START_INFO_TAG, hparams.SESSION_END_INFO_TAG)
    )
    values = hparams.parse_session_start_info_plugin_data(started).hparams
    return values, hparams.parse_session_end_info_plugin_data(ended).status


def test_the_hparams_of_a_run(runs):
    values, status = session(runs / "classes")
    assert values["regularizer"].string_value == ALL.strip("[]").replace(",", "+")
    assert values["optimizer.lr"].number_value == 1e-3  # which nobody typed
    assert values["trainer.max_epochs"].number_value == 12
    assert status == Status.STATUS_SUCCESS


def test_the_same_command_gives_bitwise_the_same(runs, tmp_path):
    train_into(tmp_path / "again", *CLASSES)
    assert results(tmp_path / "again") == results(runs / "classes")
    train_into(tmp_path / "other", *CLASSES, "seed=1")
    assert results(tmp_path / "other") != results(runs / "classes")


def test_what_a_process_imports_is_not_part_of_its_first_runs_seconds(tmp_path, monkeypatch):
    prepare, imports = regnet.commands.train.prepare_process, []
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 1000 * len(imports))
    monkeypatch.setattr(regnet.commands.train, "prepare_process", lambda: imports.append("all") or prepare())
    monkeypatch.setattr(regnet.run.life, "time", clock)
    assert train_into(tmp_path / "run", *TINY)["seconds"] < 1000
    assert imports


def test_a_run_that_was_done_before_is_left_as_it_is(tmp_path):
    train_into(tmp_path / "run", *TINY)
    files = [path for path in (tmp_path / "run").glob("[cmer]*/*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in [*files, tmp_path / "run" / "record.json"]}
    done = train(*TINY, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path)
    assert done.code == 0
    assert "was done before" in done.out
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_run_that_lost_only_its_record_is_not_trained_again(tmp_path):
    folder = tmp_path / "run"
    train_into(folder, *TINY)
    before, saved = results(folder), (folder / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    (folder / "record.json").unlink()
    train_into(folder, *TINY)
    assert results(folder) == before
    assert (folder / "checkpoints" / "last.ckpt").stat().st_mtime_ns == saved


def test_the_last_epoch_stands_in_where_the_best_is_not_kept(tmp_path):
    kept = train_into(tmp_path / "run", *TINY, "callbacks.best=null")
    assert (kept["best_epoch"], kept["epochs"]) == (1, 2)
    assert kept["metrics"]["val"]["loss"] == rows(tmp_path / "run")[-1]["val/loss"]
    assert "\nequal to the record\n" in evaluate("run=run", cwd=tmp_path).out


def test_a_changed_run_in_the_same_folder_starts_afresh(tmp_path):
    train_into(tmp_path / "run", *TINY, "regularizer=l2")
    stale = {path.name for path in (tmp_path / "run").glob("events*")}
    kept = train_into(tmp_path / "run", *TINY, "trainer.max_epochs=3")
    assert kept["epochs"] == len(rows(tmp_path / "run")) == 3
    assert not stale & {path.name for path in (tmp_path / "run").glob("events*")}
    assert "train/penalty/l2" not in rows(tmp_path / "run")[0]
    train_into(tmp_path / "new", *TINY, "trainer.max_epochs=3")
    assert results(tmp_path / "run") == results(tmp_path / "new")


def test_early_stopping_keeps_the_best_epoch(tmp_path):
    patience = ["regularizer=early_stopping", "regularizer.early_stopping.patience=2"]
    kept = train_into(tmp_path / "run", *TINY, "trainer.max_epochs=200", "optimizer.lr=0.1", *patience)
    table = rows(tmp_path / "run")
    assert kept["epochs"] == len(table) == kept["best_epoch"] + 3 < 200
    assert kept["metrics"]["val"]["loss"] == min(row["val/loss"] for row in table)


def test_a_run_that_diverges_says_where_and_when(tmp_path):
    done = train(*DIVERGING, "hydra.run.dir=run", cwd=tmp_path)
    kept = record(tmp_path / "run")
    assert (done.code, kept["status"], kept["metrics"]) == (1, "diverged", None)
    assert re.fullmatch(r"(train|val|step)/\S+ became (nan|inf) in epoch \d+, step \d+", kept["reason"])
    assert done.err == f"diverged: {kept['reason']}\n"
    assert session(tmp_path / "run")[1] == Status.STATUS_FAILURE
    assert "was done before" in train(*DIVERGING, "hydra.run.dir=run", cwd=tmp_path).out


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    train_into(folder, *LONG)
    return results(folder)


@pytest.mark.parametrize("stop", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_run_that_was_stopped_goes_on_as_if_it_never_had(tmp_path, uninterrupted, stop):
    command, folder = [*LONG, "hydra.run.dir=run"], tmp_path / "run"
    process = start("regnet-train", *command, cwd=tmp_path)
    written = folder / "metrics.csv"
    try:
        seen = 0  # epochs when it was saved first; it is stopped two later, which must then be done again
        while not seen or written.read_text().count("\n") < seen + 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
            if not seen and (folder / "checkpoints" / "last.ckpt").exists():
                seen = written.read_text().count("\n")
        process.send_signal(stop)
    finally:
        done = finish(process)
    assert written.read_text().count("\n") < 61, "it had ended before it was stopped"
    if stop == signal.SIGINT:
        assert done.code not in (0, None)
        assert record(folder)["status"] == "interrupted"
        assert f"the same command with hydra.run.dir={folder} goes on" in done.out
        assert "Traceback" not in done.out + done.err
    else:
        assert not (folder / "record.json").exists()
    assert train(*command, cwd=tmp_path).code == 0
    assert results(folder) == uninterrupted


NETWORKS = """
import torch
from torch import nn

class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(x.flatten(1))

class Sites(nn.Module):
    def __init__(self, shape, num_outputs, dropout=nn.Identity):
        super().__init__()
        self.linear, self.drop = nn.Linear(shape[1] * shape[2], num_outputs), dropout()

    def forward(self, x):
        return self.linear(self.drop(x.flatten(1)))
"""


@pytest.mark.parametrize(
    ("arguments", "layer"),
    [
        (["model._target_=mynet.Bare", "regularizer=l2"], None),
        (["model._target_=mynet.Sites", "regularizer=dropout"], "drop.rate"),
    ],
)
def test_a_network_of_somebody_else_trains(tmp_path, arguments, layer):
    (tmp_path / "mynet.py").write_text(NETWORKS)
    done = train(
        *arguments,
        "data.train_size=200",
        "optimizer.lr=0.02",
        "trainer.max_epochs=5",
        "hydra.run.dir=run",
        cwd=tmp_path,
    )
    assert done.code == 0, done.err
    assert record(tmp_path / "run")["metrics"]["val"]["accuracy"] > 0.7
    state = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert any(name.endswith("linear.weight") for name in state)
    assert layer is None or any(name.endswith(layer) for name in state)
    assert evaluate("run=run", cwd=tmp_path).err.endswith("let it be imported and called by allow=[mynet]\n")
    assert "\nequal to the record\n" in evaluate("run=run", "allow=[mynet]", cwd=tmp_path).out


def write_table(path, rng, rows, levels, flip=False):
    """y is whether `a` is positive; the other columns are noise, with values missing in each."""
    lines = ["a,colour,b,y"]
    for a, b, colour in zip(rng.normal(size=rows), rng.normal(size=rows), rng.choice(levels, rows), strict=True):
        missing = rng.random() < 0.2
        lines.append(
            f"{a:.4f},{'' if missing else colour},{'' if missing else f'{b:.3f}'},{'no' if (a > 0) == flip else 'yes'}"
        )
    path.write_text("\n".join(lines) + "\n")


def test_a_table_of_somebody_else_from_training_to_new_rows(tmp_path, rng):
    write_table(tmp_path / "old.csv", rng, 200, ["red", "green"])
    own = ["data=csv", "data.path=old.csv", "data.target=y", "data.batch_size=16", "model.widths=[16]"]
    done = train(*own, "optimizer.lr=0.02", "trainer.max_epochs=15", "hydra.run.dir=run", cwd=tmp_path)
    assert done.code == 0, done.err
    kept = record(tmp_path / "run")
    assert kept["config"]["data"]["shape"] == [6]  # a, red, green, colour missing, b, b missing
    assert kept["metrics"]["test"]["accuracy"] > 0.8
    (tmp_path / "elsewhere").mkdir()
    for here in (tmp_path, tmp_path / "elsewhere"):
        assert "\nequal to the record\n" in evaluate(f"run={tmp_path / 'run'}", cwd=here).out
    for flip in (False, True):
        write_table(tmp_path / "new.csv", rng, 80, ["blue", "green", "red"], flip)
        new = ["data=csv", "data.path=new.csv", "data.target=y", "part=all", "save=metrics.json"]
        done = evaluate("run=run", *new, cwd=tmp_path)
        assert done.code == 0, done.err
        accuracy = json.loads((tmp_path / "metrics.json").read_text())["accuracy"]
        assert accuracy < 0.2 if flip else accuracy > 0.8


@pytest.mark.parametrize("in_memory", [True, False])
def test_images_of_somebody_else_are_measured_in_every_part(tmp_path, rng, in_memory):
    sizes = {"train": 20, "test": 6}
    for part, n in sizes.items():
        for i, name in enumerate(("cat", "dog")):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for j in range(n):
                pixels = rng.integers(0, 256 - 128 * i, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / part / name / f"{j}.png")
    own = ["data=image_folder", "data.path=images", "data.size=8", "data.channels=1", f"data.in_memory={in_memory}"]
    done = train(*own, "model.widths=[8]", "trainer.max_epochs=2", "hydra.run.dir=run", cwd=tmp_path)
    assert done.code == 0, done.err
    assert record(tmp_path / "run")["config"]["data"]["classes"] == ["cat", "dog"]

    def loss(part):
        done = evaluate("run=../run", f"part={part}", "save=metrics.json", cwd=elsewhere)
        assert done.code == 0, done.err
        return json.loads((elsewhere / "metrics.json").read_text())["loss"]

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    parts = {"train": 36, "val": 4, "test": 12}
    assert loss("all") == pytest.approx(sum(n * loss(part) for part, n in parts.items()) / 52, rel=1e-5)


@pytest.mark.slow
def test_two_processes_train_one_run(tmp_path):
    two = ["trainer.accelerator=cpu", "trainer.devices=2", "+trainer.strategy=ddp", "trainer.max_epochs=2"]
    done = finish(start("regnet-train", *two, "regularizer=[dropout,l2]", "hydra.run.dir=run", cwd=tmp_path))
    assert done.code == 0, done.err
    assert [path.parent for path in tmp_path.rglob("record.json")] == [tmp_path / "run"]
    assert record(tmp_path / "run")["status"] == "completed"
    assert len(rows(tmp_path / "run")) == 2
    assert done.out.count("(epoch 2 of 2") == 1
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert len(events.Scalars("val/loss")) == 2


@pytest.mark.slow
def test_two_processes_train_each_run_of_a_study(tmp_path):
    two = ["trainer.accelerator=cpu", "trainer.devices=2", "+trainer.strategy=ddp", "trainer.max_epochs=2"]
    done = finish(start("regnet-train", "-m", "study=s", *two, "seed=range(2)", cwd=tmp_path))
    assert done.code == 0, done.err
    found = list(tmp_path.rglob("record.json"))
    assert {path.parent.parent for path in found} == {tmp_path / "outputs/multirun/s"}
    assert [record(path.parent)["status"] for path in found] == ["completed", "completed"]


def test_numbers_too_small_for_full_speed_are_flushed_to_zero(tmp_path):
    """A strong L2 drives weights there: each at the least number that a CPU computes with at full speed."""
    (tmp_path / "mynet.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Linear):\n"
        "    def __init__(self):\n"
        "        super().__init__(64, 10)\n"
        "        with torch.no_grad():\n"
        "            self.weight.fill_(1e-30)\n"
        "            self.weight.mul_(1e-10)\n"
        "    def forward(self, x):\n"
        "        return super().forward(x.flatten(1))\n"
    )
    supported = torch.set_flush_denormal(True)
    torch.set_flush_denormal(False)
    train_into(tmp_path / "run", "trainer.max_epochs=1", "model._target_=mynet.Net", "optimizer=sgd", "optimizer.lr=0")
    kept = record(tmp_path / "run")["metrics"]
    assert (kept["zeros"] == 1) == supported


@pytest.mark.parametrize("launcher", ["basic", "packed"])
def test_a_cluster_gets_no_advice_on_srun(tmp_path, monkeypatch, launcher):
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{srun.parent}:{os.environ['PATH']}")
    done = train("-m", "study=s", f"hydra/launcher={launcher}", "seed=0,1", *TINY, cwd=tmp_path)
    assert done.code == 0, done
    logs = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
    assert "srun" not in done.out + done.err + logs


def test_a_setting_may_refer_to_another(tmp_path):
    refers = ["+width=9", "model.widths=[${width}]", "data.batch_size=${trainer.max_epochs}"]
    kept = train_into(tmp_path / "run", *TINY, *refers)
    assert kept["config"]["model"]["widths"] == [9]
    assert kept["config"]["data"]["batch_size"] == 2
    assert kept["overrides"][-3:] == refers
