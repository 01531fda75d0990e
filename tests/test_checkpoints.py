"""A checkpoint may come from a stranger: it gives its weights to the same network, and does nothing else."""

import os
import shutil

import pytest
import torch

from regnet.regularizers import L2SP
from regnet.training.callbacks import AtomicCheckpointIO
from tests.helpers.commands import TINY, evaluate, train, train_into

EVERY_EPOCH = [*TINY[:1], TINY[2], "callbacks.last.every_seconds=0"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints") / "run"
    train_into(folder, *TINY)
    return folder


@pytest.fixture
def copied(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def change(file, act):
    checkpoint = act(torch.load(file, weights_only=True))
    torch.save(checkpoint, file)


def each(act):
    return lambda checkpoint: {"state_dict": {name: act(tensor) for name, tensor in checkpoint["state_dict"].items()}}


DAMAGED = {
    "a list": (lambda checkpoint: [1], "it holds a list"),
    "empty": (lambda checkpoint: {}, "it has no state_dict"),
    "a list of weights": (lambda checkpoint: {"state_dict": [1]}, "it has no state_dict"),
    "numbered weights": (lambda checkpoint: {"state_dict": {1: torch.ones(1)}}, "it has no state_dict"),
    "numbers": (each(lambda tensor: 1), "weight holds no such numbers"),
    "complex": (each(lambda tensor: tensor.to(torch.complex64)), "weight holds no such numbers"),
    "whole": (each(lambda tensor: tensor.to(torch.int8)), "weight holds no such numbers"),
    "huge": (each(lambda tensor: torch.zeros(1).expand(10**6, 10**6)), "size mismatch"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_no_checkpoint_of_the_network_is_told_in_one_sentence(copied, tmp_path, kind):
    act, reason = DAMAGED[kind]
    change(copied / "checkpoints" / "best.ckpt", act)
    done = evaluate("run=run", cwd=tmp_path)
    assert (done.code, done.err.count("\n"), done.out) == (1, 1, "")
    assert reason in done.err
    started = train("warm_start=run", *TINY, cwd=tmp_path)
    assert started.code == 1
    assert "warm_start=run has no " in started.err or "checkpoints/best.ckpt is " in started.err


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_a_pipe_is_not_waited_for(copied, tmp_path, name):
    checkpoints = copied / "checkpoints"
    for file in ("best.ckpt", "last.ckpt"):
        (checkpoints / file).unlink()
    os.mkfifo(checkpoints / name)
    done = evaluate("run=run", cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert f"{name} is not a regular file" in done.err
    with pytest.raises(ValueError, match=f"{name} is not a regular file"):
        L2SP(1.0, checkpoint=str(checkpoints / name)).begin(torch.nn.Linear(2, 2))
    (copied / "record.json").unlink()
    if name == "last.ckpt":  # the run begins again, in place of what lies there
        assert train("hydra.run.dir=run", *TINY, cwd=tmp_path).code == 0


@pytest.mark.parametrize("scheme", ["local://", "file://", ""])
def test_going_on_removes_nothing_that_a_checkpoint_names(tmp_path, scheme):
    """Lightning removes what its checkpoint calls the best one before, wherever it lies, with all that is in it."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("mine")
    mine = [
        "+callbacks.mine._target_=lightning.pytorch.callbacks.ModelCheckpoint",
        "+callbacks.mine.monitor=val/loss",
        f"+callbacks.mine.dirpath={tmp_path}/mine",
    ]
    train_into(tmp_path / "long", *EVERY_EPOCH, "trainer.max_epochs=2", *mine)
    train_into(tmp_path / "run", *EVERY_EPOCH, "trainer.max_epochs=1", *mine)
    checkpoints = tmp_path / "run" / "checkpoints"
    (tmp_path / "run" / "record.json").unlink()
    shutil.copy(tmp_path / "long" / "checkpoints" / "fingerprint", checkpoints)
    name = f"{scheme}{victim}" if scheme else f"{checkpoints}/../../victim"

    def name_it(checkpoint):
        (best,) = (state for key, state in checkpoint["callbacks"].items() if "ModelCheckpoint" in key)
        worst = torch.tensor(99.0)
        best.pop("dirpath")
        best |= {"best_model_path": name, "kth_best_model_path": name, "best_k_models": {name: worst}}
        best |= {"kth_value": worst, "best_model_score": worst}
        return checkpoint

    change(checkpoints / "last.ckpt", name_it)
    done = train(f"hydra.run.dir={tmp_path / 'run'}", *EVERY_EPOCH, "trainer.max_epochs=2", *mine, cwd=tmp_path)
    assert " of 2," in done.out, done.err
    assert (victim / "file").read_text() == "mine"


def test_checkpoints_are_removed_where_they_are_saved_only(tmp_path):
    files = AtomicCheckpointIO()
    (tmp_path / "own").mkdir()
    (tmp_path / "other").mkdir()
    for name in ("own/1.ckpt", "other/1.ckpt"):
        (tmp_path / name).write_text("old")
    files.save_checkpoint({"a": 1}, tmp_path / "own" / "2.ckpt")
    for name in ("own/1.ckpt", "own/../other/1.ckpt", "other/1.ckpt", "other"):
        files.remove_checkpoint(str(tmp_path / name))
    assert sorted(file.name for file in (tmp_path / "own").iterdir()) == ["2.ckpt"]
    assert (tmp_path / "other" / "1.ckpt").read_text() == "old"


def test_a_link_in_the_way_is_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "last.ckpt.part").symlink_to(tmp_path / "mine")
    AtomicCheckpointIO().save_checkpoint({"a": 1}, tmp_path / "last.ckpt")
    assert (tmp_path / "mine").read_text() == "mine"
    assert torch.load(tmp_path / "last.ckpt") == {"a": 1}
