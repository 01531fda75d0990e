"""What sweepers choose, and where they search: the runs are made up, so that it is known what is right."""

import re
from pathlib import Path

import pytest

from regnet.core.errors import UserError
from regnet.run.record import RecordedRun
from regnet.sweepers.path import PathSweeper
from regnet.sweepers.refine import RefineSweeper
from regnet.sweepers.score import best, mean, score_of
from regnet.sweepers.search import SearchSweeper
from regnet.sweepers.tune import TuneSweeper
from tests.helpers.made_up import made_up
from tests.helpers.pruning import search

L2, RATE, LR, SPLIT = "regularizer.l2.strength", "regularizer.dropout.rate", "optimizer.lr", "data.split_seed"


def swept(sweeper, arguments, folder, measure, monitor="val/loss"):
    """The jobs of each batch, as mappings."""
    with made_up(sweeper, measure, folder, monitor) as batches:
        sweeper.sweep(arguments)
    return [[dict(text.split("=", 1) for text in job) for job in batch] for batch in batches]


def at_lr(settings):
    return {"loss": settings[LR]}


# scores


def run(status="completed", monitor="val/accuracy", mode="max", folder=Path("run"), **val):
    return RecordedRun(folder, status, config={"monitor": monitor, "mode": mode}, metrics={"val": val})


@pytest.mark.parametrize(
    ("monitor", "mode", "val", "metric", "better"),
    [
        ("val/accuracy", "max", {"accuracy": 0.5}, "val/accuracy", {"accuracy": 0.6}),
        ("val/loss", "min", {"loss": 0.5, "accuracy": 0.9}, "val/loss", {"loss": 0.4, "accuracy": 0.1}),
        (None, None, {"loss": 0.1, "accuracy": 0.5}, "val/accuracy", {"loss": 0.2, "accuracy": 0.6}),
        (None, None, {"loss": 0.1, "rmse": 0.5, "r2": 0.9}, "val/rmse", {"loss": 0.2, "rmse": 0.4, "r2": 0.1}),
        (None, None, {"loss": 0.5}, "val/loss", {"loss": 0.4}),
        ("auto", None, {"loss": 0.1, "accuracy": 0.5}, "val/accuracy", {"loss": 0.2, "accuracy": 0.6}),
        ("val/mine", "max", {"mine": 0.5}, "val/mine", {"mine": 0.6}),
    ],
)
def test_a_run_is_judged_by_its_own_monitor_and_without_one_by_the_metric_of_its_task(
    monitor, mode, val, metric, better
):
    scores = [score_of(run(monitor=monitor, mode=mode, **values)) for values in (val, better)]
    assert [score.metric for score in scores] == [metric, metric]
    assert scores[0].value == val[metric.removeprefix("val/")]
    assert best(scores) == 1
    assert scores[1].cost < scores[0].cost


def test_of_equal_accuracies_the_lower_loss_wins_also_where_rounding_made_them_unequal():
    """0.8 and 0.9 in float32 are read as other numbers than the sum of their counts."""
    ahead = mean([score_of(run(accuracy=0.800000012, loss=0.5)), score_of(run(accuracy=0.899999976, loss=0.5))])
    behind = mean([score_of(run(accuracy=0.850000024, loss=0.4)), score_of(run(accuracy=0.850000024, loss=0.5))])
    assert best([ahead, behind]) == 1
    assert best([ahead, ahead]) == 0
    better = score_of(run(accuracy=0.8511, loss=9))  # by one image of 900
    assert best([behind, better]) == 1


def test_what_did_not_complete_has_no_score():
    lost = score_of(run("diverged", accuracy=0.9, loss=0.1))
    assert not lost.is_known
    assert not mean([lost, score_of(run(accuracy=0.9, loss=0.1))]).is_known
    assert best([lost, score_of(run(accuracy=0.1, loss=3))]) == 1
    assert best([lost]) is None


def test_a_search_of_accuracies_looks_for_the_greatest(tmp_path, capsys):
    def measure(settings):
        return {"accuracy": 1 - abs(settings[LR] - 0.7), "loss": 1.0}

    batches = swept(SearchSweeper(trials=40), [f"{LR}=interval(0,1)"], tmp_path, measure, monitor=None)
    assert re.search(rf"search: best val/accuracy 0\.99\d+: {LR}=0\.(69|70)", capsys.readouterr().out)
    late = [float(job[LR]) for batch in batches[-2:] for job in batch]
    assert sum(abs(rate - 0.7) < 0.2 for rate in late) > len(late) / 2  # the sampler knows which way is better


# seeds and splits


def pairs(jobs):
    return sorted({(int(job["seed"]), int(job[SPLIT])) for job in jobs})


def test_a_search_averages_over_splits_as_over_seeds(tmp_path, capsys):
    def measure(settings):
        return {"loss": settings[LR] + (0, -10)[settings[SPLIT]] * (settings["seed"] == 0)}

    arguments = [f"{LR}=choice(0.1,0.2)", f"{SPLIT}=0,1", "seed=0,1"]
    batches = swept(SearchSweeper(trials=4, prune=False), arguments, tmp_path, measure)
    assert pairs(batches[0]) == [(0, 0)]
    assert pairs([job for batch in batches for job in batch]) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert f"best val/loss -2.4: {LR}=0.1\n" in capsys.readouterr().out  # 0.1 + (0 - 10 + 0 + 0) / 4


def test_a_refinement_averages_over_splits(tmp_path, capsys):
    """On one split the largest is best, on the other and on average the smallest."""

    def measure(settings):
        return {"loss": (3, -1)[settings[SPLIT]] * settings[LR]}

    sweeper = RefineSweeper(LR, rounds=0)
    batches = swept(sweeper, [f"{LR}=0.1,0.2,0.3", f"++{SPLIT}=1,0"], tmp_path, measure)
    assert pairs(batches[0]) == [(0, 0), (0, 1)]
    assert f"best val/loss 0.1 at {LR}=0.1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "tuned", "compared"),
    [
        (["seed=0,1,2"], {(0, None)}, {(1, None), (2, None)}),
        (["seed=0,1,2", f"{SPLIT}=3"], {(0, 3)}, {(1, 3), (2, 3)}),
        (["seed=5", f"{SPLIT}=0,1"], {(5, 0)}, {(5, 1)}),
        (["seed=0,1,2", f"{SPLIT}=0,1,2"], {(0, 0)}, {(1, 1), (1, 2), (2, 1), (2, 2)}),
    ],
)
def test_what_a_tuning_used_is_not_compared_on(arguments, tuned, compared, tmp_path):
    sweeper = TuneSweeper({"none": {}}, trials=3)
    tuning, comparison = swept(sweeper, [*arguments, f"{LR}=interval(0.1,0.2)"], tmp_path, at_lr)
    assert {(int(job["seed"]), int(job[SPLIT]) if SPLIT in job else None) for job in tuning} == tuned
    assert {(int(job["seed"]), int(job[SPLIT]) if SPLIT in job else None) for job in comparison} == compared
    assert {job[LR] for job in comparison} == {min((job[LR] for job in tuning), key=float)}


# where is searched


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("seed=interval(0,3)", r"seeds are averaged, not searched; give them as seed=range\(3\)"),
        ("seed=true", r"seeds are averaged"),
        ("seed=[0,1]", r"seeds are averaged"),
        ("seed=shuffle(range(3))", r"the order is another each time"),
        (f"{SPLIT}=interval(0,3)", r"splits are averaged, not searched; give them as data\.split_seed=range\(3\)"),
        (f"++{SPLIT}=0.5,1", r"splits are averaged"),
        (f"{SPLIT}=-1,1", r"splits are averaged"),
        (f"{LR}=shuffle(0.1,0.2,0.3)", r"the order is another each time.*leave shuffle out"),
        (f"{LR}=tag(logg,interval(1e-3,1e-1))", r"the tag logg means nothing there"),
        (f"{LR}=tag(log,choice(1e-3,1e-1))", r"the tag log means nothing there"),
        (f"{LR}=interval(0.1,0.1)", r"holds one number only; give it as optimizer\.lr=0\.1"),
        (f"{LR}=interval(0.2,0.1)", r"must go up"),
        (f"{LR}=interval(0,inf)", r"from one finite number to another"),
        (f"{LR}=choice(choice(0.1,0.2),0.3)", r"a choice cannot hold another"),
        ("trainer.max_epochs=interval(1.2,1.8)", r"must hold two whole numbers or more"),
        ("monitor=val/loss,val/accuracy", r"judges by the monitor"),
    ],
)
def test_what_cannot_be_searched_is_told(argument, sentence, tmp_path):
    sweepers = [SearchSweeper(trials=2), TuneSweeper({"none": {}}, trials=2)]
    for sweeper in sweepers:
        arguments = [f"{LR}=interval(0.1,0.2)", "seed=0,1", argument]
        with pytest.raises(UserError, match=sentence):
            swept(sweeper, arguments, tmp_path, at_lr)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.00001), (0.9, 0.99999), (1e-5, 1.0001e-5), (0, 0.99995)])
def test_draws_from_a_narrow_interval_differ_and_stay_inside(low, high, tmp_path):
    batches = swept(SearchSweeper(trials=16), [f"{LR}=interval({low},{high})"], tmp_path, at_lr)
    drawn = [float(job[LR]) for batch in batches for job in batch]
    assert all(low <= number <= high for number in drawn)
    assert len(set(drawn)) > 8


def test_whole_numbers_are_drawn_where_the_config_has_one(tmp_path):
    batches = swept(
        SearchSweeper(trials=12, together=12), ["trainer.max_epochs=interval(3,9)"], tmp_path, lambda _: {"loss": 1}
    )
    assert {job["trainer.max_epochs"] for job in batches[0]} <= set("3456789")


@pytest.mark.parametrize(
    ("key", "grid", "optimum", "tried"),
    [
        ("trainer.max_epochs", "1,2,4,8,16", 4, {1, 2, 3, 4, 6, 8, 16, 5}),  # no 1.5 epochs
        ("+trainer.max_steps", "100,200,400", 200, {100, 200, 400, 150, 300, 175, 250}),
        ("trainer.max_epochs", "1000000,2000000,3000000", 3000000, {1000000, 2000000, 3000000, 2500000, 2750000}),
        (LR, "1,2,3", 2, {1, 2, 3, 1.5, 2.5, 1.75, 2.25}),  # written as whole numbers, of a key that has others
        (LR, "1.0,1.00001,1.00002", 1.00001, {1.0, 1.00001, 1.00002, 1.000005, 1.000015, 1.0000075, 1.0000125}),
    ],
)  # fmt: skip
def test_a_refinement_stays_with_whole_numbers_where_the_key_has_them(key, grid, optimum, tried, tmp_path):
    name = key.lstrip("+")
    sweeper = RefineSweeper(key, rounds=2)
    batches = swept(sweeper, [f"{key}={grid}"], tmp_path, lambda s: {"loss": abs(s[name] - optimum)})
    texts = [job[key] for batch in batches for job in batch]
    assert {float(text) for text in texts} == tried
    assert len(texts) == len(tried)
    if key != LR:
        assert all(text.isdigit() for text in texts)


def test_a_search_over_a_strength_spends_no_trials_without_it_unless_asked(tmp_path):
    techniques = [{"l2": {L2: "interval(0.1,1)"}, "dropout": {RATE: "interval(0.1,0.5)"}}]

    def chosen(sweeper, *arguments):
        batches = swept(sweeper, list(arguments), tmp_path, lambda s: {"loss": s.get(L2, 0.5)})
        return [job for batch in batches for job in batch]

    assert {job["regularizer"] for job in chosen(SearchSweeper(8, techniques=techniques), "regularizer=l2")} == {"[l2]"}
    asked = chosen(SearchSweeper(8, techniques=techniques), "regularizer=none,l2")
    assert {job["regularizer"] for job in asked} == {"none", "[l2]"}
    assert len({job["regularizer"] for job in chosen(SearchSweeper(16, techniques=techniques))}) == 3


def test_the_strength_of_a_technique_is_drawn_only_for_trials_that_have_it(tmp_path):
    arguments = ["regularizer=none,l2,[dropout,l2]", f"++{L2}=interval(0.1,1)", f"{LR}=interval(0.1,1)"]
    batches = swept(SearchSweeper(16, together=16), arguments, tmp_path, at_lr)
    found = {(job["regularizer"], f"++{L2}" in job, LR in job) for job in batches[0]}
    assert found == {("none", False, True), ("[l2]", True, True), ("[dropout,l2]", True, True)}


def test_a_refinement_trains_what_the_key_means_nothing_to_once(tmp_path, capsys):
    arguments = ["regularizer=none,l2", f"++{L2}=0,0.5,1"]
    batches = swept(RefineSweeper(f"++{L2}", rounds=2), arguments, tmp_path, lambda s: {"loss": s.get(L2, 0.5)})
    jobs = [job for batch in batches for job in batch]
    assert [job for job in jobs if job["regularizer"] == "none"] == [{"regularizer": "none", "seed": "0"}]
    assert {float(job[f"++{L2}"]) for job in jobs if job["regularizer"] == "l2"} == {0, 0.5, 1, 0.25, 0.125}
    assert "none" not in capsys.readouterr().out


def test_a_tuning_draws_nothing_for_arms_to_which_it_means_nothing(tmp_path):
    sweeper = TuneSweeper({"none": {}, "l2": {}}, trials=4)
    tuning, _ = swept(sweeper, [f"++{L2}=interval(0.1,1)", "seed=0,1"], tmp_path, lambda _: {"loss": 1})
    assert [job["regularizer"] for job in tuning] == ["none"] + ["l2"] * 4


def test_signs_of_a_key_do_not_hide_it(tmp_path):
    sweeper = TuneSweeper({"l2": {f"++{L2}": "interval(0.1,1)"}}, trials=4)
    tuning, _ = swept(sweeper, [f"{L2}=choice(5,6)", "++seed=0,1"], tmp_path, lambda s: {"loss": s[L2]})
    assert {job[L2] for job in tuning} == {"5", "6"}


def test_params_of_an_experiment_are_as_those_of_the_command_line(tmp_path):
    params = {SPLIT: "range(2)", "seed": "range(2)", LR: "interval(0.1,0.2)"}
    batches = swept(SearchSweeper(trials=2, params=params, prune=False), [], tmp_path, at_lr)
    assert pairs([job for batch in batches for job in batch]) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_the_outermost_value_is_told_of_what_was_tuned(tmp_path, capsys):
    def tune(measure):
        swept(TuneSweeper({"none": {}}, trials=4), [f"{LR}=interval(0.1,0.2)", "seed=0,1"], tmp_path, measure)
        return capsys.readouterr().out

    assert re.search(r"lr=0\.1\d+ \(the smallest tried\)\n", tune(at_lr))
    assert re.search(r"lr=0\.1\d+ \(the largest tried\)\n", tune(lambda settings: {"loss": -settings[LR]}))
    middle = tune(lambda settings: {"loss": abs(settings[LR] - 0.15)})
    assert "tried" not in middle
    assert re.search(r"lr=0\.1\d+\n", middle)


# pruning


def test_about_half_is_pruned_where_there_is_nothing_to_find_and_no_more_with_each_batch():
    found = [search(number, signal=0) for number in range(8)]
    batches = [sum(shares) / len(found) for shares in zip(*(one.pruned for one in found), strict=True)]
    assert batches[0] == 0
    assert all(0.3 < share < 0.6 for share in batches[1:])
    assert batches[-1] <= batches[1] + 0.1


def test_a_path_has_one_way_for_each_split(tmp_path, monkeypatch):
    monkeypatch.setattr(PathSweeper, "_largest", lambda *_: 1.0)
    sweeper = PathSweeper(LR, points=2)
    batches = swept(sweeper, [f"{SPLIT}=0,1", "seed=0,1"], tmp_path, at_lr)
    assert [pairs(batch) for batch in batches] == [[(0, 0), (0, 1), (1, 0), (1, 1)]] * 2
