"""SAM and ASAM against the algorithm by hand: in bare loops, under the Trainer, with somebody else's module."""

import copy
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from lightning import LightningModule
from lightning.pytorch.plugins import MixedPrecision
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from regnet.core.tasks import Classification
from regnet.regularizers import ASAM, L2, SAM, Dropout, GradientClipping
from regnet.training.callbacks import Regularize
from regnet.training.module import RegularizedModule
from regnet.training.objective import Objective

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
X = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(24) % 3


def network(*between):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 5), *(between or (nn.Tanh(),)), nn.Linear(5, 3))


def by_hand(net, batches, rho, floor=None, penalty=lambda net: 0.0, clip=None):
    """One step a batch: the gradient, then w + e, then the gradient there applied to w. Foret et al., algorithm 1."""
    optimizer = SGD(net.parameters())
    parameters = list(net.parameters())
    for x, y in batches:
        grads = torch.autograd.grad(F.cross_entropy(net(x), y) + penalty(net), parameters)
        scale = [torch.ones_like(w) if floor is None else w.detach().abs() + floor for w in parameters]
        norm = math.sqrt(sum(((t * g) ** 2).sum().item() for t, g in zip(scale, grads, strict=True)))
        moved = copy.deepcopy(net)
        with torch.no_grad():
            for w, t, g in zip(moved.parameters(), scale, grads, strict=True):
                w += rho * t * t * g / norm
        worst = torch.autograd.grad(F.cross_entropy(moved(x), y) + penalty(moved), list(moved.parameters()))
        total = math.sqrt(sum((g**2).sum().item() for g in worst))
        for w, g in zip(parameters, worst, strict=True):
            w.grad = g if clip is None else g * min(1.0, clip / total)
        optimizer.step()
    return net


def assert_same_weights(a, b, rtol=1e-6, atol=1e-7):
    for (name, w), v in zip(a.named_parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(w, v, rtol=rtol, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


def loop(net, update, batches):
    optimizer = SGD(net.parameters())
    if update is not None:
        update.attach(optimizer, net)
    for x, y in batches:

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)
    return net


HANDS = {"sam": (SAM(0.3), {"rho": 0.3}), "asam": (ASAM(0.7, 0.02), {"rho": 0.7, "floor": 0.02})}


@pytest.mark.parametrize("name", HANDS)
def test_a_bare_loop_against_the_algorithm_by_hand_in_float64(name):
    update, settings = HANDS[name]
    batches = [(X[i : i + 8].double(), Y[i : i + 8]) for i in (0, 8, 16)] * 4
    mine = loop(network().double(), update, batches)
    assert_same_weights(mine, by_hand(network().double(), batches, **settings), rtol=1e-6, atol=1e-8)
    plain = loop(network().double(), None, batches)
    assert (plain[0].weight - mine[0].weight).abs().max() > 1e-3


def test_a_radius_near_zero_is_the_plain_step():
    batches = [(X.double(), Y)] * 5
    mine = loop(network().double(), SAM(1e-12), batches)
    assert_same_weights(mine, loop(network().double(), None, batches), rtol=0, atol=1e-10)


@pytest.mark.parametrize("update", [SAM(0.5), ASAM(0.5)], ids=["sam", "asam"])
def test_the_weights_come_back_exactly_and_the_scale_of_the_loss_is_of_no_matter(update):
    net = network()
    before = copy.deepcopy(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    grads = []
    for scale in (1.0, 2.0**-20, 2.0**20):  # powers of two, which round nothing

        def gradient(scale=scale):
            (scale * F.cross_entropy(net(X), Y)).backward()

        optimizer.zero_grad()
        update(gradient, gradient, optimizer, net)
        assert all(torch.equal(w, v) for w, v in zip(net.parameters(), before.parameters(), strict=True))
        grads.append([w.grad / scale for w in net.parameters()])
    for other in grads[1:]:
        for g, h in zip(grads[0], other, strict=True):
            torch.testing.assert_close(g, h, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_gradients_that_overflow_move_nothing(bad):
    net = network()
    before = copy.deepcopy(net)
    net(X).sum().backward()
    net[0].weight.grad[0, 0] = bad
    assert all(torch.equal(e, torch.zeros_like(e)) for e in SAM(0.5).ascent([(w, w.grad) for w in net.parameters()]))
    assert_same_weights(net, before, rtol=0, atol=0)


def test_the_weights_come_back_when_the_second_pass_fails():
    net = network()
    before = copy.deepcopy(net)

    def broken():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        SAM(0.5)(lambda: F.cross_entropy(net(X), Y).backward(), broken, SGD(net.parameters()), net)
    assert_same_weights(net, before, rtol=0, atol=0)


def test_both_passes_see_one_mask_and_batch_norm_counts_one_batch():
    class Seen(nn.Module):
        def __init__(self):
            super().__init__()
            self.masks = []

        def forward(self, x):
            self.masks.append(x == 0)
            return x

    seen = Seen()
    net = network(nn.BatchNorm1d(5), Dropout(0.5), seen)
    expected = nn.BatchNorm1d(5)
    with torch.no_grad():
        expected(net[0](X))
    loop(net, SAM(0.5), [(X, Y)])
    assert torch.equal(*seen.masks)
    assert 0 < seen.masks[0].float().mean() < 1
    torch.testing.assert_close(net[1].running_mean, expected.running_mean)
    torch.testing.assert_close(net[1].running_var, expected.running_var)
    assert net[1].num_batches_tracked == 1
    loop(net, SAM(0.5), [(X, Y)])
    assert not torch.equal(seen.masks[0], seen.masks[2])  # the noise goes on


def test_a_step_without_a_closure_is_refused():
    net = network()
    optimizer = SGD(net.parameters())
    handle = SAM(0.05).attach(optimizer, net)
    with pytest.raises(ValueError, match=r"SAM needs optimizer\.step\(closure\)"):
        optimizer.step()
    handle.remove()
    optimizer.step()


# under the Trainer


def ours(updates, *between, penalties=None):
    net = network(*between)
    return RegularizedModule(Objective(net, Classification(), penalties), SGD, updates=updates, seed=0)


class Theirs(LightningModule):
    def __init__(self, *between):
        super().__init__()
        self.net = network(*between)
        self.logged = []

    def training_step(self, batch):  # no index of the batch
        x, y = batch
        loss = F.cross_entropy(self.net(x), y)
        self.log("mean", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self):
        return SGD(self.parameters())


@pytest.fixture
def fit(make_trainer):
    def fitted(module, batch_size=24, callbacks=(), samples=(X, Y), **settings):
        trainer = make_trainer(callbacks=list(callbacks), **{"max_epochs": 1} | settings)
        loader = DataLoader(TensorDataset(*samples), batch_size)
        val = [DataLoader(TensorDataset(X, Y), 24)] * 2
        trainer.fit(module, loader, val if isinstance(module, RegularizedModule) else None)
        return trainer

    return fitted


def train(fit, whose, updates, *between, **settings):
    if whose == "ours":
        module = ours(updates, *between)
        fit(module, **settings)
        return module, module.objective.network
    module = Theirs(*between)
    fit(module, callbacks=[Regularize(*updates)], **settings)
    assert "optimizer_step" not in vars(module)
    return module, module.net


@pytest.mark.parametrize("whose", ["ours", "theirs"])
@pytest.mark.parametrize("name", HANDS)
def test_accumulated_batches_are_all_evaluated_again(fit, whose, name):
    """4 of them are one batch of their size; two steps an epoch, whose batches are not mixed up."""
    update, settings = HANDS[name]
    samples = (torch.cat([X, X.flip(1)]), torch.cat([Y, Y]))
    whole = [(samples[0][:24], Y), (samples[0][24:], Y)] * 2
    for size, accumulate in ((24, 1), (6, 4)):
        _, net = train(
            fit, whose, [update], samples=samples, batch_size=size, accumulate_grad_batches=accumulate, max_epochs=2
        )
        assert_same_weights(net, by_hand(network(), whole, **settings), rtol=1e-4, atol=1e-6)


def test_clipping_comes_after_whatever_the_order_of_choice(fit):
    expected = by_hand(network(), [(X, Y)] * 2, 0.3, clip=0.05)
    for updates in ([SAM(0.3), GradientClipping(0.05)], [GradientClipping(0.05), SAM(0.3)]):
        for whose in ("ours", "theirs"):
            _, net = train(fit, whose, updates, max_epochs=2)
            assert_same_weights(net, expected)


def test_the_penalties_are_part_of_the_loss_that_is_sharp(fit):
    module = ours([SAM(0.3)], penalties={"l2": L2(0.1)})
    fit(module)
    expected = by_hand(network(), [(X, Y)], 0.3, penalty=L2(0.1))
    assert_same_weights(module.objective.network, expected)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_the_second_pass_is_not_measured(fit, accumulate):
    settings = {"batch_size": 24 // accumulate, "accumulate_grad_batches": accumulate}
    with torch.no_grad():
        loss = F.cross_entropy(network()(X), Y).item()
    module, _ = train(fit, "ours", [SAM(2.0)], **settings)
    assert module.measured["train/loss"] == pytest.approx(loss, rel=1e-5)
    theirs = Theirs()
    trainer = fit(theirs, callbacks=[Regularize(SAM(2.0))], **settings)
    assert trainer.callback_metrics["mean"].item() == pytest.approx(loss, rel=1e-5)
    assert "log" not in vars(theirs)


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_each_accumulated_batch_draws_its_own_noise_again(fit, whose):
    masks = []

    class Keep(nn.Module):
        def forward(self, x):
            if self.training:
                masks.append(x == 0)
            return x

    train(fit, whose, [SAM(0.5)], Dropout(0.5), Keep(), batch_size=8, accumulate_grad_batches=3)
    assert len(masks) == 6
    assert all(torch.equal(masks[i], masks[i + 3]) for i in range(3))
    assert not torch.equal(masks[0], masks[1])


@pytest.mark.parametrize("whose", ["ours", "theirs"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_brain_floats(fit, whose, accumulate):
    settings = {"batch_size": 24 // accumulate, "accumulate_grad_batches": accumulate}
    _, net = train(fit, whose, [SAM(0.3)], precision="bf16-mixed", **settings)
    expected = by_hand(network(), [(X, Y)], 0.3)
    assert_same_weights(net, expected, rtol=0.02, atol=5e-3)
    assert all(w.dtype == torch.float32 for w in net.parameters())


@pytest.mark.parametrize("whose", ["ours", "theirs"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_scaled_loss_is_unscaled_and_an_overflow_skipped(fit, whose, accumulate):
    """Half precision has no scaler on a CPU: the plugin as on a GPU, with float32 in place of half."""

    class Scaled(MixedPrecision):
        def autocast_context_manager(self):
            return torch.autocast("cpu", enabled=False)

    class Overflow(nn.Module):
        def forward(self, x):
            if x.requires_grad:
                x.register_hook(lambda gradient: gradient * math.inf)
            return x

    def trained(scale, *between):
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        settings = {"batch_size": 24 // accumulate, "accumulate_grad_batches": accumulate}
        plugin = Scaled("16-mixed", "cpu", scaler)
        return train(fit, whose, [SAM(0.3), GradientClipping(0.5)], *between, plugins=[plugin], **settings)[1], scaler

    net, scaler = trained(2.0**14)
    assert_same_weights(net, by_hand(network(), [(X, Y)], 0.3, clip=0.5))
    assert scaler.get_scale() == 2.0**14
    net, scaler = trained(2.0**14, nn.Tanh(), Overflow())
    assert_same_weights(net, network(), rtol=0, atol=0)
    assert scaler.get_scale() == 2.0**13


def test_manual_optimization_and_two_of_them_are_refused(fit):
    class Manual(Theirs):
        automatic_optimization = False

        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

    with pytest.raises(ValueError, match="SAM needs automatic optimization"):
        fit(Manual(), callbacks=[Regularize(SAM(0.1))])
    with pytest.raises(ValueError, match="choose one"):
        Regularize(SAM(0.1), ASAM(0.1))
