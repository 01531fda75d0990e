"""An override is a value: what is the same however it is written, and what is not."""

import itertools
import json
import re
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from regnet.core.overrides import Override, read, written
from regnet.run.identity import identity
from regnet.run.record import find_runs, load_run
from regnet.run.study import run_folder
from tests.helpers.commands import TINY, evaluate, record, report, train, train_into

SAME = [  # spellings of one value in each line
    ["optimizer.lr=1e-3", "optimizer.lr=0.001", "optimizer.lr=1.0e-3", "optimizer.lr=1e-03", "++optimizer.lr=1E-3"],
    ["optimizer.lr=1", "optimizer.lr=1.0", "optimizer.lr=1e0", "optimizer.lr=+1", "optimizer.lr=1."],
    ["optimizer.lr=0", "optimizer.lr=0.0", "optimizer.lr=-0.0", "optimizer.lr=-0"],
    ["data.train_size=1000", "data.train_size=1_000", "data.train_size=1e3"],
    ["model.norm=true", "model.norm=True", "model.norm=TRUE"],
    ["mode=null", "mode=NULL", "mode=Null"],
    ["data.target=a", "data.target='a'", 'data.target="a"', "data.target= a "],
    ["data.target='% fat'", "data.target=% fat", 'data.target="% fat"'],
    ["model.widths=[8,16]", "model.widths=[8, 16]", "model.widths=[ 8.0,16 ]"],
    ["model.init={a:1,b:{c:2,d:[x]}}", "model.init={b: {d: ['x'], c: 2.0}, a: 1}"],
    ["regularizer=l2", "regularizer=[l2]", "regularizer='l2'"],
    ["regularizer=[dropout,l2]", "regularizer=[dropout, l2]", "regularizer=['dropout',l2]"],
    ["data.seed=${seed}", r"data.seed=$\{seed\}", "data.seed='${seed}'"],
]
DIFFERENT = [  # no two of a line are the same
    ["data.target=1", "data.target='1'", "data.target=true", "data.target='true'", "data.target=null"],
    ["data.target='null'", "data.target=null", "data.target=''", "data.target='~'", "data.target=none"],
    ["data.target=007", "data.target=7", "data.target='7'", "data.target=07"],
    ["data.target='1_000'", "data.target=1_000", "data.target='1000'"],
    ["data.target=0x1F", "data.target=31", "data.target='31'"],
    ["data.target=1e5", "data.target='1e5'", "data.target='100000'", "data.target='100000.0'"],
    ["data.target=on", "data.target=true", "data.target=yes"],
    ["data.target=2024-01-01", "data.target=2024", "data.target='2024-01-02'"],
    ["data.target='a b'", "data.target='a  b'", "data.target=a_b", "data.target=ab"],
    ["data.target='[1]'", "data.target=[1]", "data.target=['1']", "data.target=1"],
    ["data.target='{a:1}'", "data.target={a:1}", "data.target={a:'1'}"],
    ["data.target='a,b'", "data.target=[a,b]", "data.target=[b,a]", "data.target=['a,b']"],
    ["optimizer.lr=0.1", "optimizer.lr=0.10000000000000002", "optimizer.lr=0.2"],
    ["trainer.limit_train_batches=1", "trainer.limit_train_batches=1.0"],  # one batch, and all of them
    ["regularizer=[dropout,l2]", "regularizer=[l2,dropout]", "regularizer=l2", "regularizer=none"],
    ["~data.target", "data.target=null", "+data.source.target=null"],
    ["++model.init={a:1}", "++model.init={b:1}", "++model.init={a:1,b:1}"],
    ["data.target=Ä", "data.target=ä", "data.target=a"],
]
EXACT = ["% fat", "*star", "@id", "a: b", "!x", "- x", "#x", "007", "1_000", "0x1F", "on", "2024-01-01", "1e5", "it's"]


def folder(*overrides):
    return run_folder(overrides, OmegaConf.create({"l2": {"_target_": "L2"}}))


def is_same(one, other):
    ours, theirs = read([one])[0], read([other])[0]
    values = (ours.key, ours.sign == "~", ours.spelled) == (theirs.key, theirs.sign == "~", theirs.spelled)
    return values, folder(one) == folder(other)


@pytest.mark.parametrize("spellings", [line for line in SAME if not line[0].startswith("regularizer=")])
def test_spellings_of_one_value_are_one(spellings):
    for one, other in itertools.combinations(spellings, 2):
        assert is_same(one, other) == (True, True), (one, other)


@pytest.mark.parametrize("spellings", [line for line in SAME if line[0].startswith("regularizer=")])
def test_a_choice_has_one_folder(spellings):
    assert len({folder(one) for one in spellings}) == 1


@pytest.mark.parametrize("values", DIFFERENT)
def test_values_that_differ_are_apart(values):
    for one, other in itertools.combinations(values, 2):
        assert is_same(one, other) == (False, False), (one, other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-05", "1e-5"),
        ("0.00001", "1e-5"),
        ("0.0003", "3e-4"),
        ("1e-2", "0.01"),
        (".5", "0.5"),
        ("1.0", "1"),
        ("1e3", "1000"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("12345678901234567890", "12345678901234567890"),
        ("[0.2,1e-05]", "[0.2,1e-5]"),
        ("early:0.1", "early:0.1"),
        ("/a/1e-05", "/a/1e-05"),
        ("007", "007"),
        ("True", "true"),
        ("[]", "[]"),
        ("", "''"),
        ("inf", "inf"),
        ("nan", "nan"),
    ],
)
def test_a_value_has_one_spelling_which_hydra_reads_as_that_value(text, expected):
    spelled = Override.read(f"x={text}").spelled
    assert spelled == expected
    assert Override.read(f"x={spelled}").spelled == expected


TEXTS = [
    *EXACT,
    "",
    " ",
    "a\\",
    "\\'",
    "a'\"b",
    "[",
    "}",
    "a=b",
    "a,b",
    "${x}",
    "ü",
    "true",
    "null",
    "None",
    "1",
    "x\ty",
]


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_can_be_spelled(text):
    assert Override.read(f"x={written(text)}").value == text
    assert Override.read(f"x=[{written(text)},1]").value == [text, 1]


@pytest.mark.parametrize("text", ["a=[1", "=1", "", "a", "a=" + "[" * 5000, "a=range(1,1000000000)", "a=b=c", "@z=1"])
def test_what_hydra_cannot_read_is_a_guess(text):
    assert Override.guess(text).text == text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.b=1", ("a.b", 1, "", None)),
        ("+a/b@c.d=e", ("a/b", "e", "+", "c.d")),
        ("++a=x", ("a", "x", "++", None)),
        ("~a", ("a", None, "~", None)),
        ("a=1,2", ("a", "1,2", "", None)),
        ("a=choice(1,2)", ("a", "choice(1,2)", "", None)),
    ],
)
def test_an_override_in_its_parts(text, parts):
    one = Override.read(text)
    assert (one.key, one.value, one.sign, one.package) == parts


def test_the_name_of_a_folder_fits_into_a_file_system(tmp_path):
    names = {folder(f"data.target={text * 200}{last}") for text in "aäあ𝄞" for last in "xy"}
    assert len(names) == 8
    for name in names:
        assert len(name.encode()) <= 255
        (tmp_path / name).mkdir()


def test_of_a_key_given_twice_the_last_counts_and_mappings_are_merged():
    assert folder("optimizer.lr=1", "optimizer.lr=2") == folder("optimizer.lr=2.0")
    assert folder("++m={a:1}", "++m={b:1}") != folder("++m={b:1}")


def test_a_mapping_is_what_it_sets_one_by_one():
    assert folder("optimizer={lr: 2.0, betas: [0.9, 1]}") == folder("optimizer.lr=2", "optimizer.betas=[0.9,1]")
    assert folder("optimizer.lr=1", "optimizer={lr: 2}") == folder("optimizer.lr=2")
    assert folder("model.init={}") != folder("seed=0")


def test_the_fingerprint_is_of_values_and_of_no_place(compose_train):
    def of(*overrides):
        return identity(compose_train("folder=x", *overrides))

    plain = of()
    for same in (
        ["optimizer.lr=0.001"],
        ["optimizer.lr=1.0e-3"],
        ["model=mlp"],
        ["study=other"],
        ["folder=/elsewhere"],
        ["data.batch_size=128.0"],
        ["++regularizer.l2.strength=3"],  # of a regularizer that is not chosen
        ["data.seed=${seed}"],
        ["model.num_outputs=${data.num_outputs}"],
    ):
        assert of(*same) == plain, same
    others = [["seed=1"], ["optimizer.lr=0.002"], ["model=cnn"], ["regularizer=l2"], ["data.split_seed=1"]]
    shares = [["+trainer.limit_train_batches=1"], ["+trainer.limit_train_batches=1.0"]]
    found = {of(*one) for one in (*others, *shares, ["data.seed=0", "seed=1"], [])}
    assert len(found) == 9


def test_a_fingerprint_is_that_of_what_references_give(compose_train, monkeypatch):
    monkeypatch.setenv("RATE", "0.5")
    assert identity(compose_train("optimizer.lr='${oc.decode:${oc.env:RATE}}'")) == identity(
        compose_train("optimizer.lr=0.5")
    )


@pytest.mark.parametrize("place", ["${folder}/x", "${study}", "${hydra:runtime.output_dir}", "${now:%f}", "${mine}"])
def test_what_a_place_gives_is_no_part_of_a_fingerprint(compose_train, place):
    def of(folder):
        mine = ["+mine='${hydra:job.num}${folder}'", f"+logger.csv.save_dir='{place}'"]
        return identity(compose_train(*mine, f"folder={folder}", f"study={folder}"))

    assert of("here") == of("there")


def test_runs_alone_of_one_value_are_one_arm(tmp_path):
    """However it came to them: in the report, with their seeds."""
    ways = [["optimizer.lr=1e-3"], ["optimizer.lr=0.001", "model=mlp"], [], ["++optimizer.lr=1.0e-3"]]
    for seed, own in enumerate(ways):
        train_into(tmp_path / f"{seed}", *TINY, "logger=none", f"seed={seed}", *own)
    train_into(tmp_path / "other", *TINY, "logger=none", "optimizer.lr=0.01")
    done = report(*map(str, sorted(tmp_path.iterdir())), "--no-page", cwd=tmp_path)
    assert done.code == 0, done.err
    assert " lr=1e-3  4/4 " in done.out
    assert " lr=0.01  1/1 " in done.out


@pytest.mark.parametrize("launcher", ["basic", "packed"])
def test_a_study_that_is_moved_and_respelled_is_done(tmp_path, launcher):
    command = ["-m", f"hydra/launcher={launcher}", "seed=0,1", *TINY, "logger.tensorboard.save_dir=${folder}"]
    assert train(*command, "study=s", "optimizer.lr=1e-2", cwd=tmp_path).code == 0
    (tmp_path / "later").mkdir()
    shutil.copytree(tmp_path / "outputs/multirun/s", tmp_path / "later/outputs/multirun/s2")
    done = train(*command, "study=s2", "optimizer.lr=0.010", cwd=tmp_path / "later")
    assert (done.code, done.out.count("was done before")) == (0, 2), done.out + done.err
    assert len(list((tmp_path / "later/outputs/multirun/s2").glob("*/record.json"))) == 2


def test_a_path_that_is_moved_is_done(tmp_path):
    sweep = ["-m", "hydra/sweeper=path", "hydra.sweeper.key=regularizer.l1.strength", "hydra.sweeper.points=2"]
    command = [*sweep, "regularizer=l1", "optimizer.lr=0.05", *TINY, "logger=none", "hydra/launcher=packed"]
    first = train(*command, "study=s", cwd=tmp_path)
    assert first.code == 0, first.err
    (tmp_path / "it's moved").mkdir()
    for suffix in ("", "-probes"):
        place = f"outputs/multirun/s{suffix}"
        shutil.copytree(tmp_path / place, tmp_path / "it's moved" / f"outputs/multirun/t{suffix}")
    done = train(*command, "study=t", cwd=tmp_path / "it's moved")
    assert done.code == 0, done.err
    told = [line for line in done.out.split("\n") if re.match(r"run \d", line)]
    assert len(told) > 2
    assert all(line.endswith("was done before") for line in told), done.out
    assert len(list((tmp_path / "it's moved/outputs/multirun/t").glob("*/record.json"))) == 2


@pytest.mark.parametrize(
    ("launcher", "names"),
    [
        ("basic", ["% fat", "it's", "007"]),
        ("packed", ["% fat", "it's", "007", "*star", "a: b"]),
        pytest.param("packed", EXACT, marks=pytest.mark.slow),
    ],
)
def test_a_text_stays_what_it_is_through_all_stages(tmp_path, launcher, names):
    rows = [",".join(["x", *(f'"{name}"' for name in names)])]
    rows += [",".join(f"{(7 * row + 3 * column) % 11 + row}" for column in range(len(names) + 1)) for row in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    targets = "data.target=" + ",".join(map(written, names))
    quiet = ["model.widths=[4]", "trainer.max_epochs=1", "logger=none"]
    command = ["-m", f"hydra/launcher={launcher}", "study=s", "data=csv", "data.path=t.csv", targets, *quiet]
    done = train(*command, cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    runs = {run.config["data"]["target"]: run.folder for run in find_runs(tmp_path)}
    assert sorted(runs) == sorted(names)
    again = train(*command, cwd=tmp_path)
    assert again.out.count("was done before") == len(names)
    for name in ["% fat", "it's", "007"]:
        assert evaluate(f"run={runs[name]}", cwd=tmp_path).code == 0
        texts = [one for one in read(record(runs[name])["overrides"]) if one.key == "data.target"]
        assert [one.value for one in texts] == [name]
    for path in runs.values():
        (path / "record.json").unlink()
    unfinished = [one.value for run in find_runs(tmp_path) for one in read(run.overrides) if one.key == "data.target"]
    assert sorted(unfinished) == sorted(names)


def test_what_the_data_fill_in_is_recorded_where_others_refer_to_it(tmp_path):
    (tmp_path / "mynet.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, shape, num_outputs, num_classes):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, num_classes))\n"
    )
    mine = ["model._target_=mynet.Net", "+model.num_classes=${data.num_outputs}"]
    logger = "+logger.csv={_target_: lightning.pytorch.loggers.CSVLogger, save_dir: '${hydra:runtime.output_dir}'}"
    for launcher in ("basic", "packed"):
        sweep = ["-m", f"study={launcher}", f"hydra/launcher={launcher}", "seed=0,1", *TINY[1:]]
        done = train(*sweep, *mine, logger, cwd=tmp_path)
        assert done.code == 0, done.out + done.err
        records = list((tmp_path / f"outputs/multirun/{launcher}").glob("*/record.json"))
        assert [json.loads(path.read_text())["config"]["model"]["num_classes"] for path in records] == [10, 10]
        assert list((tmp_path / f"outputs/multirun/{launcher}").glob("*/*/*/metrics.csv"))


def test_the_run_of_a_foreign_or_old_folder_is_read(tmp_path):
    place = tmp_path / "run" / ".hydra"
    place.mkdir(parents=True)
    (place / "config.yaml").write_text("data: {}\nmodel: {}\nseed: 0\n")
    for text, expected in {
        "- seed=3\n- 'data.target=''a: b'''\n": ["seed=3", "data.target='a: b'"],
        "- data.target=007\n- data.x=" + "long " * 40 + "\n": ["data.target=007", "data.x=" + ("long " * 40).strip()],
        "- &a [x]\n- *a\n": [],
        "seed: 3\n": [],
        "- [\n": [],
    }.items():
        (place / "overrides.yaml").write_text(text)
        assert list(load_run(Path(place.parent)).overrides) == expected
