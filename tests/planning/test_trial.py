"""Trials: what they time and what they leave out, and how an estimate follows from them."""

import time

import pytest
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Callback
from omegaconf import OmegaConf

from regnet.packed.job import Job
from regnet.planning.estimate import Group, _epoch, _Tried
from regnet.planning.trial import FewSteps, NotTimed, Pace, Stopwatch, _copies, time_alone
from tests.helpers.quick_hydra import CONF, quick_hydra

PAUSE = 0.2  # seconds, of a step: far longer than the step itself


class Slow(Callback):
    """A training whose length is known."""

    def on_train_batch_end(self, *_):
        time.sleep(PAUSE)


@pytest.fixture
def job(tmp_path):
    def composed(*overrides):
        with quick_hydra(), initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("train", ["model.widths=[8]", *overrides], return_hydra_config=True)
        OmegaConf.set_readonly(config, False)
        OmegaConf.set_readonly(config.hydra, False)
        config.hydra.job.num, config.hydra.job.id = 0, "0"
        config.hydra.runtime.output_dir = str(tmp_path / "run")
        return Job(0, overrides, tmp_path / "run", config)

    return composed


def test_a_run_alone_is_timed_by_the_epoch(job, tmp_path):
    slow = job(f"+callbacks.slow._target_={__name__}.Slow", "trainer.max_epochs=50", "trainer.log_every_n_steps=1")
    short, long = (time_alone(slow, epochs=3, steps=steps) for steps in (2, 5))
    assert 2 * PAUSE <= short.epoch < 5 * PAUSE <= long.epoch < 8 * PAUSE  # three epochs, of which none is in `fixed`
    assert (short.steps, long.steps) == (2, 5)
    assert short.kept > 10_000  # two checkpoints
    assert not (tmp_path / "run").exists()


def test_a_trial_that_fails_says_why(job):
    with pytest.raises(NotTimed, match="val_check_interval"):
        time_alone(job("+trainer.val_check_interval=4"), epochs=3, steps=2)


def test_no_tracker_hears_of_a_trial(job, tmp_path):
    (copy,) = _copies([job("logger=[tensorboard,csv,mlflow]")], tmp_path)
    assert list(copy.task_config().logger) == ["tensorboard", "csv"]


def test_epochs_are_cut_short_and_validation_is_not(job):
    cfg = job("data.batch_size=10").task_config()
    whole, short = FewSteps(10**6).of(cfg), FewSteps(3).of(cfg)
    assert (short.batches(), len(short.train)) == (3, 30)
    assert (len(short.probe), len(short.val)) == (len(whole.probe), len(whole.val))


def test_the_pace_of_a_pack_leaves_its_first_epochs_out():
    watch = Stopwatch()
    watch.marks = [(7.0, 2), (8.0, 4), (9.0, 6), (10.0, 8)]  # two processes of two runs each
    assert watch.pace(4) == 0.5  # four more epochs in two seconds


def test_a_long_epoch_follows_from_two_short_ones():
    two = [Pace(0, 1.0, 8, 0, 0), Pace(0, 3.0, 24, 0, 0)]
    assert _epoch(two, 24) == 3.0
    assert _epoch(two, 400) == pytest.approx(50.0)
    assert _epoch([two[1], Pace(0, 2.9, 30, 0, 0)], 60) == 2.9  # noise does not make longer ones quicker
    assert _epoch([Pace(0, 1.0, 8, 0, 0)], 8) == 1.0


def test_an_estimate_is_the_sum_over_its_runs():
    class Lengths:
        def length(self, job):
            return {1: (10, 20.0), 2: (20, 5.0)}[job.number]

    jobs = [Job(number, (), None, None) for number in (1, 2)]
    paces = [Pace(0.5, 1.0, 10, 1000.0, 10.0), Pace(1.5, 2.0, 20, 1000.0, 10.0)]
    found = _Tried(True, paces).of(Group(jobs, True), Lengths())
    assert found.seconds == pytest.approx(1.0 + 20 * 1.0 + 1.0 + 5 * 2.0)
    assert found.disk == pytest.approx(2 * 1000 + 25 * 10)
