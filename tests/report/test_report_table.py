import io

import pytest
from rich.console import Console

from regnet.report.content import content
from regnet.report.table import _aligned, fitting, legend, print_report
from regnet.run.record import find_runs
from tests.helpers.records import KNOWN, add_damaged, add_run, add_unfinished, classification, regression


def printed(folder, width=100):
    output = io.StringIO()
    print_report(content(list(find_runs(folder))), Console(file=output, width=width))
    return output.getvalue()


def row(text, label):
    return next(line for line in text.partition("────\n")[2].splitlines() if label in line)


def test_a_row_holds_the_means_over_the_completed_seeds(tmp_path):
    add_run(tmp_path, ["regularizer=l2", "seed=0"], classification(0.96, 0.94, gap=0.02), seconds=3.0)
    add_run(tmp_path, ["regularizer=l2", "seed=1"], classification(0.98, 0.94, gap=0.04), seconds=5.0)
    add_run(tmp_path, ["regularizer=l2", "seed=2"], None, "failed", reason="out of memory")
    cells = "★ l2 2/3 97.00 94.00 3.0 0.050 25.0 4.0"
    assert row(printed(tmp_path), "★ l2").split() == cells.split()


def test_a_single_seed_has_no_interval(tmp_path):
    add_run(tmp_path, ["regularizer=l2", "seed=0"], classification(0.96, 0.94))
    assert row(printed(tmp_path), "★ l2").split()[:5] == ["★", "l2", "1/1", "96.00", "94.00"]


def test_regression_is_told_in_rmse(tmp_path):
    add_run(tmp_path, ["regularizer=l2", "seed=0"], regression(54.25))
    text = printed(tmp_path)
    assert "acc" not in text.split("★")[0]
    assert row(text, "★ l2").split()[2:6] == ["1/1", "54.2500", "54.2500", "0.000"]


def test_only_the_best_by_validation_is_marked(tmp_path):
    add_run(tmp_path, ["regularizer=l1", "seed=0"], classification(0.97, test=0.90))
    add_run(tmp_path, ["regularizer=l2", "seed=0"], classification(0.96, test=0.99))
    text = printed(tmp_path)
    assert row(text, "l1 ").startswith("★")
    assert not row(text, "l2 ").startswith("★")


def test_runs_without_a_result_are_named_with_their_reason(tmp_path):
    add_run(tmp_path, ["regularizer=l2", "seed=0"], classification(0.96))
    add_run(tmp_path, ["regularizer=l1", "seed=0"], None, "diverged", reason="the loss became [NaN]\nat once")
    add_run(tmp_path, ["regularizer=l2", "seed=1"], None, "failed")
    add_unfinished(tmp_path, ["regularizer=l2", "seed=2"])
    add_damaged(tmp_path)
    text = printed(tmp_path)
    assert "of 5 runs: 1 diverged, 1 failed, 1 unfinished, 1 damaged." in text
    assert "  diverged  1_regularizer=l1,seed=0: the loss became [NaN] at once\n" in text
    assert "  failed  2_regularizer=l2,seed=1: no reason recorded\n" in text
    assert "  unfinished  3_unfinished: still running, or killed\n" in text
    assert "  damaged  4_damaged: " in text
    assert row(text, "  l1 ").split() == ["l1", "0/1", *"–––––––"]
    assert "diverged: the loss became [NaN]" in text


def test_many_failures_are_counted_and_not_all_named(tmp_path):
    for seed in range(13):
        add_run(tmp_path, ["regularizer=l2", f"seed={seed}"], None, "failed", reason="no")
    text = printed(tmp_path)
    assert text.count("  failed  ") == 10
    assert "and 3 more" in text


def test_repeated_runs_are_told(tmp_path):
    for study in "ab":
        add_run(tmp_path / study, ["regularizer=l2", "seed=0"], classification(0.9))
    assert "the newest is taken: 1 left out" in printed(tmp_path)


def test_only_damaged_records_give_no_table(tmp_path):
    add_damaged(tmp_path)
    assert printed(tmp_path).startswith("Not in the means, of 1 runs: 1 damaged.")


def test_eighty_columns_are_enough(tmp_path):
    for seed in range(3):
        overrides = ["regularizer=[dropout,l2]", "regularizer.l2.strength=0.0001", f"seed={seed}"]
        add_run(tmp_path, overrides, classification(0.96 + seed / 1000, 0.95 + seed / 900), seconds=123.4)
    add_run(tmp_path, ["regularizer=none", "seed=0"], classification(0.9))
    text = printed(tmp_path, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "dropout + l2 strength=1e-4" in text
    assert "96.10 ± 0.25" in text


def test_the_answer_stands_above_and_what_differs_is_marked():
    text = printed(KNOWN / "techniques")
    assert text.startswith(
        "Best by validation: l2. On test its accuracy is 93.00 % (95 % interval 90.88 to 95.12, n = 5, on \n"
        "this split).\nIt gains 3.00 percentage points over none"
    )
    assert row(text, "l2 ").split()[9:12] == ["+3.00", "±", "0.31*"]
    assert "+0.00 ± 0.31 " in row(text, "max_norm")
    assert row(text, "none").startswith("○ none")
    assert max(map(len, text.partition("Not in the means")[0].splitlines())) <= 100


def test_a_technique_with_several_settings_has_a_table_of_techniques_first():
    first, _, second = printed(KNOWN / "strengths").partition("All settings")
    assert "1e-3" not in first
    assert row(second, "strength=1e-3").split()[9:12] == ["+1.00", "±", "0.22*"]


def test_a_blank_line_parts_answer_and_tables():
    lines = [line.rstrip() for line in printed(KNOWN / "strengths").splitlines()]
    assert lines[lines.index("Each technique at the settings that validation chose") - 1] == ""
    assert lines[lines.index("All settings") - 1] == ""


def test_a_baseline_can_be_chosen():
    output = io.StringIO()
    print_report(content(list(find_runs(KNOWN / "techniques")), "max_norm"), Console(file=output, width=100))
    assert "over max_norm" in output.getvalue()
    assert row(output.getvalue(), "max_norm").startswith("○")


def test_of_many_rows_the_best_are_shown_with_the_baseline(tmp_path):
    for rate in range(120):
        add_run(tmp_path, ["regularizer=dropout", f"++regularizer.dropout.rate={rate}"], classification(1 - rate / 200))
    add_run(tmp_path, ["regularizer=none"], classification(0.1))
    text = printed(tmp_path).partition("All settings")[2]
    assert "rate=99 " in text
    assert "rate=100 " not in text
    assert row(text, "none").startswith("○ none")
    assert "the best 100 of 121; all are on the page and in --csv" in text


def grid(folder, seeds=3):
    for rate in ("0.1", "0.25"):
        for strength in ("1e-05", "0.0003"):
            for seed in range(seeds):
                keys = [f"regularizer.dropout.rate={rate}", f"regularizer.l2.strength={strength}", f"seed={seed}"]
                score = 0.9 + float(rate) / 10 + float(strength) + seed / 1000
                costs = {"steps": 10, "step_operations": 1000, "seconds": 123.4}
                add_run(folder, ["regularizer=[dropout,l2]", *keys], classification(score, score), **costs)


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, "validation test gain"),
        (80, "validation test gain"),
        (100, "runs validation test gain gap cost"),
        (120, "runs validation test gain gap loss zero cost time"),
        (200, "runs validation test gain gap loss zero cost time"),
    ],
)
def test_the_name_of_the_technique_comes_before_lesser_columns(tmp_path, width, shown):
    grid(tmp_path)
    text = printed(tmp_path, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    above, header = text.partition("────")[0].splitlines()[-2:]
    words = f"{above} {header}".split()
    every = ["runs", "validation", "test", "gain", "gap", "loss", "zero", "cost", "time"]
    assert [word for word in every if word in words] == shown.split()
    if width >= 80:
        assert "dropout + l2 rate=0.25 strength=3e-4 " in text  # in one line
    for word in ("rate=0.25", "strength=3e-4", "strength=1e-5"):
        assert word in text  # never broken
    assert ("not shown at this width: " in text) == (width < 120)


def test_a_long_name_leaves_half_the_terminal_to_the_numbers():
    widths = {"runs": 5, "validation": 13, "test": 13, "gain": 14, "gap": 9, "cost": 6, "seconds": 5}
    assert fitting(widths, 78, [100]) == ["validation", "test", "gain"]
    assert fitting(widths, 78, [13]) == list(widths)
    assert fitting(widths, 78, [20]) == [key for key in widths if key not in ("seconds", "runs")]


def test_digits_stand_below_each_other_with_and_without_interval_and_star():
    assert _aligned(["+1.00 ± 0.20*", "-3.2 ± 2.0", "+1.10", ""]) == [
        "+1.00 ± 0.20*",
        "-3.2 ± 2.0 ",
        "+1.10        ",
        " ",
    ]
    assert _aligned(["1/1", "10/10"]) == ["1/1", "10/10"]


def test_the_legend_explains_only_the_signs_that_are_there(tmp_path):
    grid(tmp_path / "three")
    grid(tmp_path / "two", seeds=2)
    three, two = (legend(content(list(find_runs(tmp_path / name))).studies) for name in ("three", "two"))
    assert [sign in three for sign in ("±", "* decided", "cost: ")] == [True] * 3
    assert [sign in two for sign in ("±", "*", "cost: ")] == [False, False, True]
    assert "cost: " not in legend(content(list(find_runs(KNOWN / "techniques"))).studies)
    assert len(three) < 250


def test_two_seeds_show_means_alone(tmp_path):
    add_run(tmp_path, ["regularizer=l2", "seed=0"], classification(0.2, 0.3))
    add_run(tmp_path, ["regularizer=l2", "seed=1"], classification(0.9, 0.8))
    assert row(printed(tmp_path), "★ l2").split()[2:5] == ["2/2", "55.00", "55.00"]
