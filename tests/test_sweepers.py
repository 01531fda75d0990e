"""Sweepers that decide on the next runs by what the last ones gave, through the real command line."""

import re
from pathlib import Path

import pytest

from tests.commands import record, train

QUICK = ["-m", "study=s", "model.widths=[8]", "trainer.max_epochs=2", "data.train_size=60", "logger=none"]
PATH = ["hydra/sweeper=path", "hydra.sweeper.key=regularizer.l1.strength", "regularizer=l1"]
SPACE = "optimizer.lr=tag(log,interval(1e-3,1e-1))"


def runs(folder, study="s"):
    """The records of a study in the order in which they began."""
    found = [record(path.parent) for path in (folder / "outputs" / "multirun" / study).glob("*/record.json")]
    return sorted(found, key=lambda kept: kept["started"])


def value(kept, key):
    return next((o.partition("=")[2].strip("'") for o in kept["overrides"] if o.startswith(f"{key}=")), None)


def experiment(folder, sweeper):
    """The command line of an experiment of its own, whose sweeper has these settings."""
    place = folder / "my" / "experiment"
    place.mkdir(parents=True)
    (place / "tiny.yaml").write_text(f"# @package _global_\n{sweeper}")
    return [f"--config-dir={folder}/my", *QUICK, "experiment=tiny", SPACE]


# path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("path")
    command = [*QUICK, *PATH, "hydra.sweeper.points=3", "hydra.sweeper.ratio=0.01", "seed=0,1", "optimizer.lr=0.05"]
    return folder, command, train(*command, cwd=folder)


def test_a_path_goes_down_from_the_largest_useful_strength(path):
    folder, _, done = path
    assert done.code == 0, done.out + done.err
    (told,) = re.findall(r"^path: regularizer\.l1\.strength from (\S+) down to (\S+) in 3 steps$", done.out, re.M)
    largest, smallest = map(float, told)
    assert smallest == pytest.approx(largest / 100, rel=0.01)
    on_path = [kept for kept in runs(folder) if value(kept, "warm_start")]
    strengths = sorted({float(value(kept, "regularizer.l1.strength")) for kept in on_path}, reverse=True)
    assert strengths == pytest.approx([largest / 10, largest / 100], rel=0.01)  # the first begins cold

    def loss(kept):
        return kept["metrics"]["val"]["loss"]

    probes = [kept for kept in runs(folder) if not value(kept, "warm_start") and value(kept, "seed") == "0"]
    useful = {float(value(kept, "regularizer.l1.strength")): loss(kept) < 0.95 * 2.302585 for kept in probes}
    assert max(strength for strength, is_useful in useful.items() if is_useful) == largest
    assert min(strength for strength, is_useful in useful.items() if not is_useful) < 2 * largest


def test_each_run_of_a_path_begins_where_the_one_before_was_chosen(path):
    folder, _, _ = path
    for kept in runs(folder):
        if before := value(kept, "warm_start"):
            earlier = record(Path(before))
            ratio = float(value(earlier, "regularizer.l1.strength")) / float(value(kept, "regularizer.l1.strength"))
            assert ratio == pytest.approx(10, rel=0.01)
            assert earlier["seed"] == kept["seed"]
            assert earlier["started"] <= kept["started"]


def test_a_path_that_is_repeated_trains_nothing_again(path):
    folder, command, _ = path
    before = runs(folder)
    done = train(*command, cwd=folder)
    assert done.code == 0
    assert "(epoch" not in done.out
    assert runs(folder) == before


def test_a_warm_start_gives_the_weights_and_no_settings(tmp_path):
    first = train(
        "hydra.run.dir=a", *QUICK[2:], "regularizer=[l2,dropout]", "regularizer.l2.strength=0.5", cwd=tmp_path
    )
    assert first.code == 0, first.err
    warm = [*QUICK[2:], "regularizer=dropout", "regularizer.dropout.rate=0.25", "optimizer.lr=1e-30"]
    done = train("hydra.run.dir=b", "warm_start=a", *warm, cwd=tmp_path)
    assert done.code == 0, done.err
    a, b = record(tmp_path / "a"), record(tmp_path / "b")
    assert b["metrics"]["val"] == pytest.approx(a["metrics"]["val"], rel=1e-5)  # it stayed where it began
    assert "rate/dropout" not in b["metrics"]
    other = train("hydra.run.dir=c", "warm_start=a", *QUICK[2:], "model.widths=[9]", cwd=tmp_path)
    assert other.code == 1
    assert "warm_start=a has no model.hidden.0.0.weight of shape (9, 64): another network?" in other.err
    nothing = train("hydra.run.dir=d", "warm_start=nowhere", *QUICK[2:], cwd=tmp_path)
    assert nothing.code == 1
    assert "nowhere/checkpoints/last.ckpt is absent or damaged" in nothing.err


# search


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    sweeper = """
defaults:
  - override /hydra/sweeper: search
hydra:
  sweeper:
    trials: 5
    together: 3
    techniques:
      - l2: {regularizer.l2.strength: "tag(log,interval(1e-6,1e-1))"}
        l1: {regularizer.l1.strength: "tag(log,interval(1e-6,1e-2))"}
      - augment: {}
"""
    command = [*experiment(folder, sweeper), "seed=range(2)"]
    return folder, command, train(*command, cwd=folder)


def test_a_search_averages_over_seeds_and_never_chooses_one(search):
    folder, _, done = search
    assert done.code == 0, done.out + done.err
    assert re.search(r"^search: \d trials complete, \d pruned$", done.out, re.M)
    found = runs(folder)
    arms: dict[tuple[str, ...], list[int]] = {}
    for kept in found:
        arms.setdefault(tuple(o for o in kept["overrides"] if not o.startswith("seed=")), []).append(kept["seed"])
    assert len(arms) == 5
    assert set(map(tuple, map(sorted, arms.values()))) <= {(0,), (0, 1)}  # pruned after the first, or all
    for arm in arms:
        choice = next(o for o in arm if o.startswith("regularizer="))
        assert not {"l1", "l2"} <= set(choice.partition("=")[2].strip("[]").split(","))
        for name in ("l1", "l2"):
            chosen = name in choice.partition("=")[2].strip("[]").split(",")
            assert any(o.startswith(f"regularizer.{name}.strength=") for o in arm) == chosen
    (best,) = re.findall(r"^search: best val/loss (\S+): ", done.out, re.M)
    means = [
        sum(kept["metrics"]["val"]["loss"] for kept in found if set(arm) <= set(kept["overrides"])) / 2
        for arm, seeds in arms.items()
        if len(seeds) == 2
    ]
    assert float(best) == pytest.approx(min(means), rel=1e-3)


def test_a_search_goes_on(search):
    folder, command, _ = search
    before = len(runs(folder))
    done = train(*command, cwd=folder)
    assert (done.code, "(epoch" in done.out) == (0, False)
    done = train(*command, "hydra.sweeper.trials=6", cwd=folder)
    assert done.code == 0
    assert before < len(runs(folder)) <= before + 2


# tune and refine


def test_every_arm_has_the_same_budget_and_is_compared_on_other_seeds(tmp_path):
    sweeper = """
defaults:
  - override /hydra/sweeper: tune
hydra:
  sweeper:
    trials: 4
    arms:
      none: {}
      l2: {regularizer.l2.strength: "choice(1e-4,1e-2)"}
"""
    command = experiment(tmp_path, sweeper)
    done = train(*command, "seed=range(3)", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    tuning, final = runs(tmp_path, "s-tuning"), runs(tmp_path)
    assert {kept["seed"] for kept in tuning} == {0}
    assert len(tuning) == 2 * 4
    for arm in ("none", "l2"):
        tried = [kept for kept in tuning if value(kept, "regularizer") == arm]
        best = min(tried, key=lambda kept: kept["metrics"]["val"]["loss"])
        compared = [kept for kept in final if value(kept, "regularizer") == arm]
        assert sorted(kept["seed"] for kept in compared) == [1, 2]
        assert {value(kept, "optimizer.lr") for kept in compared} == {value(best, "optimizer.lr")}
        assert {value(kept, "regularizer.l2.strength") for kept in compared} == {value(best, "regularizer.l2.strength")}


def test_a_grid_is_refined_around_the_best_of_each_arm(tmp_path):
    key = "regularizer.l2.strength"
    command = [*QUICK, "hydra/sweeper=refine", f"hydra.sweeper.key={key}", "hydra.sweeper.rounds=1", "regularizer=l2"]
    done = train(*command, f"{key}=0,0.1,0.2", "optimizer.lr=1e-3,1e-2", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    for lr in ("0.001", "0.01"):
        arm = {
            float(value(k, key)): k["metrics"]["val"]["loss"]
            for k in runs(tmp_path)
            if float(value(k, "optimizer.lr")) == float(lr)
        }
        best = min((0, 0.1, 0.2), key=arm.get)
        between = {0: {0.05}, 0.1: {0.05, 0.15}, 0.2: {0.15}}[best]
        assert set(arm) == {0, 0.1, 0.2} | between


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hydra/sweeper=search"], r"has nothing to search"),
        (["hydra/sweeper=search", SPACE, "hydra.sweeper.trials=0"], r"trials=0 must be a whole number >= 1"),
        (["hydra/sweeper=search", SPACE, "seed=interval(0,3)"], r"seeds are averaged, not searched"),
        ([*PATH, "optimizer.lr=1,2"], r"optimizer\.lr=1,2: a path sweeps regularizer\.l1\.strength by itself"),
        ([*PATH[:2], "regularizer=l2"], r"hydra\.sweeper\.key=regularizer\.l1\.strength must name"),
        ([*PATH, "hydra.sweeper.ratio=2"], r"hydra\.sweeper\.ratio=2 must be a number between 0 and 1"),
        (["hydra/sweeper=refine", "hydra.sweeper.key=optimizer.lr", "optimizer.lr=1,2"], r"three numbers or more"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_before_anything_is_trained(arguments, sentence, tmp_path):
    done = train(*QUICK, *arguments, cwd=tmp_path)
    assert done.code == 1
    assert re.search(sentence, done.err), done.err
    assert "Traceback" not in done.err
    assert not runs(tmp_path)
