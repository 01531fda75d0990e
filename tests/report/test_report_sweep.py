import itertools
import random

import pytest

from regnet.report.points import gap, pareto, sparsity
from regnet.report.selection import first, namer, part
from regnet.report.study import studies
from regnet.report.sweep import along_data, geometric, grids, lines, scattered, swept
from regnet.run.record import find_runs
from tests.helpers.records import add_run, classification, regression


def study_of(folder):
    (study,) = studies(find_runs(folder))
    return study


def test_the_line_of_a_sweep_has_all_seeds_in_the_order_of_the_strengths(tmp_path):
    for strength, accuracy in (("1e-1", 0.8), ("0", 0.9), ("1e-3", 0.95)):
        for seed in range(2):
            overrides = ["regularizer=l2", f"regularizer.l2.strength={strength}", f"seed={seed}"]
            add_run(tmp_path, overrides, classification(accuracy + 0.01 * seed))
    study = study_of(tmp_path)
    assert swept(study) == {"regularizer.l2.strength": "strength"}
    (line,) = lines(study, "regularizer.l2.strength")
    assert list(line.along) == [0, 0.001, 0.1]
    assert line.along[0.001] == pytest.approx([0.95, 0.96])


def test_other_settings_part_the_lines_and_the_best_is_first(tmp_path):
    for rate, norm in itertools.product((0.1, 0.2), ("none", "batch")):
        keys = [f"regularizer.dropout.rate={rate}", f"model.norm={norm}"]
        add_run(tmp_path, ["regularizer=dropout", *keys], classification(rate + 0.1 * (norm == "batch")))
    add_run(tmp_path, ["regularizer=none", "model.norm=none"], classification(0.5))
    found = lines(study_of(tmp_path), "regularizer.dropout.rate")
    assert [line.label for line in found] == ["dropout norm=batch", "dropout norm=none"]
    assert [arm.label for arm in found[0].arms] == ["dropout rate=0.2 norm=batch", "dropout rate=0.1 norm=batch"]


def test_a_grid_is_at_the_best_of_the_other_settings(tmp_path):
    for rate, strength, norm in itertools.product((0.1, 0.2), (1, 2), ("none", "batch")):
        keys = [f"regularizer.dropout.rate={rate}", f"regularizer.l2.strength={strength}", f"model.norm={norm}"]
        accuracy = rate + strength / 10 + 0.3 * (norm == "batch")
        add_run(tmp_path, ["regularizer=[dropout,l2]", *keys], classification(accuracy))
    ((x, y, grid),) = grids(study_of(tmp_path))
    assert (x, y, grid.label) == ("regularizer.dropout.rate", "regularizer.l2.strength", "dropout + l2 norm=batch")
    assert grid.cells[0] == pytest.approx([0.5, 0.6])
    assert grid.cells[1] == pytest.approx([0.6, 0.7])
    assert grid.best(-1) == [(1, 1)]


def test_all_cells_that_tie_are_best_and_those_not_run_are_none(tmp_path):
    for rate, strength, rmse in ((1, 1, 0.3), (1, 2, 0.1 + 0.2), (2, 1, 0.4)):
        keys = [f"regularizer.dropout.rate={rate}", f"regularizer.l2.strength={strength}"]
        add_run(tmp_path, ["regularizer=[dropout,l2]", *keys], regression(rmse))
    ((_, _, grid),) = grids(study_of(tmp_path))
    assert grid.cells[1][1] is None
    assert grid.best(+1) == [(0, 0), (1, 0)]


def test_a_grid_with_half_of_its_cells_is_none(tmp_path):
    for at in range(3):
        keys = [f"regularizer.dropout.rate={at}", f"regularizer.l2.strength={at}"]
        add_run(tmp_path, ["regularizer=[dropout,l2]", *keys], classification(0.9))
    assert list(grids(study_of(tmp_path))) == []


def search(folder, trials, coincidences):
    """Draws of a rate, a strength, a depth and a norm; some are another at one other value of the rate."""
    draw = random.Random(trials)
    points = []
    for _ in range(trials):
        points.append([draw.random(), 10 ** draw.uniform(-5, -1), draw.randint(1, 4), draw.choice(("none", "batch"))])
    for pair in range(coincidences):
        points[2 * pair + 1][1:] = points[2 * pair][1:]
    for rate, strength, depth, norm in points:
        keys = [f"regularizer.dropout.rate={rate:.4g}", f"regularizer.l2.strength={strength:.4g}"]
        keys += [f"model.depth={depth}", f"model.norm={norm}"]
        add_run(folder, ["regularizer=[dropout,l2]", *keys], classification(draw.random()))


@pytest.mark.parametrize("trials", [20, 60])
@pytest.mark.parametrize("coincidences", [0, 1, 3])
def test_the_draws_of_a_search_are_points_and_no_lines_though_some_coincide(tmp_path, trials, coincidences):
    search(tmp_path, trials, coincidences)
    study = study_of(tmp_path)
    found = scattered(study)
    assert sorted(found) == ["depth", "rate", "strength"]
    assert {len(points) for points in found.values()} == {trials}
    assert not any(lines(study, key) for key in swept(study))
    assert list(grids(study)) == []


def test_the_draws_of_knobs_with_few_values_are_points_though_many_coincide(tmp_path):
    draw = random.Random(0)
    cells = draw.sample(list(itertools.product(range(20), range(13), range(3))), 40)
    for rate, strength, depth in cells:
        keys = [f"regularizer.dropout.rate={rate / 20}", f"regularizer.l2.strength={strength}", f"model.depth={depth}"]
        add_run(tmp_path, ["regularizer=[dropout,l2]", *keys], classification(draw.random()))
    study = study_of(tmp_path)
    assert any(len({a[0] for a in cells if a[1:] == rest}) > 1 for rest in {cell[1:] for cell in cells})
    assert {name: len(points) for name, points in scattered(study).items()} == {"rate": 40, "strength": 40, "depth": 40}
    assert list(grids(study)) == []


def test_refined_grids_and_grids_of_their_own_are_lines(tmp_path):
    for regularizer, strengths in (("l2", (1, 2, 4, 8, 3, 5)), ("l1", (10, 20, 40, 30)), ("[l1,l2]", (100, 200, 400))):
        for strength in strengths:
            keys = ["l1", "l2"] if regularizer[0] == "[" else [regularizer]
            own = [f"regularizer.{key}.strength={strength if key == keys[-1] else 7}" for key in keys]
            add_run(tmp_path, [f"regularizer={regularizer}", *own], classification(0.9))
    study = study_of(tmp_path)
    assert {line.label: len(line.along) for line in lines(study, "regularizer.l2.strength")} == {
        "l2": 6,
        "l1 + l2 l1.strength=7": 3,
    }
    assert [len(line.along) for line in lines(study, "regularizer.l1.strength")] == [4]
    assert scattered(study) == {}


def test_a_grid_that_is_not_yet_whole_is_lines(tmp_path):
    for rate, norm in itertools.product((0.1, 0.2, 0.3), "abcd"):
        if rate < 0.3 or norm == "a":
            keys = [f"regularizer.dropout.rate={rate}", f"model.norm={norm}"]
            add_run(tmp_path, ["regularizer=dropout", *keys], classification(0.9))
    assert len(lines(study_of(tmp_path), "regularizer.dropout.rate")) == 4


def test_studies_that_differ_in_the_amount_of_data_are_one_figure(tmp_path):
    for size in (200, 100):
        for name in ("none", "dropout"):
            accuracy = 0.9 + 0.01 * (name == "dropout")
            add_run(
                tmp_path, [f"regularizer={name}", f"data.train_size={size}"], classification(accuracy, test=size / 1000)
            )
    ((key, metric, found),) = along_data(studies(find_runs(tmp_path)))
    assert (key, metric) == ("train_size", "accuracy")
    assert [(line.label, line.along) for line in found] == [
        (name, {100: [0.1], 200: [0.2]}) for name in ("dropout", "none")
    ]


def test_of_many_arms_a_line_is_a_technique_at_its_best_settings_by_validation(tmp_path):
    for size, best in ((100, 3), (200, 1)):
        add_run(tmp_path, ["regularizer=none", f"data.train_size={size}"], classification(0.8, test=0.7))
        for rate in range(6):
            overrides = ["regularizer=dropout", f"regularizer.dropout.rate={rate}", f"data.train_size={size}"]
            add_run(tmp_path, overrides, classification(0.9 - 0.01 * abs(rate - best), test=rate / 10))
    ((_, _, found),) = along_data(studies(find_runs(tmp_path)))
    assert {line.label: line.along for line in found} == {
        "dropout": {100: [0.3], 200: [0.1]},
        "none": {100: [0.7], 200: [0.7]},
    }


def test_runs_that_share_a_split_are_one_number_along_the_data(tmp_path):
    for size, seed, split in itertools.product((100, 200), (0, 1), range(3)):
        keys = [f"data.train_size={size}", f"seed={seed}", f"data.split_seed={split}"]
        add_run(tmp_path, ["regularizer=l2", *keys], classification(0.9, test=0.5 + 0.1 * split + 0.02 * seed))
    ((_, _, (line,)),) = along_data(studies(find_runs(tmp_path)))
    assert line.along[100] == pytest.approx([0.51, 0.61, 0.71])


def test_a_point_is_the_gap_in_points_and_the_test_error_in_percent(tmp_path):
    add_run(tmp_path, ["regularizer=none"], classification(0.9, test=0.8, gap=0.05))
    add_run(tmp_path, ["regularizer=l2"], classification(0.95, test=0.9, gap=-0.01))
    add_run(tmp_path, ["regularizer=l1"], None, "failed")
    found = gap(study_of(tmp_path))
    assert list(found) == ["l2", "none"]
    assert found["l2"] == [pytest.approx((-1, 10))]
    assert found["none"] == [pytest.approx((5, 20))]


def test_points_of_a_loss_keep_its_unit(tmp_path):
    metrics = regression(0.5)
    metrics["gap"]["rmse"] = 0.25
    add_run(tmp_path, ["regularizer=none"], metrics)
    assert gap(study_of(tmp_path)) == {"none": [(0.25, 0.5)]}


def test_sparsity_is_of_exact_zeros_where_records_have_them(tmp_path):
    old = classification(0.9, test=0.8)
    add_run(tmp_path, ["regularizer=none"], old)
    name, found = sparsity(study_of(tmp_path))
    assert (name, found["none"]) == ("sparsity", [pytest.approx((25, 20))])
    add_run(tmp_path, ["regularizer=l1"], old | {"zeros": 0.5})
    name, found = sparsity(study_of(tmp_path))
    assert (name, found) == ("zeros", {"l1": [pytest.approx((50, 20))]})


def test_the_pareto_front_has_no_point_that_another_beats():
    assert pareto([(0, 3), (10, 4), (5, 5), (20, 6), (10, 3.5)]) == [(0, 3), (10, 3.5), (20, 6)]
    assert pareto([(1, 2), (1, 2), (1, 3)]) == [(1, 2)]


def test_few_arms_are_told_apart_by_label_and_many_by_technique(tmp_path):
    for rate in range(6):
        add_run(tmp_path, ["regularizer=dropout", f"regularizer.dropout.rate={rate}"], classification(0.9))
    arms = study_of(tmp_path).arms
    assert namer(arms)(arms[0]) == "dropout rate=0"
    add_run(tmp_path, ["regularizer=none"], classification(0.8))
    arms = study_of(tmp_path).arms
    assert namer(arms)(arms[0]) == "dropout"
    assert namer(arms[:3])(arms[0]) == "dropout rate=0"


def test_the_baseline_takes_the_place_of_the_last_that_is_shown():
    names = list("abcdefgh")
    assert first(names) == first(names, "c") == first(names, "elsewhere") == list("abcdef")
    assert first(names, "h") == list("abcdeh")
    assert part(names, "c", "arms") == part(names, None, "arms") == " Shown are the best 6 of 8 arms by validation."
    assert part(names, "h", "arms") == " Shown are the best 5 of 8 arms by validation, and the baseline."
    assert part(names[:6], "a", "arms") == ""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0, 1e-3, 3e-3, 1e-2, 3e-2), True),
        ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), False),
        ((1, 2, 4, 8), False),  # less than a decade
        ((10, 20, 40, 80, 160), True),
        ((-1, 1, 3, 10, 30), False),
        ((1e-4, 1), True),
        ((0, 0), False),
    ],
)
def test_an_axis_is_logarithmic_where_ratios_tell_its_values_apart(values, expected):
    assert geometric(values) is expected
