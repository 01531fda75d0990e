"""A study through the real command line: many runs, one table, and only what is missing when repeated."""

import re
import shutil

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams

import regnet.commands.train
from regnet.compose.config_files import config_folder
from tests.helpers.commands import TINY, evaluate, record, report, train, train_into

TECHNIQUES = "regularizer=none,l2,[dropout,l2]"
SWEEP = ["-m", "study=s", TECHNIQUES, *TINY]


def runs(folder):
    """The record of each run of study `s`, by its folder's name."""
    return {
        path.parent.name: record(path.parent) for path in sorted((folder / "outputs/multirun/s").glob("*/record.json"))
    }


def trained(done):
    """How many runs were trained just now."""
    return len(re.findall(r"\(epoch \d+ of \d+, ", done.out))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three techniques and two seeds, with what was printed."""
    folder = tmp_path_factory.mktemp("study")
    return folder, train(*SWEEP, "seed=range(2)", cwd=folder)


def test_a_study_trains_all_and_ends_with_its_table(study):
    folder, done = study
    assert (done.code, done.err) == (0, "")
    found = runs(folder)
    assert len(found) == trained(done) == 6
    assert {(kept["status"], kept["launcher"]) for kept in found.values()} == {("completed", "basic")}
    chosen = {(tuple(kept["config"]["regularizer"]), kept["seed"]) for kept in found.values()}
    assert chosen == {(names, seed) for names in ((), ("l2",), ("dropout", "l2")) for seed in (0, 1)}
    assert re.findall(r"^run (\d)/6 regularizer=\S+ seed=\d  accuracy", done.out, re.MULTILINE) == list("123456")
    for technique in ("none", "l2", r"dropout \+ l2"):
        (row,) = re.findall(rf"^.? *{technique} +2/2 .*$", done.out, re.MULTILINE)
        assert re.search(r" 2/2 +\d+\.\d\d +\d+\.\d\d ", row)  # validation and test; two seeds have no interval
    assert len(re.findall(r"^★.* 2/2 ", done.out, re.MULTILINE)) == 1
    assert "regnet-report outputs/multirun/s\n" in done.out.replace(f"{folder}/", "")


@pytest.mark.slow
def test_every_technique_there_is_has_its_row(tmp_path):
    """In a network that has all sites."""
    small = ["model=resnet", "model.blocks=[1]", "model.branches=2", "trainer.max_epochs=1", "data.train_size=60"]
    done = train("-m", "study=s", "regularizer=glob(*)", *small, "logger=none", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    files = [path.stem for path in (config_folder() / "regularizer").glob("*.yaml")]
    records = runs(tmp_path).values()
    trained_ones = [word for kept in records for word in kept["overrides"] if word.startswith("regularizer=")]
    assert sorted(trained_ones) == sorted(f"regularizer={name}" for name in files)
    assert {kept["status"] for kept in records} == {"completed"}
    for name in files:
        assert re.search(rf"^.? *{name} +1/1 ", done.out, re.MULTILINE), name


def test_the_report_prints_the_same_table_again(study):
    folder, done = study
    again = report("outputs/multirun/s", "--no-page", cwd=folder)
    assert again.code == 0
    assert again.out.strip() in done.out


def test_the_hparams_columns_are_the_same_for_all_runs(study):
    folder, _ = study
    columns, metrics = set(), set()
    for path in (folder / "outputs/multirun/s").glob("*/record.json"):
        events = EventAccumulator(str(path.parent)).Reload()
        content = events.SummaryMetadata(hparams.SESSION_START_INFO_TAG).plugin_data.content
        values = hparams.parse_session_start_info_plugin_data(content).hparams
        columns.add(tuple(sorted(name for name in values if not name.startswith("regularizer."))))
        metrics.add(tuple(sorted(tag for tag in events.Tags()["scalars"] if tag.startswith("when_best/"))))
        assert values["seed"].number_value == record(path.parent)["seed"]
    assert len(columns) == len(metrics) == 1
    assert {"regularizer", "seed"} < set(*columns)


def test_repeating_a_study_does_only_what_is_missing(study, tmp_path):
    shutil.copytree(study[0] / "outputs", tmp_path / "outputs")
    before = runs(tmp_path)
    lost = next(name for name, kept in before.items() if kept["seed"] == 1)
    shutil.rmtree(tmp_path / "outputs/multirun/s" / lost / "checkpoints")
    (tmp_path / "outputs/multirun/s" / lost / "record.json").unlink()
    done = train(*SWEEP, "seed=range(2)", cwd=tmp_path)
    assert done.code == 0
    assert (trained(done), done.out.count("was done before")) == (1, 5)
    after = runs(tmp_path)
    assert after[lost].pop("started") > before[lost].pop("started")
    assert after[lost]["metrics"] == before[lost]["metrics"]
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in before if name != lost)


def test_a_study_that_grows_keeps_what_it_has(study, tmp_path):
    shutil.copytree(study[0] / "outputs", tmp_path / "outputs")
    before = runs(tmp_path)
    done = train(*SWEEP, "seed=range(3)", cwd=tmp_path)
    assert (done.code, trained(done)) == (0, 3)
    assert "run 9/9" in done.out
    after = runs(tmp_path)
    assert len(after) == 9
    assert before.items() <= after.items()
    assert len(re.findall(r" 3/3 ", done.out)) == 3


def test_a_study_goes_on_after_runs_that_fail_or_diverge(tmp_path):
    rates = ["regularizer=dropout", "regularizer.dropout.rate=1.5,0.1"]
    done = train("-m", "study=s", *rates, *TINY, cwd=tmp_path)
    assert done.code == 1
    assert sorted(kept["status"] for kept in runs(tmp_path).values()) == ["completed", "failed"]
    assert "Not in the means, of 2 runs: 1 failed." in done.out
    assert re.search(r"failed  \S*rate=1\.5\S*: regularizer\.dropout: rate must be in \[0, 1\), got 1\.5", done.out)
    assert re.search(r"dropout rate=0\.1 +1/1 ", done.out)
    assert "Traceback" not in done.out + done.err


def test_a_study_in_which_a_run_diverges_is_a_result(tmp_path):
    steps = ["optimizer=sgd", "optimizer.lr=1e9,0.01", "data.batch_size=10"]
    done = train("-m", "study=s", *steps, *TINY, cwd=tmp_path)
    assert done.code == 0
    assert sorted(kept["status"] for kept in runs(tmp_path).values()) == ["completed", "diverged"]
    assert "Not in the means, of 2 runs: 1 diverged." in done.out
    assert re.search(r"diverged  \S*lr=1000000000\S*: train/\S+ became (nan|inf) in epoch \d+", done.out)


def test_a_study_that_was_stopped_tells_how_to_go_on_and_does(tmp_path, monkeypatch):
    command = ["-m", "study=s", "seed=range(3)", *TINY]
    work = regnet.commands.train._train_and_test

    def stopped_at_the_second(cfg, *rest):
        if cfg.seed == 1:
            raise KeyboardInterrupt
        return work(cfg, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(regnet.commands.train, "_train_and_test", stopped_at_the_second)
        done = train(*command, cwd=tmp_path)
    assert done.code == 130
    assert "the same command with study=s goes on from here" in done.out
    assert [kept["status"] for kept in runs(tmp_path).values()] == ["completed", "interrupted"]
    done = train(*command, cwd=tmp_path)
    assert (done.code, trained(done), done.out.count("was done before")) == (0, 2, 1)


def test_a_single_seed_has_no_interval(tmp_path):
    done = train("-m", "study=s", "regularizer=none,l2", *TINY, cwd=tmp_path)
    assert done.code == 0
    rows = re.findall(r"^.? *(?:none|l2) +1/1 .*$", done.out, re.MULTILINE)
    assert len(rows) == 2
    assert "±" not in "".join(rows)


def test_a_strength_is_swept_over_the_runs_that_have_it_and_a_baseline_is_trained_once(tmp_path):
    done = train("-m", "study=s", "regularizer=none,l2", "++regularizer.l2.strength=0.125,0.25", *TINY, cwd=tmp_path)
    assert (done.code, trained(done)) == (0, 3)
    assert "was done before" in done.out
    penalties = {
        path.parent.name: "train/penalty/l2" in path.read_text()
        for path in (tmp_path / "outputs/multirun/s").glob("*/metrics.csv")
    }
    assert sorted(penalties.values()) == [False, True, True]
    chosen = [kept["config"]["regularizer"] for kept in runs(tmp_path).values()]
    assert sorted(node["l2"]["strength"] if node else 0 for node in chosen) == [0, 0.125, 0.25]


@pytest.mark.parametrize("name", sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml")))
def test_every_experiment_composes(compose_train, name):
    cfg = compose_train(f"experiment={name}")
    text = (config_folder() / "experiment" / f"{name}.yaml").read_text()
    assert f"experiment={name}" in text, "an experiment shows its own command"
    assert cfg.data.source._target_


def test_an_experiment_trains(tmp_path):
    kept = train_into(tmp_path / "run", "experiment=small_digits", "regularizer=[dropout,l2]", "trainer.max_epochs=1")
    assert kept["config"]["data"]["train_size"] < 1000
    assert set(kept["config"]["regularizer"]) >= {"dropout", "l2"}


def test_a_run_of_a_study_is_evaluated_by_its_folder_as_it_is_called(study):
    folder, _ = study
    for run in (folder / "outputs/multirun/s").glob("regularizer=*"):
        done = evaluate(f"run={run}", cwd=folder)
        assert (done.code, done.err) == (0, "")
        assert "\nequal to the record\n" in done.out
