import os
import runpy
import shlex
from pathlib import Path

import pytest
from hydra import initialize
from omegaconf import OmegaConf

from regnet.report.callback import StudyReport, basic_sweeper
from tests.helpers.commands import call
from tests.helpers.records import add_run, classification

NAMES = ("REGNET_STUDY", "REGNET_STUDY_RUNS", "REGNET_STUDY_SWEPT")

CONFIG = """
seed: 0
data: {}
model: {}
lr: 0.1
hydra:
  callbacks:
    study_report:
      _target_: regnet.report.callback.StudyReport
      page: false
  output_subdir: .hydra
"""

# A stand-in for training: a run that says how many there are and leaves a record.
PROGRAM = """
import os

import hydra
from hydra.core.hydra_config import HydraConfig
from regnet.run.record import write_record
from tests.helpers.commands import call
from tests.helpers.records import classification, record


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config):
    job = HydraConfig.get()
    print("runs:", os.environ.get("REGNET_STUDY_RUNS"))
    status = {9: "failed", 8: "diverged"}.get(config.seed, "completed")
    metrics = classification(0.9) if status == "completed" else None
    if config.seed != 7:
        write_record(job.runtime.output_dir, record(list(job.overrides.task), metrics, status, reason="so"))


main()
"""


@pytest.fixture
def program(tmp_path):
    for option in ("none", "dropout", "l2"):
        path = tmp_path / "conf" / "regularizer" / f"{option}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}" if option == "none" else f"{option}: {{strength: 1}}")
    (tmp_path / "conf" / "config.yaml").write_text("defaults:\n  - regularizer: [none]\n  - _self_\n" + CONFIG)
    (tmp_path / "conf" / "swept.yaml").write_text(
        "defaults:\n  - config\n  - _self_\nhydra: {sweeper: {params: {seed: range(2)}}}\n"
    )
    (tmp_path / "program.py").write_text(PROGRAM)

    def main():
        runpy.run_path("program.py", run_name="__main__")

    def run(*arguments):
        return call(main, "program.py", arguments, tmp_path)

    run.folder = tmp_path
    return run


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        (["regularizer=none,dropout,[dropout,l2]", "seed=range(3)"], 9),
        (["regularizer=glob(*)", "lr=0.1"], 3),
        (["regularizer=glob(*,exclude=none)", "seed=1,2"], 4),
        (["--config-name=swept", "lr=choice(0.1,0.2)"], 4),
        (["--config-name=swept", "seed=1,2,3"], 3),
        (["--config-name=swept", "seed=1"], 1),
        (["lr=0.5"], 1),
    ],
)
def test_runs_are_told_how_many_they_are(program, overrides, count):
    done = program("-m", *overrides)
    assert done.code == 0, done.err
    assert done.out.count(f"runs: {count}\n") == count


def test_a_study_ends_with_its_table_and_the_way_to_see_more(program):
    done = program(
        "-m",
        "regularizer=none,[dropout,l2]",
        "seed=0,1",
        "hydra.sweep.dir=study",
        "hydra.callbacks.study_report.page=true",
    )
    assert done.code == 0, done.err
    assert "dropout + l2" in done.out
    assert "2/2" in done.out
    best = "Best by validation: all 2 settings have the same accuracy (none, dropout + l2)."
    assert best in done.out.splitlines()[-5]
    assert done.out.endswith(
        "The page: study/report.html\nThe study is in study\n  regnet-report study\n"
        "  regnet-report study --tensorboard curves && tensorboard --logdir curves\n"
    )
    assert (program.folder / "study" / "report.html").exists()


def test_a_study_without_a_page_has_its_table(program):
    done = program("-m", "seed=0,1", "hydra.sweep.dir=study")
    assert done.code == 0, done.err
    assert "2/2" in done.out
    assert not (program.folder / "study" / "report.html").exists()


@pytest.mark.parametrize(("seeds", "code"), [("0,9", 1), ("0,8", 0), ("0,7", 0)])
def test_a_run_without_a_result_makes_exit_code_1_and_one_that_diverged_or_may_still_run_does_not(program, seeds, code):
    done = program("-m", f"seed={seeds}")
    assert done.code == code, done.err
    assert "tensorboard --logdir" in done.out
    assert "Not in the means, of 2 runs: 1 " in done.out


def test_a_study_without_any_run_says_so(program):
    # Hydra saves nothing of a run whose output_subdir is null, and seed 7 leaves no record.
    done = program("-m", "seed=7", "hydra.output_subdir=null")
    assert done.code == 1
    assert "The study's report could not be made: " in done.err
    assert "holds no run of regnet" in done.err
    assert "Warning" not in done.err


def test_a_sweeper_that_searches_leaves_the_number_unknown(monkeypatch):
    monkeypatch.setenv("REGNET_STUDY_RUNS", "4")
    sweeper = {"_target_": "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"}
    config = OmegaConf.create({"hydra": {"sweeper": sweeper, "overrides": {"task": ["lr=1,2"]}}})
    StudyReport().on_multirun_start(config)
    assert "REGNET_STUDY_RUNS" not in os.environ


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The config of a study of two runs, one of them done; nothing of another study in the environment."""
    for name in ("LOCAL_RANK", *NAMES):
        monkeypatch.setenv(name, "")  # so that it is put back as it was
        monkeypatch.delenv(name)
    folder = tmp_path / "my study"
    add_run(folder, ["regularizer=l2", "seed=0"], classification(0.9))
    with initialize(config_path=None, version_base="1.3"):
        sweeper = {"_target_": basic_sweeper(), "params": None}
        hydra = {"sweep": {"dir": "${folder}"}, "sweeper": sweeper, "overrides": {"task": ["seed=0,1"]}}
        yield OmegaConf.create({"study": "${oc.env:REGNET_STUDY,first}", "folder": str(folder), "hydra": hydra})


def exported():
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def test_the_environment_tells_of_the_study_while_it_lasts(study, capsys):
    StudyReport().on_multirun_start(study)
    assert exported() == {"REGNET_STUDY": "first", "REGNET_STUDY_RUNS": "2", "REGNET_STUDY_SWEPT": "seed"}
    StudyReport().on_multirun_end(study)
    assert exported() == {}


def test_the_folder_of_a_study_named_by_the_environment_is_found_at_its_end(study, monkeypatch, capsys):
    monkeypatch.setenv("REGNET_STUDY", "my study")
    study.hydra.sweep.dir = f"{Path(study.folder).parent}/${{study}}"
    StudyReport().on_multirun_start(study)
    StudyReport().on_multirun_end(study)
    assert "1/1" in capsys.readouterr().out


def test_other_processes_of_a_ddp_run_say_and_change_nothing(study, monkeypatch, capsys):
    StudyReport().on_multirun_start(study)
    before = exported()
    monkeypatch.setenv("LOCAL_RANK", "1")
    study.study = "second"
    StudyReport().on_multirun_start(study)
    StudyReport().on_multirun_end(study)
    assert exported() == before
    assert capsys.readouterr() == ("", "")


def test_rank_zero_that_another_program_started_reports_and_names_no_study(study, monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "0")
    StudyReport().on_multirun_start(study)
    assert exported() == {"REGNET_STUDY_RUNS": "2", "REGNET_STUDY_SWEPT": "seed"}
    StudyReport().on_multirun_end(study)
    assert "1/1" in capsys.readouterr().out


def test_the_suggested_commands_can_be_pasted(study, capsys):
    StudyReport().on_multirun_end(study)
    *_, report, tensorboard = capsys.readouterr().out.splitlines()
    assert shlex.split(report) == ["regnet-report", study.folder]
    links = ["--tensorboard", "curves", "&&", "tensorboard", "--logdir", "curves"]
    assert shlex.split(tensorboard) == ["regnet-report", study.folder, *links]
