"""`regnet.train`: a run from a script, as the command line would train it, in a process that stays as it was."""

import gc
import logging
import os
import runpy
import signal
import sys
import warnings
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobRuntime
from hydra.version import VersionBase

import regnet
from regnet.commands.in_python import LOGGERS, QUIET
from tests.helpers.commands import TINY, call, record, train_into
from tests.helpers.disk import full_disk

OWN = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, shape, num_outputs):
        super().__init__(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], num_outputs))
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_that_of_the_command_line(here):
    overrides = [*TINY, "regularizer=[dropout,l2]", "regularizer.l2.strength=1e-3", "seed=3"]
    run = regnet.train(*overrides)
    typed = train_into(here / "typed", *overrides)
    assert run.status == "completed"
    assert run.record == record(run.folder)
    assert run.folder.parent == here / "outputs/runs"
    for name in ("metrics", "best_epoch", "fingerprint", "overrides", "seed", "launcher", "steps"):
        assert run.record[name] == typed[name], name
    mine, theirs = ((folder / "metrics.csv").read_text() for folder in (run.folder, here / "typed"))
    assert mine == theirs
    files = [
        {path.name for path in folder.rglob("*.*") if "tfevents" not in path.name}
        for folder in (run.folder, here / "typed")
    ]
    assert files[0] == files[1]
    assert "val" in (run.folder / "train.log").read_text()


def files_of(folder):
    return {path.name for path in folder.rglob("*.*") if "tfevents" not in path.name}


def test_its_network_and_data_are_there_on_demand():
    run = regnet.train(*TINY)
    with torch.inference_mode():  # in which they are made too
        right = (run.network(run.data.test.x).argmax(1) == run.data.test.y).double().mean().item()
    assert right == pytest.approx(run.metrics["test"]["accuracy"], abs=1e-6)
    assert all(parameter.requires_grad for parameter in run.network.parameters())
    loaded = regnet.load(run.folder)
    assert loaded.config == run.config
    assert all(map(torch.equal, loaded.network.state_dict().values(), run.network.state_dict().values()))


@pytest.mark.parametrize("name", ["mine", "a b,c=[d]", "für", "it's"])
def test_a_run_goes_into_the_folder_that_is_asked_for(here, name):
    run = regnet.train(*TINY, folder=Path("runs") / name)
    assert run.folder == here / "runs" / name
    assert regnet.load(run.folder).record == run.record


def test_the_same_run_in_the_same_folder_is_trained_once():
    first = regnet.train(*TINY, folder="mine")
    assert regnet.train(*TINY, folder="mine").record == first.record
    other = regnet.train(*TINY, "seed=1", folder="mine")
    assert other.record["started"] != first.record["started"]


def test_it_prints_what_the_command_prints(capfd):
    regnet.train(*TINY)
    told = capfd.readouterr()
    assert told.out.startswith("accuracy train ")
    assert told.out.count("\n") == 1
    assert told.err == ""


MISTAKES = {
    "regularizer=l3": "regularizer=l3: l3 is not one of .*did you mean",
    "regularizer.l2.strength=1": r"regularizer\.l2\.strength=1: l2 is not among the chosen regularizers",
    "optimizer.lr=-1": r"optimizer.*lr.*-1",
    "trainer.max_epochs=x": r"trainer\.max_epochs=x must be",
    "seed=0,1": "seed=0,1 is several values",
    "model._target_=nowhere.Net": r"model\._target_=nowhere\.Net cannot be imported",
    "data.train_size=10000000": r"data\.train_size",
    "nonsense": "'nonsense' cannot be read as KEY=VALUE",
    "--config-dir=x": "--config-dir=x is an option of regnet-train",
    "hydra.mode=MULTIRUN": "hydra.mode=MULTIRUN: regnet.train trains one run",
    "trainer.devices=2": r"trainer\.devices: .*regnet-train",
    7: "7 must be text",
}


@pytest.mark.parametrize(("override", "told"), MISTAKES.items())
def test_a_mistake_is_one_sentence(override, told, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script.py", "data=mine", "--flag"])  # which are the program's own
    with pytest.raises(regnet.UserError, match=told) as error:
        regnet.train(override)
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_used_is_told(here):
    (here / "file").touch()
    with pytest.raises(regnet.UserError, match=r"^folder=file/run cannot be used"):
        regnet.train(*TINY, folder="file/run")


def test_a_network_that_fails_is_told_with_its_error(here):
    (here / "mynet_that_fails.py").write_text(OWN + "\n    def forward(self, x):\n        return x.nothing\n")
    with pytest.raises(regnet.UserError, match="nothing") as told:
        regnet.train(*TINY[1:], "model._target_=mynet_that_fails.Net", folder="failed")
    assert told.value.__cause__ is not None
    assert record(here / "failed")["status"] == "failed"


def test_a_program_may_have_turned_gradients_off():
    with torch.no_grad():
        assert regnet.train(*TINY).status == "completed"
    assert torch.is_grad_enabled()


def test_divergence_is_a_status():
    run = regnet.train(*TINY, "data.batch_size=10", "optimizer=sgd", "optimizer.lr=1e9")
    assert (run.status, run.metrics) == ("diverged", {})
    assert "became" in run.record["reason"]
    with pytest.raises(regnet.UserError, match="has nothing to evaluate: diverged"):
        _ = run.network


def test_a_network_of_ones_own_needs_no_permission(here):
    (here / "mynet_in_python.py").write_text(OWN)
    paths = list(sys.path)
    run = regnet.train(*TINY[1:], "model._target_=mynet_in_python.Net")
    assert type(run.network.model).__name__ == "Net"
    assert sys.path == paths
    sys.modules.pop("mynet_in_python")


# the process


def state():
    """What a program may notice of its process."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in (*LOGGERS, QUIET))]
    return {
        "argv": list(sys.argv),
        "path": list(sys.path),
        "cwd": Path.cwd(),
        "environment": dict(os.environ),
        "loggers": [(one.level, list(one.handlers), one.propagate, one.disabled) for one in loggers],
        "warnings": (list(warnings.filters), warnings.showwarning),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "gc": (gc.isenabled(), gc.get_threshold()),
        "hydra": (GlobalHydra.instance(), GlobalHydra.instance().hydra, HydraConfig.instance().cfg),
        "hydra's version": VersionBase.instance().getbase(),
        "job": JobRuntime.instance().get("name"),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "random": torch.get_rng_state().tolist(),
        "denormal": sys.float_info.min / 2 > 0,
        "streams": (sys.stdout, sys.stderr, sys.excepthook),
        "grad": torch.is_grad_enabled(),
    }


def test_the_dtype_of_the_program_changes_no_run(tmp_path):
    expected = regnet.train(*TINY, folder=tmp_path / "narrow").metrics
    torch.set_default_dtype(torch.float64)
    try:
        assert regnet.train(*TINY, folder=tmp_path / "wide").metrics == expected
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


ENDS = {
    "a run": ([*TINY, "trainer.deterministic=true"], None),
    "a run that fails": ([*TINY, "regularizer=dropout", "regularizer.dropout.rate=2"], regnet.UserError),
    "a mistake": (["regularizer=l3"], regnet.UserError),
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("collecting", [True, False])
def test_the_process_stays_as_it_was(name, collecting, tmp_path):
    overrides, error = ENDS[name]
    handler = logging.FileHandler(tmp_path / "own.log", mode="w")
    logging.getLogger().addHandler(handler)
    if not collecting:
        gc.disable()
    try:
        before, frozen = state(), gc.get_freeze_count()
        if error:
            with pytest.raises(error):
                regnet.train(*overrides)
        else:
            assert regnet.train(*overrides).status == "completed"
        after = state()
        logging.getLogger("own").error("still written")
    finally:
        gc.enable()
        logging.getLogger().removeHandler(handler)
        handler.close()
    for part, value in before.items():
        assert after[part] == value, part
    assert gc.get_freeze_count() <= frozen  # fewer: some that an earlier test froze have died
    assert "still written" in (tmp_path / "own.log").read_text()


STOPPING = """
    def forward(self, x):
        if len(x) == 12 and Path("stop").exists():  # in training
            raise KeyboardInterrupt
        return super().forward(x)
"""


def test_an_interruption_is_one_and_the_run_goes_on(here):
    """Lightning makes the end of the program of it, and ignores each further Ctrl-C."""
    (here / "mynet_that_stops.py").write_text("from pathlib import Path\n" + OWN + STOPPING)
    overrides = [*TINY[1:], "data.batch_size=12", "model._target_=mynet_that_stops.Net"]
    before = signal.getsignal(signal.SIGINT)
    whole = regnet.train(*overrides, folder="whole")
    (here / "stop").touch()
    with pytest.raises(KeyboardInterrupt):
        regnet.train(*overrides, folder="stopped")
    assert signal.getsignal(signal.SIGINT) is before
    assert record(here / "stopped")["status"] == "interrupted"
    (here / "stop").unlink()
    assert regnet.train(*overrides, folder="stopped").metrics == whole.metrics
    sys.modules.pop("mynet_that_stops")


def test_a_full_disk_is_told_and_the_run_goes_on(here):
    overrides = [*TINY[:-1], "callbacks.last.every_seconds=0"]
    whole = regnet.train(*overrides, folder="whole")
    told = r"^\S+/cut/checkpoints/\w+.ckpt cannot be written \(File too large\)"
    with full_disk(epoch=2, size=10_000), pytest.raises(regnet.UserError, match=told):
        regnet.train(*overrides, folder="cut")
    assert record(here / "cut")["status"] == "interrupted"
    assert regnet.train(*overrides, folder="cut").metrics == whole.metrics


PROGRAM = """
import hydra
import regnet
from torch import nn
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

class Net(nn.Sequential):
    def __init__(self, shape, num_outputs):
        super().__init__(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], num_outputs))

@hydra.main(version_base="1.2", config_path=None)
def main(cfg):
    mine, own = GlobalHydra.instance().hydra, HydraConfig.get().job.name
    for seed in range(2):
        run = regnet.train("model._target_=__main__.Net", "trainer.max_epochs=1", "data.train_size=60", f"seed={seed}")
        print(run.status, type(run.network.model).__name__, run.folder.parent.name)
    assert GlobalHydra.instance().hydra is mine
    assert HydraConfig.get().job.name == own == "program"
    print(cfg.x, HydraConfig.get().overrides.task)

main()
"""


def test_within_a_program_that_is_itself_under_hydra(here):
    (here / "program.py").write_text(PROGRAM)
    done = call(lambda: runpy.run_path("program.py", run_name="__main__"), "program.py", ("+x=5",), here)
    assert done.code == 0, done.err
    told = [line for line in done.out.splitlines() if not line.startswith("accuracy")]
    assert told == ["completed Net runs"] * 2 + ["5 ['+x=5']"]
    assert len(list(here.glob("outputs/runs/*/record.json"))) == 2
