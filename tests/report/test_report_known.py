"""The committed studies in tests/report/known, of which the truth is known, must come out right.

techniques: five seeds. On test l2 is 3.0 points better than none, dropout 2.96, max_norm as good, l1 worse by 4;
mixup seems best, but one of its runs failed; one record is damaged. strengths: l2 at 1e-4, 1e-3, 1e-2 gains 0.1,
1 and 2 points. one_seed: none and l2, one run each.
"""

import pytest

from regnet.core.errors import UserError
from regnet.report.answer import Edge, answer
from regnet.report.compare import check_baseline, compare, find_baseline
from regnet.report.sentences import sentences
from regnet.report.study import cost, studies
from regnet.report.table import left_out
from regnet.run.record import find_runs
from tests.helpers.records import KNOWN, add_run, classification, regression, study_in


def answered(folder, name=None):
    study = study_in(folder)
    return answer(study, find_baseline(study, name))


def text(folder, name=None):
    return "\n".join(sentences(answered(folder, name)))


def test_the_truth_is_found():
    study = study_in(KNOWN / "techniques")
    pairs = {pair.arm.label: pair for pair in compare(study, find_baseline(study))}
    truth = {"l2": 0.03, "dropout": 0.0296, "max_norm": 0.0, "l1": -0.04, "mixup": 0.05}
    assert {label: pair.gain.mean for label, pair in pairs.items()} == pytest.approx(truth)
    # mixup's four gains are all equal, which says nothing of their spread
    assert {label for label, pair in pairs.items() if pair.decided} == {"l2", "dropout", "l1"}
    counts = {label: pair.gain.n for label, pair in pairs.items()}
    assert counts == {label: 4 if label == "mixup" else 5 for label in truth}
    assert {pair.family for pair in pairs.values()} == {4}
    # Student's t(4) leaves 0.05 / 4 / 2 above 4.315
    half = 4.315 * 0.0015811 / 5**0.5
    assert pairs["l2"].interval == pytest.approx((0.03 - half, 0.03 + half), rel=1e-3)
    assert (pairs["mixup"].interval, pairs["mixup"].p) == (None, None)
    assert pairs["l2"].p < 0.001
    assert pairs["max_norm"].p == 1
    assert (pairs["l2"].wins.won, pairs["l2"].wins.pairs) == (22, 25)  # counted by hand


def test_the_answer_of_techniques():
    lines = text(KNOWN / "techniques").splitlines()
    assert lines == [
        "Best by validation: l2. On test its accuracy is 93.00 % (95 % interval 90.88 to 95.12, n = 5, on this split).",
        "It gains 3.00 percentage points over none (95 % interval for 4 comparisons at once +2.69 to +3.31, n = 5, "
        "corrected p < 0.001): decided.",
        "A run of it is better than one of none in 22 of 25 pairs (95 % interval 50 to 98 %); Hedges' g = 15.1 "
        "(6.6 to 31.7).",
        "Better on validation, but with too few or with failed runs: mixup (4 of 5 runs).",
        "Decidedly better than it on test: mixup.",
        "As good on test, within the margin of 0.50 percentage points: dropout.",
    ]


def test_failed_and_damaged_runs_are_named():
    runs = list(find_runs(KNOWN / "techniques"))
    lines = "\n".join(left_out(runs, studies(runs)))
    assert "of 31 runs: 1 damaged, 1 failed." in lines
    assert "mixup_4: RuntimeError: out of memory" in lines
    assert "dropout_5" in lines


def test_the_optimum_on_the_edge_of_the_grid_is_told():
    found = answered(KNOWN / "strengths")
    assert found.edges == (Edge("strength", "0.01", "largest"),)
    assert found.unclear == found.equivalent == ()
    assert "Try larger values of strength: the best, 0.01, is the largest tried." in sentences(found)
    assert "All others are decidedly worse on test." in sentences(found)


def test_one_seed_gives_no_interval():
    said = text(KNOWN / "one_seed")
    assert "It gains 2.00 percentage points over none (n = 1: no interval)." in said
    assert "One seed only: no interval and no test." in said
    assert "interval +" not in said
    assert "pairs" not in said
    assert "decided" not in said


def test_several_splits_are_no_single_seed(tmp_path):
    for split in range(4):
        for regularizer, score in {"none": 0.9, "l2": 0.92 + split / 500}.items():
            overrides = [f"regularizer={regularizer}", f"data.split_seed={split}", "seed=0"]
            add_run(tmp_path, overrides, classification(score, score))
    (pair,) = compare(study := study_in(tmp_path), find_baseline(study))
    assert (pair.gain.n, pair.gain.unit) == (4, "splits")
    assert pair.gain.mean == pytest.approx(0.023)
    assert pair.decided
    assert "One seed" not in text(tmp_path)
    assert "on this split" not in text(tmp_path)


def test_runs_of_one_split_are_no_independent_runs_and_the_gain_is_that_of_all_splits(tmp_path):
    for split, gain in enumerate((0.02, 0.03, 0.07)):
        for seed in (0, 1, 2):
            for regularizer, score in {"none": 0.8, "l2": 0.8 + gain + seed / 500}.items():
                overrides = [f"regularizer={regularizer}", f"data.split_seed={split}", f"seed={seed}"]
                add_run(tmp_path, overrides, classification(score, score))
    (pair,) = compare(study := study_in(tmp_path), find_baseline(study))
    # The seeds add 0, 0.2 and 0.4 points and the splits 2, 3 and 7: mean squares 3 var(seeds) and 3 var(splits).
    error = (3 * (0.04 + 7) / 9) ** 0.5 / 100
    assert (pair.gain.n, pair.gain.mean, pair.gain.error) == (9, pytest.approx(0.042), pytest.approx(error))
    assert not pair.decided
    assert "n = 9 seeds × splits" in text(tmp_path)
    assert "more seeds × splits would tell the best from none" in text(tmp_path)


def test_what_test_says_is_better_is_told(tmp_path):
    for name, (val, test) in {"none": (0.90, 0.90), "l2": (0.92, 0.91), "dropout": (0.91, 0.95)}.items():
        for seed in range(5):
            noise = seed * len(name) % 4 / 1000
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], classification(val, test + noise))
    said = text(tmp_path)
    assert said.startswith("Best by validation: l2")
    assert "Decidedly better than it on test: dropout." in said
    assert "All others" not in said


def test_an_arm_that_lost_runs_is_not_advised(tmp_path):
    for seed in range(4):
        noise = (0.01, -0.01, 0.02, -0.02)[seed]
        add_run(tmp_path, ["regularizer=[dropout,l2]", f"seed={seed}"], classification(0.9, 0.9))
        lost = (None, "diverged") if seed == 3 else (classification(0.8, 0.9 + noise / 100),)
        add_run(tmp_path, ["regularizer=l2", f"seed={seed}"], *lost, seconds=1.0)
    found = answered(tmp_path)
    assert [pair.arm.label for pair in found.equivalent] == ["l2"]
    assert found.simplest is found.cheapest is found.best
    assert "Only" not in text(tmp_path)


def test_a_best_arm_that_lost_runs_says_so(tmp_path):
    for name in ("none", "l2"):
        for seed in range(4):
            lost = (None, "failed") if seed == 3 else (classification(0.9 + len(name) / 100),)
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], *lost)
    said = text(tmp_path).splitlines()[0]
    assert said.startswith("Best by validation: none. On test its accuracy is 90.00 % (")
    assert said.endswith("Only 3 of 4 runs completed.")


def test_the_gain_is_corrected_for_techniques_and_not_for_their_settings(tmp_path):
    for seed, noise in enumerate((0.01, -0.01, 0.02, -0.02, 0.0)):
        for strength in range(6):
            overrides = ["regularizer=l2", f"regularizer.l2.strength={strength}", f"seed={seed}"]
            add_run(tmp_path, overrides, classification(0.92 - strength / 100, 0.91 + noise))
        for other, score in {"none": 0.8, "l1": 0.79}.items():
            test = 0.9 + noise**2 * len(other)
            add_run(tmp_path, [f"regularizer={other}", f"seed={seed}"], classification(score, test))
    found = answered(tmp_path)
    assert found.rival is found.gain
    assert found.gain.family == 2
    assert found.seeds == found.gain.gain.needed(0.05 / 2, 0.8, 200)


def test_what_the_gain_tells_apart_is_not_alike(tmp_path):
    for seed, noise in enumerate((0.01, -0.01, 0.0)):
        for strength in range(6):
            overrides = ["regularizer=l2", f"regularizer.l2.strength={strength}", f"seed={seed}"]
            add_run(tmp_path, overrides, classification(0.92 - strength / 100, 0.9 + noise * (1 + strength)))
        add_run(tmp_path, ["regularizer=none", f"seed={seed}"], classification(0.8, 0.86))
    found = answered(tmp_path)
    assert found.gain.decided  # p = 0.02: as one of six it would not be
    assert found.baseline not in [pair.arm for pair in found.unclear]


def test_equal_gains_have_no_interval(tmp_path):
    for seed in range(3):
        for regularizer, score in {"none": 0.9, "l2": 0.92}.items():
            overrides = [f"regularizer={regularizer}", f"seed={seed}"]
            add_run(tmp_path, overrides, classification(score + seed / 100, score + seed / 100))
    said = text(tmp_path)
    assert "over none (the same in all 3 pairs: no interval)." in said
    assert "Add seeds to tell the best from none: these say too little of the spread" in said
    assert "p =" not in said


def test_a_technique_that_does_nothing_is_told_so(tmp_path):
    for seed in range(3):
        for regularizer, loss in {"none": 0.2, "max_norm": 0.1}.items():
            scores = classification(0.9 + seed / 100, 0.9 - seed / 100, loss=loss)
            add_run(tmp_path, [f"regularizer={regularizer}", f"seed={seed}"], scores)
    said = text(tmp_path)
    assert "It scores as none does in all 3 pairs." in said
    assert "interval +" not in said


def test_only_shared_seeds_are_compared(tmp_path):
    for regularizer, seeds in {"none": (0, 1, 2, 3), "l2": (1, 2, 3, 4), "l1": (7, 8)}.items():
        for seed in seeds:
            add_run(tmp_path, [f"regularizer={regularizer}", f"seed={seed}"], classification(0.9, 0.9 + seed / 100))
    study = study_in(tmp_path)
    pairs = {pair.arm.label: pair for pair in compare(study, find_baseline(study))}
    assert (pairs["l2"].gain.n, pairs["l2"].gain.mean, pairs["l2"].gain.error) == (3, 0, 0)
    assert (pairs["l1"].gain, pairs["l1"].p, pairs["l1"].interval) == (None, None, None)
    assert pairs["l2"].family == 1


def test_a_lower_rmse_is_a_gain(tmp_path):
    for seed in range(3):
        for regularizer, rmse in {"none": 50, "l2": 49 - seed / 10}.items():
            add_run(tmp_path, [f"regularizer={regularizer}", f"seed={seed}"], regression(rmse))
    lines = text(tmp_path).splitlines()
    assert lines[0].startswith("Best by validation: l2. On test its rmse is 48.9 (95 % interval 48.65 to 49.15, n = 3")
    assert lines[1] == "It gains 1.1 over none (95 % interval +0.8516 to +1.348, n = 3, p = 0.0027): decided."


def test_an_arm_is_not_best_by_more_runs_of_an_easy_split(tmp_path):
    for name, (hard, easy), repeats in (("l2", (0.80, 0.90), 3), ("dropout", (0.82, 0.92), 1)):
        for split, score, seeds in ((0, hard, 1), (1, hard, 1), (2, easy, repeats)):
            for seed in range(seeds):
                keys = [f"regularizer={name}", f"data.split_seed={split}", f"seed={seed}"]
                add_run(tmp_path, keys, classification(score, score))
    assert text(tmp_path).startswith("Best by validation: dropout.")


def test_what_is_alike_is_weighed_by_simplicity_and_by_seeds(tmp_path):
    gains = (0.03, -0.01, 0.02, 0.0, 0.01)
    for seed, gain in enumerate(gains):
        add_run(tmp_path, ["regularizer=none", f"seed={seed}"], classification(0.9, 0.9))
        add_run(tmp_path, ["regularizer=[dropout,l2]", f"seed={seed}"], classification(0.91, 0.9 + gain))
    said = text(tmp_path)
    assert "p = 0.23): not decided." in said
    assert "These runs cannot tell from it on test: none. They could have shown a difference of " in said
    assert "simplest" not in said
    # mean / s = 0.632: 22 pairs by the t test's power
    assert "About 17 more seeds would tell the best from none, if they differ as measured (power 80 %)." in said
    assert "hydra/sweeper=decide adds them validly" in said


def test_the_baseline_is_the_best_tuned_one_and_can_be_named(tmp_path):
    for rate, score in {"0.1": 0.8, "0.01": 0.85}.items():
        for regularizer in ("none", "[dropout,l2]"):
            overrides = [f"regularizer={regularizer}", f"optimizer.lr={rate}", "seed=0"]
            add_run(tmp_path, overrides, classification(score + (regularizer != "none") / 100))
    study = study_in(tmp_path)
    assert find_baseline(study).label == "none lr=0.01"
    assert find_baseline(study, "none lr=0.1").label == "none lr=0.1"
    assert find_baseline(study, "[dropout,l2]").label == "dropout + l2 lr=0.01"
    assert find_baseline(study, "l1") is None
    assert [arm.label for arm in study.tuned().arms] == ["dropout + l2 lr=0.01", "none lr=0.01"]
    with pytest.raises(UserError, match=r"^--baseline l1 is not among the runs.* There are: dropout \+ l2 lr=0.01, "):
        check_baseline([study], "l1")


def test_without_regularizers_there_is_no_baseline_and_the_best_is_compared_with(tmp_path):
    for rate in ("0.1", "0.01"):
        for seed in range(3):
            add_run(tmp_path, [f"optimizer.lr={rate}", f"seed={seed}"], classification(0.9 - float(rate)))
    assert find_baseline(study_in(tmp_path)) is None
    assert text(tmp_path).startswith("Best by validation: none lr=0.01. On test its accuracy is 90.00 % (")


def test_without_an_unregularized_arm_rate_and_strength_zero_are_the_baseline(tmp_path):
    for rate, strength in ((0, 0), (0, 0.1), (0.5, 0), (0.5, 0.1)):
        keys = [f"regularizer.dropout.rate={rate}", f"regularizer.l2.strength={float(strength)}"]
        add_run(tmp_path, ["regularizer=[dropout,l2]", *keys], classification(0.8 + rate / 10))
    assert find_baseline(study_in(tmp_path)).label == "dropout + l2 rate=0 strength=0"


def test_of_three_techniques_what_is_alike_is_at_its_chosen_settings(tmp_path):
    for seed in range(3):
        add_run(tmp_path, ["regularizer=none", f"seed={seed}"], classification(0.9, 0.9 + seed % 2 / 100))
        for name in ("l1", "l2"):
            for strength in (1, 2):
                keys = [f"regularizer={name}", f"++regularizer.{name}.strength={strength}", f"seed={seed}"]
                score = 0.9 - strength / 100 - (name == "l1") / 1000
                add_run(tmp_path, keys, classification(score + 0.02, 0.9 + (seed + strength) % 3 / 100))
    found = answered(tmp_path)
    assert [pair.arm.label for pair in found.unclear] == ["l1 l1.strength=1", "l2 l2.strength=1"]
    assert "from it on test, each technique at its chosen settings: l1 l1.strength=1, none." in text(tmp_path)


def test_the_baseline_can_be_the_best(tmp_path):
    for seed in range(3):
        add_run(tmp_path, ["regularizer=none", f"seed={seed}"], classification(0.9, 0.9))
        add_run(tmp_path, ["regularizer=l2", f"seed={seed}"], classification(0.8, 0.8 + seed / 1000))
        add_run(tmp_path, ["regularizer=l1", f"seed={seed + 5}"], classification(0.7, 0.7))
    said = text(tmp_path)
    assert "It is the baseline: nothing that was tried is better on validation." in said
    assert "All others" not in said  # l1 shares no seed


def test_the_draws_of_a_search_have_no_edges(tmp_path):
    for rate, lr, score in ((0.1, 0.01, 0.9), (0.3, 0.02, 0.8), (0.4, 0.005, 0.7)):
        overrides = ["regularizer=dropout", f"regularizer.dropout.rate={rate}", f"optimizer.lr={lr}"]
        add_run(tmp_path, overrides, classification(score))
    assert answered(tmp_path).edges == ()


def test_long_names_are_not_all_listed(tmp_path):
    for seed in range(3):
        for arm in range(6):
            key = f"++regularizer.l2.a_rather_long_name_of_a_setting_that_is_swept={arm}"
            add_run(tmp_path, ["regularizer=l2", key, f"seed={seed}"], classification(0.9 - arm / 100, 0.9))
    said = next(line for line in text(tmp_path).splitlines() if line.startswith("These runs cannot tell"))
    assert len(said) < 300
    assert " and 2 more." in said


def test_zero_is_no_edge(tmp_path):
    for rate in ("0", "0.5"):
        overrides = ["regularizer=dropout", f"regularizer.dropout.rate={rate}", "seed=0"]
        add_run(tmp_path, overrides, classification(0.9 - float(rate) / 10))
    assert answered(tmp_path).edges == ()


def test_no_result_has_no_answer(tmp_path):
    add_run(tmp_path, ["regularizer=l2", "seed=0"], None, "failed")
    assert answered(tmp_path) is None


def test_ties_are_told_as_ties_by_what_they_have_in_common(tmp_path):
    for rate in ("0", "0.1", "0.2", "0.5"):
        for strength in ("0", "1e-05", "1e-4", "1e-3", "1e-2", "1e-1", "1", "10"):
            keys = [f"regularizer.dropout.rate={rate}", f"regularizer.l2.strength={strength}"]
            tied = float(rate) < 0.3 and float(strength) < 1
            # the lowest loss is not at the simplest of them
            loss = abs(float(rate) - 0.1) + abs(float(strength) - 1e-3)
            add_run(tmp_path, ["regularizer=[dropout,l2]", *keys], classification(0.9881 - (not tied) / 100, loss=loss))
    said = text(tmp_path).splitlines()
    assert said[:2] == [
        "Best by validation: 18 of 32 settings share the best accuracy (rate 0 to 0.2, strength 0 to 0.1). "
        "Of these dropout + l2 rate=0.1 strength=1e-3 has the lowest validation loss. "
        "On test its accuracy is 90.00 % (n = 1, on this split).",
        "The baseline dropout + l2 rate=0 strength=0 is one of them.",
    ]
    found = answered(tmp_path)
    assert found.edges == ()
    assert len(found.study.ties) == 18
    assert found.unclear == found.equivalent == ()  # one seed tells nothing of either


def test_few_ties_are_named_and_an_arm_that_lost_runs_is_none_of_them(tmp_path):
    for name, loss in {"none": 0.3, "l2": 0.2, "l1": 0.1, "dropout": 0.4}.items():
        for seed in range(2):
            metrics = classification(0.8 if name == "dropout" else 0.9, loss=loss)
            lost = name == "l1" and seed
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], *((None, "failed") if lost else (metrics,)))
    assert text(tmp_path).splitlines()[:2] == [
        "Best by validation: 2 of 4 settings share the best accuracy (l2, none). "
        "Of these l2 has the lowest validation loss. On test its accuracy is 90.00 % (n = 2, on this split).",
        "The baseline none is one of them.",
    ]


def test_ties_are_those_of_means_to_rounding(tmp_path):
    for name, scores in {"l1": (0.1, 0.2, 0.3), "l2": (0.3, 0.1, 0.2), "none": (0.1, 0.2, 0.3000001)}.items():
        for seed, score in enumerate(scores):
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], classification(score))
    assert [arm.label for arm in study_in(tmp_path).ties] == ["none"]
    assert len({cost(arm, "accuracy") for arm in study_in(tmp_path).arms}) > 1


def test_where_all_are_equal_it_is_said(tmp_path):
    for name in ("none", "l2", "l1"):
        add_run(tmp_path, [f"regularizer={name}"], classification(0.9))
    assert text(tmp_path).startswith("Best by validation: all 3 settings have the same accuracy (")


def test_no_edge_where_another_value_is_as_good(tmp_path):
    for strength, loss in {"1e-3": 0.3, "1e-2": 0.2, "1e-1": 0.1}.items():
        score = 0.8 if strength == "1e-3" else 0.9
        keys = ["regularizer=l2", f"regularizer.l2.strength={strength}"]
        add_run(tmp_path, keys, classification(score, loss=loss))
    assert answered(tmp_path).best.label == "l2 strength=0.1"
    assert answered(tmp_path).edges == ()


@pytest.mark.parametrize(("seeds", "word"), [(1, "One seed"), (2, "Two seeds")])
def test_two_seeds_have_no_interval_and_no_test_either(tmp_path, seeds, word):
    for seed in range(seeds):
        for name, score in {"none": 0.7 + seed / 5, "l2": 0.8 + seed / 10}.items():
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], classification(score, score))
    said = text(tmp_path)
    assert f"over none (n = {seeds}: no interval)." in said
    assert said.endswith(
        f"{word} only: no interval and no test. Repeat with 'seed=range(5)' to tell an effect from luck."
    )
    assert "decided" not in said
    assert answered(tmp_path).known is False


def test_the_cheapest_is_that_of_the_fewest_operations_and_not_of_the_fewest_seconds(tmp_path):
    for seed in range(3):
        noise = (seed % 2) / 1000
        # sam takes two gradients a step; it was measured on an idle machine
        costs = {"steps": 100, "step_operations": 2_000_000, "seconds": 1.0}
        add_run(tmp_path, ["regularizer=sam", f"seed={seed}"], classification(0.92, 0.9 + noise), **costs)
        costs = {"steps": 100, "step_operations": 1_000_000, "seconds": 50.0}
        add_run(tmp_path, ["regularizer=l2", f"seed={seed}"], classification(0.91, 0.9 - noise), **costs)
        costs = {"steps": 95, "step_operations": 2_000_000, "seconds": 0.1}
        add_run(tmp_path, ["regularizer=none", f"seed={seed}"], classification(0.9, 0.9), **costs)
    found = answered(tmp_path)
    assert (found.best.label, found.cheapest.label, found.cheapest.operations) == ("sam", "l2", 100_000_000)
    assert "The cheapest is l2: it needs 0.50x the operations of sam." in text(tmp_path)


def test_records_of_earlier_versions_tell_no_costs(tmp_path):
    for seed in range(3):
        for name, score in {"none": 0.9, "l2": 0.91}.items():
            noise = seed * len(name) % 4 / 1000
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], classification(score, 0.9 + noise), seconds=1.0)
    found = answered(tmp_path)
    assert found.cheapest is found.best
    assert found.best.operations is None
    assert "cheapest" not in text(tmp_path)


def test_a_value_is_itself_however_it_is_written(tmp_path):
    for seed, written in enumerate(("1e-3", "0.001", "1.0e-3", "1E-03")):
        add_run(tmp_path, ["regularizer=l2", f"regularizer.l2.strength={written}", f"seed={seed}"], classification(0.9))
    add_run(tmp_path, ["regularizer=l2", "regularizer.l2.strength=0.002", "seed=0"], classification(0.8))
    study = study_in(tmp_path)
    assert {arm.label: len(arm.runs) for arm in study.arms} == {"l2 strength=1e-3": 4, "l2 strength=2e-3": 1}
    assert find_baseline(study, "l2 strength=0.001").label == "l2 strength=1e-3"


def test_two_splits_are_no_two_seeds(tmp_path):
    for split in range(2):
        for name in ("none", "l2"):
            keys = [f"regularizer={name}", f"data.split_seed={split}", "seed=0"]
            add_run(tmp_path, keys, classification(0.9 + len(name) / 100))
    assert "Two splits only: no interval and no test." in text(tmp_path)
