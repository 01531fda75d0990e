"""What a study survives: a full disk, damaged files, another place, a clock that was set back."""

import json
import re
import shutil
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import regnet.packed.workers
from regnet.run.ledger import Ledger
from tests.helpers.commands import record, train
from tests.helpers.disk import full_disk
from tests.helpers.equality import compare, folders

SEEDS = 11
TINY = ["model.widths=[8]", "trainer.max_epochs=5", "data.train_size=60", "callbacks.last.every_seconds=0"]
STUDY = ["-m", "study=s", *TINY, "trainer.precision=64-true"]
PLACE = "outputs/multirun/s"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The runs of a study that was never interrupted, by their names."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(*STUDY, f"seed=range({SEEDS})", cwd=folder).code == 0
    return folders(folder / PLACE)


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """A study all runs of which were cut off in their fourth epoch."""
    folder = tmp_path_factory.mktemp("cut")
    with full_disk(epoch=3 * SEEDS + 1, size=10_000):
        assert train(*STUDY, f"seed=range({SEEDS})", "hydra/launcher=packed", cwd=folder).code == 1
    return folder


def steps(folder):
    """Of validations, as TensorBoard shows them."""
    return [event.step for event in EventAccumulator(str(folder)).Reload().Scalars("val/loss")]


@pytest.fixture
def epochs(monkeypatch):
    """A list that grows by one with each epoch that is trained in this process."""
    validated, found = Ledger.validated, []

    def counting(self, epoch, *arguments):
        found.append(epoch)
        validated(self, epoch, *arguments)

    monkeypatch.setattr(Ledger, "validated", counting)
    return found


@pytest.mark.parametrize(
    ("launcher", "epoch", "size", "file", "left"),
    [
        ("basic", 4, 10_000, r"checkpoints/(best|last)\.ckpt", 2 + 5),
        ("basic", 9, 0, r"(metrics\.csv|seed=\d)", 2),  # the first run had ended
        ("packed", 7, 10_000, r"checkpoints/(best|last)\.ckpt", 2 + 2),
        ("packed", 7, 0, r"metrics\.csv", 2 + 2),
        ("processes", 4, 10_000, r"checkpoints/(best|last)\.ckpt", 0),  # are not counted in this one
    ],
)
def test_a_full_disk_ends_a_study_in_one_sentence_and_the_same_command_goes_on(
    tmp_path, monkeypatch, whole, epochs, launcher, epoch, size, file, left
):
    if launcher == "processes":
        monkeypatch.setattr(regnet.packed.workers, "available", lambda: 2)
    command = [*STUDY, "seed=0,1", f"hydra/launcher={launcher if launcher == 'basic' else 'packed'}"]
    with full_disk(epoch, size):
        done = train(*command, cwd=tmp_path)
    assert done.code == 1
    assert re.fullmatch(rf"regnet-train: .*{file} cannot be written \(File too large\): raise the limit .*\n", done.err)
    assert done.out.count("interrupted; the same command with study=s goes on from here\n") == 1
    assert len(done.out.splitlines()) <= 2
    assert not list(tmp_path.rglob("*.part"))
    statuses = [record(path.parent)["status"] for path in sorted(tmp_path.rglob("record.json"))]
    assert statuses == (["completed"] if epoch == 9 else statuses)
    assert set(statuses) <= {"completed", "interrupted"}
    assert len(folders(tmp_path / PLACE)) <= 2 - (launcher == "basic" and epoch < 5), "the study ends at once"

    epochs.clear()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 3600)
    done = train(*command, cwd=tmp_path)
    assert (done.code, done.err, len(epochs)) == (0, "", left)
    for name, folder in folders(tmp_path / PLACE).items():
        compare(whole[name], folder, 1e-9)
        assert steps(folder) == steps(whole[name])


def cut(path, size=None):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 if size is None else size])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = [  # of a run each: what is done to which file, and whether its run begins again
    (lambda path: cut(path), "checkpoints/last.ckpt", True),
    (lambda path: cut(path, 0), "checkpoints/last.ckpt", True),
    (flip, "checkpoints/last.ckpt", True),
    (lambda path: cut(path, 0), "checkpoints/best.ckpt", True),
    (lambda path: cut(path, 10), "checkpoints/fingerprint", True),
    (lambda path: cut(path), "metrics.csv", True),
    (lambda path: cut(path, 0), "metrics.csv", True),
    (lambda path: cut(path), "record.json", False),
    (lambda path: cut(path, 0), "record.json", False),
    (lambda path: path.write_text(json.dumps({"schema": 2, "status": "completed"})), "record.json", False),
    (lambda path: path.write_bytes(b"\0"), "checkpoints/.last.ckpt.1.part", False),
]


@pytest.mark.parametrize("launcher", ["basic", "packed"])
def test_a_study_goes_on_with_damaged_files_in_another_place(tmp_path, whole, cut_off, epochs, launcher):
    shutil.copytree(cut_off / PLACE, tmp_path / PLACE)
    names = sorted(folders(tmp_path / PLACE))
    for (damage, file, _), name in zip(DAMAGES, names, strict=True):
        damage(tmp_path / PLACE / name / file)
    done = train(*STUDY, f"seed=range({SEEDS})", f"hydra/launcher={launcher}", cwd=tmp_path)
    assert done.code == 0, done.err
    assert len(epochs) == sum(5 if again else 2 for *_, again in DAMAGES)
    for (_, file, again), name in zip(DAMAGES, names, strict=True):
        folder = tmp_path / PLACE / name
        compare(whole[name], folder, 1e-9)
        kept = f"{file.rpartition('/')[2]}.damaged"
        assert (folder / kept).exists() == (again or file == "record.json")
        told = [line for line in (done.out + done.err).splitlines() if line.startswith(f"{folder / file} ")]
        assert [f"is kept as {kept}" in line for line in told] == [True] * (folder / kept).exists()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("arguments", [[], ["-m", "seed=0,1"], ["-m", "seed=0,1", "hydra/launcher=packed"]])
def test_a_file_in_the_place_of_the_folder_is_named(tmp_path, arguments):
    (tmp_path / "outputs").touch()
    done = train(*arguments, cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(r"regnet-train: outputs/\S+ cannot be used \(Not a directory\)\n", done.err)


def test_a_lock_that_cannot_be_taken_is_named(tmp_path):
    (tmp_path / "r/.lock").mkdir(parents=True)
    done = train(*TINY, "hydra.run.dir=r", cwd=tmp_path)
    assert done.code == 1
    assert f"{tmp_path / 'r/.lock'} cannot be written (Is a directory)" in done.err
