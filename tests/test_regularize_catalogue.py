"""Every penalty, update and transform of the catalogue in a LightningModule that knows nothing of regnet."""

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lightning import LightningModule
from omegaconf import open_dict
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from regnet.compose.regularizers import build_regularizers
from regnet.regularizers import L2, L2SP, SAM, BatchTransform, Dropout, Jacobian, Penalty
from regnet.training.callbacks import LastCheckpoint, Regularize

FILES = sorted(path.stem for path in (Path(__file__).parents[1] / "conf" / "regularizer").glob("*.yaml"))
CLASSES = 4
AT_REST = {"l2_sp", "lookahead", "max_norm", "min_max_norm", "spectral_clip"}  # of one step from the start


class Plain(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), Dropout(0.5), nn.Linear(144, CLASSES)
        )

        self.seen = []

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        self.seen.append(batch)
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture(scope="module")
def fit(make_trainer):
    def fitted(module, *callbacks, ckpt_path=None, **settings):
        torch.manual_seed(3)
        images = TensorDataset(torch.rand(8, 3, 8, 8), torch.arange(8) % CLASSES)
        trainer = make_trainer(callbacks=list(callbacks), **{"max_epochs": 1} | settings)
        trainer.fit(module, DataLoader(images, 8), ckpt_path=ckpt_path, weights_only=True)
        return trainer

    return fitted


def of_the_catalogue(compose_train, name):
    """The regularizer of a file with its own settings, as the command line makes it."""
    cfg = compose_train(f"regularizer={name}", "monitor=val/loss")
    with open_dict(cfg):
        cfg.data.update(num_classes=CLASSES, num_samples=24, policy="cifar10")
        cfg.data.augment = {"_target_": "regnet.regularizers.ShiftFlip", "shift": 2, "flip": True}
    made = build_regularizers(cfg)
    return next(iter((*made.penalties.values(), *made.updates.values(), *made.transforms.values())), None)


@pytest.fixture(scope="module")
def untouched(fit):
    """A start, and where training takes it without any regularizer."""
    torch.manual_seed(0)
    start = Plain()
    fit(end := copy.deepcopy(start))
    return start, end


@pytest.mark.parametrize("name", FILES)
def test_every_one_acts_or_says_what_it_needs(fit, untouched, compose_train, name):
    regularizer = of_the_catalogue(compose_train, name)
    if regularizer is None:  # a layer belongs into the network, a callback to the Trainer
        return
    start, without = untouched
    with_it = copy.deepcopy(start)
    trainer = fit(with_it, Regularize(regularizer))
    assert all(w.isfinite().all() for w in with_it.parameters())
    if isinstance(regularizer, Penalty):
        assert trainer.logged_metrics[f"train/penalty/{type(regularizer).__name__}"].isfinite()
    same = [torch.equal(a, b) for a, b in zip(with_it.parameters(), without.parameters(), strict=True)]
    assert all(same) == (name in AT_REST)


class FastGradient(BatchTransform):
    """x + ε sign(∂ℓ/∂x) (Goodfellow et al. 2015)."""

    stage = BatchTransform.INPUTS
    of_objective = True

    def __init__(self, epsilon):
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x, y, objective):
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(objective(x, y)["loss"], x)
        return x + self.epsilon * slope.sign(), y


def norm_free():
    module = Plain()
    module.net[1] = nn.Identity()
    module.net[4] = nn.Identity()
    return module


@pytest.mark.parametrize("more", [[], [Jacobian(0.1), L2(0.01)], [SAM(0.1)]])
def test_a_transform_sees_the_objective(fit, more):
    module = norm_free()
    start = copy.deepcopy(module)
    trainer = fit(module, Regularize(FastGradient(0.1), *more))
    (clean, y), (attacked, _), *_ = module.seen
    x = clean.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.cross_entropy(start(x), y), x)
    torch.testing.assert_close(attacked, x + 0.1 * slope.sign())
    assert trainer.logged_metrics["train/loss"] == F.cross_entropy(start(attacked), y)  # that of training alone
    assert len(module.seen) == (4 if more and isinstance(more[0], SAM) else 2)


def test_a_transform_that_needs_the_objective_says_so(fit):
    class Manual(Plain):
        automatic_optimization = False

    with pytest.raises(ValueError, match="FastGradient needs automatic optimization"):
        fit(Manual(), Regularize(FastGradient(0.1)))
    with pytest.raises(ValueError, match=r"FastGradient needs the objective: call it with \(x, y, objective\)"):
        FastGradient(0.1)(torch.rand(2, 3), torch.zeros(2))


def test_several_of_one_kind_in_one_trainer_and_after_a_resume(fit, tmp_path):
    """Each keeps its own starting point, and its strength of now."""

    def run(path, strengths, **settings):
        added = [Regularize(L2SP(s, select=layer)) for s, layer in zip(strengths, ("layer:0", "layer:1"), strict=True)]
        return added, fit(Plain(), *added, LastCheckpoint(str(tmp_path / path), every_seconds=0), **settings)

    first, trainer = run("first", (0.1, 0.2))
    assert {"train/penalty/L2SP_0", "train/penalty/L2SP_1"} <= set(trainer.logged_metrics)
    second, _ = run("second", (0.3, 0.4), max_epochs=2, ckpt_path=tmp_path / "first")
    for one, before, strength in zip(second, first, (0.3, 0.4), strict=True):
        now, then = (dict(callback.regularizers.named_buffers()) for callback in (one, before))
        assert now.pop("0.strength").item() == pytest.approx(strength)
        del then["0.strength"]
        assert now.keys() == then.keys()
        assert all(now[name].equal(then[name]) for name in now)


class Greedy(Penalty):
    def forward(self, network, **ingredients):
        return ingredients["logits"].square().mean()


class Modest(Penalty):
    def forward(self, network, logits, **_):
        return logits.square().mean()


def test_an_ingredient_is_asked_for_by_name(fit):
    fit(Plain(), Regularize(Modest()))
    with pytest.raises(ValueError, match=r"Greedy needs logits: name it .* forward\(self, network, logits, \*\*_\)"):
        fit(Plain(), Regularize(Greedy()))
