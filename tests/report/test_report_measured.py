"""What measures found, in a report: as the metric that judges, beside it, and as pictures."""

import math

import pytest

from regnet.core.metrics import SCALES, Metric, Scale, scale_of
from regnet.report.against import front, points
from regnet.report.content import content
from regnet.report.figures import draw
from regnet.report.figures import measured as measured_figures
from regnet.report.series import Series, cells, curve, series
from regnet.report.study import scales_of
from regnet.report.sweep import as_error, error
from regnet.run.record import find_runs
from tests.helpers.commands import report
from tests.helpers.records import add_run, classification
from tests.test_errors import assert_one_sentence

SEEDS = range(6)


def noise(arm):
    """Of each run of an arm; its mean is 0."""
    waves = [math.sin(7 * seed + 2 * arm) for seed in SEEDS]
    return [0.003 * (wave - sum(waves) / len(waves)) for wave in waves]


def measured(robust, temperature=1.5, reason=None):
    """What a measure of one's own adds to a record."""
    return {
        "robustness": {
            "scales": {"robust_accuracy": ["max", 0, 1], "bits": ["max", None, None], "temperature": [None, 0, None]},
            "series": {
                "robustness": {"epsilon": [0, 0.1], "robust_accuracy": [0.9, robust]},
                "corruption": {"kind": ["fog", "fog", "blur"], "severity": [1, 2, 1], "error": [0.1, 0.2, robust]},
            },
            "reason": reason,
        }
    }


@pytest.fixture
def study(tmp_path):
    """mixup is best by accuracy, adversarial by robust accuracy; none is between on the one and last on the other."""
    arms = {"none": (0.90, 0.20), "mixup": (0.93, 0.205), "adversarial": (0.88, 0.60)}
    for arm, (name, (accuracy, robust)) in enumerate(arms.items()):
        for seed, own in zip(SEEDS, noise(arm), strict=True):
            metrics = classification(accuracy + own, accuracy + own - 0.01)
            for split in ("val", "test"):
                metrics[split] |= {"robust_accuracy": robust + 4 * own, "bits": -10 * robust, "temperature": 1.5}
            fields = {"measures": measured(robust + own), "steps": 100, "step_operations": 5}
            add_run(tmp_path / "s", [f"regularizer={name}", f"seed={seed}"], metrics, **fields)
    return tmp_path / "s"


def told(study, *others, **settings):
    (section,) = content(list(find_runs(study)), others=others, **settings).sections
    return section


def test_a_metric_knows_its_scale():
    metric = Metric("robust", Scale("max", 0, 1))
    assert (metric, scale_of(metric).sign, scale_of(metric).percent) == ("robust", -1, True)
    assert scale_of("accuracy") == SCALES["accuracy"]
    assert scale_of("of nobody") == Scale(None)
    assert scale_of("of nobody").sign == 0


def test_it_is_the_same_in_another_process():
    import pickle

    metric = Metric("robust", Scale("max", 0, 1))
    copy = pickle.loads(pickle.dumps(metric))
    assert (copy, copy.scale) == (metric, metric.scale)


def test_scales_are_those_that_records_declare(study):
    scales = scales_of(find_runs(study))
    assert scales["robust_accuracy"] == Scale("max", 0, 1)
    assert scales["bits"] == Scale("max")
    assert scales["accuracy"] == SCALES["accuracy"]


@pytest.mark.parametrize(
    ("metric", "name", "value", "shown"),
    [
        (Metric("robust_accuracy", Scale("max", 0, 1)), "robust error, %", 0.75, 25),
        (Metric("aurc", Scale("min", 0, 1)), "aurc, %", 0.25, 25),
        (Metric("auroc", Scale("max", 0, 1)), "1 - auroc, %", 0.75, 25),
        (Metric("bits", Scale("max")), "bits", 0.75, 0.75),
        ("accuracy", "error, %", 0.75, 25),
        ("rmse", "rmse", 0.75, 0.75),
        ("r2", "1 - r2", 0.75, 0.25),
    ],
)
def test_as_an_error_less_is_better(metric, name, value, shown):
    assert error(metric) == name
    assert as_error(value, metric) == shown


def test_arms_are_judged_by_any_measured_metric(study):
    assert told(study).answer.best.label == "mixup"
    section = told(study, "robust_accuracy")
    assert (section.study.metric, section.answer.best.label) == ("robust_accuracy", "adversarial")
    assert section.answer.gain.mean == pytest.approx(0.40, abs=0.01)
    assert section.answer.gain.decided
    first = section.sentences[0]
    assert "On test its robust_accuracy is 60." in first
    assert "%" in first


def test_of_a_metric_without_an_end_more_is_better_too(study):
    section = told(study, "bits")
    assert section.answer.best.label == "none"  # -2 bits
    assert section.study.arms[-1].label == "adversarial"


def test_the_answer_says_where_metrics_disagree(study):
    lines = " ".join(told(study).sentences)
    assert "By robust_accuracy the best is adversarial; mixup, best by accuracy, is decidedly worse" in lines
    assert "percentage points" in lines
    other = " ".join(told(study, "robust_accuracy").sentences)
    assert "By accuracy the best is mixup; adversarial, best by robust_accuracy, is decidedly worse" in other


def test_what_cannot_be_told_apart_is_said_so(tmp_path):
    for arm, (name, accuracy, robust) in enumerate((("none", 0.90, 0.2), ("mixup", 0.93, 0.1999))):
        for seed, own in zip(SEEDS, noise(arm), strict=True):
            metrics = classification(accuracy, accuracy)
            for split in ("val", "test"):
                metrics[split] |= {"robust_accuracy": robust + own}
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], metrics, measures=measured(robust))
    lines = " ".join(told(tmp_path).sentences)
    best = told(tmp_path, "robust_accuracy").answer.best.label
    assert best == "none"
    assert "By robust_accuracy the best is none; mixup, best by accuracy, is not distinguishable from it" in lines


def test_metrics_that_agree_are_not_mentioned(study):
    for folder in list(study.iterdir()):
        if "adversarial" in folder.name:
            for file in folder.iterdir():
                file.unlink() if file.is_file() else None
    assert not [line for line in told(study).sentences if line.startswith("By ")]


def test_each_measure_has_a_column_beside_the_metric(study):
    from regnet.report.columns import columns

    every = columns(told(study).study)
    assert "metric test/robust_accuracy" in every
    assert "metric test/robust_accuracy" not in columns(told(study, "robust_accuracy").study)


@pytest.mark.parametrize(
    ("asked_for", "sentence"),
    [
        (
            ["--metric", "temperature"],
            "--metric temperature: nothing says which way it is better; --metric test/tempera",
        ),
        (["--metric", "robust_accuracy", "--metric", "bits"], "only one can judge; --metric test/bits shows it"),
        (["--metric", "robust"], "--metric robust is in no record; these are: .*val/robust_accuracy"),
        (["--against", "temperature"], "--against temperature must be one of .*robust_accuracy, bits"),
        (["--against", "val/accuracy"], "--against val/accuracy must be one of loss, accuracy"),
        (["--against", ""], "--against '' must be one of"),
    ],
)
def test_mistakes_are_told_in_one_sentence(asked_for, sentence, study):
    assert_one_sentence(report(str(study), *asked_for, "--no-page", cwd=study), sentence)


def test_the_front_holds_what_no_other_arm_beats_in_both(study):
    section = told(study, against="robust_accuracy")
    found = points(section.study, section.study.against)
    assert {point.arm.label for point in found} == {"none", "mixup", "adversarial"}
    kept = front(found, section.study, section.study.against)
    assert [point.arm.label for point in kept] == ["adversarial", "mixup"]
    assert "By accuracy against robust_accuracy: adversarial, mixup; no other arm beats" in " ".join(section.sentences)


@pytest.mark.parametrize(
    ("name", "kept"), [("operations", ["mixup"]), ("sparsity", ["mixup"]), ("bits", ["none", "mixup"])]
)
def test_the_other_metric_may_be_of_the_whole_run(study, name, kept):
    section = told(study, against=name)
    found = front(points(section.study, section.study.against), section.study, section.study.against)
    assert [point.arm.label for point in found] == kept


def test_the_front_by_brute_force(tmp_path):
    for i in range(12):
        metrics = classification(0.5 + 0.03 * ((7 * i) % 12), 0.5 + 0.03 * ((7 * i) % 12))
        metrics["test"]["bits"] = metrics["val"]["bits"] = float((5 * i) % 11)
        add_run(tmp_path, [f"x={i}", "seed=0"], metrics, measures=measured(0.5))
    section = told(tmp_path, against="bits")
    found = points(section.study, section.study.against)
    kept = {point.arm.label for point in front(found, section.study, section.study.against)}
    beaten = {
        a.arm.label
        for a in found
        for b in found
        if b.x.mean >= a.x.mean and b.y.mean >= a.y.mean and (b.x.mean, b.y.mean) != (a.x.mean, a.y.mean)
    }
    assert kept == {point.arm.label for point in found} - beaten


def test_series_are_means_over_seeds(study):
    section = told(study)
    found = series(section.study)
    assert found == [
        Series("robustness", ("epsilon", "robust_accuracy")),
        Series("corruption", ("kind", "severity", "error")),
    ]
    arm = next(arm for arm in section.study.arms if arm.label == "mixup")
    assert curve(arm, found[0])[0.0] == [0.9] * len(SEEDS)
    assert sorted(curve(arm, found[0])[0.1]) == pytest.approx(sorted(0.205 + own for own in noise(1)))
    assert cells(arm, found[1]) == {
        ("fog", "1"): pytest.approx(0.1),
        ("fog", "2"): pytest.approx(0.2),
        ("blur", "1"): pytest.approx(0.205),
    }


def test_gaps_of_a_series_are_left_out(tmp_path):
    one = measured(0.3)
    one["robustness"]["series"] = {"reliability": {"confidence": [0.1, 0.5, None], "accuracy": [None, 0.4, 0.2]}}
    add_run(tmp_path, ["seed=0"], classification(0.9), measures=one)
    section = told(tmp_path)
    assert curve(section.study.arms[0], series(section.study)[0]) == {0.5: [0.4]}


def test_figures_are_drawn_of_all_that_was_measured(study):
    section = told(study, against="robust_accuracy")
    drawn = {one.name: one for one in draw([section.study])}
    assert {"against_robust_accuracy", "series_robustness", "series_corruption"} <= drawn.keys()
    assert "Pareto front" in drawn["against_robust_accuracy"].caption
    labels = [text.get_text().strip() for text in drawn["series_robustness"].figure.legends[0].get_texts()]
    assert labels == ["mixup", "none", "adversarial"]
    assert "for mixup, the best" in drawn["series_corruption"].caption


def test_severities_of_a_heatmap_stand_in_their_order():
    figure = measured_figures.heatmap(
        {("fog", "5"): 0.3, ("snow", "1"): 0.2, ("blur", "10"): 0.1}, "kind", "by", "error"
    )
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "5", "10"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["fog", "snow", "blur"]


def test_the_page_of_a_study_with_measures(study):
    done = report(str(study), "--metric", "robust_accuracy", "--against", "accuracy", cwd=study)
    assert done.code == 0, done.err
    page = (study / "report.html").read_text()
    assert "By accuracy the best is mixup" in page
    assert "against_accuracy" in page
