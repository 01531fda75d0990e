"""What reaches the loggers of a run, alone and packed: names, hyper-parameters, metrics, how it ended, and resuming."""

import threading
import warnings
from pathlib import Path
from shutil import copy

import pandas
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from regnet.core.errors import UserError
from regnet.run.loggers import break_off, end_session, hyperparameters, start_session
from tests.helpers.commands import TINY, record, train

BOTH = pytest.mark.parametrize("launcher", ["basic", "packed"])
EXPERIMENT = """# @package _global_
defaults:
  - override /regularizer: [l2]
regularizer: {l2: {strength: 2e-3, scale: {"re:.*": 0.5}}}
optimizer: {weight_decay: 1e-5}
"""
FAILING = """
from lightning.pytorch.loggers import CSVLogger

class Late(CSVLogger):
    def log_metrics(self, metrics, step=None):
        if any(name.startswith("when_best") for name in metrics):
            raise ConnectionError("the server\\nis gone")

class Last(CSVLogger):
    def finalize(self, status):
        raise ConnectionError("the server\\nis gone")
"""


@pytest.fixture
def sweep(tmp_path):
    """Two runs of an experiment of one's own, as values from its file are no overrides; gives the folders."""
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(EXPERIMENT)

    def swept(launcher: str, *extra: str) -> list[Path]:
        done = train(
            "-m", "study=s", "--config-dir=conf", f"hydra/launcher={launcher}", *TINY, "experiment=mine",
            "optimizer.lr=1e-3,0.01", *extra, cwd=tmp_path,
        )  # fmt: skip
        assert done.code == 0, done.out + done.err
        assert ("2 runs in 1 pack" in done.out) == (launcher == "packed")
        return sorted(path.parent for path in tmp_path.glob("outputs/multirun/s/*/record.json"))

    return swept


def wandb_records(run: Path) -> list[Path]:
    """What W&B has on disk of a run: records of protobuf in blocks of LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = run.glob("wandb/offline-run-*/*.wandb")
    data, place, parts, found = path.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        parts += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            found.append(Record.FromString(parts))
            parts = b""
    return found


def hparams_of(run: Path) -> dict[str, object]:
    """The row of TensorBoard's HPARAMS tab."""
    events = EventAccumulator(str(run)).Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


@BOTH
def test_csv_and_tensorboard_at_once(sweep, launcher):
    runs = sweep(launcher, "logger=[tensorboard,csv]")
    assert "logger" not in "".join(run.name for run in runs)
    for run, lr in zip(runs, (0.001, 0.01), strict=True):
        written = yaml.safe_load((run / "csv/version_0/hparams.yaml").read_text())
        for found in (written, hparams_of(run)):
            assert found["optimizer.lr"] == lr
            assert (found["regularizer"], found["regularizer.l2.strength"]) == ("l2", 2e-3)
            assert (found["optimizer.weight_decay"], found["data"], found["seed"]) == (1e-5, "digits", 0)
        rows = pandas.read_csv(run / "csv/version_0/metrics.csv")
        own = pandas.read_csv(run / "metrics.csv")
        assert rows["val/loss"].dropna().tolist() == pytest.approx(own["val/loss"].tolist())
        assert rows["when_best/test/loss"].dropna().item() == record(run)["metrics"]["test"]["loss"]


@BOTH
def test_another_logger_is_the_same_run(sweep, launcher):
    before = [(run / "record.json").read_bytes() for run in sweep(launcher, "logger=none")]
    again = sweep("basic", "logger=csv")
    assert [(run / "record.json").read_bytes() for run in again] == before


@pytest.fixture
def wandb(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "wandb"))
    return pytest.importorskip("wandb")


@BOTH
def test_wandb(sweep, wandb, launcher):
    for run, lr in zip(sweep(launcher, "logger=wandb"), ("0.001", "0.01"), strict=True):
        told = wandb_records(run)
        (own,) = (one.run for one in told if one.HasField("run"))
        assert (own.display_name, own.run_group, own.project) == (run.name, "s", "regnet")
        config = {one.key or one.nested_key[0]: one.value_json for part in told for one in part.config.update}
        assert (config["optimizer.lr"], config["regularizer.l2.strength"]) == (lr, "0.002")
        history = [{item.key or item.nested_key[0]: item.value_json for item in one.history.item} for one in told]
        assert sum("val/loss" in row for row in history) == 2
        (final,) = (row["when_best/test/loss"] for row in history if "when_best/test/loss" in row)
        assert float(final) == record(run)["metrics"]["test"]["loss"]
        (end,) = (one.exit for one in told if one.HasField("exit"))
        assert end.exit_code == 0
    assert wandb.run is None


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """MLflow takes 5 s to make its tables."""
    mlflow = pytest.importorskip("mlflow")
    path = tmp_path_factory.mktemp("mlflow") / "store.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow(monkeypatch, tmp_path, empty_store):
    copy(empty_store, tmp_path / "store.db")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store.db'}")
    return pytest.importorskip("mlflow")


def mlflow_runs(client, experiment: str):
    place = client.get_experiment_by_name(experiment)
    return {run.info.run_name: run for run in client.search_runs([place.experiment_id])}


@BOTH
def test_mlflow(sweep, mlflow, launcher):
    runs = sweep(launcher, "logger=mlflow")
    client = mlflow.MlflowClient()
    stored = mlflow_runs(client, "s")
    assert set(stored) == {run.name for run in runs}
    for run, lr in zip(runs, ("0.001", "0.01"), strict=True):
        found = stored[run.name]
        assert found.info.status == "FINISHED"
        assert (found.data.params["optimizer.lr"], found.data.params["regularizer.l2.strength"]) == (lr, "0.002")
        assert found.data.metrics["when_best/test/loss"] == record(run)["metrics"]["test"]["loss"]
        assert len(client.get_metric_history(found.info.run_id, "val/loss")) == 2


def test_runs_that_go_on_fail_or_diverge(mlflow, tmp_path, monkeypatch):
    arguments = ["logger=[csv,mlflow]", *TINY, "trainer.max_epochs=4", "hydra.run.dir=run"]
    monkeypatch.setattr("regnet.training.module.stop_here", Stop(11))  # in the third epoch
    assert "interrupted" in train(*arguments, "callbacks.last.every_seconds=0", cwd=tmp_path).err
    client = mlflow.MlflowClient()
    (first,) = mlflow_runs(client, "regnet").values()
    assert (first.info.run_name, first.info.status) == ("run", "KILLED")
    monkeypatch.setattr("regnet.training.module.stop_here", lambda: None)
    assert train(*arguments, "callbacks.last.every_seconds=0", cwd=tmp_path).code == 0
    (again,) = mlflow_runs(client, "regnet").values()
    assert (again.info.run_id, again.info.status) == (first.info.run_id, "FINISHED")
    assert {row.step for row in client.get_metric_history(first.info.run_id, "val/loss")} == {1, 2, 3, 4}
    assert {path.name for path in (tmp_path / "run/csv").iterdir()} == {"version_0", "version_1"}
    diverging = ["hydra.run.dir=diverged", "optimizer=sgd", "optimizer.lr=1e30"]
    assert train(*arguments, *diverging, cwd=tmp_path).code == 1
    assert mlflow_runs(client, "regnet")["diverged"].info.status == "FAILED"


class Recorder:
    """A logger that keeps what it is told, and fails where it is told to."""

    def __init__(self, fails_at: str = "") -> None:
        self.fails_at, self.told = fails_at, []

    def __getattr__(self, name):
        def told(*arguments):
            self.told.append((name, *arguments))
            if name == self.fails_at:
                raise ConnectionError("no\nserver")

        return told


def test_loggers_begun_before_one_that_fails_are_closed():
    loggers = {"a": Recorder(), "b": Recorder("log_hyperparams"), "c": Recorder()}
    with pytest.raises(UserError, match=r"^logger\.b: ConnectionError: no server \(test_loggers.py, "):
        start_session(loggers, {"lr": 0.1})
    assert loggers["a"].told == [("log_hyperparams", {"lr": 0.1}), ("finalize", "failed")]
    assert loggers["c"].told == []


def test_all_loggers_are_closed_where_one_fails(caplog):
    loggers = {"a": Recorder("log_metrics"), "b": Recorder("finalize"), "c": Recorder()}
    end_session(loggers, {"val/loss": 0.5, "mine": None}, 7)
    assert [text.split(": ConnectionError")[0] for text in caplog.messages] == ["logger.a", "logger.b"]
    assert loggers["c"].told == [("log_metrics", {"when_best/val/loss": 0.5}, 7), ("finalize", "success")]
    break_off(loggers)  # of which none may hide the error that ended the run
    assert [logger.told[-1] for logger in loggers.values()] == [("finalize", "failed")] * 3


@BOTH
@pytest.mark.parametrize("fails", ["Late", "Last"])
def test_a_run_whose_logger_fails_at_its_end_has_its_result(tmp_path, launcher, fails):
    (tmp_path / "mynet.py").write_text(FAILING)
    mine = [f"+logger.mine._target_=mynet.{fails}", "+logger.mine.save_dir=${folder}"]
    done = train("-m", "study=s", f"hydra/launcher={launcher}", *TINY, "seed=0,1", *mine, cwd=tmp_path)
    assert done.code == 0
    found = [record(path.parent) for path in tmp_path.glob("outputs/multirun/s/*/record.json")]
    assert [one["status"] for one in found] == ["completed"] * 2
    assert (done.out + done.err).count("logger.mine: ConnectionError: the server is gone (mynet.py, line ") == 2
    assert "Traceback" not in done.out + done.err


@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_a_logger_without_its_package(tmp_path, monkeypatch, package):
    (tmp_path / package).mkdir()  # of W&B's files, which is no module
    monkeypatch.setattr("regnet.compose.structure.find_spec", lambda name: None)
    done = train(f"logger={package}", *TINY, cwd=tmp_path)
    assert done.code == 1
    assert f"logger.{package} needs {package}, which is not installed: pip install 'regnet[{package}]'" in done.err
    assert "Traceback" not in done.err


def test_nothing_of_a_logger_stays_for_the_next_run(tmp_path, wandb):
    before = {thread.name for thread in threading.enumerate()}
    train("logger=[tensorboard,csv,wandb]", *TINY, cwd=tmp_path)
    left = {thread.name for thread in threading.enumerate()} - before
    assert not {name for name in left if "tensorboard" in name.lower()}
    assert wandb.run is None


def test_hyperparameters_are_the_values_of_a_run(compose_train):
    cfg = compose_train(
        "data=csv", "data.path=names.csv", "data.target='% fat'", "regularizer=[dropout,l2]", "optimizer.lr=1e-3",
        "++regularizer.l1.strength=7",
    )  # fmt: skip
    cfg.regularizer.l2.scale = {"layer:-1": 0.1}
    found = hyperparameters(cfg)
    assert (found["data.target"], found["optimizer.lr"], found["regularizer"]) == ("% fat", 0.001, "dropout+l2")
    assert found["regularizer.l2.scale"] == "{'layer:-1': 0.1}"  # MLflow takes no name with such signs
    assert all(isinstance(value, int | float | str) for value in found.values())
    assert not [name for name in found if "root" in name or name.startswith(("callbacks", "folder", "study"))]


class Stop:
    """Ctrl-C at one of the steps."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
