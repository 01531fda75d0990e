"""The commands themselves: quick to answer, complete in the shell, and whole in a wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import regnet
from regnet.compose.config_files import config_folder
from tests.helpers.commands import PROGRAMS, finish, start, train

ROOT = Path(__file__).parents[1]

QUICK = """
import sys
from regnet.{module} import main
sys.argv = ["regnet", *{arguments!r}]
try:
    main()
finally:
    heavy = {{"torch", "lightning", "torchvision", "sklearn", "pandas", "scipy", "rich"}} & set(sys.modules)
    print("heavy:", sorted(heavy))
"""


def python(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.mark.parametrize(
    ("module", "arguments", "told"),
    [
        ("commands.train", ["--help"], "dropout, early_stopping"),
        ("commands.train", ["--cfg", "job", "regularizer=[dropout,l2]"], "rate: 0.5"),
        ("commands.train", ["--cfg", "job", "--package", "model", "model=cnn"], "stages:"),
        ("commands.evaluate", ["--help"], "pixel_noise"),
        ("commands.evaluate", ["--cfg", "job"], "part: test"),
        ("report.command", ["--help"], "FOLDER"),
    ],
)
def test_an_answer_that_trains_nothing_imports_nothing_heavy(tmp_path, module, arguments, told):
    done = python("-c", QUICK.format(module=module, arguments=arguments), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
    assert done.stdout.endswith("heavy: []\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", ["regnet-train", ROOT / "scripts" / "train.py"])
def test_the_script_is_the_command(tmp_path, program):
    done = finish(start(program, "--cfg", "job", "model.widths=[7]", cwd=tmp_path))
    assert (done.code, done.err) == (0, "")
    assert "widths:\n  - 7\n" in done.out


def test_every_command_has_its_script():
    assert {path.stem for path in (ROOT / "scripts").glob("*.py")} >= {"train", "evaluate", "report"}
    for name in ("train", "evaluate", "report"):
        assert (PROGRAMS / f"regnet-{name}").exists()


def test_a_mistake_in_a_process_of_its_own(tmp_path):
    done = finish(start("regnet-train", "regularizer=l22", cwd=tmp_path))
    assert done.code == 1
    assert done.err.startswith("regnet-train: regularizer=l22: l22 is not one of ")
    assert done.err.count("\n") == 1
    done = finish(start("regnet-train", "regularizer=l22", cwd=tmp_path, HYDRA_FULL_ERROR="1"))
    assert "Traceback" in done.err


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("regularizer=dropo", ["regularizer=dropout"]),
        ("model=", sorted(f"model={path.stem}" for path in (ROOT / "conf" / "model").glob("*.yaml"))),
        ("regularizer=dropout regularizer.dr", ["regularizer.dropout."]),
        ("regularizer=dropout regularizer.dropout.ra", ["regularizer.dropout.rate="]),
        ("data=csv data.targ", ["data.target="]),
    ],
)
def test_the_shell_completes(tmp_path, monkeypatch, line, completions):
    words = f"regnet-train {line}"
    monkeypatch.setenv("COMP_LINE", words)
    monkeypatch.setenv("COMP_POINT", str(len(words)))
    done = train("-sc", "query=bash", cwd=tmp_path)
    assert done.code == 0, done.err
    assert sorted(done.out.split()) == completions


def test_the_configs_of_a_checkout():
    assert config_folder() == ROOT / "conf"
    assert (config_folder() / "train.yaml").is_file()


@pytest.mark.slow
def test_a_wheel_holds_all_that_the_commands_need(tmp_path):
    """Built and installed beside the checkout, used from an empty folder."""
    wheels, site, empty = tmp_path / "wheels", tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = ["-m", "pip", "--disable-pip-version-check", "-q"]
    built = python(*pip, "wheel", str(ROOT), "--no-deps", "-w", str(wheels), cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    (wheel,) = wheels.glob(f"regnet-{regnet.__version__}-*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"regnet/conf/{path.relative_to(ROOT / 'conf').as_posix()}" in packed
    assert "regnet/py.typed" in packed, "else a type checker ignores the annotations"
    assert not [name for name in packed if name.startswith(("tests/", "conf/", "outputs/"))]
    installed = python(*pip, "install", "--no-deps", "--target", str(site), str(wheel), cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr

    program = """
import regnet, regnet.compose.config_files
from importlib.metadata import version
assert regnet.__version__ == version("regnet")
print(regnet.__file__, regnet.compose.config_files.config_folder())
import sys
sys.argv = ["regnet-train", "--cfg", "job", "regularizer=[dropout,l2]"]
from regnet.commands.train import main
main()
"""
    # PYTHONPATH stands before the editable install of the checkout
    done = python("-c", program, cwd=empty, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    where, _, config = done.stdout.partition("\n")
    assert where == f"{site / 'regnet' / '__init__.py'} {site / 'regnet' / 'conf'}"
    assert "rate: 0.5" in config
