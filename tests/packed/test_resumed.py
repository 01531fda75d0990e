"""What keeps a state of its own goes on in a pack and out of it, and leaves the pack when its run stops."""

import shutil

import pytest
import torch

import regnet.packed.module
import regnet.training.module
from tests.helpers.commands import TINY, record, train
from tests.helpers.equality import close_tensors, compare, folders

PACKED = "hydra/launcher=packed"
SWEEP = [
    *("-m", "study=s", *TINY, "trainer.max_epochs=5", "callbacks.last.every_seconds=0", "data.batch_size=20"),
    *("trainer.precision=64-true", "logger=none", "seed=0,1"),
]
CASES = {
    "noise and slow weights": ["regularizer=[gradient_noise,lookahead,dropout]", "regularizer.lookahead.period=4"],
    "an exponential average": ["regularizer=[ema,dropout]", "regularizer.ema.start=0.5,0", "model.norm=batch"],
    "an average of epochs": [
        "regularizer=swa",
        "regularizer.swa.start=0.2,0.7",
        "model.norm=batch",
        "+regularizer.swa.lr=1e-2",
    ],
    "snapshots": ["regularizer=snapshots", "regularizer.snapshots.cycles=2,3", "model.norm=batch"],
    "rmsprop": ["optimizer=rmsprop", "optimizer.momentum=0.5,0.9", "regularizer=sam"],
    "adagrad": ["optimizer=adagrad", "+optimizer.lr_decay=0,0.1"],
    "lars": ["optimizer=lars", "optimizer.lr=1,3", "scheduler=cosine", "regularizer=dropout"],
    "lamb": ["optimizer=lamb", "optimizer.lr=1e-3,1e-2", "scheduler=one_cycle", "regularizer=dropout"],
}


def study(folder):
    return folders(folder / "outputs" / "multirun" / "s")


def interrupted(module, hook, epoch):
    ended = getattr(module, hook)

    def then_interrupted(self):
        ended(self)
        if self.current_epoch == epoch:
            raise KeyboardInterrupt

    return then_interrupted


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_what_keeps_a_state_goes_on_in_a_pack_and_alone(case, tmp_path, monkeypatch):
    command = [*SWEEP, *CASES[case]]
    for name in ("whole", "packed", "alone"):
        (tmp_path / name).mkdir()
    assert train(*command, cwd=tmp_path / "whole").code == 0
    pack, alone = regnet.packed.module.PackedModule, regnet.training.module.RegularizedModule
    for name, launcher, module, hook, epoch in (
        ("packed", [PACKED], pack, "on_train_epoch_end", 2),
        ("alone", [], alone, "on_train_epoch_start", 3),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, hook, interrupted(module, hook, epoch))
            done = train(*command, *launcher, cwd=tmp_path / name)
        assert done.code in (1, 130), done.out + done.err
    shutil.copytree(tmp_path / "packed", tmp_path / "other")
    for place, launcher in (("packed", PACKED), ("other", "hydra/launcher=basic"), ("alone", PACKED)):
        done = train(*command, launcher, cwd=tmp_path / place)
        assert done.code == 0, done.out + done.err
        assert "alone:" not in done.out
        for name, folder in study(tmp_path / "whole").items():
            compare(folder, study(tmp_path / place)[name], 1e-9)


@pytest.mark.parametrize("technique", ["ema", "snapshots", "[lookahead,gradient_noise]"])
def test_a_run_that_stops_early_takes_its_state_with_it(technique, tmp_path):
    own = technique.strip("[]")
    stopping = ["regularizer.early_stopping.patience=1,4", "optimizer.lr=1e-2,1"]
    own_settings = {"snapshots": ["regularizer.snapshots.cycles=1"], "ema": ["regularizer.ema.decay=0.2"]}
    small = ["model.widths=[8]", "trainer.max_epochs=12", "data.train_size=60", "callbacks.last.every_seconds=1000"]
    command = ["-m", "study=s", f"regularizer=[{own},early_stopping]", *stopping, *small]
    command += own_settings.get(technique, [])
    for name, launcher in (("alone", []), ("packed", [PACKED])):
        (tmp_path / name).mkdir()
        done = train(*command, "trainer.precision=64-true", "logger=none", *launcher, cwd=tmp_path / name)
        assert done.code == 0, done.out + done.err
    assert "packed: 4 runs in 1 pack\n" in done.out
    alone, packed = (study(tmp_path / name) for name in ("alone", "packed"))
    for name, folder in alone.items():
        compare(folder, packed[name], 1e-9)
        states = [torch.load(one / "checkpoints" / "last.ckpt", weights_only=True) for one in (folder, packed[name])]
        for key in ("optimizer_states", "callbacks", "current_model_state", "averaging_state"):
            close_tensors(*(state.get(key) for state in states), relative=1e-9)
    if technique != "snapshots":  # of which only the whole ensemble counts, at the end
        assert len({record(folder)["epochs"] for folder in packed.values()}) > 1
