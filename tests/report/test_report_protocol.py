"""What an answer says of how its runs were trained: the choice of epochs, their number, how evenly was tuned."""

import json

import pytest

from regnet.report.answer import answer
from regnet.report.compare import compare, find_baseline
from regnet.report.content import content
from regnet.report.protocol import chosen_late
from regnet.report.sentences import headline, sentences
from regnet.report.study import studies
from regnet.run.record import find_runs
from tests.helpers.records import add_run, classification, regression, study_in

TRAINED = ["monitor=val/accuracy", "trainer.max_epochs=30"]
NOISE = (0.002, -0.001, 0.0, 0.001, -0.002)


def add(folder, name, test, *more, last=None, seeds=range(5), val=None, **fields):
    """Runs of a technique; the accuracies of `test` and `last` have a noise that is not that of other techniques."""
    for seed in seeds:
        noise = NOISE[(seed * len(name)) % 5]
        if last is not None:
            fields["last"] = classification(last, last + noise)
        metrics = classification(test if val is None else val, test + noise)
        add_run(folder, [f"regularizer={name}", f"seed={seed}", *TRAINED, *more], metrics, **fields)


def answered(folder):
    study = study_in(folder)
    return answer(study, find_baseline(study))


def text(folder):
    return "\n".join(sentences(answered(folder)))


def test_the_gain_at_the_last_epoch_stands_beside_that_at_the_chosen_one(tmp_path):
    add(tmp_path, "none", 0.90, last=0.89)
    add(tmp_path, "l2", 0.93, last=0.91)
    pair = answered(tmp_path).gain
    assert (pair.gain.mean, pair.last.mean) == (pytest.approx(0.03), pytest.approx(0.02))
    assert "; at the last epoch +2.00): decided." in text(tmp_path)
    assert "The choice of epochs" not in text(tmp_path)


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (0.90, "it gains 0.00 percentage points (-0.30 to +0.30): not decided."),
        (0.87, "it loses 3.00 percentage points"),
    ],
    ids=["decided in one only", "the opposite"],
)
def test_a_gain_that_hangs_on_the_choice_of_epochs_is_told(tmp_path, last, told):
    add(tmp_path, "none", 0.90, last=0.90)
    add(tmp_path, "dropout", 0.93, last=last)
    (said,) = (line for line in text(tmp_path).splitlines() if line.startswith("The choice of epochs makes a diff"))
    assert told.partition(" (")[0] in said


def test_without_a_choice_or_a_record_of_it_there_is_no_gain_at_the_last_epoch(tmp_path):
    add(tmp_path / "old", "none", 0.90)
    add(tmp_path / "old", "l2", 0.93)
    add(tmp_path / "null", "none", 0.90, "monitor=null", last=0.90)
    add(tmp_path / "null", "l2", 0.93, "monitor=null", last=0.93)
    for name in ("old", "null"):
        assert answered(tmp_path / name).gain.last is None
        assert "at the last epoch" not in text(tmp_path / name)
    assert "Runs end at their last epoch, without a choice of epochs; arms are ranked by val/accuracy." in text(
        tmp_path / "null"
    )


@pytest.mark.parametrize(
    ("monitor", "sentence"),
    [
        ("val/accuracy", "Epochs were chosen and arms ranked by val/accuracy."),
        ("val/loss", "Epochs were chosen by val/loss, but arms are ranked by val/accuracy: gains may come of that."),
        ("val/nll", "Epochs were chosen and arms ranked by val/nll."),
        ("val/mine", "Epochs were chosen by val/mine, but arms are ranked by val/accuracy: gains may come of that."),
    ],
)
def test_what_chose_epochs_and_what_ranks_is_told(tmp_path, monitor, sentence):
    for name, loss in (("none", 0.3), ("l2", 0.2)):
        add_run(tmp_path, [f"regularizer={name}", f"monitor={monitor}"], classification(0.9, loss=loss))
    assert sentence in text(tmp_path)


def test_another_metric_ranks_only_where_all_runs_chose_by_it(tmp_path):
    # by accuracy l1 would be the best
    for name, accuracy, loss in (("none", 0.9, 0.3), ("l2", 0.8, 0.2), ("l1", 0.95, 0.4)):
        keys = [f"regularizer={name}", "monitor=val/nll"]
        add_run(tmp_path, keys, classification(accuracy, loss=loss))
    assert (study_in(tmp_path).metric, study_in(tmp_path).best().label) == ("nll", "l2")
    add_run(tmp_path, ["regularizer=dropout", "monitor=val/accuracy"], classification(0.7))
    assert {study.metric for study in studies(find_runs(tmp_path))} == {"accuracy"}


def test_nothing_is_advised_where_training_was_too_short(tmp_path):
    add(tmp_path, "none", 0.90, best_epoch=29)
    add(tmp_path, "dropout", 0.95, best_epoch=27, seeds=range(3))
    add(tmp_path, "dropout", 0.95, best_epoch=20, seeds=(3, 4))
    add(tmp_path, "l2", 0.94, "++regularizer.l2.strength=1", best_epoch=20)
    found = answered(tmp_path)
    assert headline(found)[0] == (
        "Nothing is advised yet: in 3 of 5 runs of dropout and in 5 of 5 runs of none the chosen epoch is among the "
        "last: train longer (trainer.max_epochs)."
    )
    said = text(tmp_path)
    assert "not decided, as training was too short." in said
    assert not any(word in said for word in ("simplest", "cheapest", "Try", "As good", "cannot tell", "more seeds"))
    assert not found.gain.decided
    assert found.gain.distinguishable


def test_an_arm_beside_them_that_was_trained_too_short_is_left_out(tmp_path):
    add(tmp_path, "none", 0.90)
    add(tmp_path, "dropout", 0.95)
    add(tmp_path, "l2", 0.94, best_epoch=28)
    assert "Nothing is advised" not in text(tmp_path)
    assert "Trained too short to be compared: l2." in text(tmp_path)
    assert "All others" not in text(tmp_path)


@pytest.mark.parametrize(
    ("more", "fields", "late"),
    [
        ([], {"best_epoch": 27}, True),
        ([], {"best_epoch": 26}, False),
        (["trainer.max_epochs=8"], {"best_epoch": 6, "epochs": 8}, True),
        (["trainer.max_epochs=8"], {"best_epoch": 5, "epochs": 8}, False),
        (["trainer.max_epochs=100"], {"best_epoch": 29}, False),
        (["monitor=null"], {"best_epoch": 29}, False),
        (["scheduler._target_=torch.optim.lr_scheduler.CosineAnnealingLR"], {"best_epoch": 29}, False),
        (["scheduler._target_=torch.optim.lr_scheduler.OneCycleLR"], {"best_epoch": 29}, False),
        (["scheduler._target_=torch.optim.lr_scheduler.StepLR"], {"best_epoch": 29}, True),
        (["regularizer.l2._target_=regnet.training.callbacks.Swa"], {"best_epoch": 29}, False),
        (["regularizer.l2._target_=regnet.training.callbacks.Snapshots"], {"best_epoch": 29}, False),
        (["regularizer.l2.schedule=linear:1:0"], {"best_epoch": 29}, False),
        (["regularizer.l2.schedule=warmup:0.1"], {"best_epoch": 29}, True),
        ([], {"best_epoch": None}, False),
    ],
)
def test_a_run_was_too_short_if_its_best_epoch_is_among_the_last_of_a_whole_budget(tmp_path, more, fields, late):
    add(tmp_path, "l2", 0.9, *more, seeds=[0], **fields)
    (arm,) = study_in(tmp_path).arms
    assert bool(chosen_late(arm)) is late


@pytest.mark.parametrize(("before", "late"), [(0.9, False), (0.89, True)])
def test_where_the_loss_parted_equal_accuracies_nothing_improved(tmp_path, before, late):
    add(tmp_path, "l2", 0.9, seeds=[0], best_epoch=29)
    (arm,) = study_in(tmp_path).arms
    rows = [f"{epoch},{before if epoch < 29 else 0.9},{1 / (epoch + 1)}" for epoch in range(30)]
    (arm.runs[0].folder / "metrics.csv").write_text("\n".join(["epoch,val/accuracy,val/loss", *rows, ""]))
    assert bool(chosen_late(arm)) is late


def test_one_arm_alone_is_told_too(tmp_path):
    add(tmp_path, "none", 0.9, best_epoch=29)
    assert text(tmp_path).startswith("In 5 of 5 runs of none the chosen epoch is among the last: train longer")


def uneven(folder):
    return [line for line in text(folder).splitlines() if " were tried, and " in line]


def test_a_best_that_was_tuned_more_than_its_rivals_is_told(tmp_path):
    add(tmp_path, "none", 0.90, seeds=[0])
    add(tmp_path, "l1", 0.91, seeds=[0])
    for rate in range(1, 7):
        add(tmp_path, "dropout", 0.9 + rate / 100, f"++regularizer.dropout.rate=0.{rate}", seeds=[0])
    assert uneven(tmp_path) == [
        "6 settings of dropout were tried, and one of l1, one of none: their learning rate was not tuned."
    ]


def test_switched_off_is_no_setting_of_the_technique(tmp_path):
    for rate in range(4):
        add(
            tmp_path, "dropout", 0.9 + rate / 100, f"++regularizer.dropout.rate=0.{rate}".replace("0.0", "0"), seeds=[0]
        )
    assert uneven(tmp_path) == [
        "3 settings of dropout were tried, and one of dropout rate=0: its learning rate was not tuned."
    ]


def test_as_many_settings_or_a_tuned_learning_rate_are_even(tmp_path):
    for rate in ("0.1", "0.01", "0.001"):
        add(tmp_path / "lr", "none", 0.90, f"optimizer.lr={rate}", seeds=[0])
        for strength in (1, 2):
            more = [f"++regularizer.l2.strength={strength}", f"optimizer.lr={rate}"]
            add(tmp_path / "lr", "l2", 0.9 + strength / 100, *more, seeds=[0])
    for name, rate in (("none", "0.1"), ("l2", "0.01")):
        add(tmp_path / "tuned", name, 0.9 + len(name) / 100, f"optimizer.lr={rate}", seeds=[0])
    assert uneven(tmp_path / "lr") == uneven(tmp_path / "tuned") == []


def margins(folder, baseline="none"):
    study = study_in(folder)
    return {pair.arm.label: (pair.margin, pair.equivalent) for pair in compare(study, find_baseline(study, baseline))}


def test_as_good_is_what_two_one_sided_tests_find_within_the_margin(tmp_path):
    add(tmp_path, "[dropout,l2]", 0.905, val=0.95)
    add(tmp_path, "none", 0.905)
    for seed in range(5):
        test = 0.905 + (0.02, -0.02, 0.01, -0.01, 0.0)[seed]
        add_run(tmp_path, ["regularizer=l1", f"seed={seed}", *TRAINED], classification(0.8, test))
    said = text(tmp_path)
    assert "As good on test, within the margin of 0.50 percentage points: none." in said
    assert "The simplest of these is none." in said
    assert "These runs cannot tell from it on test: l1." in said
    assert "not decided, and within the margin." in said


def test_the_margin_is_that_of_the_runs_where_they_agree(tmp_path):
    add(tmp_path, "none", 0.90, "report.margin=0.02")
    add(tmp_path, "l2", 0.91, "report.margin=0.02")
    assert margins(tmp_path) == {"l2": (0.02, True)}
    assert "within the margin of 2.00 percentage points: none" in text(tmp_path)
    add(tmp_path, "l1", 0.80, "report.margin=0.5")
    assert {label: margin for label, (margin, _) in margins(tmp_path).items()} == {"l2": 0.005, "l1": 0.005}


def test_without_a_margin_it_is_a_part_of_the_rmse_of_the_baseline(tmp_path):
    for seed in range(3):
        for name, rmse in (("none", 50), ("l2", 49)):
            add_run(
                tmp_path, [f"regularizer={name}", f"seed={seed}"], regression(rmse + seed / 10 + len(name) * seed / 50)
            )
    study = study_in(tmp_path)
    (pair,) = compare(study, find_baseline(study))
    assert pair.margin == pytest.approx(0.02 * (50 + 0.18))


def test_a_margin_can_be_given(tmp_path):
    add(tmp_path, "none", 0.90)
    add(tmp_path, "l2", 0.91)
    (section,) = content(list(find_runs(tmp_path)), margin=0.03).sections
    assert "within the margin of 3.00 percentage points: none" in "\n".join(section.sentences)


def test_a_strangers_settings_are_no_settings(tmp_path):
    for name in ("none", "l2"):
        for seed in range(3):
            folder = add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], classification(0.9, 0.9 + seed / 100))
            odd = {"monitor": ["val/loss"], "trainer": [1], "scheduler": 7, "report": {"margin": [1]}, "optimizer": "x"}
            record = (folder / "record.json").read_text()
            kept = json.loads(record)
            kept["config"] |= odd
            (folder / "record.json").write_text(json.dumps(kept))
    assert study_in(tmp_path).margin is None
    assert "Epochs were chosen" not in text(tmp_path)
