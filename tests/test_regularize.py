"""regnet in other people's training code: a LightningModule of their own, or a bare loop."""

import copy
from functools import partial
from pathlib import Path
from pkgutil import resolve_name

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from regnet.regularizers import (
    L0,
    L1,
    L2,
    L2SP,
    SAM,
    ActivityL1,
    ActivityL2,
    ConcreteDropout,
    ConfidencePenalty,
    Dropout,
    GradientClipping,
    GradientNoise,
    GradientPenalty,
    Jacobian,
    KLSparsity,
    LayerPenalty,
    Lookahead,
    MaxNorm,
    Mixup,
    Penalty,
    RDrop,
    SpectralDecoupling,
    VariationalDropout,
    WeightDecay,
    WeightLayerPenalty,
)
from regnet.training.callbacks import LastCheckpoint, Regularize
from regnet.training.objective import Objective
from tests.helpers.theirs import LR, Theirs


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


@pytest.mark.parametrize("regularizer", [L2(0.1), SAM(0.1)])
def test_a_module_that_optimizes_by_hand_is_refused_what_goes_into_its_loss(fit, regularizer):
    class Manual(Theirs):
        automatic_optimization = False

    with pytest.raises(ValueError, match=f"^{type(regularizer).__name__} needs automatic optimization"):
        fit(Manual(), regularizer)


@pytest.mark.filterwarnings("ignore:.*`training_step` returned `None`")
@pytest.mark.parametrize("more", [[], [SAM(1e-9)]])
def test_a_batch_that_the_training_step_leaves_out_is_left_out(fit, samples, more):
    """Of two accumulated batches the first has no loss; Lightning still divides by two."""

    class Half(Theirs):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            return loss if batch_idx else None

    module = Half()
    expected = copy.deepcopy(module)
    optimizer = torch.optim.SGD(expected.parameters(), lr=LR)
    x, y = (part[12:] for part in samples)
    ((F.cross_entropy(expected(x), y) + L2(0.1)(expected)) / 2).backward()
    optimizer.step()
    fit(module, L2(0.1), *more, batch_size=12, accumulate_grad_batches=2)
    assert_same_weights(module, expected)


class Two(Theirs):
    """As adversarial networks are trained: each part by an optimizer of its own."""

    automatic_optimization = False

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self(batch[0]), batch[1])
        optimizers = self.optimizers()
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in optimizers:
            optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.SGD(part.parameters(), lr=LR) for part in (self.encoder, self.head)]


def test_of_several_optimizers_only_those_of_the_part_are_followed(fit, samples):
    x, y = samples
    module = Two()
    expected = copy.deepcopy(module)
    optimizer = torch.optim.SGD(expected.parameters(), lr=LR)
    slow = [w.detach().clone() for w in expected.encoder.parameters()]
    for step in range(4):
        optimizer.zero_grad()
        F.cross_entropy(expected(x), y).backward()
        nn.utils.clip_grad_norm_(expected.encoder.parameters(), 0.01)
        optimizer.step()
        if step % 2:
            with torch.no_grad():
                for start, w in zip(slow, expected.encoder.parameters(), strict=True):
                    start.lerp_(w, 0.5)
                    w.copy_(start)
    fit(module, GradientClipping(0.01), Lookahead(0.5, period=2), network="encoder", max_epochs=4)
    for w, v in zip(module.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(w, v, rtol=1e-4, atol=1e-5)  # torch adds 1e-6 to the norm


@pytest.mark.parametrize("regularizer", [Lookahead(), GradientNoise(0.1)])
def test_what_counts_steps_is_refused_several_optimizers(fit, regularizer):
    with pytest.raises(ValueError, match=" counts the steps of one optimizer, and 2 move"):
        fit(Two(), regularizer)


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


CATALOGUE = Path(__file__).parents[1] / "conf" / "regularizer"
TARGETS = {
    file.stem: resolve_name(node["_target_"])
    for file in sorted(CATALOGUE.glob("*.yaml"))
    for node in OmegaConf.to_container(OmegaConf.load(file)).values()
    if isinstance(node, dict)
}
PENALTIES = {name: partial(kind, 0.03) for name, kind in TARGETS.items() if issubclass(kind, Penalty)} | {
    "activity_l2": partial(ActivityL2, 0.03, layers="Linear"),
    "kl_sparsity": partial(KLSparsity, 0.03, squash="sigmoid"),
    "confidence_penalty": partial(ConfidencePenalty, 0.5, num_classes=3),
    "spectral_decoupling": partial(SpectralDecoupling, 0.1, num_classes=3),
    "r_drop": partial(RDrop, 2.0, num_classes=3),
    "jacobian": partial(Jacobian, 0.1),
    "gradient_penalty": partial(GradientPenalty, 5.0),
}
OF_LAYERS = {
    "concrete_dropout": lambda: LayerPenalty(ConcreteDropout),
    "l0": lambda: WeightLayerPenalty(L0),
    "variational_dropout": lambda: WeightLayerPenalty(VariationalDropout),
}


class Layered(Theirs):
    """With a layer that draws; its noise is that of one seed at every step."""

    def __init__(self, layer=None):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 5), layer or Dropout(0.5), nn.Tanh(), nn.Linear(5, 3))
        del self.encoder, self.head

    def forward(self, x):
        return self.net(x)

    def on_train_batch_start(self, *_):
        torch.manual_seed(7)


def layered(name):
    if name == "concrete_dropout":
        return Layered(ConcreteDropout(0.2))
    module = Layered()
    if name == "l0":
        L0(1e-3).put_on(module.net)
    if name == "variational_dropout":
        VariationalDropout(1e-3, num_samples=24).put_on(module.net)
    return module


def by_objective(module, samples, *penalties, steps=1):
    """SGD steps on regnet's own objective of the same network; its terms at the last one."""
    objective = Objective(module.net, F.cross_entropy, {type(penalty).__name__: penalty for penalty in penalties})
    for penalty in penalties:
        penalty.begin(module.net)
    optimizer = torch.optim.SGD(module.parameters(), lr=LR)
    for _ in range(steps):
        torch.manual_seed(7)
        terms = objective(*samples)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    return {name.removeprefix("penalty/"): value.item() for name, value in terms.items()}


@pytest.mark.parametrize("network", [None, "net"])
@pytest.mark.parametrize("name", [*PENALTIES, *OF_LAYERS])
def test_every_penalty_gets_what_the_objective_gives_it(fit, samples, name, network):
    make = (PENALTIES | OF_LAYERS)[name]
    module = layered(name)
    expected = copy.deepcopy(module)
    penalty = make()
    trainer = fit(module, penalty, network=network, max_epochs=2)
    kind = type(penalty).__name__
    value = by_objective(expected, samples, make(), steps=2)[kind]
    assert abs(value) > 1e-5
    assert trainer.logged_metrics[f"train/penalty/{kind}"].item() == pytest.approx(value, rel=1e-5)
    assert_same_weights(module, expected)


def test_penalties_of_all_kinds_together(fit, samples):
    """R-Drop doubles the batch for all of them, and derivatives are those of the doubled one."""
    makes = [PENALTIES[name] for name in ("r_drop", "jacobian", "gradient_penalty", "activity_l1", "l2")]
    module = Layered()
    expected = copy.deepcopy(module)
    trainer = fit(module, *(make() for make in makes))
    for name, value in by_objective(expected, samples, *(make() for make in makes)).items():
        if name != "loss":
            assert trainer.logged_metrics[f"train/penalty/{name}"].item() == pytest.approx(value, rel=1e-5)
    assert_same_weights(module, expected)


def test_several_act_as_one_each_on_its_part(fit, samples):
    one, several = Theirs(), None
    several = copy.deepcopy(one)
    parts = [Regularize(L2(0.1), network="encoder"), Regularize(L2(0.3), MaxNorm(0.2), network="head")]
    trainer = fit(several, callbacks=[*parts, Regularize(ConfidencePenalty(0.5, num_classes=3))])
    fit(one, L2(0.1, select="encoder.weight"), L2(0.3, select="head.weight"), MaxNorm(0.2, select="head.weight"),
        ConfidencePenalty(0.5, num_classes=3))  # fmt: skip
    assert_same_weights(several, one)
    names = {"train/penalty/L2_0", "train/penalty/L2_1", "train/penalty/ConfidencePenalty"}
    assert names <= set(trainer.logged_metrics)
    assert not {"training_step", "optimizer_step"} & set(vars(several))
    assert not trainer.optimizers[0]._optimizer_step_post_hooks


def test_doubled_batches_and_derivatives_in_different_ones(fit, samples):
    apart, together = Layered(), None
    together = copy.deepcopy(apart)
    fit(apart, callbacks=[Regularize(PENALTIES["jacobian"]()), Regularize(PENALTIES["r_drop"]())])
    fit(together, PENALTIES["jacobian"](), PENALTIES["r_drop"]())
    assert_same_weights(apart, together)


def test_sam_sees_all_penalties(fit, samples):
    """The gradient at w + ρ g / |g|, g that of the whole objective, which is written out here."""
    module = Theirs()
    expected = copy.deepcopy(module)
    x, y = samples[0].clone().requires_grad_(), samples[1]

    def gradients():
        logits = expected(x)
        (slope,) = torch.autograd.grad(24 * F.cross_entropy(logits, y), x, create_graph=True)
        p = logits.softmax(1)
        total = F.cross_entropy(logits, y) + 0.5 * (p * p.log()).sum(1).mean() + 5.0 * slope.square().sum() / 24
        return torch.autograd.grad(total, list(expected.parameters()))

    first = gradients()
    length = torch.stack([g.norm() for g in first]).norm()
    with torch.no_grad():
        before = [w.clone() for w in expected.parameters()]
        for w, g in zip(expected.parameters(), first, strict=True):
            w += 0.3 * g / length
    second = gradients()
    with torch.no_grad():
        for w, start, g in zip(expected.parameters(), before, second, strict=True):
            w.copy_(start - LR * g)
    fit(
        module,
        callbacks=[Regularize(SAM(0.3)), Regularize(ConfidencePenalty(0.5, num_classes=3), GradientPenalty(5.0))],
    )
    assert_same_weights(module, expected)


def test_two_sams_are_refused_wherever_they_are(fit):
    with pytest.raises(ValueError, match="choose one"):
        fit(Theirs(), callbacks=[Regularize(SAM(0.1)), Regularize(L2(0.1), SAM(0.2))])


def test_accumulated_batches_and_half_precision_take_penalties_of_the_batch(fit, samples):
    module = Theirs()
    expected = by_hand(copy.deepcopy(module), samples, lambda m: 0.1 * m(samples[0]).square().sum(1).mean())
    fit(module, SpectralDecoupling(0.1, num_classes=3), batch_size=8, accumulate_grad_batches=3)
    assert_same_weights(module, expected)
    fit(Layered(), *(make() for make in PENALTIES.values()), precision="bf16-mixed")


class Dicts(Theirs):
    def training_step(self, batch, batch_idx):
        return super().training_step((batch["x"], batch["y"]), batch_idx)


class Parts(Theirs):
    def training_step(self, batch, batch_idx):
        (x, _), y = batch
        return super().training_step((x, y), batch_idx)


class Inside(Theirs):
    """Calls parts of itself, never itself."""

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self.forward(batch[0]), batch[1])


class Twice(Theirs):
    def training_step(self, batch, batch_idx):
        self(batch[0])
        return super().training_step(batch, batch_idx)


class Pairs(Theirs):
    def forward(self, x):
        return super().forward(x), x

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self(batch[0])[0], batch[1])


class Tokens(Theirs):
    def training_step(self, batch, batch_idx):
        return super().training_step((batch[0].float(), batch[1]), batch_idx)


@pytest.mark.parametrize(
    ("module", "collate", "penalty", "sentence"),
    [
        (Dicts, lambda x, y: {"x": x, "y": y}, RDrop(1.0, 3), r"RDrop needs batches \(x, y\) .* are a dict"),
        (Dicts, lambda x, y: {"x": x, "y": y}, Mixup(0.2, 3), r"Mixup needs batches \(x, y\) of two tensors"),
        (Parts, lambda x, y: ((x, x), y), Jacobian(1.0), r"Jacobian needs .* are 2 parts: list, Tensor"),
        (Tokens, lambda x, y: (x.long(), y), GradientPenalty(1.0), r"GradientPenalty .*whole numbers.*torch\.int64"),
        (
            Inside,
            None,
            ConfidencePenalty(1.0, 3),
            r"ConfidencePenalty needs .*logits .*of Inside.* 0 calls",
        ),
        (Twice, None, ConfidencePenalty(1.0, 3), r"there are 2 calls; .*Regularize\(\.\.\., network='head'\)"),
        (Pairs, None, SpectralDecoupling(1.0, 3), r"its output is a tuple"),
    ],
)
def test_what_a_penalty_does_not_find_is_named(make_trainer, samples, module, collate, penalty, sentence):
    x, y = samples
    data = [collate(x[i], y[i]) if collate else (x[i], y[i]) for i in range(24)]
    with pytest.raises(ValueError, match=sentence):
        make_trainer(callbacks=[Regularize(penalty)], max_epochs=1).fit(module(), DataLoader(data, 24))


@pytest.mark.parametrize("module", [Dicts, Inside])
def test_penalties_that_need_no_batch_take_any(make_trainer, samples, module):
    x, y = samples
    data = [{"x": x[i], "y": y[i]} if module is Dicts else (x[i], y[i]) for i in range(24)]
    trained = module()
    expected = by_hand(copy.deepcopy(trained), samples, lambda m: L2(0.1)(m))
    make_trainer(callbacks=[Regularize(L2(0.1))], max_epochs=1).fit(trained, DataLoader(data, 24))
    assert_same_weights(trained, expected)


def test_the_part_that_gives_the_logits_can_be_named(fit, samples):
    module = Inside()
    expected = by_hand(copy.deepcopy(module), samples, lambda m: 0.1 * m(samples[0]).square().sum(1).mean())
    fit(module, SpectralDecoupling(0.1, num_classes=3), network="head")
    assert_same_weights(module, expected)


@pytest.mark.parametrize(
    ("regularizer", "sentence"),
    [
        (ActivityL1(1.0), "^ActivityL1: .*no activation functions to record"),
        (ActivityL1(1.0, layers="Conv2d"), "'Conv2d' matches no module"),
        (LayerPenalty(ConcreteDropout), "the network has no ConcreteDropout to ask for its penalty"),
        (WeightLayerPenalty(L0), "the network has no L0 to ask for its penalty"),
        (L2(0.1, select="tail.*"), r"L2: select='tail\.\*' matches no"),
        (MaxNorm(1.0, select="Conv2d"), "MaxNorm: .*Conv2d.* matches no"),
        (L2(0.1, scale={"tail.*": 2.0}), r"L2: scale\.tail\.\* matches none"),
    ],
)
def test_what_has_nothing_to_act_on_is_refused_before_training(fit, regularizer, sentence):
    module = Theirs()
    with pytest.raises(ValueError, match=sentence):
        fit(module, regularizer)
    assert not module.seen


def test_a_part_that_is_not_there_is_named(fit):
    with pytest.raises(ValueError, match=r"^Regularize\(\.\.\., network='tail'\): .*tail"):
        fit(Theirs(), L2(0.1), network="tail")


def test_a_part_without_weights_is_refused(fit):
    class Normed(Theirs):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(6)

    with pytest.raises(ValueError, match="L2: there is nothing to act on, as LayerNorm has no weights"):
        fit(Normed(), L2(0.1), network="norm")


def test_numbers_given_now_win_over_those_of_a_checkpoint(fit, samples, tmp_path):
    def run(name, strength, ratio, epochs, ckpt_path=None):
        module, last = Theirs(), LastCheckpoint(str(tmp_path / name), every_seconds=0)
        lookahead = Lookahead(ratio, 3)
        added = [Regularize(L2(strength), lookahead), Regularize(L2SP(0.1), network="head"), last]
        fit(module, callbacks=added, max_epochs=epochs, ckpt_path=ckpt_path)
        return added, lookahead

    run("first", 0.1, 0.5, 2)
    (first, second, _), lookahead = run("second", 0.3, 0.25, 4, ckpt_path=tmp_path / "first")
    assert [first.regularizers[0].strength.item(), lookahead.ratio.item()] == pytest.approx([0.3, 0.25])
    assert lookahead.steps == 4
    saved = torch.load(tmp_path / "first", weights_only=True)["regularize"]
    anchors = next(state for key, state in saved.items() if "L2SP" in key)
    (name,) = (name for name in anchors if "anchor" in name)
    assert second.regularizers.state_dict()[name].equal(anchors[name])
