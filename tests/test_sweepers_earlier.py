"""What an earlier tuning chose leaves the study that is reported, and nothing of it is lost."""

import shutil

import pytest

from tests.helpers.commands import train
from tests.helpers.studies import conclusions, own_experiment, runs, trained, value

QUICK = ["study=s", "hydra/launcher=packed", "model.widths=[8]", "trainer.max_epochs=2", "data.train_size=60"]
TUNE = """
defaults:
  - override /hydra/sweeper: tune
hydra:
  sweeper:
    arms:
      none: {optimizer.lr: "tag(log,interval(1e-9,1e-2))"}
"""


def choices(folder, study="s"):
    return {(value(kept, "optimizer.lr"), kept["seed"]) for kept in runs(folder, study)}


@pytest.fixture
def tune(tmp_path):
    begin = own_experiment(tmp_path, TUNE)

    def command(trials, *more):
        asked = [*begin, *QUICK, "logger=none", f"hydra.sweeper.trials={trials}", "seed=0,1,2", *more]
        done = train(*asked, cwd=tmp_path)
        assert done.code == 0, done.out + done.err
        return done

    return command


def test_with_more_trials_the_study_has_the_present_choice_only_and_the_earlier_is_kept(tune, tmp_path):
    tune(1)
    (first,) = {lr for lr, _ in choices(tmp_path)}
    before = choices(tmp_path)
    done = tune(6)
    after = choices(tmp_path)
    assert len({lr for lr, _ in after}) == 1
    assert after != before  # else this test shows nothing
    assert choices(tmp_path, "s-earlier") == before
    assert "tune: 2 runs of earlier choices are now in outputs/multirun/s-earlier" in done.out
    assert first not in done.out.split("Best by validation")[1]

    back = tune(1)  # chosen again, and not trained again
    assert trained(back) == 0
    assert "tune: 2 runs that are chosen again are back from outputs/multirun/s-earlier" in back.out
    assert (choices(tmp_path), choices(tmp_path, "s-earlier")) == (before, after)
    assert trained(tune(6)) == 0
    assert (choices(tmp_path), choices(tmp_path, "s-earlier")) == (after, before)


def test_what_a_kill_left_between_two_studies_is_moved_by_the_same_command(tune, tmp_path):
    tune(1)
    before = choices(tmp_path)
    tune(6)
    study, earlier = (tmp_path / "outputs/multirun" / name for name in ("s", "s-earlier"))
    after = choices(tmp_path)
    moved = next(earlier.glob("*seed=1"))
    moved.rename(study / moved.name)  # as if killed between two folders
    shutil.rmtree(next(study.glob("*seed=2")))  # and one of the new ones was not yet trained
    assert trained(tune(6)) == 1
    assert (choices(tmp_path), choices(tmp_path, "s-earlier")) == (after, before)


def test_other_runs_of_the_study_stay(tune, tmp_path):
    """Another network's tuning, another technique, and a value that was never tried in the tuning."""
    tune(1)
    tune(1, "model.activation=Tanh")
    grid = ["-m", *QUICK, "logger=none", "optimizer.lr=0.5", "regularizer=none", "seed=1,2"]
    assert train(*grid, cwd=tmp_path).code == 0
    tune(6)
    kept = [(value(run, "model.activation"), value(run, "optimizer.lr")) for run in runs(tmp_path)]
    assert kept.count((None, "0.5")) == 2
    assert [activation for activation, _ in kept].count("Tanh") == 2
    assert len(kept) == 6


def test_the_seed_of_the_tuning_leaves_the_comparison(tune, tmp_path):
    tune(1)
    assert {seed for _, seed in choices(tmp_path)} == {1, 2}
    tune(1, "seed=1,2,3")
    assert {seed for _, seed in choices(tmp_path)} == {2, 3}
    assert {seed for _, seed in choices(tmp_path, "s-earlier")} == {1}


def test_the_tuning_lies_beside_the_study_wherever_that_is(tune, tmp_path):
    done = tune(2, 'hydra.sweep.dir="elsewhere/it\'s here"')
    assert len(list(tmp_path.glob("elsewhere/it's here/*/record.json"))) == 2
    assert len(list(tmp_path.glob("elsewhere/it's here-tuning/*/record.json"))) == 2
    assert len(conclusions(done, "tune")) == 1
