import itertools

import pytest

from regnet.report.effects import interactions, main_effects
from regnet.report.study import studies
from regnet.run.record import find_runs
from tests.helpers.records import add_run, classification, factorial


def test_an_additive_truth_has_its_main_effects_and_no_interaction(tmp_path):
    found = factorial(tmp_path, lambda dropout, l2, norm: 0.8 + 0.05 * dropout - 0.02 * l2 + 0.01 * norm)
    assert {e.name: e.mean for e in main_effects(found)} == pytest.approx(
        {"dropout": 0.05, "l2": -0.02, "norm=batch": 0.01}
    )
    assert all(e.half_width is None and e.n == 3 for e in main_effects(found))
    assert [pair.difference.mean for pair in interactions(found)] == pytest.approx([0, 0, 0], abs=1e-9)


def test_an_interacting_truth_tells_what_the_first_gains_without_and_with_the_second(tmp_path):
    found = factorial(tmp_path, lambda dropout, l2, norm: 0.8 + 0.05 * dropout + 0.02 * l2 - 0.04 * dropout * l2)
    pair = interactions(found)[0]
    assert (pair.first, pair.second) == ("dropout", "l2")
    assert [e.mean for e in (pair.off, pair.on, pair.difference)] == pytest.approx([0.05, 0.01, -0.04])


def test_one_seed_has_no_interval(tmp_path):
    found = factorial(tmp_path, lambda dropout, l2, norm: 0.8 + 0.05 * dropout, seeds=1)
    assert [e.half_width for e in main_effects(found)] == [None] * 3


def test_runs_that_share_a_seed_share_its_luck(tmp_path):
    for name, seed, split in itertools.product(("none", "dropout", "l2", "[dropout,l2]"), range(3), range(2)):
        accuracy = 0.8 + (0.05 + 0.01 * seed) * ("dropout" in name) + 0.1 * split
        add_run(tmp_path, [f"regularizer={name}", f"seed={seed}", f"data.split_seed={split}"], classification(accuracy))
    (found,) = studies(find_runs(tmp_path))
    effect = {effect.name: effect for effect in main_effects(found)}["dropout"]
    assert (effect.mean, effect.n) == (pytest.approx(0.06), 6)
    assert effect.half_width == pytest.approx(4.303 * 0.01 / 3**0.5, rel=1e-3)


def test_an_arm_without_a_result_leaves_the_effects_of_the_others(tmp_path):
    for dropout, l2, norm in itertools.product((0, 1), (0, 1), ("none", "batch")):
        chosen = ",".join(["dropout"] * dropout + ["l2"] * l2)
        failed = (dropout, l2, norm) == (1, 1, "batch")
        metrics = None if failed else classification(0.8 + 0.05 * dropout)
        add_run(
            tmp_path,
            [f"regularizer=[{chosen}]" if chosen else "regularizer=none", f"model.norm={norm}", "seed=0"],
            metrics,
            "failed" if failed else "completed",
        )
    (found,) = studies(find_runs(tmp_path))
    assert {e.name: e.mean for e in main_effects(found)} == pytest.approx({"dropout": 0.05, "l2": 0, "norm=batch": 0})
    assert [(pair.first, pair.second) for pair in interactions(found)] == [
        ("dropout", "l2"),
        ("dropout", "norm=batch"),
        ("l2", "norm=batch"),
    ]


def test_arms_pair_at_the_same_strength(tmp_path):
    for norm, strength in itertools.product(("none", "batch"), (None, 1, 2, 3)):
        keys = [f"model.norm={norm}", f"regularizer={'none' if strength is None else 'l2'}"]
        keys += [] if strength is None else [f"regularizer.l2.strength={strength}"]
        add_run(tmp_path, keys, classification(0.8 + 0.01 * (strength or 0) + 0.02 * (norm == "batch")))
    (found,) = studies(find_runs(tmp_path))
    assert {e.name: e.mean for e in main_effects(found)} == pytest.approx({"l2": 0.02, "norm=batch": 0.02})


def test_of_two_numbers_the_larger_is_on(tmp_path):
    for width, lr, name in itertools.product((2, 16), ("0.01", "1e-3"), ("none", "l2")):
        keys = [f"regularizer={name}", f"model.width={width}", f"optimizer.lr={lr}"]
        add_run(tmp_path, keys, classification(0.8 + width / 1000 + float(lr)))
    (found,) = studies(find_runs(tmp_path))
    effects = {effect.name: effect.mean for effect in main_effects(found)}
    assert effects == pytest.approx({"l2": 0, "width=16": 0.014, "lr=0.01": 0.009})


def test_without_combinations_there_are_no_effects(tmp_path):
    for name in ("none", "dropout", "l2"):
        add_run(tmp_path, [f"regularizer={name}"], classification(0.9))
    (found,) = studies(find_runs(tmp_path))
    assert main_effects(found) == []


def test_the_few_pairs_among_the_draws_of_a_search_are_no_effect(tmp_path):
    for lr, name in ((1, "dropout"), (1, "[dropout,l2]"), (2, "[dropout,l2]"), (3, "[dropout,l2]"), (4, "l2")):
        add_run(tmp_path, [f"regularizer={name}", f"optimizer.lr={lr}"], classification(0.9))
    (found,) = studies(find_runs(tmp_path))
    assert main_effects(found) == []
