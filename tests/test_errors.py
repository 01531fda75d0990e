"""What a person gets wrong is told in one sentence, with exit code 1, by the real command line."""

import json
import re
import shlex
import shutil
import struct
import sys
from copy import deepcopy
from functools import cache
from pathlib import Path
from urllib.error import URLError

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict
from PIL import Image

import regnet.commands.train
from regnet.commands.train import run as train_run
from regnet.compose.config_files import config_folder
from tests.helpers.commands import TINY, evaluate, record, train, train_into
from tests.helpers.quick_hydra import quick_hydra

NETWORKS = """
import torch
from torch import nn

number = lambda shape, num_outputs: 5

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 3)

    def forward(self, x):
        return self.linear(x.flatten(1))

class Flat(Wide):
    def forward(self, x):
        return self.linear(x)

class Right(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(x.flatten(1))

class Tuple(Right):
    def forward(self, x):
        return super().forward(x), x

class Dict(Right):
    def forward(self, x):
        return {"logits": super().forward(x)}

class List(Right):
    def forward(self, x):
        return [super().forward(x)]

class Nothing(Right):
    def forward(self, x):
        super().forward(x)

class Classes(Right):
    def forward(self, x):
        return super().forward(x).long()

class Detached(Right):
    def forward(self, x):
        return super().forward(x).detach()

class NaN(Right):
    def forward(self, x):
        return super().forward(x) / 0 * 0

class Frozen(Right):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)

class Raises(Right):
    def __init__(self):
        raise RuntimeError("no such luck")

class Needs(Right):
    def __init__(self, depth: int):
        super().__init__()
"""
MINE = """mine:
  _target_: regnet.regularizers.L2
  strength: 1.0
"""


def bad_inputs(section: str) -> list[tuple[str, str]]:
    """(arguments, pattern of the sentence) from bad_inputs.txt."""
    text = (Path(__file__).parent / "bad_inputs.txt").read_text(encoding="utf-8")
    (part,) = re.findall(rf"^== {section} ==$(.*?)(?=^==|\Z)", text, re.MULTILINE | re.DOTALL)
    lines = [line for line in part.splitlines() if line and not line.startswith("#")]
    return list(zip(lines[::2], (line.strip() for line in lines[1::2]), strict=True))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with everything in it that can be wrong with data, on a machine without network."""
    (tmp_path / "mynet.py").write_text(NETWORKS)
    (tmp_path / "own" / "regularizer").mkdir(parents=True)
    (tmp_path / "own" / "regularizer" / "mine.yaml").write_text(MINE)
    (tmp_path / "own" / "regularizer" / "broken.yaml").write_text("[")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "mixed.csv").write_text("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(30)) + "old,1\n")
    (tmp_path / "twice.csv").write_text("a,y,y\n1,2,2\n3,4,4\n")
    (tmp_path / "longer.csv").write_text("a,y\n1,2\n3,4,5\n")
    (tmp_path / "cut.csv").write_text('a,y\n1,0\n1,1\n1,"2')
    (tmp_path / "images" / "cat").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "images" / "cat" / "a.png")
    raw = tmp_path / "damaged" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(struct.pack(">IIII", 0x803, 60000, 28, 28) + bytes(100))

    def unreachable(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    return tmp_path


def assert_one_sentence(done, pattern):
    told = [line for line in done.err.splitlines() if line.strip() and not line.startswith("exit code 1: of")]
    assert done.code == 1, done
    assert len(told) == 1, done.err
    assert "Traceback" not in done.out + done.err
    assert re.search(pattern, told[0]), told[0]


@pytest.mark.parametrize(("arguments", "pattern"), bad_inputs("commands"))
def test_a_mistake_in_a_command_is_told_in_one_sentence(place, arguments, pattern):
    assert_one_sentence(train(*shlex.split(arguments), cwd=place), pattern)


@pytest.mark.parametrize(("arguments", "pattern"), bad_inputs("settings"))
def test_a_mistake_in_a_setting_is_found_before_training(place, monkeypatch, arguments, pattern):
    """As the command does it, but that what is chosen is composed once for all of the table."""
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr("lightning.pytorch.Trainer.fit", lambda *_, **__: pytest.fail("it is trained"))
    monkeypatch.delitem(sys.modules, "mynet", raising=False)
    overrides = shlex.split(arguments)
    kept = train_run(composed(overrides), place / "run", overrides)
    assert kept["status"] == "failed", kept
    assert re.search(pattern, kept["reason"]), kept["reason"]
    assert "\n" not in kept["reason"]


def composed(arguments: list[str]) -> DictConfig:
    """The config of a run, of which only what has no dot in its key, the choices of groups, goes through Hydra."""
    overrides = OverridesParser.create().parse_overrides(arguments)
    numbers = [o for o in overrides if "." in o.key_or_group or o.key_or_group in PLAIN or o.is_delete()]
    cfg = deepcopy(_chosen(tuple(o.input_line for o in overrides if o not in numbers)))
    for override in numbers:
        if override.is_delete():
            with open_dict(cfg):
                del cfg[override.key_or_group]
        else:
            forced = override.is_add() or override.is_force_add()
            OmegaConf.update(cfg, override.key_or_group, override.value(), force_add=forced)
    return cfg


PLAIN = ("seed", "study", "folder", "warm_start", "monitor", "mode")


@cache
def _chosen(choices: tuple[str, ...]) -> DictConfig:
    GlobalHydra.instance().clear()
    with quick_hydra(), initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("train", [*choices, "folder=run", "study=s"])


def test_a_mistake_in_a_value_is_recorded(place):
    train("regularizer=l2", "regularizer.l2.strength=-1", "hydra.run.dir=run", cwd=place)
    kept = record(place / "run")
    assert (kept["status"], kept["metrics"]) == ("failed", None)
    assert "got -1" in kept["reason"]
    assert "Traceback" in (place / "run" / "train.log").read_text()


@pytest.mark.parametrize("chosen", ["none", "l2", "[]"])
def test_a_strength_may_be_given_for_the_runs_that_have_it(tmp_path, chosen):
    kept = train_into(tmp_path / "run", *TINY, f"regularizer={chosen}", "++regularizer.l2.strength=0.125")
    strengths = {name: node["strength"] for name, node in kept["config"]["regularizer"].items()}
    assert strengths == ({"l2": 0.125} if chosen == "l2" else {})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on digits."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    train_into(folder, *TINY)
    return folder


@pytest.fixture(scope="module")
def runs(run):
    """A folder with everything in it that can be wrong with a run."""
    folder = run.parent
    train("seed=-1", "hydra.run.dir=failed", cwd=folder)
    (folder / "damaged").mkdir()
    (folder / "damaged" / "record.json").write_text("{")
    for name in ("emptied", "unchecked", "changed"):
        shutil.copytree(run, folder / name)
    (folder / "emptied" / "checkpoints" / "best.ckpt").write_bytes(b"nothing")
    shutil.rmtree(folder / "unchecked" / "checkpoints")
    kept = record(run)
    kept["config"]["model"]["widths"] = [9]
    (folder / "changed" / "record.json").write_text(json.dumps(kept))
    write_letters(folder / "letters")
    return folder


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ("run=nowhere", r"run=nowhere is not the folder of a finished run: it has no record\.json"),
        ("run=failed", r"run=failed has nothing to evaluate: failed, seed=-1 must be"),
        ("run=damaged", r"damaged/record\.json cannot be read"),
        ("run={run} part=tset", r"part=tset must be one of test, val, train, all"),
        (
            "run={run} data=wine",
            r"shape \[13\] and 3 classes, but run=.* was trained on shape \[1, 8, 8\] and 10 classes",
        ),
        ("run={run} data=wnie", r"data=wnie: .*; did you mean wine\?"),
        ("run={run} perturbation=pixel_noise perturbation.strength=-1", r"perturbation: strength must be .*got -1"),
        ("run={run} perturbation.strength=1", r"perturbation\.strength=1: perturbation has no key strength"),
        ("run={run} prt=all", r"prt=all: the config has no key prt; did you mean part\?"),
        ("run={run} save=nowhere/metrics.json", r"save=nowhere/metrics\.json cannot be written \(No such file"),
        ("run=emptied", r"emptied/checkpoints/best\.ckpt is absent or damaged \(UnpicklingError.*train the run again"),
        ("run=unchecked", r"unchecked/checkpoints/last\.ckpt is absent or damaged \(FileNotFound.*train the run again"),
        ("run=changed", r"the checkpoint is of another network or regularizer than the config's: .*size mismatch"),
        (
            "run={run} data=image_folder data.path=letters data.size=8 data.channels=1 part=all",
            r"the data have a class 'a' where run=.* was trained on '0'; check_classes=false measures nevertheless",
        ),
        ("part=all", r"give run=FOLDER, the folder of a run, or study=FOLDER"),
        ("run=null", r"give run=FOLDER, the folder of a run, or study=FOLDER"),
        ("run=", r"run='' must be the folder of a run"),
        ("run=[a]", r"run=\['a'\] must be text"),
        ("run=.", r"run=\. is not the folder of a finished run: it has no record\.json; it holds runs, such as run="),
        ("run=gone/seed=0", r"run=gone/seed=0 is not the folder of a finished run"),
        ("run={run} part=null", r"part=null must be text"),
        ("run={run} passes=abc", r"passes=abc must be a whole number or null"),
        ("run={run} passes=true", r"passes=true must be a whole number or null"),
        ("run={run} passes=0", r"passes must be a whole number >= 1, got 0"),
        ("run={run} seed=abc", r"seed=abc must be a whole number"),
        ("run={run} seed=-1", r"seed=-1 must be a whole number >= 0"),
        ("run={run} compact=abc", r"compact=abc must be true or false"),
        ("run={run} check_classes=1", r"check_classes=1 must be true or false"),
        ("run={run} allow=my.pkg", r"allow=my\.pkg must be a list of texts"),
        ("run={run} save=5", r"save=5 must be text or null"),
        ("run={run} +pasess=5", r"\+pasess=5: nothing reads pasess; did you mean passes\?"),
        ("run={run} +perturbation.x=1", r"perturbation=.* must name a class by its _target_"),
        ("run={run} perturbation=shift perturbation.shift=abc", r"perturbation\.shift=abc must be a whole number"),
        ("run={run} --foo", r"--foo is no option"),
    ],
)
def test_a_mistake_in_an_evaluation_is_told_in_one_sentence(runs, run, arguments, pattern):
    assert_one_sentence(evaluate(*arguments.format(run=run).split(), cwd=runs), pattern)


def test_other_classes_are_measured_on_purpose(runs, run):
    letters = ["data=image_folder", "data.path=letters", "data.size=8", "data.channels=1", "part=all"]
    done = evaluate(f"run={run}", *letters, "check_classes=false", cwd=runs)
    assert done.code == 0, done.err
    assert "accuracy" in done.out


def write_letters(folder):
    """An image of each of ten classes that are not digits."""
    for name in "abcdefghij":
        (folder / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(folder / name / "0.png")


def test_memory_that_runs_out_is_told_in_words(tmp_path, monkeypatch):
    def none(*_):
        raise MemoryError

    monkeypatch.setattr(regnet.commands.train, "_train_and_test", none)
    done = train(*TINY, f"hydra.run.dir={tmp_path}", cwd=tmp_path)
    assert done.code == 1
    assert record(tmp_path)["reason"].startswith("memory ran out; the same command goes on")
    assert "Traceback" not in done.out + done.err
