"""What keeps two arms from being compared, and what a study mixes."""

from regnet.report.columns import columns
from regnet.report.mixed import notes, unpaired
from regnet.report.study import pairing
from regnet.run.record import find_runs
from tests.helpers.records import add_run, add_unfinished, classification, config, study_in

OLD, NEW = {"regnet": "0.1.0"}, {"regnet": "0.2.0"}


def arms(folder):
    return {arm.technique: arm for arm in study_in(folder).arms}


def test_runs_of_two_versions_are_not_paired(tmp_path):
    for seed in range(3):
        add_run(tmp_path, ["regularizer=none", f"seed={seed}"], classification(0.8), versions=OLD)
        add_run(tmp_path, ["regularizer=l2", f"seed={seed}"], classification(0.9), versions=NEW)
    found = arms(tmp_path)
    assert unpaired(found["l2"], found["none"], "accuracy") == "l2 was run with another version of regnet than none"
    assert not found["l2"].measured("test", "accuracy").keys() & found["none"].measured("test", "accuracy").keys()
    assert notes(study_in(tmp_path)) == [
        "Runs are of regnet 0.1.0 and 0.2.0: runs of different versions are not paired."
    ]


def test_what_both_versions_ran_is_paired_within_each_and_the_means_are_said_to_be_mixed(tmp_path):
    for seed, versions in ((0, OLD), (1, NEW), (1, {})):
        for name in ("none", "l2"):
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], classification(0.9), versions=versions)
    found = arms(tmp_path)
    assert len(found["l2"].runs) == 3
    assert unpaired(found["l2"], found["none"], "accuracy") == ""
    assert notes(study_in(tmp_path)) == [
        "Runs are of regnet 0.1.0, 0.2.0 and unknown: runs of different versions are not paired. "
        "Means of one arm are over several of them."
    ]
    assert [pairing(run)[2] for run in find_runs(tmp_path)] == ["0.1.0", "0.1.0", "0.2.0", "0.2.0", None, None]


def test_only_where_no_seed_and_split_is_shared_it_is_said(tmp_path):
    add_run(tmp_path, ["regularizer=none", "seed=0"], classification(0.8))
    add_run(tmp_path, ["regularizer=l2", "seed=1"], classification(0.8))
    add_run(tmp_path, ["regularizer=l1", "seed=0"], None, "failed")
    add_run(tmp_path, ["regularizer=dropout", "seed=0"], classification(0.8, test=None))
    found = arms(tmp_path)
    why = {name: unpaired(found[name], found["none"], "accuracy") for name in ("l2", "l1", "dropout")}
    assert why == {
        "l2": "l2 shares no seed and split with none",
        "l1": "l1 has no completed run",
        "dropout": "dropout has no test accuracy",
    }
    assert unpaired(found["none"], found["l1"], "accuracy") == "l1 has no completed run"
    assert notes(study_in(tmp_path)) == []


def test_a_path_says_that_its_axis_is_confounded_with_the_order(tmp_path):
    start = None
    for strength in ("1", "0.5", "0.25"):
        keys = ["regularizer=l2", f"regularizer.l2.strength={strength}"]
        start = add_run(tmp_path, keys, classification(0.9), config=config(keys) | {"warm_start": start and str(start)})
    assert notes(study_in(tmp_path)) == [
        "Runs began at the weights of runs with another strength (warm_start): the effect of strength cannot be told "
        "from that of the order, and of more training."
    ]


def test_runs_that_all_began_at_one_pretrained_network_are_no_path(tmp_path):
    start = add_run(tmp_path / "pretrained", ["data=wine"], classification(0.9))
    for strength in ("1", "0.5"):
        keys = ["regularizer=l2", f"regularizer.l2.strength={strength}"]
        add_run(tmp_path / "s", keys, classification(0.9), config=config(keys) | {"warm_start": str(start)})
    assert notes(study_in(tmp_path / "s")) == []


def test_a_completed_run_without_the_metric_is_no_result(tmp_path):
    for seed in range(3):
        add_run(tmp_path, ["regularizer=none", f"seed={seed}"], classification(0.8))
        metrics = classification(0.9)
        metrics["val"]["accuracy"] = None if seed else 0.9
        add_run(tmp_path, ["regularizer=l2", f"seed={seed}"], metrics)
    add_unfinished(tmp_path, ["regularizer=l2", "seed=3"])
    study = study_in(tmp_path)
    assert study.best().label == "none"
    (found,) = [arm for arm in study.arms if arm.label == "l2"]
    assert (len(found.results("accuracy")), len(found.results("loss"))) == (1, 3)
    assert [cell.text for cell in columns(study)["runs"].cells] == ["3/3", "1/4"]
