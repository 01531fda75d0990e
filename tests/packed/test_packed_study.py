"""A packed study through the real command line: what is packed, what ends early, what goes wrong, what goes on."""

import contextlib
import errno
import os
import re
import shutil
import signal
import struct
import time
from pkgutil import resolve_name

import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import regnet.packed.module
import regnet.packed.pack
import regnet.packed.pipes
import regnet.packed.workers
from regnet.compose.config_files import config_folder
from regnet.packed.stack import Stack
from tests.helpers.commands import TINY, children, evaluate, finish, is_running, record, start, train
from tests.helpers.equality import compare, folders

PACKED = "hydra/launcher=packed"
EXACT = ["trainer.precision=64-true", "logger=none"]
SWEEP = ["-m", "study=s", *TINY, "seed=0,1,2"]
NET = """
import random, torch
from torch import nn

class Net(nn.Module):
    def __init__(self, shape, num_outputs):
        super().__init__()
        layers = [nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, num_outputs)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)

class Deciding(Net):
    def forward(self, x):
        return self.layers(x) * (2.0 if x.mean().item() > 0 else 1.0)
"""

PENALTY = """
from regnet.core import hyperparameters
from regnet.regularizers import Penalty

class Mine(Penalty):
    def __init__(self, strength):
        super().__init__()
        self.strength = strength

    def forward(self, network, **_):
        return self.strength * sum(w.square().sum() for w in network.parameters())

class Declared(Penalty):
    def __init__(self, alpha, power=2):
        super().__init__()
        self.register_buffer("how_much", hyperparameters.strength(alpha))
        self.power = power

    def forward(self, network, **_):
        return self.how_much * sum(w.abs().pow(self.power).sum() for w in network.parameters())
"""


def study(folder):
    return folders(folder / "outputs" / "multirun" / "s")


def both(tmp_path, *command):
    """The study run by run and packed; the folders of both by the run."""
    done = []
    for name, launcher in (("alone", []), ("packed", [PACKED])):
        (tmp_path / name).mkdir()
        done.append(train(*command, *launcher, cwd=tmp_path / name))
    left, right = (study(tmp_path / name) for name in ("alone", "packed"))
    assert left.keys() == right.keys()
    return {name: (left[name], right[name]) for name in left}, *done


@pytest.fixture
def two_processes():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def techniques(tmp_path_factory):
    """Every technique there is, two seeds each, in one packed command, in a network that has all sites."""
    folder = tmp_path_factory.mktemp("techniques")
    small = ["model=resnet", "model.blocks=[1]", "model.branches=2", "trainer.max_epochs=1", "data.train_size=60"]
    return folder, train("-m", "study=s", "regularizer=glob(*)", "seed=0,1", *small, PACKED, cwd=folder)


def classes():
    """The class of each file in conf/regularizer, by the files' names."""
    found = {}
    for path in (config_folder() / "regularizer").glob("*.yaml"):
        node = next(iter(OmegaConf.to_container(OmegaConf.load(path), resolve=False).values()), None)
        found[path.stem] = resolve_name(node["_target_"]) if isinstance(node, dict) else None
    return found


@pytest.mark.slow
def test_every_technique_is_packed(techniques):
    folder, done = techniques
    assert (done.code, done.err) == (0, "")
    records = [record(path) for path in study(folder).values()]
    assert len(records) == 2 * len(classes())
    assert {kept["status"] for kept in records} == {"completed"}
    assert f"packed: {2 * len(classes())} runs in {len(classes())} packs of 2\n" in done.out
    assert "alone" not in done.out  # nothing was found to be unfit for a pack
    for name in classes().keys() - {"none"}:
        assert re.search(rf"^.? *{name} +2/2 ", done.out, re.MULTILINE), name


@pytest.mark.slow
def test_a_packed_run_is_evaluated_as_any_other(techniques):
    folder, _ = techniques
    for path in (path for name, path in study(folder).items() if "seed=0" in name):
        done = evaluate(f"run={path}", cwd=folder)
        assert (done.code, done.err) == (0, "")
        assert "\nequal to the record" in done.out, path
    done = evaluate(f"run={path}", "part=val", cwd=folder)
    assert "\nequal to the record" in done.out


def test_the_folder_and_the_events_of_a_packed_run_are_those_of_a_run_alone(tmp_path):
    command = ["-m", "study=s", "seed=0,1", "regularizer=l2", *TINY, "trainer.precision=64-true"]
    pairs, *_ = both(tmp_path, *command, "trainer.log_every_n_steps=1")
    for pair in pairs.values():
        names, tags, scalars = [], [], []
        for folder in pair:
            found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
            names.append(
                {name for name in found if "tfevents" not in name and name != "hparams.yaml"}
            )  # Lightning's, empty
            events = EventAccumulator(str(folder)).Reload()
            tags.append({tag for tag in events.Tags()["scalars"] if tag not in ("epoch", "hp_metric")})
            scalars.append({tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags[-1]})
            assert events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
            assert events.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
        assert names[0] == names[1]
        assert tags[0] == tags[1]
        for tag, values in scalars[0].items():
            got = scalars[1][tag]
            assert [step for step, _ in got] == [step for step, _ in values]
            assert [value for _, value in got] == pytest.approx([value for _, value in values], rel=1e-6, abs=1e-9)
        for name in ("config", "overrides"):
            alone, packed = ((folder / ".hydra" / f"{name}.yaml").read_text() for folder in pair)
            assert alone == packed


def test_each_run_stops_early_by_itself_and_the_others_go_on(tmp_path):
    command = ["regularizer=early_stopping", "regularizer.early_stopping.patience=1,4", "optimizer.lr=1e-3,1e-1,1"]
    small = ["model.widths=[8]", "trainer.max_epochs=12", "data.train_size=60", "callbacks.last.every_seconds=1000"]
    pairs, _, packed = both(tmp_path, "-m", "study=s", *command, *small, *EXACT)
    assert "packed: 6 runs in 1 pack\n" in packed.out
    for alone, other in pairs.values():
        compare(alone, other, 1e-9)
    epochs = {record(other)["epochs"] for _, other in pairs.values()}
    assert len(epochs) > 2
    assert min(epochs) < max(epochs)


def test_a_run_that_diverges_or_fails_leaves_the_others_as_they_are(tmp_path):
    swept = ["regularizer=dropout", "regularizer.dropout.rate=0,0.2,1.5", "optimizer.lr=1e9,0.01"]
    small = [*TINY, "optimizer=sgd", "data.batch_size=10", "logger=none"]
    pairs, alone, packed = both(tmp_path, "-m", "study=s", *swept, *small)
    assert (alone.code, packed.code) == (1, 1)
    assert "Traceback" not in packed.out + packed.err
    assert {record(other)["status"] for _, other in pairs.values()} == {"completed", "diverged", "failed"}
    for left, right in pairs.values():
        expected, got = record(left), record(right)
        assert (got["status"], got["reason"]) == (expected["status"], expected["reason"])
        if got["status"] == "completed":
            compare(left, right, 1e-4)


def test_a_packed_study_that_was_interrupted_goes_on_packed_and_alone(tmp_path, monkeypatch):
    swept = ["regularizer=[dropout,l2]", "seed=0,1", "regularizer.l2.strength=1e-3", "scheduler=cosine,one_cycle"]
    swept += ["regularizer.l2.schedule=linear:0:1", "regularizer.dropout.schedule=early:0.7"]
    command = ["-m", "study=s", *TINY, "trainer.max_epochs=5", "callbacks.last.every_seconds=0", *swept, *EXACT]
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    assert train(*command, cwd=tmp_path / "whole").code == 0
    ended = regnet.packed.module.PackedModule.on_train_epoch_end

    def interrupted(self):
        ended(self)
        if self.current_epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(regnet.packed.module.PackedModule, "on_train_epoch_end", interrupted)
        done = train(*command, PACKED, cwd=tmp_path / "cut")
    assert done.code in (1, 130)  # Lightning exits with 1
    assert "the same command with study=s goes on from here" in done.out
    assert {record(folder)["status"] for folder in study(tmp_path / "cut").values()} == {"interrupted"}
    shutil.copytree(tmp_path / "cut", tmp_path / "other")
    for place, launcher in (("cut", PACKED), ("other", "hydra/launcher=basic")):
        done = train(*command, launcher, cwd=tmp_path / place)
        assert (done.code, done.err) == (0, "")
        for name, folder in study(tmp_path / "whole").items():
            compare(folder, study(tmp_path / place)[name], 1e-9)


def test_a_run_alone_that_was_interrupted_goes_on_in_a_pack(tmp_path, monkeypatch):
    command = ["-m", "study=s", *TINY, "trainer.max_epochs=5", "callbacks.last.every_seconds=0", "seed=0,1", *EXACT]
    command += ["scheduler=one_cycle"]
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    assert train(*command, cwd=tmp_path / "whole").code == 0
    ended = regnet.training.module.RegularizedModule.on_train_epoch_start

    def interrupted(self):
        ended(self)
        if self.current_epoch == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(regnet.training.module.RegularizedModule, "on_train_epoch_start", interrupted)
        assert train(*command, cwd=tmp_path / "cut").code in (1, 130)
    done = train(*command, PACKED, cwd=tmp_path / "cut")
    assert done.code == 0
    for name, folder in study(tmp_path / "whole").items():
        compare(folder, study(tmp_path / "cut")[name], 1e-9)


def test_a_packed_study_does_only_what_is_missing(tmp_path):
    assert train(*SWEEP, PACKED, cwd=tmp_path).code == 0
    before = {name: record(folder) for name, folder in study(tmp_path).items()}
    done = train(*SWEEP[:-1], "seed=range(4)", PACKED, cwd=tmp_path)
    assert done.code == 0
    assert done.out.count("was done before") == 3
    after = {name: record(folder) for name, folder in study(tmp_path).items()}
    assert len(after) == 4
    assert before.items() <= after.items()


def test_out_of_memory_splits_the_pack_and_goes_on(tmp_path, monkeypatch):
    command = ["-m", "study=s", *TINY, "seed=range(5)", "callbacks.last.every_seconds=0", *EXACT]
    for name in ("alone", "packed"):
        (tmp_path / name).mkdir()
    assert train(*command, cwd=tmp_path / "alone").code == 0
    gradients = Stack.gradients
    errors = [RuntimeError("could not create a primitive"), torch.OutOfMemoryError("no more")]  # oneDNN's, a GPU's

    def scarce(self, *arguments, **more):
        if len(self) > 2:
            raise errors.pop()
        return gradients(self, *arguments, **more)

    monkeypatch.setattr(Stack, "gradients", scarce)
    done = train(*command, PACKED, cwd=tmp_path / "packed")
    assert (done.code, done.err) == (0, "")
    assert "packed: out of memory; goes on with packs of 3\n" in done.out
    assert "packed: out of memory; goes on with packs of 2\n" in done.out
    for name, folder in study(tmp_path / "alone").items():
        compare(folder, study(tmp_path / "packed")[name], 1e-9)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def find_no_memory():
    raise MemoryError


@pytest.mark.parametrize("end", [die, find_no_memory])
def test_a_process_that_is_killed_is_replaced_by_smaller_packs(tmp_path, monkeypatch, two_processes, end):
    run = regnet.packed.pack.Pack.run

    def killed(self):
        if self.size is None:
            end()
        run(self)

    monkeypatch.setattr(regnet.packed.pack.Pack, "run", killed)
    done = train(*SWEEP[:-1], "seed=range(4)", PACKED, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "packed: a process was killed, probably as memory ran out; goes on with packs of 1\n" in done.out
    assert [record(folder)["status"] for folder in study(tmp_path).values()] == ["completed"] * 4


def test_a_process_that_is_killed_in_the_middle_of_a_message_loses_nothing(tmp_path, monkeypatch, two_processes):
    command = [
        "-m",
        "study=s",
        *TINY,
        "trainer.max_epochs=5",
        "callbacks.last.every_seconds=0",
        "seed=range(4)",
        *EXACT,
    ]
    for name in ("alone", "packed"):
        (tmp_path / name).mkdir()
    assert train(*command, cwd=tmp_path / "alone").code == 0
    told, first = [], tmp_path / "killed"

    def cut(self, epochs):
        told.append(epochs)
        if len(told) == 4:
            with contextlib.suppress(FileExistsError):
                first.mkdir()
                os.write(self.pipe.fileno(), struct.pack("!i", 1000) + b"begun")
                die()

    monkeypatch.setattr(regnet.packed.pipes.PipeReporter, "trained", cut, raising=False)
    done = train(*command, PACKED, cwd=tmp_path / "packed")
    assert (done.code, done.err) == (0, "")
    assert first.exists()
    assert done.out.count("packed: a process was killed, probably as memory ran out; goes on with packs of 1\n") == 1
    for name, folder in study(tmp_path / "alone").items():
        compare(folder, study(tmp_path / "packed")[name], 1e-9)


@pytest.mark.parametrize("started", [0, 1])
def test_jobs_that_get_no_process_are_trained_in_this_one(tmp_path, monkeypatch, two_processes, started):
    fork, forks = os.fork, []

    def refused():
        forks.append(None)
        if len(forks) > started:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return fork()

    def no_thread(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(os, "fork", refused)
    monkeypatch.setattr(regnet.packed.workers, "end_with", no_thread)
    done = train(*SWEEP[:-1], "seed=range(4)", PACKED, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "packed: the system starts no further process (Cannot allocate memory); goes on in this one\n" in done.out
    assert len(forks) == started + 1
    assert [record(folder)["status"] for folder in study(tmp_path).values()] == ["completed"] * 4
    assert len(re.findall(r"^run \d/4 .*accuracy", done.out, re.MULTILINE)) == 4


def test_a_run_for_which_a_pack_has_no_memory_is_trained_alone(tmp_path, monkeypatch):
    build = regnet.packed.pack.build

    def scarce(cfg, *rest):
        if cfg.seed == 1:
            raise MemoryError
        return build(cfg, *rest)

    monkeypatch.setattr(regnet.packed.pack, "build", scarce)
    done = train(*SWEEP, PACKED, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "packed: 1 run is trained alone, as memory has no room for one more in the pack\n" in done.out
    assert [record(folder)["status"] for folder in study(tmp_path).values()] == ["completed"] * 3


def test_jobs_that_memory_kills_one_by_one_are_recorded(tmp_path, monkeypatch, two_processes):
    monkeypatch.setattr(regnet.packed.pack.Pack, "run", lambda self: die())
    done = train(*SWEEP, PACKED, cwd=tmp_path)
    assert done.code == 1
    for folder in study(tmp_path).values():
        kept = record(folder)
        assert (kept["status"], kept["reason"]) == ("failed", "its process was killed, probably as memory ran out")
    assert "packed: a process was killed, probably as memory ran out; goes on with one process\n" in done.out


def test_a_network_of_somebody_else_is_packed(tmp_path):
    (tmp_path / "mynet1.py").write_text(NET)
    done = train(*SWEEP, "~model.widths", "model._target_=mynet1.Net", PACKED, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "packed: 3 runs in 1 pack\n" in done.out
    assert {record(folder)["launcher"] for folder in study(tmp_path).values()} == {"packed"}


def test_a_network_that_cannot_be_stacked_says_so_and_runs_alone(tmp_path):
    (tmp_path / "mynet2.py").write_text(NET)
    command = [argument for argument in SWEEP if not argument.startswith("model.")]
    done = train(*command, "model._target_=mynet2.Deciding", PACKED, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert re.search(
        r"packed: 3 runs are trained alone, as model=mynet2\.Deciding cannot be stacked: RuntimeError", done.out
    )
    assert [record(folder)["status"] for folder in study(tmp_path).values()] == ["completed"] * 3


def test_a_strength_that_is_no_tensor_is_not_taken_for_all(tmp_path):
    (tmp_path / "mynet3.py").write_text(PENALTY)
    penalty = ["+regularizer.mine._target_=mynet3.Mine", "+regularizer.mine.strength=0.1,0.5"]
    done = train("-m", "study=s", *TINY, *penalty, PACKED, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "packed: 2 runs in 1 pack\n" in done.out
    assert done.out.count("packed: runs of one pack must have the same Mine.strength (no buffer)\n") == 1
    assert len({record(folder)["metrics"]["weight_norm"] for folder in study(tmp_path).values()}) == 2


def test_a_number_in_a_buffer_may_differ_whatever_it_is_called(tmp_path, monkeypatch):
    """The class that registers it says so, and nobody else: another number of it splits packs."""
    packs = []

    def stacked(stack, objectives, *rest, **settings):
        packs.append(tuple(one.penalties["mine"].how_much.item() for one in objectives))
        init(stack, objectives, *rest, **settings)

    init = Stack.__init__
    monkeypatch.setattr(Stack, "__init__", stacked)
    monkeypatch.setattr(regnet.packed.workers, "available", lambda: 1)
    (tmp_path / "mynet4.py").write_text(PENALTY)
    monkeypatch.syspath_prepend(tmp_path)
    mine = ["+regularizer.mine._target_=mynet4.Declared", "+regularizer.mine.alpha=1e-3,0.01,0.1"]
    mine += ["+regularizer.mine.power=2,3", "seed=0"]
    pairs, _, packed = both(tmp_path, "-m", "study=s", *TINY, *mine, *EXACT)
    assert (packed.code, packed.err) == (0, "")
    assert "packed: 6 runs in 1 pack\n" in packed.out
    assert "packed: runs of one pack must have the same Declared.power (no buffer)\n" in packed.out
    assert [strengths for strengths in packs if len(strengths) == 3] == [(1e-3, 0.01, 0.1)] * 2
    for left, right in pairs.values():
        compare(left, right, 1e-9)


def test_runs_that_write_the_same_and_mean_different_numbers_are_not_packed(tmp_path):
    swept = ["data.train_size=60,100", "data.batch_size=${data.train_size}"]
    small = [argument for argument in SWEEP if not argument.startswith("data.train_size")]
    done = train(*small[:-1], *swept, "seed=0,1", PACKED, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "packed: 4 runs in 2 packs of 2\n" in done.out
    steps = {(f / "metrics.csv").read_text().splitlines()[1].split(",")[1] for f in study(tmp_path).values()}
    assert steps == {"1"}


def test_a_run_whose_stopping_watches_what_is_not_there_fails_alone(tmp_path):
    watched = ["regularizer=early_stopping", "regularizer.early_stopping.monitor=val/loss,val/auc"]
    done = train(*SWEEP[:-1], *watched, PACKED, cwd=tmp_path)
    assert done.code == 1
    assert "packed: 2 runs in 1 pack\n" in done.out
    ends = {
        record(f)["config"]["regularizer"]["early_stopping"]["monitor"]: record(f)["status"]
        for f in study(tmp_path).values()
    }
    assert ends == {"val/loss": "completed", "val/auc": "failed"}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_schedule_that_changes_the_momentum_is_followed(tmp_path, optimizer):
    cycle = ["+scheduler._target_=torch.optim.lr_scheduler.OneCycleLR", "+scheduler._partial_=true"]
    cycle += ["+scheduler.max_lr=0.05", "+scheduler.total_steps=6", f"optimizer={optimizer}"]
    pairs, *_ = both(tmp_path, "-m", "study=s", *TINY, "trainer.max_epochs=5", "seed=0,1", *cycle, *EXACT)
    for alone, packed in pairs.values():
        compare(alone, packed, 1e-9)


def test_a_damaged_checkpoint_is_kept_aside_and_its_run_begins_again(tmp_path):
    assert train(*SWEEP, PACKED, cwd=tmp_path).code == 0
    first, *others = study(tmp_path).values()
    before = record(first)["metrics"]
    for folder in (first, *others):
        (folder / "record.json").unlink()
    (first / "checkpoints" / "last.ckpt").write_bytes(b"damaged")
    done = train(*SWEEP, PACKED, cwd=tmp_path)
    assert done.code == 0
    assert {record(folder)["status"] for folder in (first, *others)} == {"completed"}
    assert record(first)["metrics"] == before
    assert (first / "last.ckpt.damaged").read_bytes() == b"damaged"


def test_where_there_is_no_memory_for_two_all_run_alone(tmp_path, monkeypatch):
    def none(*_):
        raise MemoryError("not even for two")

    monkeypatch.setattr(regnet.packed.pack, "try_pack", none)
    done = train(*SWEEP, PACKED, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "packed: 3 runs are trained alone, as memory has no room for two of them\n" in done.out
    assert {record(folder)["status"] for folder in study(tmp_path).values()} == {"completed"}


def test_a_setting_of_the_trainer_that_fails_is_recorded(tmp_path):
    done = train(*SWEEP, "trainer.accelerator=cuda", PACKED, cwd=tmp_path)
    assert done.code == 1
    assert "Traceback" not in done.out + done.err
    assert {record(folder)["status"] for folder in study(tmp_path).values()} == {"failed"}


def test_a_sweeper_hands_over_batch_after_batch(tmp_path):
    done = train(*SWEEP[:-1], "seed=range(5)", "hydra.sweeper.max_batch_size=2", PACKED, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert re.findall(r"^run (\d)/5 seed=\d  accuracy", done.out, re.MULTILINE) == list("12345")
    assert len(study(tmp_path)) == 5


def test_packs_are_bounded_by_size(tmp_path, monkeypatch):
    sizes = []
    init = regnet.packed.pack.PackedModule.__init__

    def noted(self, members, *rest):
        sizes.append(len(members))
        init(self, members, *rest)

    monkeypatch.setattr(regnet.packed.pack.PackedModule, "__init__", noted)
    assert train(*SWEEP[:-1], "seed=range(5)", "hydra.launcher.size=2", PACKED, cwd=tmp_path).code == 0
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize("size", ["0", "many", "1.5"])
def test_a_size_that_is_none_is_told_in_one_sentence(tmp_path, size):
    done = train(*SWEEP, PACKED, f"hydra.launcher.size={size}", cwd=tmp_path)
    assert done.code == 1
    assert (
        done.err.strip().splitlines()[-1].endswith(f"hydra.launcher.size={size} must be a whole number >= 1, or null")
    )
    assert "Traceback" not in done.err


def test_the_program_itself_with_all_its_processes(tmp_path):
    """From its start, with the imports that a test has behind it."""
    command = [*SWEEP[:-1], "seed=0,1", "regularizer=none,dropout", "data.num_workers=0,1", PACKED]
    command += ["hydra.callbacks.study_report.page=false"]  # takes as long as all runs
    done = finish(start("regnet-train", *command, cwd=tmp_path, OMP_NUM_THREADS="2"))
    assert (done.code, done.err) == (0, "")
    assert "packed: 4 runs in 2 packs of 2; 4 alone: 4 for data.num_workers=1" in done.out
    assert len(re.findall(r"^run \d/8 .*accuracy", done.out, re.MULTILINE)) == 8
    assert [record(folder)["status"] for folder in study(tmp_path).values()] == ["completed"] * 8


@pytest.mark.parametrize("stop", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_the_program_that_was_stopped_goes_on(tmp_path, stop):
    long = [
        "-m",
        "study=s",
        "model.widths=[8]",
        "data.train_size=60",
        "seed=range(4)",
        "trainer.max_epochs=150",
        *EXACT,
    ]
    command = [*long, "callbacks.last.every_seconds=0.2", PACKED]
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    assert train(*command, cwd=tmp_path / "whole").code == 0
    process = start("regnet-train", *command, cwd=tmp_path / "cut", OMP_NUM_THREADS="2")
    while len(list((tmp_path / "cut").rglob("last.ckpt"))) < 4:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    workers = children(process.pid)
    assert len(workers) == 3  # one of which makes the page
    process.send_signal(stop)
    if stop == signal.SIGINT:
        process.send_signal(stop)  # as one who is impatient
    ended = finish(process)
    assert ended.code == (130 if stop == signal.SIGINT else -signal.SIGKILL), ended.err
    unfinished = [
        folder for folder in (tmp_path / "cut").rglob("checkpoints") if not (folder.parent / "record.json").exists()
    ]
    if stop == signal.SIGINT:
        assert "Traceback" not in ended.out + ended.err
        assert "Error" not in ended.err
        assert not unfinished
        assert {record(folder)["status"] for folder in study(tmp_path / "cut").values()} == {"interrupted"}
    end = time.monotonic() + 30
    while left := [pid for pid in workers if is_running(pid)]:
        assert time.monotonic() < end, left
        time.sleep(0.02)
    done = train(*command, cwd=tmp_path / "cut")
    assert (done.code, done.err) == (0, "")
    for name, folder in study(tmp_path / "whole").items():
        compare(folder, study(tmp_path / "cut")[name], 1e-5)  # 150 epochs make rounding grow


@pytest.mark.slow
def test_processes_end_with_the_one_that_was_killed_in_the_middle_of_an_epoch(tmp_path):
    """When they have nothing to tell it for long."""
    long = ["-m", "study=s", "seed=range(4)", "model.widths=[512,512,512]", "data.batch_size=1"]
    process = start("regnet-train", *long, PACKED, cwd=tmp_path, OMP_NUM_THREADS="2")
    try:
        while len(list(tmp_path.rglob(".lock"))) < 4:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        time.sleep(3)
        workers = children(process.pid)
        assert len(workers) == 3  # one of which makes the page
    finally:
        process.kill()
    end = time.monotonic() + 2
    while left := [pid for pid in workers if is_running(pid)]:
        assert time.monotonic() < end, left
        time.sleep(0.02)
    finish(process)


@pytest.mark.slow
def test_noise_that_packs_draw_otherwise_has_the_same_distribution(tmp_path):
    """nn.Dropout draws from torch's global stream, which in a pack gives each run other numbers than alone."""
    (tmp_path / "alone").mkdir()
    (tmp_path / "packed").mkdir()
    for name in ("alone", "packed"):
        (tmp_path / name / f"mynet_{name}.py").write_text(NET)
    small = ["data.train_size=100", "trainer.max_epochs=15", "optimizer.lr=1e-2", "logger=none", "seed=range(64)"]
    losses = []
    for name, launcher in (("alone", []), ("packed", [PACKED])):
        command = ["-m", "study=s", *small, f"model._target_=mynet_{name}.Net", *launcher]
        assert train(*command, cwd=tmp_path / name).code == 0
        by_seed = {
            kept["seed"]: kept["metrics"]["test"]["loss"] for kept in map(record, study(tmp_path / name).values())
        }
        losses.append(torch.tensor([by_seed[seed] for seed in range(64)]))
    difference = losses[1] - losses[0]
    assert (difference != 0).all()
    assert difference.mean().abs() < 3.5 * difference.std() / 64**0.5
