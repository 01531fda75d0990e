"""regnet in other people's training code: a LightningModule of their own, or a bare loop."""

import copy

import pytest
import torch
import torch.nn.functional as F
from lightning import LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from regnet.callbacks import LastCheckpoint, Regularize
from regnet.regularizers import L1, L2, Dropout, GradientNoise, Lookahead, MaxNorm, Mixup, WeightDecay

LR = 0.1


class Theirs(LightningModule):
    """As people write one: nothing in it knows of regnet."""

    def __init__(self, as_dict=False):
        super().__init__()
        self.encoder, self.head = nn.Linear(6, 5), nn.Linear(5, 3)
        self.as_dict = as_dict
        self.seen, self.losses = [], []

    def forward(self, x):
        return self.head(self.encoder(x).tanh())

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.seen.append((x, y))
        loss = F.cross_entropy(self(x), y)
        self.losses.append(loss.detach())
        return {"loss": loss, "extra": 1} if self.as_dict else loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=LR)


@pytest.fixture
def samples():
    return torch.randn(24, 6), torch.arange(24) % 3


@pytest.fixture
def fit(make_trainer, samples):
    """Trains with the regularizers, in whole batches unless told otherwise; gives the Trainer."""

    def fitted(module, *regularizers, batch_size=24, network=None, callbacks=(), ckpt_path=None, **settings):
        added = [Regularize(*regularizers, network=network)] if regularizers else []
        trainer = make_trainer(callbacks=[*added, *callbacks], **{"max_epochs": 1} | settings)
        trainer.fit(module, DataLoader(TensorDataset(*samples), batch_size), ckpt_path=ckpt_path, weights_only=True)
        return trainer

    return fitted


def by_hand(module, samples, penalty):
    """One SGD step on cross-entropy plus the penalty of the module."""
    x, y = samples
    optimizer = torch.optim.SGD(module.parameters(), lr=LR)
    (F.cross_entropy(module(x), y) + penalty(module)).backward()
    optimizer.step()
    return module


def assert_same_weights(module, expected):
    for (name, w), v in zip(module.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(w, v, rtol=1e-6, atol=1e-7, msg=name)


@pytest.mark.parametrize("as_dict", [False, True])
def test_the_loss_gains_the_penalties(fit, samples, as_dict):
    module = Theirs(as_dict)
    before = copy.deepcopy(module)
    trainer = fit(module, L2(0.1), L1(0.05))
    w = [before.encoder.weight, before.head.weight]  # no biases
    l2, l1 = 0.1 * sum(v.square().sum() for v in w), 0.05 * sum(v.abs().sum() for v in w)
    assert trainer.logged_metrics["train/penalty/L2"] == pytest.approx(l2.item(), rel=1e-6)
    assert trainer.logged_metrics["train/penalty/L1"] == pytest.approx(l1.item(), rel=1e-6)
    assert_same_weights(module, by_hand(before, samples, lambda net: l2 + l1))


def test_a_part_of_the_module_can_be_meant(fit, samples):
    module = Theirs()
    expected = by_hand(copy.deepcopy(module), samples, lambda net: 0.1 * net.encoder.weight.square().sum())
    fit(module, L2(0.1), network="encoder")
    assert_same_weights(module, expected)
    fit(module, MaxNorm(1e-3), network="encoder")
    assert module.encoder.weight.norm(dim=1).max() < 2e-3 < module.head.weight.norm(dim=1).min()


@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulated_batches_give_the_mean_of_their_objectives(fit, samples, accumulate):
    module = Theirs()
    expected = by_hand(copy.deepcopy(module), samples, lambda net: L2(0.1)(net))
    fit(module, L2(0.1), batch_size=24 // accumulate, accumulate_grad_batches=accumulate)
    assert_same_weights(module, expected)


def test_a_max_norm_holds_after_every_step(fit):
    norms = []

    class Watch(Theirs):
        def on_train_batch_end(self, *_):
            norms.append(torch.stack([w.norm(dim=1).max() for w in (self.encoder.weight, self.head.weight)]).max())

    fit(Watch(), batch_size=6, max_epochs=3)
    free, norms[:] = list(norms), []
    fit(Watch(), MaxNorm(0.3), batch_size=6, max_epochs=3)
    assert len(norms) == len(free) == 12
    assert max(norms) <= 0.3 * (1 + 1e-6) < min(free)


def test_a_decay_shrinks_the_weights_and_not_the_biases(fit, samples):
    module = Theirs()
    expected = by_hand(copy.deepcopy(module), samples, lambda net: 0.0)
    for w in (expected.encoder, expected.head):  # w (1 - lr λ) - lr gradient
        before = getattr(module, "encoder" if w is expected.encoder else "head").weight
        w.weight.data -= LR * 0.5 * before.data
    fit(module, WeightDecay(0.5))
    assert_same_weights(module, expected)


def test_mixup_changes_the_batch_and_the_next_fit_without_it_does_not(fit, samples):
    module = Theirs()
    fit(module, Mixup(1.0, num_classes=3))
    (x, y), (clean, _) = module.seen[0], samples
    assert x.shape == clean.shape
    assert not torch.allclose(x, clean)
    torch.testing.assert_close(y.sum(1), torch.ones(24))
    assert ((y > 0).sum(1) == 2).any()
    fit(module)
    assert torch.equal(module.seen[1][0], clean)
    assert torch.equal(module.seen[1][1], samples[1])


def test_the_module_is_as_it_was_after_training(fit):
    module = Theirs()
    keys = list(module.state_dict())
    optimizer = fit(module, L2(0.1), MaxNorm(0.3)).optimizers[0]
    assert "training_step" not in vars(module)
    assert list(module.state_dict()) == keys
    assert not optimizer._optimizer_step_post_hooks


def test_a_module_can_be_fitted_twice_with_the_same_callback(fit, samples):
    module, callback = Theirs(), Regularize(L2(0.1))
    expected = copy.deepcopy(module)
    for _ in range(2):
        fit(module, callbacks=[callback])
        expected = by_hand(expected, samples, lambda net: L2(0.1)(net))
        expected.zero_grad()
    assert_same_weights(module, expected)


@pytest.mark.parametrize("wrong", [nn.Dropout(0.5), Dropout(0.5), 1e-4])
def test_what_is_no_penalty_update_or_transform_is_refused(wrong):
    with pytest.raises(TypeError, match=f"{type(wrong).__name__} is neither penalty, update nor batch transform"):
        Regularize(L2(0.1), wrong)


def test_a_training_step_without_a_loss_is_refused(fit):
    class Manual(Theirs):
        def training_step(self, batch, batch_idx):
            return None

    with pytest.raises(ValueError, match="returns its loss"):
        fit(Manual(), L2(0.1))


def test_half_precision_trains_as_well(fit, samples):
    module = Theirs()
    expected = by_hand(copy.deepcopy(module), samples, lambda net: L2(0.1)(net))
    fit(module, L2(0.1), MaxNorm(10.0), Mixup(0.0, num_classes=3), precision="bf16-mixed")
    for w, v in zip(module.parameters(), expected.parameters(), strict=True):
        assert w.dtype == torch.float32
        torch.testing.assert_close(w, v, rtol=0.02, atol=5e-3)


def test_one_line_in_a_loss(samples):
    x, y = samples
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    loss = F.cross_entropy(net(x), y) + L2(1e-4)(net)
    expected = F.cross_entropy(net(x), y) + 1e-4 * (net[0].weight.square().sum() + net[2].weight.square().sum())
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(p.grad is not None for p in net.parameters())


def test_one_line_in_a_bare_loop(samples):
    x, y = samples
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=5.0)
    handle = MaxNorm(0.5).attach(optimizer, net)
    for held in (True, True, False):
        if not held:
            handle.remove()
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        assert (net[2].weight.norm(dim=1).max() <= 0.5 * (1 + 1e-6)) == held


def test_one_line_in_a_network(samples):
    net = nn.Sequential(nn.Linear(6, 5), Dropout(0.5), nn.Linear(5, 3))
    x, _ = samples
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


def test_two_penalties_of_one_kind_both_count(fit, samples):
    module = Theirs()
    before = copy.deepcopy(module)
    trainer = fit(module, L2(0.1, select="encoder.weight"), L2(0.3, select="head.weight"))
    both = by_hand(
        before, samples, lambda m: 0.1 * m.encoder.weight.square().sum() + 0.3 * m.head.weight.square().sum()
    )
    assert_same_weights(module, both)
    assert {"train/penalty/L2_0", "train/penalty/L2_1"} <= set(trainer.logged_metrics)


def test_a_fit_that_fails_leaves_the_module_as_it_was(fit):
    class Breaks(Theirs):
        def on_train_epoch_end(self):
            raise RuntimeError("broken")

    module = Breaks()
    with pytest.raises(RuntimeError, match="broken"):
        fit(module, L2(0.1), MaxNorm(1.0))
    assert "training_step" not in vars(module)


def test_slow_weights_and_counters_go_on_from_a_checkpoint(fit, tmp_path):
    """4 steps an epoch, and the slow weights follow every third: at the end of the first epoch one is open."""

    def run(name, epochs, ckpt_path=None):
        module, last = Theirs(), LastCheckpoint(str(tmp_path / name), every_seconds=0)
        updates = [Lookahead(0.5, 3), GradientNoise(0.0)]
        added = [Regularize(*updates), last]
        trainer_settings = {"batch_size": 6, "max_epochs": epochs, "callbacks": added}
        fit(module, ckpt_path=ckpt_path, **trainer_settings)
        return module, updates[1].steps

    torch.manual_seed(1)
    start = Theirs().state_dict()
    torch.manual_seed(1)
    straight, _ = run("straight", 2)
    torch.manual_seed(1)
    run("half", 1)
    resumed, steps = run("resumed", 2, ckpt_path=tmp_path / "half")
    assert steps == 8
    assert_same_weights(resumed, straight)
    assert not torch.equal(resumed.encoder.weight, start["encoder.weight"])
