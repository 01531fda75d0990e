"""What a person gets wrong is told in one sentence, with exit code 1, by the real command line."""

import json
import re
import shutil
import struct
from urllib.error import URLError

import pytest
from PIL import Image

from tests.commands import TINY, evaluate, record, train, train_into

NETWORKS = """
from torch import nn

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 3)

    def forward(self, x):
        return self.linear(x.flatten(1))

class Flat(Wide):
    def forward(self, x):
        return self.linear(x)
"""

# arguments, and what the sentence says: the key, the value, and what would be right
CHOICES = [
    ("regularizer=l33", r"regularizer=l33: l33 is not one of .*augment, .*; did you mean l0 or l1 or l2\?"),
    ("regularizer=[dropout,l22]", r"l22 is not one of .*; did you mean l2\?"),
    ("data=mnits", r"data=mnits: .*; did you mean mnist\?"),
    ("optimizer=adamm", r"adamm is not one of adam, adamw, sgd; did you mean adam\?"),
    ("experiment=nope", r"experiment=nope: nope is not one of .*small_digits"),
    ("regularizer=null", r"takes the name of an option, and null is none"),
    ("-m seed=1,2 --cfg job", r"-m with --cfg, --info or --shell-completion: .* leave -m out"),
    ("-m regularizer=l33,l2", r"regularizer=l33: .*; did you mean l0 or l1 or l2\?"),
]
KEYS = [
    ("model.width=3", r"model\.width=3: model has no key width; did you mean widths\?"),
    ("regulariser=dropout", r"no key regulariser; did you mean regularizer\?"),
    ("regularizer=dropout regularizer.dropout.rat=0.1", r"regularizer\.dropout has no key rat; did you mean rate\?"),
    ("-m regularizer=none,dropout regularizer.dropout.rat=0.1", r"has no key rat; did you mean rate\?"),
    ("experiment=small_digits data.train_siz=9", r"data has no key train_siz; did you mean train_size\?"),
    ("data.root=x", r"data\.root=x: data has no key root"),
    ("regularizer.l2.strength=1", r"regularizer\.l2\.strength=1: l2 is not among the chosen .*\+\+regularizer\.l2"),
    ("regularizer=dropout regularizer.l2.strength=1", r"not among the chosen regularizers \(regularizer=dropout\)"),
    ("-m regularizer=none,l2 regularizer.l2.strength=1", r"not every run of regularizer=none,l2 has l2; .*\+\+reg"),
    ("+data.foo=1", r"data\.foo is a setting of neither the data module nor its source"),
    ("+model.foo=1", r"\+model\.foo=1: .*unexpected keyword argument 'foo'"),
    ("+trainer.foo=1", r"trainer: .*unexpected keyword argument 'foo'"),
    ("+regularizer.foo=1", r"regularizer\.foo=1: foo is not among the chosen regularizers"),
    ("regularizer=l2 +regularizer.l2.foo=1", r"regularizer\.l2: .*unexpected keyword argument 'foo'"),
    ("seed", r"'seed' cannot be read as KEY=VALUE"),
    ("regularizer=[dropout", r"the overrides cannot be read .*quote brackets"),
]
VALUES = [
    ("regularizer=dropout regularizer.dropout.rate=1", r"regularizer\.dropout: rate must be in \[0, 1\), got 1"),
    ("regularizer=dropout regularizer.dropout.rate=-0.1", r"regularizer\.dropout: rate .*got -0\.1"),
    ("regularizer=dropout regularizer.dropout.rate=nan", r"regularizer\.dropout: rate .*got nan"),
    ("regularizer=dropout regularizer.dropout.rate=half", r"regularizer\.dropout: rate .*got 'half'"),
    ("regularizer=l2 regularizer.l2.strength=-1", r"regularizer\.l2: strength must be a finite number >= 0, got -1"),
    ("regularizer=l2 regularizer.l2.strength=nan", r"regularizer\.l2: strength .*got nan"),
    ("regularizer=l1 regularizer.l1.strength=inf", r"regularizer\.l1: strength .*got inf"),
    ("regularizer=max_norm regularizer.max_norm.radius=0", r"regularizer\.max_norm: radius .*> 0, got 0"),
    ("regularizer=elastic_net regularizer.elastic_net.l1_ratio=3", r"l1_ratio must be in \[0, 1\], got 3"),
    ("regularizer=l2 regularizer.l2.select=no.*", r"regularizer\.l2: select='no\.\*' matches no parameter; .*weight"),
    ("seed=abc", r"seed=abc must be a whole number"),
    ("seed=-1", r"seed=-1 must be a whole number >= 0"),
    ("monitor=val/acc", r"monitor=val/acc must be one of val/loss, val/accuracy"),
    ("monitor=test/loss", r"monitor=test/loss must be one of val/loss"),
    ("mode=up", r"mode=up must be min or max"),
    ("optimizer.lr=-1", r"optimizer\.lr=-1: .*Invalid learning rate"),
    ("optimizer.lr=abc", r"optimizer\.lr=abc: "),
    ("trainer.max_epochs=0", r"trainer\.max_epochs=0 must be a whole number >= 1"),
    ("callbacks.best=null callbacks.last=null", r"callbacks\.best=null and callbacks\.last=null leave no checkpoint"),
    ("trainer.precision=13", r"trainer: Precision 13 is invalid. Allowed"),
    ("model.activation=ReLu", r"activation='ReLu' is not in torch\.nn; did you mean ReLU"),
    ("model.widths=[0]", r"widths must be whole numbers >= 1, got \[0\]"),
]
DATA = [
    ("data.train_size=100000", r"data\.train_size=100000 is more than the \d+ samples .*choose at most \d+"),
    ("data.train_size=5", r"data\.train_size=5 is too small; .* at least 10 samples"),
    ("data.batch_size=0", r"data\.batch_size=0 must be a whole number, at least 1"),
    ("data.val_fraction=2", r"data\.val_fraction=2 must be a fraction between 0 and 1"),
    ("data.label_noise=2", r"data\.label_noise=2 is not a rate"),
    ("data.label_noise=abc", r"data\.label_noise=abc must be a number from 0 to 1"),
    ("data.split_seed=abc", r"data\.split_seed=abc must be a whole number"),
    ("data=csv data.target=y", r"data\.path has no value; give it as data\.path=VALUE"),
    ("data=csv data.path=table.csv data.target=y", r"data\.target=y is no column of table\.csv; choose from a, b"),
    ("data=csv data.path=none.csv data.target=y", r"data\.path=none\.csv is not a file"),
    ("data=csv data.path=empty.csv data.target=y", r"data\.path=empty\.csv cannot be read as a csv file"),
    ("data=csv data.path=cut.csv data.target=y", r"data\.path=cut\.csv cannot be read as a csv file"),
    ("data=image_folder data.path=images", r"images holds 1 folder.* one for each class, at least 2"),
    ("data=image_folder data.path=nowhere", r"data\.path=nowhere is not a folder"),
    ("data=mnist data.root=damaged", r"files of MNIST in data\.root=damaged are damaged; delete damaged/MNIST"),
    ("data=cifar10 data.root=empty", r"CIFAR10 is absent .* could not be downloaded .*no route.*REGNET_DATA"),
]
PARTS_THAT_DO_NOT_FIT = [
    ("model._target_=nowhere.Net", r"model\._target_=nowhere\.Net cannot be imported: No module named 'nowhere'"),
    ("model._target_=mynet.Gone", r"model\._target_=mynet\.Gone cannot be imported: .*no attribute 'Gone'"),
    (
        "model._target_=mynet.Wide",
        r"mynet\.Wide gives outputs of shape \(2, 3\) for 2 samples, and must give \(2, 10\)",
    ),
    ("model._target_=mynet.Flat", r"model=mynet\.Flat fails on inputs of shape \(2, 1, 8, 8\): RuntimeError"),
    ("model._target_=mynet.Wide regularizer=dropout", r"needs a site `dropout` in model=mynet\.Wide, which has none"),
    (
        "regularizer=spatial_dropout",
        r"needs a site `spatial_dropout` in model=regnet\.models\.MLP, whose sites are input",
    ),
    ("regularizer=[dropout,gaussian_dropout]", r"dropout and gaussian_dropout both fill regularizer\.dropout; choose"),
    (
        "regularizer=augment +regularizer.augment.schedule=late:0.5",
        r"has replaced it; give it below data\.augment",
    ),
    ("regularizer=[mixup,cutmix]", r"mixup,cutmix contradict each other: each mixes the batch"),
    ("regularizer=[unit_norm,max_norm]", r"contradict each other on model\.hidden.*; choose one of them, or .*select"),
    ("regularizer=l2 regularizer.l2.select=layer:7", r"regularizer\.l2: select='layer:7' matches no parameter"),
    ("regularizer=l2 regularizer.l2.schedule=late", r"schedule='late' is written as late:0\.5"),
    (
        "regularizer=dropout regularizer.dropout.schedule=linear:1:3",
        r"takes the rate to 1\.5, and it must",
    ),
    ("regularizer=dropout model.widths=[]", r"regularizer\.dropout: this network has no place for it"),
    ("regularizer=dropout regularizer.dropout.after=Conv2d", r"after: 'Conv2d' matches no module"),
    ("data=wine model=cnn", r"a CNN needs images of shape \(C, H, W\), and these samples have shape \(13,\)"),
    ("data=wine regularizer=cutmix", r"regularizer\.cutmix: this is for images .* have shape \(13,\)"),
    ("data=diabetes regularizer=cutout", r"regularizer\.cutout: this is for images .* have shape \(10,\)"),
    ("data=wine regularizer=rand_augment", r"regularizer\.rand_augment: this is for images .* have shape \(13,\)"),
    ("data=wine regularizer=auto_augment", r"regularizer\.auto_augment: policy must be one of .*got None; .*need none"),
    ("data=diabetes regularizer=label_smoothing", r"regularizer\.label_smoothing: .*needs classes, .*regression"),
    ("data=diabetes data.label_noise=0.1", r"data\.label_noise=0\.1 needs classes"),
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with everything in it that can be wrong with data, on a machine without network."""
    (tmp_path / "mynet.py").write_text(NETWORKS)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "empty.csv").touch()
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
    told = [line for line in done.err.splitlines() if line.strip()]
    assert done.code == 1, done
    assert len(told) == 1, done.err
    assert "Traceback" not in done.out + done.err
    assert re.search(pattern, told[0]), told[0]


@pytest.mark.parametrize(("arguments", "pattern"), CHOICES + KEYS + VALUES + DATA + PARTS_THAT_DO_NOT_FIT)
def test_a_mistake_is_told_in_one_sentence(place, arguments, pattern):
    assert_one_sentence(train(*arguments.split(), cwd=place), pattern)


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
        ("part=all", r"run has no value; give it as run=VALUE"),
    ],
)
def test_a_mistake_in_an_evaluation_is_told_in_one_sentence(tmp_path, run, arguments, pattern):
    train("seed=-1", "hydra.run.dir=failed", cwd=tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "record.json").write_text("{")
    shutil.copytree(run, tmp_path / "emptied")
    (tmp_path / "emptied" / "checkpoints" / "best.ckpt").write_bytes(b"nothing")
    shutil.copytree(run, tmp_path / "unchecked")
    shutil.rmtree(tmp_path / "unchecked" / "checkpoints")
    shutil.copytree(run, tmp_path / "changed")
    kept = record(run)
    kept["config"]["model"]["widths"] = [9]
    (tmp_path / "changed" / "record.json").write_text(json.dumps(kept))
    write_letters(tmp_path / "letters")
    assert_one_sentence(evaluate(*arguments.format(run=run).split(), cwd=tmp_path), pattern)


def test_other_classes_are_measured_on_purpose(tmp_path, run):
    write_letters(tmp_path / "letters")
    letters = ["data=image_folder", "data.path=letters", "data.size=8", "data.channels=1", "part=all"]
    done = evaluate(f"run={run}", *letters, "check_classes=false", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "accuracy" in done.out


def write_letters(folder):
    """An image of each of ten classes that are not digits."""
    for name in "abcdefghij":
        (folder / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(folder / name / "0.png")
