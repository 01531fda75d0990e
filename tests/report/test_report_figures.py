import itertools
import re
from io import BytesIO

import pytest
from matplotlib.collections import LineCollection
from matplotlib.image import imread
from matplotlib.patches import Rectangle
from numpy import isnan

from regnet.report.effects import Effect, Interaction
from regnet.report.figures import curves, draw, factors, heatmaps, runs, saved, style, sweeps
from regnet.report.figures.all import STUDIES
from regnet.report.figures.edge import edge, worst_shown
from regnet.report.importance import Share
from regnet.report.study import studies
from regnet.report.sweep import Grid, Line
from regnet.run.record import find_runs
from tests.helpers.records import add_run, classification

HOSTILE = ["$x_1$ \\alpha", "_a_b^2 100 % <b>{0}", "日本 🙂 ñ €", "y" * 200 + " two words" * 20]


@pytest.fixture(autouse=True)
def look():
    with style.styled():
        yield


def drawn(folder, baseline=None):
    return {one.name: one for one in draw(studies(find_runs(folder)), baseline)}


def legend_of(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def add_history(folder, epochs=3):
    rows = [f"{e},{1 / (e + 1)},{2 / (e + 1)},{0.5},{0.25},{0.1 * e},{0.05 * e}\n" for e in range(epochs)]
    head = "epoch,train_eval/loss,val/loss,train/loss,train/penalty/l2,train_eval/accuracy,val/accuracy\n"
    (folder / "metrics.csv").write_text(head + "".join(rows))


def add_sweep(folder, none=True):
    for strength, seed in itertools.product(("0", "1e-3", "1e-1"), range(2)):
        overrides = ["regularizer=l2", f"regularizer.l2.strength={strength}", f"seed={seed}"]
        add_history(add_run(folder, overrides, classification(0.9 + 0.01 * seed)))
    if none:
        for seed in range(2):
            add_history(add_run(folder, ["regularizer=none", f"seed={seed}"], classification(0.8 + 0.01 * seed)))


def test_a_study_has_its_figures_and_says_which_study_they_are_about(tmp_path):
    add_sweep(tmp_path)
    found = drawn(tmp_path)
    assert list(found) == ["sweep_strength", "curves_accuracy", "curves_loss", "ledger", "gap"]
    assert {one.study for one in found.values()} == {0}


def test_a_single_run_has_no_figures(tmp_path):
    add_run(tmp_path, ["regularizer=l2"], classification(0.9))
    add_run(tmp_path, ["regularizer=l1"], None, "failed")
    assert drawn(tmp_path) == {}
    assert draw([]) == []


def test_a_baseline_is_mentioned_only_where_it_is_drawn(tmp_path):
    add_sweep(tmp_path / "with")
    one = drawn(tmp_path / "with")["sweep_strength"]
    assert "baseline, none" in one.caption
    assert "baseline none: 80.50" in legend_of(one.figure)
    add_sweep(tmp_path / "without", none=False)
    one = drawn(tmp_path / "without")["sweep_strength"]
    assert "baseline" not in one.caption
    assert legend_of(one.figure) == ["l2"]


def test_a_baseline_that_is_part_of_a_line_is_not_drawn_again(tmp_path):
    for name, lr in itertools.product(("none", "l2"), (0.1, 0.2)):
        add_run(tmp_path, [f"regularizer={name}", f"optimizer.lr={lr}"], classification(0.9 + lr / 10))
    one = drawn(tmp_path)["sweep_lr"]
    assert legend_of(one.figure) == ["none", "l2"]
    assert "baseline" not in one.caption


def test_the_baseline_can_be_named(tmp_path):
    add_sweep(tmp_path)
    add_run(tmp_path, ["regularizer=l1"], classification(0.7))
    one = drawn(tmp_path, "l1")["sweep_strength"]
    assert "baseline, l1" in one.caption
    assert "baseline l1: 70.00" in legend_of(one.figure)


def test_of_many_arms_six_are_shown_and_the_caption_counts_them(tmp_path):
    for index in range(8):
        for seed in range(2):
            folder = add_run(tmp_path, [f"regularizer=t{index}", f"seed={seed}"], classification(0.9 - index / 100))
            add_history(folder)
    for seed in range(2):
        add_history(add_run(tmp_path, ["regularizer=none", f"seed={seed}"], classification(0.5)))
    found = drawn(tmp_path)
    some = "best 5 of 9 techniques by validation, and the baseline."
    assert some.replace("techniques", "settings") in found["curves_loss"].caption
    assert [axes.get_title() for axes in found["curves_loss"].figure.axes] == ["t0", "t1", "t2", "t3", "t4", "none"]
    assert some in found["gap"].caption
    assert legend_of(found["gap"].figure) == ["t0", "t1", "t2", "t3", "t4", "none", "others"]


def test_each_of_many_techniques_has_the_curves_of_its_best_settings(tmp_path):
    for rate, name in itertools.product(range(4), ("dropout", "drop_path")):
        overrides = [f"regularizer={name}", f"regularizer.{name}.rate={rate}", "seed=0"]
        add_history(add_run(tmp_path, overrides, classification(0.9 + rate / 100)), epochs=2 + rate)
    one = drawn(tmp_path)["curves_loss"]
    assert "Each technique is at the settings that validation chose." in one.caption
    assert "Shown" not in one.caption
    assert [len(axes.lines[0].get_xdata()) for axes in one.figure.axes] == [5, 5]


def test_of_several_studies_all_have_figures_or_the_caption_says_which(tmp_path):
    for size, seed in itertools.product(range(2), range(3)):
        add_run(tmp_path, ["regularizer=l2", f"data.train_size={size + 1}", f"seed={seed}"], classification(0.9))
    found = drawn(tmp_path)
    assert {name: one.study for name, one in found.items()} == {"data_train_size": None, "1_gap": 0, "2_gap": 1}
    assert found["2_gap"].caption.endswith(" Study 2 of 2.")
    for size, seed in itertools.product(range(2, STUDIES + 1), range(3)):
        add_run(tmp_path, ["regularizer=l2", f"data.train_size={size + 1}", f"seed={seed}"], classification(0.9))
    found = drawn(tmp_path)
    assert max(one.study for one in found.values() if one.study is not None) == STUDIES - 1
    assert found["1_gap"].caption.endswith(" Study 1 of 7; only the first 6 have figures.")


def test_names_are_safe_and_different_for_files_on_every_system(tmp_path):
    for value, key in itertools.product((1, 2, 3), ("a.x y/../ü", "a.x_y___ü", "a.X_y_____")):
        for seed in range(2):
            add_run(tmp_path, ["regularizer=l2", f"{key}={value}", f"seed={seed}"], classification(0.9 + value / 100))
    names = [one.name.lower() for one in draw(studies(find_runs(tmp_path)))]
    assert len(names) == len(set(names)) >= 4
    assert all(re.fullmatch(r"[a-z0-9_.-]+", name) for name in names)


def test_a_sweep_shows_every_run_and_the_means():
    figure = sweeps.along([Line("l2", {0: [0.9, 0.94], 0.1: [0.8], 10: [0.85]})], "a.b", "accuracy", None)
    (axes,) = figure.axes
    assert axes.lines[0].get_xydata().tolist() == [[0, 92], [0.1, 80], [10, 85]]
    assert axes.collections[0].get_offsets().tolist() == [[0, 90], [0, 94]]
    assert axes.get_xscale() == "symlog"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("a.b", "validation accuracy, %")


def test_a_collapsed_strength_leaves_the_axis_to_the_others_and_is_told():
    line = Line("l2", {0: [0.94], 1: [0.93], 2: [0.95], 3: [0.92], 4: [0.10]})
    figure = sweeps.along([line], "a.b", "accuracy", None)
    (axes,) = figure.axes
    bottom, top = axes.get_ylim()
    assert 90 < bottom < 92 < 95 < top < 97
    assert legend_of(figure) == ["l2", "1 run beyond the axis, to 10"]
    assert axes.collections[0].get_offsets().tolist() == [[4, pytest.approx(bottom)]]


def test_a_sweep_whose_losses_all_fit_is_shown_whole():
    figure = sweeps.along([Line("l2", {0: [0.3], 1: [0.2], 2: [0.4], 3: [0.6]})], "a.b", "loss", None)
    assert legend_of(figure) == ["l2"]
    assert figure.axes[0].get_ylim()[1] > 0.6


@pytest.mark.parametrize(
    ("errors", "end"),
    [
        ([6, 7, 8, 90], 8),
        ([6, 7, 8, 15, 90], 15),  # not far out: within twice the error of the best two thirds
        ([6, 6.1, 10], None),
        ([1.5, 1.6, 3.1, 1.5], None),
        ([5, 5, 5, 5], None),
        ([0, 0, 0, 5], None),  # no width is left for an axis
        ([5, 90], None),
        ([-3, -1, -2, 50], -1),
        ([90, 89, 6], None),
    ],
)
def test_where_an_axis_ends(errors, end):
    assert edge(errors) == end


def test_accuracies_end_at_their_error():
    assert worst_shown([94, 93, 92, 10], "accuracy") == 92
    assert worst_shown([94, 93, 92, 91], "accuracy") is None


def test_intervals_along_the_data_stand_beside_each_other():
    lines = [Line("a", {100: [0.2, 0.4, 0.3], 200: [0.1]}), Line("b", {100: [0.2, 0.2], 200: [0.1, 0.1]})]
    (axes,) = sweeps.by_data(lines, "train_size", "loss").axes
    means = [container.lines[0].get_xydata() for container in axes.containers]
    assert [points[:, 1].tolist() for points in means] == [[pytest.approx(0.3), 0.1], [0.2, 0.1]]
    assert means[0][0, 0] < 100 < means[1][0, 0]
    bar = axes.containers[0].lines[2][0].get_segments()[0]
    assert bar[1][1] - bar[0][1] == pytest.approx(2 * 4.3027 * 0.1 / 3**0.5, rel=1e-3)
    assert axes.get_xlabel() == "training samples (data.train_size)"


def test_a_heatmap_frames_all_best_cells_and_prints_values():
    grid = Grid("l2", (0.1, 0.2), (1, 2), ((0.9, 0.95), (0.95, None)))
    figure = heatmaps.heatmap(grid, "a.x", "a.y", "accuracy")
    axes = figure.axes[0]
    frames = [patch.get_xy() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert frames == [(0.5, -0.5), (-0.5, 0.5)]
    assert sorted(text.get_text() for text in axes.texts) == ["90.0", "95.0", "95.0", "–"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("a.x", "a.y")


def test_a_collapsed_cell_leaves_the_colours_to_the_others():
    figure = heatmaps.heatmap(Grid("l2", (1, 2), (1, 2), ((0.3, 0.4), (0.5, 9.0))), "x", "y", "loss")
    assert figure.axes[0].images[0].get_clim() == (0.3, 0.5)
    assert figure.axes[0].images[0].colorbar.extend == "max"


@pytest.mark.parametrize(
    ("best", "words"), [(0.95, "The frame marks the best cell."), (0.9, "Frames mark the 4 cells that share the best.")]
)
def test_the_caption_of_a_heatmap_counts_its_frames(tmp_path, best, words):
    for rate, strength in itertools.product((1, 2), (1, 2)):
        keys = [f"regularizer.dropout.rate={rate}", f"regularizer.l2.strength={strength}"]
        accuracy = best if (rate, strength) == (1, 1) else 0.9
        add_run(tmp_path, ["regularizer=[dropout,l2]", *keys, "model.norm=batch"], classification(accuracy))
    caption = drawn(tmp_path)["heatmap_rate_strength"].caption
    assert words in caption
    assert "for dropout + l2" in caption
    assert "dash" not in caption


def test_a_random_search_has_a_panel_for_each_key(tmp_path):
    for index in range(5):
        keys = [f"optimizer.lr={0.1 * (index + 1):g}", f"regularizer.l2.strength={10.0**-index:g}"]
        add_run(tmp_path, ["regularizer=l2", *keys], classification(0.9 + index / 100))
    found = drawn(tmp_path)
    assert set(found) == {"slices", "gap"}
    axes = found["slices"].figure.axes
    assert [panel.get_title() for panel in axes] == ["lr", "strength"]
    assert [0.2, 91] in axes[0].collections[0].get_offsets().tolist()
    assert [panel.get_xscale() for panel in axes] == ["linear", "log"]


def test_points_and_the_rest_in_grey():
    figure = runs.gap_and_error({"a": [(1, 5), (2, 6)]}, [(1, 7)], "gap", "error")
    coloured, rest = figure.axes[0].collections
    assert coloured.get_offsets().tolist() == [[1, 5], [2, 6]]
    assert rest.get_offsets().tolist() == [[1, 7]]
    assert legend_of(figure) == ["a", "others"]


def test_a_run_beyond_both_axes_is_a_mark_at_their_corner():
    points = [(1, 5), (1.2, 6), (1.1, 5.5), (90, 80)]
    figure = runs.gap_and_error({"a": points}, [], "gap", "error")
    (axes,) = figure.axes
    corner = [axes.get_xlim()[1], axes.get_ylim()[1]]
    assert axes.collections[1].get_offsets().tolist() == [pytest.approx(corner)]
    assert legend_of(figure) == ["a", "1 run beyond the axis, to 90", "1 run beyond the axis, to 80"]


def test_the_front_of_sparsity_is_drawn():
    figure = runs.sparsity_and_error({"a": [(0, 3), (50, 4), (20, 5)]}, [(80, 6)], "zeros", "error")
    (line,) = figure.axes[0].lines
    assert line.get_xydata().tolist() == [[0, 3], [50, 4], [80, 6]]
    assert line.get_drawstyle() == "steps-pre"


def test_sparsity_is_a_figure_only_where_it_differs(tmp_path):
    for index in range(3):
        metrics = classification(0.9)
        add_run(tmp_path / "dense", ["regularizer=l1", f"seed={index}"], metrics | {"zeros": 0.001 * index})
        add_run(tmp_path / "sparse", ["regularizer=l1", f"seed={index}"], metrics | {"zeros": 0.2 * index})
        add_run(tmp_path / "old", ["regularizer=l1", f"seed={index}"], metrics | {"sparsity": 0.2 * index})
    assert "sparsity" not in drawn(tmp_path / "dense")
    labels = [drawn(tmp_path / name)["sparsity"].figure.axes[0].get_xlabel() for name in ("sparse", "old")]
    assert labels == ["weights that are zero, %", "weights near zero (< 0.1 % of the largest), %"]


def test_curves_are_percent_by_epoch():
    figure = curves.learning({"l2": {"epoch": [1, 3], "train": [0.5, 1], "validation": [0.4, 0.9]}}, "accuracy")
    lines = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
    assert lines == {"validation": [[1, 40], [3, 90]], "train": [[1, 50], [3, 100]]}
    assert legend_of(figure) == ["gap", "validation", "train"]


def test_losses_over_decades_are_on_a_logarithmic_axis_and_one_that_is_not_finite_is_a_gap():
    wide = {"epoch": [1, 2, 3], "train": [1, 0.001, float("nan")], "validation": [1, 0.5, float("inf")]}
    figure = curves.learning({"l2": wide}, "loss")
    assert figure.axes[0].get_yscale() == "log"
    assert saved(figure)
    narrow = {"epoch": [1, 2], "train": [1, 0.5], "validation": [1, 0.0]}
    assert curves.learning({"l2": narrow}, "loss").axes[0].get_yscale() == "linear"


def test_the_ledger_is_stacked_to_the_objective():
    found = {"a": {"epoch": [1, 2], "data loss": [2, 1], "l2": [1, 0.5]}, "b": {"epoch": [1, 2], "data loss": [2, 1]}}
    figure = curves.losses(found)
    tops = [area.get_paths()[0].vertices[:, 1].max() for area in figure.axes[0].collections]
    assert tops == [2, 3]
    assert legend_of(figure) == ["data loss", "l2"]


def test_shares_end_with_that_of_the_seeds():
    found = {"rate": Share(0.5, 0.1), "norm": Share(0.2, 0.1), "seeds": Share(0.1, 0.4)}
    (axes,) = factors.shares(found).axes
    assert [bar.get_width() for bar in axes.patches] == [10, 20, 50]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["seeds", "norm", "rate"]


def bars(figure):
    """The ends of all error bars that have a length."""
    collections = [one for axes in figure.axes for one in axes.collections if isinstance(one, LineCollection)]
    return [
        segment for one in collections for segment in one.get_segments() if len(segment) and not isnan(segment).any()
    ]


@pytest.mark.parametrize(("seeds", "some"), [(2, False), (3, True)])
def test_no_figure_draws_an_interval_from_two_values(tmp_path, seeds, some):
    for name, norm, size, seed in itertools.product(("none", "l2"), ("none", "batch"), (100, 200), range(seeds)):
        keys = [f"regularizer={name}", f"model.norm={norm}", f"data.train_size={size}", f"seed={seed}"]
        accuracy = 0.8 + 0.01 * seed + 0.02 * seed * (name == "l2") + 0.01 * seed**2 * (norm == "batch")
        add_run(tmp_path, keys, classification(accuracy, test=accuracy))
    found = drawn(tmp_path)
    for name in ("data_train_size", "1_effects"):
        assert bool(bars(found[name].figure)) is some
        assert ("95 %" in found[name].caption) is some


def test_the_captions_of_factors_say_whether_there_are_intervals_and_a_share_of_seeds(tmp_path):
    for seeds in (1, 3):
        for (name, norm), seed in itertools.product(itertools.product(("none", "l2"), ("none", "batch")), range(seeds)):
            overrides = [f"regularizer={name}", f"model.norm={norm}", f"seed={seed}"]
            add_run(tmp_path / str(seeds), overrides, classification(0.9 + (0.01 + 0.001 * seed) * (name == "l2")))
    one, two = drawn(tmp_path / "1"), drawn(tmp_path / "3")
    assert "intervals" not in one["effects"].caption
    assert "95 % intervals" in two["effects"].caption
    assert "each setting was run once" in one["importance"].caption
    assert "seeds: variance between seeds" in two["importance"].caption
    assert "seeds" not in [label.get_text() for label in one["importance"].figure.axes[0].get_yticklabels()]


def test_an_arm_without_metrics_csv_has_no_curves_and_the_caption_says_so(tmp_path):
    add_history(add_run(tmp_path, ["regularizer=l2"], classification(0.9)))
    add_run(tmp_path, ["regularizer=l1"], classification(0.9))
    one = drawn(tmp_path)["curves_loss"]
    assert [axes.get_title() for axes in one.figure.axes] == ["l2"]
    assert "without metrics.csv" in one.caption


def test_contributions_have_main_effects_above_and_what_interacts_below():
    one = Effect("a", 0.02, 0.01, 3)
    pair = Interaction(
        "a", "b", Effect("a", 0.03, None, 1), Effect("a", 0.01, None, 1), Effect("a × b", -0.02, None, 1)
    )
    (axes,) = factors.contributions([one], [pair], "accuracy").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a, with b", "a, without b", "a"]
    placed = [tuple(container.lines[0].get_xydata()[0]) for container in axes.containers]
    assert placed == [(1, 0), (3, 1), (2, 2)]
    assert axes.get_xlabel() == "validation accuracy gained, points"


def test_of_many_interactions_the_strongest_are_shown():
    none = Effect("a", 0, None, 1)
    pairs = [Interaction("a", str(i), none, none, Effect("a", (-1) ** i * i, None, 1)) for i in range(14)]
    assert [pair.second for pair in factors.strongest(pairs)] == [str(i) for i in range(13, 1, -1)]
    assert factors.strongest(pairs[:3]) == pairs[:3]


@pytest.mark.parametrize(
    "label", [" ".join(HOSTILE[:3]), *(pytest.param(one, marks=pytest.mark.slow) for one in HOSTILE)]
)
def test_a_hostile_label_is_shown_as_it_is_and_saved_without_a_warning(label):
    other = label + "2"
    line = {"epoch": [1, 2], "train": [0.5, 1], "validation": [0.4, 0.9]}
    effect = Effect(label, 0.1, 0.1, 3)
    pictures = [
        sweeps.along(
            [Line(label, {0: [0.9], 1: [0.8]}), Line(other, {0: [0.9], 1: [0.8]})], label, "rmse", (label, [1])
        ),
        sweeps.by_data([Line(label, {0: [0.9], 1: [0.8]})], label, "accuracy"),
        sweeps.slices({label: [(0, 1), (1, 2)]}, "loss"),
        heatmaps.heatmap(Grid("l2", (1, 2), (1, 2), ((1, 2), (3, 4))), label, label, "loss"),
        runs.gap_and_error({label: [(1, 2), (2, 3)], other: [(1, 2)]}, [], "gap", "error"),
        runs.sparsity_and_error({label: [(1, 2), (2, 3)]}, [(3, 4)], "zeros", "error"),
        curves.learning({label: line, other: line}, "accuracy"),
        curves.losses({label: {"epoch": [1, 2], "data loss": [1, 2], label: [1, 2]}}),
        factors.shares({label: Share(0.5, 0.1), other: Share(0.1, 0.1), "seeds": Share(0.1, 0.4)}),
        factors.contributions([effect, effect], [Interaction(label, other, effect, effect, effect)], "loss"),
    ]
    for figure in pictures:
        figure.set_dpi(30)
        files = saved(figure)
        assert files["png"].startswith(b"\x89PNG")
        assert files["pdf"].startswith(b"%PDF")
        texts = [text for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label)]
        texts += [text for legend in figure.legends for text in legend.get_texts()]
        assert not any(text.get_parse_math() for text in texts)
    shown = legend_of(pictures[0])
    assert len(shown) == 3
    assert len(shown[0]) <= 64
    if len(label) < 20 and label.isascii():
        assert shown[:2] == [label, other]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_of_a_metric_is_drawn(name):
    assert saved(curves.course({"l2": {"epoch": [1, 2], "value": [1.0, 2.0]}}, name))["png"]


def test_a_long_label_keeps_both_ends_and_an_unknown_letter_leaves_a_mark():
    assert style.shortened("dropout " + "a" * 100 + " rate=0.5", 32) == "dropout aaaaaaa … aaaaa rate=0.5"
    assert style.shortened("日 a\nb") == "\N{REPLACEMENT CHARACTER} a b"
    assert style.wrapped("x" * 200).count("\n") == 2


def test_the_same_runs_give_the_same_files_and_nothing_is_cut_off(tmp_path):
    add_sweep(tmp_path)
    first, second = ({name: saved(one.figure) for name, one in drawn(tmp_path).items()} for _ in range(2))
    assert first == second
    for files in first.values():
        picture = imread(BytesIO(files["png"]))[..., :3]
        edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
        assert all((edge == 1).all() for edge in edges)


def test_the_amount_of_data_is_not_shortened():
    assert [style.tick(value) for value in (0.123456, 1e-5, 999, 1000, 50000)] == [
        "0.123", "1e-5", "999", "1000", "50000"
    ]  # fmt: skip
