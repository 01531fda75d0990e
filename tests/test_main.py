"""`python -m regnet`, and the version of each command."""

import subprocess
import sys

import pytest

import regnet
from regnet.__main__ import COMMANDS
from tests.helpers import commands
from tests.helpers.commands import TINY, finish, start
from tests.helpers.documents import ROOT


def module(*arguments, cwd):
    command = [sys.executable, "-m", "regnet", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**commands.os.environ, "PYTHONPATH": str(ROOT)}
    )
    return done.returncode, done.stdout, done.stderr


def test_alone_it_tells_its_commands(tmp_path):
    told = module(cwd=tmp_path)
    assert told == module("--help", cwd=tmp_path)
    assert (told[0], told[2]) == (0, "")
    assert all(f"regnet-{name}" in told[1] for name in COMMANDS)
    assert len(told[1].splitlines()) < 15


def test_the_version_is_one_line(tmp_path):
    line = f"regnet {regnet.__version__}\n"
    assert module("--version", cwd=tmp_path) == (0, line, "")
    for name in COMMANDS:
        assert module(name, "--version", cwd=tmp_path) == (0, line, ""), name
        done = finish(start(f"regnet-{name}", "--version", cwd=tmp_path, PYTHONPATH=str(ROOT)))
        assert (done.code, done.out, done.err) == (0, line, ""), name


def test_the_version_needs_no_torch_and_no_hydra(tmp_path):
    code = (
        "import sys; sys.argv[1:] = ['--version']; from regnet.__main__ import train; train(); "
        "print({'torch', 'hydra'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[1:] == ["set()"], done.stderr


def test_an_unknown_command_is_one_sentence(tmp_path):
    code, out, err = module("trian", cwd=tmp_path)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "'trian' is no command; did you mean train?" in err


def test_a_command_is_the_console_s(tmp_path):
    code, _, err = module("train", "regularizer=l3", cwd=tmp_path)
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("regnet-train: regularizer=l3: l3 is not one of")
    code, _, err = module("report", "nowhere", cwd=tmp_path)
    assert code == 1
    assert err.startswith("regnet-report: nowhere is not a folder")


@pytest.mark.slow
def test_several_devices_are_started_by_the_same_command(tmp_path):
    overrides = [*TINY, "trainer.devices=2", "+trainer.strategy=ddp", "trainer.accelerator=cpu", "hydra.run.dir=two"]
    code, _, err = module("train", *overrides, cwd=tmp_path)
    assert code == 0, err
    assert commands.record(tmp_path / "two")["status"] == "completed"
