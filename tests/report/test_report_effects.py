import itertools

import pytest

from regnet.report.effects import SEEDS, eta_squared, interactions, main_effects
from regnet.report.study import studies
from regnet.report.sweep import pareto
from regnet.runs import find_runs
from tests.report.records import add_run, classification


def study(folder, truth, seeds=3):
    names = {(0, 0): "none", (1, 0): "dropout", (0, 1): "l2", (1, 1): "[dropout,l2]"}
    for (dropout, l2), norm, seed in itertools.product(names, (0, 1), range(seeds)):
        overrides = [f"regularizer={names[dropout, l2]}", f"model.norm={('none', 'batch')[norm]}", f"seed={seed}"]
        add_run(folder, overrides, classification(truth(dropout, l2, norm) + 0.001 * seed))
    (found,) = studies(find_runs(folder))
    return found


def test_an_additive_truth_has_its_main_effects_and_no_interaction(tmp_path):
    found = study(tmp_path, lambda dropout, l2, norm: 0.8 + 0.05 * dropout - 0.02 * l2 + 0.01 * norm)
    assert {e.name: e.mean for e in main_effects(found)} == pytest.approx(
        {"dropout": 0.05, "l2": -0.02, "norm=batch": 0.01}
    )
    assert all(e.half_width == pytest.approx(0, abs=1e-9) and e.seeds == 3 for e in main_effects(found))
    assert [pair.difference.mean for pair in interactions(found)] == pytest.approx([0, 0, 0], abs=1e-9)


def test_an_interacting_truth_tells_what_the_first_gains_without_and_with_the_second(tmp_path):
    found = study(tmp_path, lambda dropout, l2, norm: 0.8 + 0.05 * dropout + 0.02 * l2 - 0.04 * dropout * l2)
    pair = interactions(found)[0]
    assert (pair.first, pair.second) == ("dropout", "l2")
    assert [e.mean for e in (pair.off, pair.on, pair.difference)] == pytest.approx([0.05, 0.01, -0.04])


def test_one_seed_has_no_interval(tmp_path):
    found = study(tmp_path, lambda dropout, l2, norm: 0.8 + 0.05 * dropout, seeds=1)
    assert [e.half_width for e in main_effects(found)] == [None] * 3


def test_eta_squared_of_a_full_grid_adds_up_to_one():
    points = [
        (frozenset({("a", str(a)), ("b", str(b))}), 3.0 * a + b + noise)
        for a, b, noise in itertools.product((0, 1), (0, 1), (-0.5, 0.5))
    ]
    shares = eta_squared(points)
    assert shares == pytest.approx({"a": 18 / 22, "b": 2 / 22, SEEDS: 2 / 22})
    assert list(shares) == ["a", "b", SEEDS]


def test_the_pareto_front_has_no_point_that_another_beats():
    assert pareto([(0, 3), (10, 4), (5, 5), (20, 6), (10, 3.5)]) == [(0, 3), (10, 3.5), (20, 6)]
