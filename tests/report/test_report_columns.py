"""What a table tells of each arm, the same in the terminal, on the page and in LaTeX."""

from regnet.report.columns import columns, marks
from regnet.report.compare import find_baseline
from tests.helpers.records import KNOWN, add_run, regression, study_in


def told(folder, key, name=None):
    study = study_in(folder)
    cells = columns(study, find_baseline(study, name))[key].cells
    return {arm.label: cell.text for arm, cell in zip(study.arms, cells, strict=True)}


def test_each_arm_has_its_gain_with_effect_size_and_probability():
    gains = told(KNOWN / "techniques", "gain")
    assert (gains["l2"], gains["max_norm"], gains["none"]) == ("+3.00 ± 0.20*", "+0.00 ± 0.20", "")
    # 3 points over a standard deviation of 0.158 points, times J(4) = 0.798
    assert told(KNOWN / "techniques", "effect")["l2"] == "+15.1"
    assert told(KNOWN / "techniques", "better")["l2"] == "0.88"  # 22 of 25
    assert told(KNOWN / "techniques", "better")["none"] == ""


def test_the_reference_may_be_another_or_the_best():
    assert told(KNOWN / "techniques", "gain", "l2")["none"] == "-3.00 ± 0.20*"
    study = study_in(KNOWN / "strengths")
    assert columns(study)["gain"].header == "gain on test\nover ★"
    assert columns(study)["gain"].cells[0].text == ""
    assert marks(study_in(KNOWN / "techniques"), find_baseline(study_in(KNOWN / "techniques")))[0] == "★"
    # A baseline that is the best has ★: no row has the ○ that the header would speak of.
    assert columns(study, study.best())["gain"].header == "gain on test\nover ★"


def test_a_lower_rmse_gains_and_is_in_its_own_unit(tmp_path):
    for seed in range(3):
        for regularizer, rmse in {"none": 50, "l2": 49 - seed / 10}.items():
            add_run(tmp_path, [f"regularizer={regularizer}", f"seed={seed}"], regression(rmse))
    assert told(tmp_path, "gain") == {"l2": "+1.10 ± 0.25*", "none": ""}
    assert columns(study_in(tmp_path))["test"].header == "test\nrmse"


def test_one_seed_has_no_interval_and_no_effect():
    assert told(KNOWN / "one_seed", "gain")["l2"] == "+2.00"
    assert told(KNOWN / "one_seed", "effect")["l2"] == "–"
