"""A run makes most of its steps without Lightning's hooks, from a recording, and no bit of it changes by that."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Callback
from torch import nn

import regnet.training.gradients
from regnet.compose.build import build
from regnet.compose.config_files import config_folder
from regnet.compose.trainer import build_trainer
from regnet.training.loop import EpochLoop
from regnet.training.trace import _Prepared
from tests.helpers.equality import same
from tests.helpers.quick_hydra import quick_hydra

TINY = [
    "data=digits",
    "data.train_size=100",
    "data.batch_size=8",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=5",
]
MLP = ["model.widths=[12]"]
CNN = ["model=cnn", "model.stages=[[4],[6]]", "model.head=[8]"]
RESNET = ["model=resnet", "model.blocks=[1]", "model.norm=group"]
LBFGS = ["optimizer._target_=torch.optim.LBFGS", "~optimizer.betas", "~optimizer.fused"]
STEPS = 26  # of TINY

NETWORKS = {"spatial_dropout": CNN, "dropblock": CNN, "drop_path": RESNET, "shake_drop": RESNET}
NETWORKS["shake_shake"] = [*RESNET, "model.branches=2"]
CATALOGUE = sorted(path.stem for path in (Path(__file__).parents[1] / "conf" / "regularizer").glob("*.yaml"))
CASES = {
    "both": [*MLP, "regularizer=[dropout,l1,l2]"],
    "batch norm": [*CNN, "model.norm=batch", "regularizer=spatial_dropout"],
    "weight norm": [*CNN, "model.norm=weight", "regularizer=[l2,max_norm]"],
    "residual": [*RESNET, "regularizer=[drop_path,weight_decay]"],
    "bf16-mixed": [*CNN, "trainer.precision=bf16-mixed", "model.norm=batch", "regularizer=[orthogonal,dropout]"],
    "bf16-true": [*MLP, "trainer.precision=bf16-true", "regularizer=[dropout,l2]"],
    "float64": [*MLP, "trainer.precision=64-true", "regularizer=[dropout,l1]"],
    "float64, transformed": [*MLP, "trainer.precision=64-true", "regularizer=[rand_augment,cutout,input_noise]"],
    "bf16-mixed, transformed": [*MLP, "trainer.precision=bf16-mixed", "regularizer=[mixup_cutmix,augment]"],
    "sgd": [*MLP, "optimizer=sgd", "regularizer=l1"],
    "lars": [*CNN, "optimizer=lars", "model.norm=batch", "scheduler=cosine", "regularizer=l2"],
    "lamb": [*MLP, "optimizer=lamb", "optimizer.weight_decay=0.1", "regularizer=dropout"],
    "closure": [*MLP, *LBFGS, "regularizer=[l2,gradient_clipping]"],
    "step schedule": [*MLP, "scheduler=cosine", "scheduler.interval=step", "scheduler.T_max=${steps}"],
    "schedules": [
        *MLP,
        "regularizer=[l2,dropout]",
        "regularizer.l2.schedule=linear:0:1",
        "regularizer.dropout.schedule=cosine:1:0",
    ],
    "averages": [*MLP, "regularizer=[ema,mixup,dropout]"],
    "second gradient": [*MLP, "regularizer=[sam,dropout,gradient_noise]"],
    "regression": ["data=diabetes", *MLP, "regularizer=input_noise"],
}
LONG = {"bf16-true", "bf16-mixed, transformed", "float64, transformed", "lamb"}  # others are of the same kind
LIMITS = {
    "often validated": ["+trainer.val_check_interval=0.3"],
    "validated by steps": ["trainer.check_val_every_n_epoch=null", "+trainer.val_check_interval=9"],
    "fewer batches": ["+trainer.limit_train_batches=7"],
    "a limit of steps": ["+trainer.max_steps=17"],
    "no logged step": ["trainer.log_every_n_steps=0"],
    "each step logged": ["trainer.log_every_n_steps=1"],
    "at most three": ["steps_per_execution=3"],
    "accumulated": ["trainer.accumulate_grad_batches=3"],
    "clipped by the Trainer": ["trainer.gradient_clip_val=0.5"],
    "searched for anomalies": ["+trainer.detect_anomaly=true"],
}
ALL_BY_LIGHTNING = {"each step logged", "accumulated", "clipped by the Trainer", "searched for anomalies"}


class Seen(Callback):
    """What is there behind each validation; a callback at no step."""

    def __init__(self):
        self.rows = []

    def on_validation_end(self, trainer, module):
        state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        self.rows.append((trainer.global_step, dict(module.measured), state, trainer.fit_loop.state_dict()))


class Fitted:
    """A run that is trained at once."""

    def __init__(self, folder, *overrides, callbacks=(), change=lambda setup: None):
        seen, self.quick = Seen(), 0
        Path(folder).mkdir()
        with quick_hydra(), initialize_config_dir(str(config_folder()), version_base="1.3"):
            cfg = compose("train", [*TINY, *overrides, f"folder={folder}", "logger={}"])
            setup = build(cfg)
        change(setup)
        own = {f"own{i}": one for i, one in enumerate(callbacks)}
        trainer = build_trainer(cfg, {**setup.regularizers.callbacks, **own, "seen": seen}, str(folder))
        self.loop = trainer.fit_loop.epoch_loop
        step = self.loop._step

        def counted(*arguments):
            self.quick += 1
            step(*arguments)

        self.loop._step = counted
        trainer.fit(setup.module, datamodule=setup.data)
        optimizer = trainer.optimizers[0].state_dict()["state"]
        self.result = [seen.rows, optimizer, (Path(folder) / "metrics.csv").read_text()]

    @property
    def recordings(self):
        found = self.loop.gradients.recordings.values() if self.loop.gradients else ()
        return [one for recording in found for one in recording.traced.recorded.values()]


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(regnet.training.gradients, "PATIENCE", 2)


def check(tmp_path, *overrides):
    quick, slow = Fitted(tmp_path / "a", *overrides), Fitted(tmp_path / "b", *overrides, "steps_per_execution=1")
    assert slow.quick == 0
    assert same(quick.result, slow.result)
    return quick


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in CASES])
def test_no_bit_changes(tmp_path, name):
    quick = check(tmp_path, *CASES[name])
    assert quick.quick > STEPS // 2
    assert quick.recordings
    assert all(isinstance(one, _Prepared) for one in quick.recordings), "it could not be simplified"


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOGUE)
def test_no_bit_changes_under_any_regularizer(tmp_path, name):
    quick = check(tmp_path, *NETWORKS.get(name, MLP), f"regularizer={name}")
    assert quick.quick > STEPS // 2
    assert quick.recordings
    assert all(isinstance(one, _Prepared) for one in quick.recordings)


@pytest.mark.parametrize("name", LIMITS)
def test_no_bit_changes_wherever_lightning_has_to_look(tmp_path, name):
    quick, slow = (
        Fitted(tmp_path / "a", *MLP, *LIMITS[name]),
        Fitted(tmp_path / "b", *MLP, *(one for one in LIMITS[name] if "execution" not in one), "steps_per_execution=1"),
    )
    assert same(quick.result, slow.result)
    assert (quick.quick == 0) == (name in ALL_BY_LIGHTNING)


class AtEachStep(Callback):
    def on_after_backward(self, trainer, module):
        pass


class Elsewhere(Callback):
    def on_train_epoch_start(self, trainer, module):
        pass


def test_a_callback_at_each_step_is_called_at_each_step(tmp_path):
    assert Fitted(tmp_path / "a", *MLP, callbacks=[AtEachStep()]).quick == 0
    assert Fitted(tmp_path / "b", *MLP, callbacks=[Elsewhere()]).quick > 0


class Changed(Callback):
    """Changes the network between epochs in ways that a recording must not miss."""

    def __init__(self, change):
        self.change = change

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            self.change(module.objective)


def _frozen(objective):
    next(iter(objective.network.parameters())).requires_grad_(False)


def _evaluated(objective):
    objective.network.eval()


def _stronger(objective):
    objective.penalties["l2"].strength.fill_(0.5)


def _another(objective):
    objective.penalties["l2"].strength = torch.tensor(0.5, dtype=torch.float64)


def _weaker_dropout(objective):
    for module in objective.network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.9


def _hooked(objective):
    objective.network.register_forward_hook(lambda module, x, y: 2 * y)


def _watched(objective):
    for parameter in objective.parameters():
        parameter.register_hook(lambda grad: grad / 2)


def _replaced(objective):
    (layer, *_) = (module for module in objective.network.modules() if isinstance(module, nn.Linear))
    layer.bias = None


def _with_torchs_dropout(setup):
    """Somebody's `nn.Dropout`, whose rate is a plain number."""
    network = setup.module.objective.network
    network.append(nn.Dropout(0.1)) if isinstance(network, nn.Sequential) else network.add_module(
        "late", nn.Dropout(0.1)
    )


@pytest.mark.parametrize(
    "change", [_frozen, _evaluated, _stronger, _another, _weaker_dropout, _hooked, _watched, _replaced]
)
def test_what_a_callback_changes_between_epochs_counts(tmp_path, change):
    def run(folder, *more):
        overrides = [*MLP, "regularizer=[dropout,l2]", *more]
        return Fitted(tmp_path / folder, *overrides, callbacks=[Changed(change)], change=_with_torchs_dropout)

    quick, slow = run("a"), run("b", "steps_per_execution=1")
    assert quick.quick > 0
    assert same(quick.result, slow.result)
    unchanged = Fitted(tmp_path / "c", *MLP, "regularizer=[dropout,l2]", change=_with_torchs_dropout)
    assert not same(quick.result, unchanged.result)


class Strange(nn.Linear):
    """Counts its calls in Python, as a recording would not."""

    calls = 0

    def forward(self, x):
        type(self).calls += 1
        return super().forward(x) * (1 + self.calls % 3)


def test_a_strangers_module_is_never_recorded(tmp_path, monkeypatch):
    def with_strange(setup):
        monkeypatch.setattr(Strange, "calls", 0)
        for module in setup.module.objective.network.modules():
            if isinstance(module, nn.Linear):
                module.__class__ = Strange

    quick = Fitted(tmp_path / "a", *MLP, change=with_strange)
    slow = Fitted(tmp_path / "b", *MLP, "steps_per_execution=1", change=with_strange)
    assert quick.quick > 0
    assert quick.recordings == []
    assert same(quick.result, slow.result)


def test_the_loop_is_that_of_the_trainer(tmp_path):
    assert isinstance(Fitted(tmp_path / "a", *MLP).loop, EpochLoop)
