"""What a report says of one study and of several."""

import pytest

from regnet.core.errors import UserError
from regnet.report.content import content
from regnet.run.record import find_runs
from tests.helpers.records import KNOWN, add_run, classification


def told(folder, baseline=None):
    return content(list(find_runs(folder)), baseline)


def test_one_study_has_no_title_and_one_headline():
    (section,) = told(KNOWN / "techniques").sections
    assert section.title == ""
    assert told(KNOWN / "techniques").headlines == [
        "Best by validation: l2. On test its accuracy is 93.00 % (95 % interval 90.88 to 95.12, n = 5, on this split). "
        "It gains 3.00 percentage points over none (95 % interval for 4 comparisons at once +2.69 to +3.31, n = 5, "
        "corrected p < 0.001): decided."
    ]


def test_studies_are_named_by_what_parts_them(tmp_path):
    for size in (100, 200):
        for name in ("none", "l2"):
            add_run(tmp_path, [f"regularizer={name}", "lr=1", f"data.train_size={size}"], classification(0.9))
    report = told(tmp_path)
    assert [section.title for section in report.sections] == ["data.train_size=100", "data.train_size=200"]
    assert report.headlines[1].startswith("data.train_size=200: Best by validation: all 2 settings have the same ")


def test_a_study_that_nothing_sets_apart_has_a_number(tmp_path):
    add_run(tmp_path, ["regularizer=l2"], classification(0.9))
    add_run(tmp_path, ["regularizer=l2", "data=mnist"], classification(0.9))
    assert [section.title for section in told(tmp_path).sections] == ["study 1", "data=mnist"]


def test_techniques_are_apart_only_where_they_have_several_settings():
    assert told(KNOWN / "techniques").sections[0].tuned is None
    assert [arm.technique for arm in told(KNOWN / "strengths").sections[0].tuned.arms] == ["l2", "none"]


def test_runs_without_a_result_leave_a_report_without_an_answer(tmp_path):
    add_run(tmp_path, ["regularizer=l2", "seed=0"], None, "failed")
    report = told(tmp_path)
    assert report.headlines == []
    assert report.sections[0].sentences == []


def test_a_baseline_must_be_among_the_runs():
    with pytest.raises(UserError, match="--baseline l3 is not among the runs"):
        told(KNOWN / "techniques", "l3")
