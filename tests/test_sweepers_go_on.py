"""Sweepers after a kill, and with runs that fail or diverge among theirs."""

import re
import shutil
import signal
import time

import pytest

import regnet.commands.train
from regnet.core.errors import Diverged
from tests.helpers.commands import start, train
from tests.helpers.studies import conclusions, own_experiment, runs, trained, value

QUICK = ["study=s", "model.widths=[8]", "trainer.max_epochs=2", "data.train_size=60", "logger=none"]
L1, RATE = "regularizer.l1.strength", "regularizer.dropout.rate"
TUNE = f"""
defaults:
  - override /hydra/sweeper: tune
hydra:
  sweeper:
    trials: 2
    arms:
      none: {{optimizer.lr: "interval(1e-3,1e-2)"}}
      dropout: {{{RATE}: "interval(0.1,0.5)"}}
"""
LEARNED = ["regularizer=l1", "optimizer.lr=0.05"]
SEARCH = ["hydra/sweeper=search", "hydra.sweeper.trials=5", "hydra.sweeper.together=2"]
PACKED = "hydra/launcher=packed"
COMMANDS = {
    "path": ["hydra/sweeper=path", "hydra.sweeper.points=2", f"hydra.sweeper.key={L1}", PACKED, *LEARNED],
    "refine": ["hydra/sweeper=refine", PACKED, f"hydra.sweeper.key={RATE}", "regularizer=dropout", f"{RATE}=0,0.3,0.6"],
    "search": [*SEARCH, "seed=0,1", "optimizer.lr=tag(log,interval(1e-5,1e-1))"],
    "tune": ["seed=0,1", PACKED],
}


def command(sweeper, folder):
    begin = own_experiment(folder, TUNE) if sweeper == "tune" else ["-m"]
    return [*begin, *QUICK, *COMMANDS[sweeper]]


def every_run(folder):
    """What all runs are and gave, of the study and of those beside it."""
    every = [kept for study in ("s", "s-tuning", "s-probes") for kept in runs(folder, study)]
    return sorted(every, key=lambda kept: kept["started"])


def result(kept):
    return kept["overrides"], kept["metrics"]


@pytest.mark.parametrize(
    "sweeper", [pytest.param(name, marks=[] if name == "search" else [pytest.mark.slow]) for name in COMMANDS]
)
def test_the_same_command_does_what_a_kill_left_undone_and_ends_with_the_same_choice(sweeper, tmp_path):
    asked = command(sweeper, tmp_path)
    first = train(*asked, cwd=tmp_path)
    assert first.code == 0, first.out + first.err
    before = every_run(tmp_path)
    lost = [kept["config"]["folder"] for kept in before[len(before) // 2 :]]
    for folder in lost:
        shutil.rmtree(folder)
    done = train(*asked, cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    assert trained(done) == len(lost)
    assert list(map(result, every_run(tmp_path))) == list(map(result, before))
    assert conclusions(done, sweeper) == conclusions(first, sweeper)
    again = train(*asked, cwd=tmp_path)
    assert (again.code, trained(again)) == (0, 0)


@pytest.mark.slow
def test_a_packed_search_survives_a_kill_signal(tmp_path):
    """It draws the same in another process, whatever the order of Python's sets there."""
    asked = ["-m", *QUICK, *COMMANDS["search"], PACKED, "trainer.max_epochs=20"]
    process = start("regnet-train", *asked, cwd=tmp_path, PYTHONHASHSEED="1")
    while not runs(tmp_path):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = [result(kept) for kept in runs(tmp_path)]
    assert 0 < len(kept) < 5
    done = train(*asked, cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    assert [result(run) for run in runs(tmp_path)][: len(kept)] == kept
    (tmp_path / "never killed").mkdir()
    whole = train(*asked, cwd=tmp_path / "never killed")
    assert conclusions(whole, "search") == conclusions(done, "search")
    assert trained(whole) == trained(done) + len(kept)


def failing(monkeypatch, wrong, error):
    """Runs of which `wrong(cfg)` is true end with `error`."""
    work = regnet.commands.train._train_and_test

    def run(cfg, *rest):
        if wrong(cfg):
            raise error
        return work(cfg, *rest)

    monkeypatch.setattr(regnet.commands.train, "_train_and_test", run)


def test_a_refinement_goes_on_around_what_completed(tmp_path):
    asked = ["-m", *QUICK, *COMMANDS["refine"][:4], "hydra.sweeper.rounds=1"]
    done = train(*asked, f"{RATE}=0.4,0.5,0.6,1.5", cwd=tmp_path)
    assert done.code == 1  # a run failed
    assert "rate must be in [0, 1), got 1.5" in done.err
    tried = sorted(float(value(kept, RATE)) for kept in runs(tmp_path))
    assert 1 <= len(set(tried) & {0.45, 0.55}) == len(tried) - 4
    assert not any("nan" in line for line in conclusions(done, "refine"))
    done = train(*asked, "study=t", f"{RATE}=1.5,2.5,3.5", cwd=tmp_path)
    assert done.code == 1
    assert conclusions(done, "refine") == [f"refine: no value of {RATE} completed on all seeds"]
    assert len(runs(tmp_path, "t")) == 3


def test_an_arm_of_which_no_trial_completes_is_told_and_the_others_are_compared(tmp_path):
    asked = [*own_experiment(tmp_path, TUNE), *QUICK, "seed=0,1", f"++{RATE}=choice(1.5,2.5)"]
    done = train(*asked, cwd=tmp_path)
    assert done.code == 1
    told = conclusions(done, "tune")
    assert re.fullmatch(r"tune: none val/accuracy \S+  optimizer\.lr=\S+", told[0])
    assert told[1] == "tune: dropout: no trial completed, so it is trained as in the first"
    assert [(value(kept, "regularizer"), kept["status"]) for kept in runs(tmp_path)] == [
        ("none", "completed"),
        ("dropout", "failed"),
    ]


def test_a_search_goes_on_without_what_failed_or_diverged(tmp_path, monkeypatch):
    failing(monkeypatch, lambda cfg: cfg.optimizer.lr > 1e-3 and cfg.seed == 1, Diverged("train/loss became nan"))
    done = train("-m", *QUICK, *COMMANDS["search"], "hydra.sweeper.prune=false", cwd=tmp_path)
    assert done.code == 0  # divergence is a result
    rates = {float(value(kept, "optimizer.lr")) for kept in runs(tmp_path)}
    diverged = sum(rate > 1e-3 for rate in rates)
    counted, best = conclusions(done, "search")
    assert counted == f"search: {5 - diverged} trials complete, 0 pruned, {diverged} failed or diverged"
    assert 0 < diverged < 5
    assert float(best.partition("optimizer.lr=")[2]) <= 1e-3


def test_a_path_goes_on_from_the_last_run_that_completed(tmp_path, monkeypatch):
    asked = ["-m", *QUICK, *COMMANDS["path"], "hydra.sweeper.points=3", "hydra/launcher=basic"]
    failing(monkeypatch, lambda cfg: cfg.warm_start and cfg.regularizer.l1.strength > 1e-4, Diverged("it did"))
    done = train(*asked, "hydra.sweeper.ratio=0.001", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    first, second, third = runs(tmp_path)
    assert [first["status"], second["status"], third["status"]] == ["completed", "diverged", "completed"]
    assert value(second, "warm_start") == value(third, "warm_start") == first["config"]["folder"]


def test_a_path_on_which_nothing_is_learned_says_so(tmp_path):
    done = train("-m", *QUICK, *COMMANDS["path"], "optimizer.lr=1e-9", cwd=tmp_path)
    assert done.code == 1
    assert f"{L1}: training learns nothing at 0.0001, and still nothing at 1e-12" in done.err


def test_a_path_whose_probe_fails_says_why_and_ends(tmp_path, monkeypatch):
    failing(monkeypatch, lambda cfg: True, RuntimeError("no memory"))
    done = train("-m", *QUICK, *COMMANDS["path"], "hydra/launcher=basic", cwd=tmp_path)
    assert done.code == 1
    why = "RuntimeError: no memory (test_sweepers_go_on.py, line "
    assert f"\nregnet-train: {L1}=10000 failed, so that no path can begin: {why}" in done.err
    assert not runs(tmp_path)
