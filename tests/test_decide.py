"""Seeds bought until it is decided which arm is best, through the real command line."""

import re
import shutil
import signal
import time

import pytest

import regnet.commands.train
from regnet.report.compare import compare
from regnet.report.study import studies
from regnet.run.record import find_runs
from tests.helpers.commands import start, train
from tests.helpers.studies import conclusions, own_experiment, runs, trained, value

TINY = ["model.widths=[8]", "trainer.max_epochs=3", "data.train_size=60", "logger=none"]
QUICK = ["study=s", "hydra/launcher=packed", *TINY]
DECIDE = ["-m", *QUICK, "hydra/sweeper=decide"]
LR = "optimizer.lr"
CLEAR = f"{LR}=1e-9,3e-2"  # one learns nothing, the other much
SAME = [f"{LR}=3e-2", "regularizer=none,dropout", "++regularizer.dropout.rate=0.02"]  # nothing to be found
RATE = "regularizer.dropout.rate"


def seeds(folder, key, study="s"):
    """The seeds of each arm, by its value of the key."""
    found = {}
    for kept in runs(folder, study):
        found.setdefault(value(kept, key), set()).add(kept["seed"])
    return found


def result(kept):
    return kept["overrides"], kept["status"], kept["metrics"]


def test_a_clear_difference_is_decided_in_the_first_block(tmp_path):
    done = train(*DECIDE, CLEAR, cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    assert seeds(tmp_path, LR) == {"1e-09": set(range(5)), "0.03": set(range(5))}
    (told,) = conclusions(done, "decide")
    assert re.fullmatch(r"decide: 5 seeds: best on validation none lr=0\.03; told from it: none lr=\S+; decided", told)
    assert all(kept["config"]["report"]["anytime"] for kept in runs(tmp_path))


@pytest.fixture(scope="module")
def bought(tmp_path_factory):
    """Three arms: one is out soon, two are all but the same."""
    folder = tmp_path_factory.mktemp("bought")
    command = [*DECIDE, "hydra.sweeper.block=3", "regularizer=dropout", f"{RATE}=0,0.02,0.95", f"{LR}=3e-2"]
    return folder, command, train(*command, "seed=range(11)", cwd=folder)


def test_arms_that_are_out_get_no_more_seeds_and_the_others_all_of_the_budget(bought):
    folder, _, done = bought
    assert done.code == 0, done.out + done.err
    found = seeds(folder, RATE)
    assert found["0"] == found["0.02"] == set(range(11))
    assert found["0.95"] in (set(range(5)), set(range(8)))
    *_, last = conclusions(done, "decide")
    assert re.match(r"decide: 11 seeds: best on validation dropout rate=\S+; told from it: dropout rate=0\.95; ", last)
    assert re.search(r"; open: dropout rate=\S+; the seeds are spent", last)


def test_what_is_decided_is_what_the_report_says_of_the_same_records(bought):
    folder, _, done = bought
    (study,) = studies(find_runs(folder / "outputs" / "multirun" / "s"))
    assert study.anytime
    pairs = compare(study, study.best())
    assert {pair.family for pair in pairs} == {3}
    told = [pair.arm.label for pair in pairs if pair.distinguishable]
    assert f"told from it: {', '.join(told)};" in conclusions(done, "decide")[-1]


def test_the_same_command_trains_nothing_and_a_larger_budget_goes_on(bought, tmp_path):
    folder, command, first = bought
    shutil.copytree(folder / "outputs", tmp_path / "outputs")
    again = train(*command, "seed=range(11)", cwd=tmp_path)
    assert (again.code, trained(again)) == (0, 0)
    assert conclusions(again, "decide") == conclusions(first, "decide")
    more = train(*command, "seed=range(13)", cwd=tmp_path)
    assert more.code == 0
    assert trained(more) == 4
    *before, last = conclusions(first, "decide")
    *after, there, further = conclusions(more, "decide")
    assert after == before
    assert there == last.replace("the seeds are spent", "2 arms get more seeds").partition(", and some")[0]
    assert further.startswith("decide: 13 seeds: ")
    assert seeds(tmp_path, RATE)["0"] == set(range(13))


def test_a_margin_decides_that_two_are_as_good(tmp_path):
    done = train(*DECIDE, *SAME, "report.margin=0.5", "seed=range(9)", "hydra.sweeper.block=4", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    *_, last = conclusions(done, "decide")
    assert re.search(r"; as good: \S.*; decided$", last), last


def test_arms_of_each_data_set_are_decided_by_themselves(tmp_path):
    done = train(*DECIDE, CLEAR, "data.train_size=60,70", "hydra.sweeper.first=8", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    told = conclusions(done, "decide")
    assert [line.partition(": 8 seeds")[0] for line in told] == [f"decide: data.train_size={n}" for n in (60, 70)]
    assert all(line.endswith("; decided") for line in told)


def test_a_technique_that_does_nothing_does_not_use_up_the_seeds(tmp_path):
    done = train(*DECIDE, "regularizer=none,max_norm", "++regularizer.max_norm.radius=1e9", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    (told,) = conclusions(done, "decide")
    assert re.fullmatch(r"decide: 5 seeds: best on .* none; the same in every number: max_norm.*; decided", told)
    assert len(runs(tmp_path)) == 10


@pytest.mark.slow
def test_a_study_survives_a_kill_signal(tmp_path):
    asked = [*DECIDE, *SAME, "seed=range(10)", "trainer.max_epochs=20"]
    process = start("regnet-train", *asked, cwd=tmp_path)
    while len(runs(tmp_path)) < 10:  # the first block
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = list(map(result, runs(tmp_path)))
    assert 10 <= len(kept) < 20
    done = train(*asked, cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    assert list(map(result, runs(tmp_path)))[: len(kept)] == kept
    (tmp_path / "never killed").mkdir()
    whole = train(*asked, cwd=tmp_path / "never killed")
    assert conclusions(whole, "decide") == conclusions(done, "decide")
    assert trained(whole) == trained(done) + len(kept) == 20


def test_an_arm_of_which_every_run_fails_is_out_and_said_to_be(tmp_path):
    done = train(*DECIDE, f"{LR}=3e-2", "regularizer=dropout", f"{RATE}=0,0.97,1.5", "seed=range(5)", cwd=tmp_path)
    assert done.code == 1  # runs failed
    assert "; out, as no run completed: dropout rate=1.5; " in conclusions(done, "decide")[-1]
    assert len(seeds(tmp_path, RATE)["1.5"]) == 5


def test_an_arm_with_one_failed_run_stays(tmp_path, monkeypatch):
    work = regnet.commands.train._train_and_test

    def run(cfg, *rest):
        if cfg.seed == 1 and cfg.optimizer.lr < 1e-3:
            raise RuntimeError("no memory")
        return work(cfg, *rest)

    monkeypatch.setattr(regnet.commands.train, "_train_and_test", run)
    done = train(*DECIDE, CLEAR, "hydra/launcher=basic", "seed=range(8)", "hydra.sweeper.block=3", cwd=tmp_path)
    assert done.code == 1
    first, last = conclusions(done, "decide")
    assert "open: none lr=" in first  # four pairs cannot decide
    assert last.startswith("decide: 8 seeds: ")
    assert last.endswith("; decided")


TUNED = f"""
defaults:
  - override /hydra/sweeper: decide
hydra:
  sweeper:
    trials: 3
    arms:
      none: {{}}
      dropout: {{{RATE}: "interval(0.9,0.98)"}}
"""


def test_arms_are_tuned_on_a_seed_of_their_own(tmp_path):
    command = [*own_experiment(tmp_path, TUNED), *QUICK, "optimizer.lr=tag(log,interval(1e-2,5e-2))", "seed=range(3,9)"]
    done = train(*command, cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    tuning, bought = runs(tmp_path, "s-tuning"), runs(tmp_path)
    assert {kept["seed"] for kept in tuning} == {3}
    assert len(tuning) == 6
    chosen = {value(kept, LR) for kept in bought if value(kept, "regularizer") == "none"}
    assert len(chosen) == 1
    assert chosen < {value(kept, LR) for kept in tuning}
    assert {kept["seed"] for kept in bought} == set(range(4, 9))
    assert [line.partition(" ")[0] for line in done.out.splitlines() if re.match("tune|decide", line)][:3] == [
        "tune:",
        "tune:",
        "decide:",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], r"hydra/sweeper=decide needs two arms or more to tell apart, such as regularizer=none,l2"),
        ([CLEAR, "data.split_seed=0,1"], r"data\.split_seed=0,1: hydra/sweeper=decide looks at seeds of one split"),
        ([CLEAR, "hydra.sweeper.first=0"], r"hydra\.sweeper\.first=0 must be a whole number >= 1"),
        ([CLEAR, "hydra.sweeper.block=x"], r"hydra\.sweeper\.block=x must be a whole number >= 1"),
        ([CLEAR, "seed=interval(0,3)"], r"seeds are averaged, not searched"),
        (["optimizer.lr=tag(log,interval(1e-3,1e-1))"], r"optimizer\.lr.* must be a list of values"),
        (["regularizer=none,l3"], r"l3 is not one of"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_before_anything_is_trained(arguments, sentence, tmp_path):
    done = train(*DECIDE, *arguments, cwd=tmp_path)
    assert done.code == 1
    assert re.search(sentence, done.err), done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.glob("outputs/multirun/*/*/record.json"))
