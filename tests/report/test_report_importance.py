import itertools
import random

import pytest

from regnet.report.importance import SEEDS, eta_squared, importance
from regnet.report.study import studies
from regnet.run.record import find_runs
from tests.helpers.records import add_run, classification, factorial


def of(folder):
    (found,) = studies(find_runs(folder))
    return importance(found)


def test_eta_squared_of_a_full_grid_adds_up_to_one():
    grid = [(a, b, 3.0 * a + b + noise) for a, b, noise in itertools.product((0, 1), (0, 1), (-0.5, 0.5))]
    assert eta_squared([(a, value) for a, _, value in grid]) == pytest.approx(18 / 22)
    assert eta_squared([(b, value) for _, b, value in grid]) == pytest.approx(2 / 22)
    assert 1 - eta_squared([((a, b), value) for a, b, value in grid]) == pytest.approx(2 / 22)
    assert eta_squared([("a", 1.0), ("b", 1.0)]) == 0


def test_techniques_that_are_combined_count_one_by_one(tmp_path):
    found = importance(factorial(tmp_path, lambda dropout, l2, norm: 0.8 + 0.05 * dropout + 0.02 * norm))
    assert list(found) == ["dropout", "norm", "l2", SEEDS]
    assert found["dropout"].explained == pytest.approx(25 / 29, abs=0.01)  # 5² of 5² + 2²
    assert found["norm"].explained == pytest.approx(4 / 29, abs=0.01)
    # Of a full grid within the four pairs of arms that agree in all else.
    assert found["norm"].by_chance == pytest.approx(found["norm"].explained / 4)
    assert sum(share.explained for share in found.values()) == pytest.approx(1)


@pytest.mark.parametrize("grid", [True, False])
def test_a_key_without_effect_explains_on_average_what_it_would_by_chance(tmp_path, grid):
    rng = random.Random(0)
    found = []
    for trial in range(60):
        cells = list(itertools.product(range(2), range(4)))
        for lr, (a, b) in enumerate(cells if grid else rng.choices(cells, k=12)):
            overrides = [f"model.a={a}", f"model.b={b}"] + [f"optimizer.lr={lr}"] * (not grid)
            for seed in range(2):
                add_run(
                    tmp_path / str(trial),
                    [*overrides, f"seed={seed}"],
                    classification(0.5 + 0.1 * b + rng.gauss(0, 0.1)),
                )
        found.append(of(tmp_path / str(trial))["a"])
    explained, by_chance = (sum(getattr(share, name) for share in found) / 60 for name in ("explained", "by_chance"))
    assert explained == pytest.approx(by_chance, rel=0.25)
    assert by_chance < 1 / 7


def test_techniques_that_are_not_are_one_key(tmp_path):
    for name, norm in itertools.product(("none", "dropout", "l2"), ("none", "batch")):
        add_run(tmp_path, [f"regularizer={name}", f"model.norm={norm}"], classification(0.9 - 0.1 * (name == "l2")))
    found = of(tmp_path)
    assert list(found) == ["regularizer", "norm"]  # and no seeds: nothing was run twice
    assert found["regularizer"].explained == pytest.approx(1)


def test_the_draws_of_a_search_explain_no_more_than_chance_if_they_have_no_effect(tmp_path):
    rng = random.Random(0)
    for _ in range(60):
        lr, strength, noise = rng.random(), rng.random(), rng.random()
        keys = ["regularizer=l2", f"regularizer.l2.strength={strength:.4f}", f"optimizer.lr={lr:.4f}"]
        add_run(tmp_path, keys, classification(0.5 + 0.3 * lr + 0.1 * noise))
    found = of(tmp_path)
    assert list(found) == ["lr", "strength"]
    assert found["lr"].explained > 0.8
    assert found["strength"].explained < 3 * found["strength"].by_chance == 3 * 3 / 59


def test_a_technique_whose_strength_varies_counts_by_its_strength(tmp_path):
    for lr, (name, strength) in itertools.product((1, 2), (("l2", 1), ("[dropout,l2]", 2), ("dropout", None))):
        keys = [f"regularizer={name}", f"optimizer.lr={lr}"]
        keys += [f"regularizer.l2.strength={strength}"] if strength else []
        add_run(tmp_path, keys, classification(0.9 - 0.1 * (strength or 0)))
    found = of(tmp_path)
    assert list(found) == ["strength", "dropout", "lr"]
    assert found["strength"].explained == pytest.approx(1)


def test_one_varying_key_or_equal_numbers_have_no_importance(tmp_path):
    for rate, seed in itertools.product((0.1, 0.2), (0, 1)):
        overrides = ["regularizer=dropout", f"regularizer.dropout.rate={rate}", f"seed={seed}"]
        add_run(tmp_path / "one", overrides, classification(rate + seed / 100))
        keys = [f"regularizer.dropout.rate={rate}", f"optimizer.lr={seed}"]
        add_run(tmp_path / "equal", ["regularizer=dropout", *keys], classification(0.9))
    assert of(tmp_path / "one") == {}
    assert of(tmp_path / "equal") == {}
