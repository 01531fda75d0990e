"""Sweepers that decide on the next runs by what the last ones gave, through the real command line."""

import re
from pathlib import Path
from statistics import fmean

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.helpers.commands import record, train
from tests.helpers.studies import conclusions, own_experiment, runs, trained, value

RUN = ["model.widths=[8]", "trainer.max_epochs=2", "data.train_size=60", "logger=none"]
QUICK = ["study=s", "hydra/launcher=packed", *RUN]
L1, L2 = "regularizer.l1.strength", "regularizer.l2.strength"
PATH = ["hydra/sweeper=path", f"hydra.sweeper.key={L1}", "regularizer=l1"]
LR = "optimizer.lr=tag(log,interval(1e-3,1e-1))"


def val_loss(kept):
    return kept["metrics"]["val"]["loss"]


def rank(kept):
    """Less is better: the accuracy decides, and the loss between equals."""
    return -kept["metrics"]["val"]["accuracy"], val_loss(kept)


def mean_rank(tried):
    return tuple(round(fmean(part), 6) for part in zip(*map(rank, tried), strict=True))


# path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("it's a path")
    command = [
        "-m",
        *QUICK,
        *PATH,
        "hydra.sweeper.points=3",
        "hydra.sweeper.ratio=0.01",
        "seed=0,1",
        "optimizer.lr=0.05",
    ]
    return folder, command, train(*command, cwd=folder)


def test_a_path_goes_down_from_the_largest_useful_strength(path):
    folder, _, done = path
    assert done.code == 0, done.out + done.err
    (told,) = re.findall(rf"^path: {L1} from (\S+) down to (\S+) in 3 steps$", done.out, re.M)
    largest, smallest = map(float, told)
    assert smallest == pytest.approx(largest / 100, rel=0.01)
    seeds = {}
    for kept in runs(folder):
        seeds.setdefault(float(value(kept, L1)), []).append(kept["seed"])
    assert sorted(seeds, reverse=True) == pytest.approx([largest, largest / 10, largest / 100], rel=0.01)
    assert set(map(tuple, map(sorted, seeds.values()))) == {(0, 1)}
    assert not any(value(kept, "warm_start") for kept in runs(folder) if float(value(kept, L1)) == largest)

    probes = {float(value(kept, L1)): val_loss(kept) for kept in runs(folder, "s-probes")}
    ignorant = min(probes[max(probes)], 2.302585)
    useful = {strength for strength, loss in probes.items() if loss < 0.95 * ignorant}
    assert max(useful) == largest
    assert min(set(probes) - useful) < 2 * largest


def test_each_run_of_a_path_begins_where_the_one_before_was_chosen(path):
    folder, _, _ = path
    warm = [kept for kept in runs(folder) if value(kept, "warm_start")]
    assert len(warm) == 4
    for kept in warm:
        earlier = record(Path(value(kept, "warm_start")))
        assert float(value(earlier, L1)) / float(value(kept, L1)) == pytest.approx(10, rel=0.01)
        assert earlier["seed"] == kept["seed"]
        assert earlier["started"] <= kept["started"]


def test_a_path_can_go_up_each_run_from_a_weaker_one(tmp_path):
    done = train(
        "-m", *QUICK, *PATH, "optimizer.lr=0.05", "hydra.sweeper.points=2", "hydra.sweeper.up=true", cwd=tmp_path
    )
    assert done.code == 0, done.out + done.err
    assert re.search(rf"^path: {L1} from \S+ up to \S+ in 2 steps$", done.out, re.M)
    (stronger,) = (kept for kept in runs(tmp_path) if value(kept, "warm_start"))
    weaker = record(Path(value(stronger, "warm_start")))
    assert float(value(stronger, L1)) == pytest.approx(1000 * float(value(weaker, L1)), rel=0.01)


def test_a_path_of_unequal_classes_begins_where_more_than_their_shares_is_learned(tmp_path):
    """Whatever the strength, biases learn how often each class is: of 9:1 that gives 0.33, far below ln 2."""
    rows = [f"{i % 10 / 10},{'ab'[i % 10 == 0]}" for i in range(300)]
    (tmp_path / "table.csv").write_text("\n".join(["x,kind", *rows]))
    data = ["data=csv", "data.path=table.csv", "data.target=kind", "data.batch_size=30", "optimizer.lr=0.05"]
    command = ["-m", "study=s", "hydra/launcher=packed", *PATH, f"{L1}=0.03", "hydra.sweeper.points=2"]
    done = train(*command, *data, "model.widths=[8]", "trainer.max_epochs=10", "logger=none", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    probes = {float(value(kept, L1)): val_loss(kept) for kept in runs(tmp_path, "s-probes")}
    assert probes[max(probes)] < 0.5
    largest = max(float(value(kept, L1)) for kept in runs(tmp_path))
    assert probes[largest] < 0.95 * probes[max(probes)]


def test_a_warm_start_gives_the_weights_and_no_settings(tmp_path):
    first = train("hydra.run.dir=a", *RUN, "regularizer=[l2,dropout]", f"{L2}=0.5", cwd=tmp_path)
    assert first.code == 0, first.err
    warm = [*RUN, "regularizer=dropout", "regularizer.dropout.rate=0.25", "optimizer.lr=1e-30"]
    done = train("hydra.run.dir=b", "warm_start=a", *warm, cwd=tmp_path)
    assert done.code == 0, done.err
    a, b = record(tmp_path / "a"), record(tmp_path / "b")
    assert b["metrics"]["val"] == pytest.approx(a["metrics"]["val"], rel=1e-5)  # it stayed where it began
    assert "rate/dropout" not in b["metrics"]
    other = train("hydra.run.dir=c", "warm_start=a", *RUN, "model.widths=[9]", cwd=tmp_path)
    assert other.code == 1
    assert "warm_start=a has no model.hidden.0.0.weight of shape (9, 64): another network?" in other.err
    nothing = train("hydra.run.dir=d", "warm_start=nowhere", *RUN, cwd=tmp_path)
    assert nothing.code == 1
    assert "warm_start=nowhere is no folder" in nothing.err


# search

SEARCH = f"""
defaults:
  - override /hydra/sweeper: search
hydra:
  sweeper:
    trials: 5
    together: 3
    techniques:
      - l2: {{{L2}: "tag(log,interval(1e-6,1e-1))"}}
        l1: {{{L1}: "tag(log,interval(1e-6,1e-2))"}}
      - augment: {{}}
"""


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    command = [*own_experiment(folder, SEARCH), *QUICK, LR, "seed=range(2)"]
    return folder, command, train(*command, cwd=folder)


def trials(folder):
    """The runs of each trial, by what they have in common."""
    found = {}
    for kept in runs(folder):
        found.setdefault(tuple(o for o in kept["overrides"] if not o.startswith("seed=")), []).append(kept)
    return found


def test_a_search_averages_over_seeds_and_never_chooses_one(search):
    folder, _, done = search
    assert done.code == 0, done.out + done.err
    found = trials(folder)
    assert len(found) == 5
    seeds = [tuple(sorted(kept["seed"] for kept in tried)) for tried in found.values()]
    assert set(seeds) <= {(0,), (0, 1)}  # pruned after the first, or all
    for overrides in found:
        choice = next(o for o in overrides if o.startswith("regularizer="))
        on = {"l1", "l2"} & set(re.findall(r"\w+", choice))
        assert len(on) < 2
        assert {o.split(".")[1] for o in overrides if o.startswith("regularizer.")} == on
    counted, best = conclusions(done, "search")
    assert counted == f"search: {seeds.count((0, 1))} trials complete, {seeds.count((0,))} pruned"
    means = {trial: mean_rank(tried) for trial, tried in found.items() if len(tried) == 2}
    chosen = min(means, key=means.get)
    assert best.startswith(f"search: best val/accuracy {-means[chosen][0]:.4g}: regularizer=")
    assert set(best.split(": ")[2].split()) < set(chosen)


def test_a_search_is_kept_for_the_dashboard_and_reads_nothing_there(search):
    folder, command, first = search
    for _ in range(2):  # the second writes the study anew
        done = train(*command, "hydra.sweeper.storage=search.log", cwd=folder)
        assert (done.code, trained(done)) == (0, 0)
        assert conclusions(done, "search") == conclusions(first, "search")
        storage = JournalStorage(JournalFileBackend(str(folder / "search.log")))
        (kept,) = optuna.get_all_study_summaries(storage)
        study = optuna.load_study(study_name=kept.study_name, storage=storage)
        assert len(study.trials) == 5
        assert f"best val/accuracy {-study.best_value:.4g}:" in conclusions(first, "search")[1]
    done = train(*command, "hydra.sweeper.storage=nowhere/search.log", cwd=folder)
    assert done.code == 1
    assert "hydra.sweeper.storage=nowhere/search.log cannot be used (FileNotFoundError" in done.err


def test_a_search_goes_on_with_the_trials_it_has(search):
    folder, command, first = search
    before = trials(folder)
    done = train(*command, cwd=folder)
    assert (done.code, trained(done)) == (0, 0)
    assert conclusions(done, "search") == conclusions(first, "search")
    done = train(*command, "hydra.sweeper.trials=6", cwd=folder)
    assert done.code == 0
    after = trials(folder)
    assert len(after) == 6
    assert before.items() <= after.items()


def test_a_trial_worse_than_the_median_gets_no_further_seeds(tmp_path):
    space = ["optimizer.lr=tag(log,interval(1e-9,1e-2))", "hydra.sweeper.together=2", "hydra.sweeper.trials=6"]
    command = ["-m", *QUICK, "hydra/sweeper=search", *space, "seed=0,1"]
    done = train(*command, cwd=tmp_path)
    assert done.code == 0
    counted, _ = conclusions(done, "search")
    assert re.search(r"[1-9]\d* pruned", counted)
    done = train(*command, "hydra.sweeper.prune=false", cwd=tmp_path)
    assert "6 trials complete, 0 pruned" in conclusions(done, "search")[0]


# tune and refine

TUNE = f"""
defaults:
  - override /hydra/sweeper: tune
hydra:
  sweeper:
    trials: 4
    arms:
      none: {{}}
      l2: {{{L2}: "choice(1e-4,1e-2)"}}
      dropout: {{regularizer.dropout.rate: "interval(0.1,0.7)"}}
"""


def test_every_arm_has_the_same_budget_and_is_compared_on_other_seeds(tmp_path):
    command = [*own_experiment(tmp_path, TUNE), *QUICK, LR]
    done = train(*command, "seed=range(3)", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    tuning, final = runs(tmp_path, "s-tuning"), runs(tmp_path)
    assert {kept["seed"] for kept in tuning} == {0}
    rates = []
    for arm in ("none", "l2", "dropout"):
        tried = [kept for kept in tuning if value(kept, "regularizer") == arm]
        rates.append([value(kept, "optimizer.lr") for kept in tried])
        best = min(tried, key=rank)
        compared = [kept for kept in final if value(kept, "regularizer") == arm]
        assert sorted(kept["seed"] for kept in compared) == [1, 2]
        for key in ("optimizer.lr", L2, "regularizer.dropout.rate"):
            assert {value(kept, key) for kept in compared} == {value(best, key)}
    assert rates[0] == rates[1] == rates[2]  # drawn alike
    assert len(set(rates[0])) == 4


def test_arms_and_knobs_are_narrowed_on_the_command_line(tmp_path):
    command = [*own_experiment(tmp_path, TUNE), *QUICK, LR]
    done = train(*command, "seed=0,1", "regularizer=none,dropout", "++regularizer.dropout.rate=0.5", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    every = [*runs(tmp_path), *runs(tmp_path, "s-tuning")]
    assert {(value(k, "regularizer"), value(k, "regularizer.dropout.rate")) for k in every} == {
        ("none", None),
        ("dropout", "0.5"),
    }


def test_techniques_of_a_search_are_narrowed_on_the_command_line(tmp_path):
    command = [*own_experiment(tmp_path, SEARCH), *QUICK, "hydra.sweeper.trials=8"]
    done = train(*command, "regularizer=none,l2", f"{L2}=choice(0.25,0.5)", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    tried = {(value(kept, "regularizer"), value(kept, L2)) for kept in runs(tmp_path)}
    assert tried == {("none", None), ("[l2]", "0.25"), ("[l2]", "0.5")}


def test_a_grid_is_refined_around_the_best_of_each_arm(tmp_path):
    command = [
        "-m",
        *QUICK,
        "hydra/sweeper=refine",
        f"hydra.sweeper.key={L2}",
        "hydra.sweeper.rounds=1",
        "regularizer=l2",
    ]
    done = train(*command, f"{L2}=0,0.1,1", "optimizer.lr=1e-3,1e-2", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    for lr in ("0.001", "0.01"):
        arm = {float(value(k, L2)): rank(k) for k in runs(tmp_path) if float(value(k, "optimizer.lr")) == float(lr)}
        best = min((0, 0.1, 1), key=arm.get)
        between = {0: {0.05}, 0.1: {0.05, 0.3162}, 1: {0.3162}}[best]  # the last is a decade: its geometric mean
        assert set(arm) == {0, 0.1, 1} | between


def test_the_greatest_is_the_best_where_more_is_better(tmp_path):
    command = ["-m", *QUICK, "hydra/sweeper=refine", "hydra.sweeper.key=optimizer.lr", "hydra.sweeper.rounds=0"]
    done = train(*command, "optimizer.lr=1e-9,1e-2,3e-2", "monitor=val/accuracy", cwd=tmp_path)
    accuracies = {value(kept, "optimizer.lr"): kept["metrics"]["val"]["accuracy"] for kept in runs(tmp_path)}
    best = max(accuracies, key=accuracies.get)
    assert conclusions(done, "refine") == [
        f"refine: round 1, best val/accuracy {accuracies[best]:.4g} at optimizer.lr={float(best):g}"
    ]


def test_a_search_and_a_tuning_look_for_the_greatest_too(tmp_path):
    """One learning rate does nothing, one learns a little: of accuracies the greater is chosen."""
    rates = ["optimizer.lr=choice(1e-9,3e-2)", "monitor=val/accuracy"]
    searching = ["-m", *QUICK, "hydra/sweeper=search", "hydra.sweeper.trials=4", "hydra.sweeper.together=4"]
    done = train(*searching, *rates, cwd=tmp_path)
    accuracies = {value(kept, "optimizer.lr"): kept["metrics"]["val"]["accuracy"] for kept in runs(tmp_path)}
    assert len(set(accuracies.values())) == 2
    best = (
        f"search: best val/accuracy {max(accuracies.values()):.4g}: optimizer.lr={max(accuracies, key=accuracies.get)}"
    )
    assert conclusions(done, "search")[-1] == best
    tuning = [*own_experiment(tmp_path, TUNE), *QUICK, "regularizer=none", "seed=0,1", "study=t"]
    done = train(*tuning, *rates, cwd=tmp_path)
    tried = [kept["metrics"]["val"]["accuracy"] for kept in runs(tmp_path, "t-tuning")]
    assert len(set(tried)) == 2
    assert conclusions(done, "tune") == [f"tune: none val/accuracy {max(tried):.4g}  optimizer.lr=0.03"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hydra/sweeper=search"], r"has nothing to search"),
        (["hydra/sweeper=search", LR, "hydra.sweeper.trials=0"], r"trials=0 must be a whole number >= 1"),
        (["hydra/sweeper=search", LR, "seed=interval(0,3)"], r"seeds are averaged, not searched"),
        (["hydra/sweeper=search", "optimizer.lr=tag(log,interval(0,1))"], r"on a log scale begin above 0"),
        (["hydra/sweeper=search", "optimizer.rl=interval(0.1,0.2)"], r"optimizer has no key rl"),
        ([*PATH, "optimizer.lr=1,2"], rf"optimizer\.lr=1,2: a path sweeps {L1} by itself"),
        ([*PATH, f"{L1}=1,2"], rf"{L1}=1,2: a path sweeps {L1} by itself"),
        ([*PATH[:2], "regularizer=l2"], rf"hydra\.sweeper\.key={L1} must name"),
        ([*PATH, "hydra.sweeper.ratio=2"], r"hydra\.sweeper\.ratio=2 must be a number between 0 and 1"),
        (["hydra/sweeper=refine", "hydra.sweeper.key=optimizer.lr", "optimizer.lr=1,2"], r"three numbers or more"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_before_anything_is_trained(arguments, sentence, tmp_path):
    begin = [] if "-m" in arguments else ["-m"]
    done = train(*begin, *arguments, *QUICK, cwd=tmp_path)
    assert done.code == 1
    assert re.search(sentence, done.err), done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.glob("outputs/multirun/*/*/record.json"))


@pytest.mark.parametrize(
    ("sweeper", "arguments", "sentence"),
    [
        (TUNE, ["seed=3"], r"seed=3 is one only: the first tunes and the others compare; give seed=range\(6\)"),
        (TUNE, ["seed=0,1", "regularizer=none,l3"], r"regularizer=l3 is not among .* none, l2, dropout"),
        (TUNE.replace("l2.strength", "l2.strenght"), ["seed=0,1"], r"regularizer\.l2 has no key strenght"),
        (TUNE.replace("none: {}", "none: 3"), ["seed=0,1"], r"hydra\.sweeper\.arms: .*'none': 3.* must be like"),
        (SEARCH.replace("augment: {}", "augment"), [], r"hydra\.sweeper\.techniques: augment must be like"),
        (TUNE.replace("l2:", "l3:"), ["seed=0,1"], r"regularizer=l3: l3 is not one of"),
        (SEARCH.replace("l1.strength", "l1.strenght"), [], r"regularizer\.l1 has no key strenght"),
        (SEARCH.replace("augment", "augmnt"), [], r"augmnt is not one of .* mean augment"),
        (SEARCH, ["regularizer=[l1,l2]"], r"regularizer=\[l1,l2\] is not among .* none, l2, l1, augment"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_space_is_told_before_anything_is_trained(sweeper, arguments, sentence, tmp_path):
    test_a_mistake_is_told_before_anything_is_trained(
        [*own_experiment(tmp_path, sweeper), *arguments], sentence, tmp_path
    )
