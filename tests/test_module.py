"""The LightningModule under Lightning's own Trainer: what is measured, and that runs repeat and resume bitwise."""

import copy
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, StepLR

from regnet.core.errors import Diverged
from regnet.core.tasks import Classification, Regression
from regnet.data.loader import EpochSampler, TensorLoader
from regnet.data.samples import Samples
from regnet.models import MLP, Rescale
from regnet.regularizers import (
    L1,
    L2,
    CutMix,
    Cutout,
    Dropout,
    LabelSmoothing,
    MaxNorm,
    Mixup,
    ShiftFlip,
    SpatialDropout,
    WeightDecay,
)
from regnet.run.ledger import generalization_gap
from regnet.training.callbacks import Ema, LastCheckpoint, NoProfiler
from regnet.training.module import RegularizedModule
from regnet.training.objective import Objective
from tests.helpers.equality import same

SGD = partial(torch.optim.SGD, lr=0.1)
N, BATCH = 22, 8  # the last batch of an epoch is smaller
SEED = 3


@pytest.fixture(scope="module")
def samples():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, N, 1, 4, 4, generator=generator)
    y = torch.randint(3, (3, N), generator=generator)
    return [Samples(*part) for part in zip(x, y, strict=True)]  # train, val, probe


def loaders(samples):
    """Training, and [val, probe], as the data module hands them out."""

    def loader(part, size, shuffle):
        return TensorLoader(part, size, EpochSampler(len(part), SEED, shuffle))

    train, val, probe = samples
    return loader(train, BATCH, True), [loader(val, 16, False), loader(probe, 16, False)]


def make(penalties=None, dropout=nn.Identity, optimizer=SGD, widths=(6,), norm="none", **settings):
    torch.manual_seed(SEED)
    network = MLP((1, 4, 4), 3, widths, norm=norm, dropout=dropout)
    return RegularizedModule(Objective(network, Classification(), penalties), optimizer, seed=SEED, **settings)


@pytest.fixture
def fit(make_trainer, samples):
    def fit(module, ckpt_path=None, **settings):
        trainer = make_trainer(**settings)
        train, val = loaders(samples)
        trainer.fit(module, train, val, ckpt_path=ckpt_path, weights_only=True)
        return module

    return fit


class EachEpoch(Callback):
    """Keeps what was measured at the end of every epoch."""

    def __init__(self):
        self.rows = []

    def on_validation_end(self, trainer, pl_module):
        self.rows.append(dict(pl_module.measured))


class Killed(Exception):
    pass


class Kill(Callback):
    """Stops a run as a machine that goes down does: no end of training, no last words."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_end(self, trainer, *_):
        if trainer.current_epoch == self.epoch:
            raise Killed


def weights_of(module):
    return {name: p.detach().clone() for name, p in module.objective.network.named_parameters()}


# what is measured


def test_validation_is_free_of_regularization(fit, samples):
    module = fit(
        make(
            {"l2": L2(0.5)},
            dropout=partial(Dropout, 0.5),
            transforms=[LabelSmoothing(0.5, num_classes=3), CutMix(1.0, num_classes=3), ShiftFlip(1), Cutout(0.5)],
        )
    )
    network = module.objective.network.eval()
    for name, part in (("val", samples[1]), ("train_eval", samples[2])):
        logits = network(part.x).detach()
        assert module.measured[f"{name}/loss"] == pytest.approx(F.cross_entropy(logits, part.y).item(), rel=1e-5)
        accuracy = (logits.argmax(1) == part.y).float().mean().item()
        assert module.measured[f"{name}/accuracy"] == pytest.approx(accuracy)
    assert module.measured["train/loss"] > 0


def test_generalization_gap_is_positive_where_training_looks_better(fit):
    measured = fit(make(dropout=partial(Dropout, 0.9))).measured
    for name, sign in (("loss", 1), ("nll", 1), ("ece", 1), ("accuracy", -1)):
        gap = sign * (measured[f"val/{name}"] - measured[f"train_eval/{name}"])
        assert measured[f"gap/{name}"] == pytest.approx(gap, abs=1e-12)


def test_generalization_gap_of_regression():
    gap = generalization_gap({"loss": 1.0, "rmse": 2.0, "r2": 0.75}, {"loss": 1.5, "rmse": 3.0, "r2": 0.5})
    assert gap == {"loss": 0.5, "rmse": 1.0, "r2": 0.25}


def test_every_term_and_its_share(fit):
    measured = fit(make({"l1": L1(0.01), "l2": L2(0.02)})).measured
    terms = [measured[f"train/{name}"] for name in ("loss", "penalty/l1", "penalty/l2")]
    assert measured["train/objective"] == pytest.approx(sum(terms))
    shares = [measured[f"train/share/{name}"] for name in ("l1", "l2")]
    assert shares == pytest.approx([term / sum(terms) for term in terms[1:]])
    assert sum(shares) + measured["train/loss"] / measured["train/objective"] == pytest.approx(1)
    assert all(share > 0 for share in shares)
    assert not any(name.startswith(("train/share", "train/penalty")) for name in fit(make()).measured)


def test_train_terms_are_means_over_the_samples_of_an_epoch(fit, samples):
    """With a learning rate of zero: the loss of all samples at once, although batches differ in size."""
    module = make({"l2": L2(0.02)}, optimizer=partial(torch.optim.SGD, lr=0.0))
    network = copy.deepcopy(module.objective.network)
    measured = fit(module).measured
    train = samples[0]
    assert N % BATCH
    assert measured["train/loss"] == pytest.approx(F.cross_entropy(network(train.x), train.y).item(), rel=1e-6)
    assert measured["train/penalty/l2"] == pytest.approx(L2(0.02)(network).item(), rel=1e-6)


def test_train_terms_forget_the_epoch_before(fit):
    rows = EachEpoch()
    fit(make(optimizer=partial(torch.optim.SGD, lr=1.0)), max_epochs=3, callbacks=[rows])
    assert len({row["train/loss"] for row in rows.rows}) == 3
    once = EachEpoch()
    fit(make(optimizer=partial(torch.optim.SGD, lr=1.0)), max_epochs=1, callbacks=[once])
    assert once.rows[0] == rows.rows[0]


def test_weights_are_measured(fit):
    module = fit(make())
    matrices = [p.detach() for p in module.objective.network.parameters() if p.ndim > 1]
    norm = math.sqrt(sum(w.square().sum().item() for w in matrices))
    assert module.measured["weights/norm"] == pytest.approx(norm, rel=1e-6)
    assert module.measured["weights/zeros"] == 0


def test_regression(fit, make_trainer):
    x = torch.randn(20, 4)
    y = x.sum(1)
    module = RegularizedModule(Objective(MLP((4,), 1), Regression(2.0), {"l2": L2(1e-4)}), SGD, transforms=[Mixup(0.4)])
    loader = TensorLoader(Samples(x, y), 20, EpochSampler(20, SEED, shuffle=False))
    make_trainer(max_epochs=20).fit(module, loader, [loader, loader])
    assert 0.5 < module.measured["val/r2"] < 1
    assert module.measured["gap/r2"] == module.measured["gap/rmse"] == 0


def test_callbacks_may_watch_validation(fit, make_trainer, samples):
    trainer = make_trainer(max_epochs=50, callbacks=[EarlyStopping("val/accuracy", mode="max", patience=1)])
    module = make(optimizer=partial(torch.optim.SGD, lr=0.0))  # never improves
    trainer.fit(module, *loaders(samples))
    assert trainer.current_epoch == 2
    assert set(trainer.callback_metrics) == {"val/loss", "val/accuracy", "val/nll", "val/ece"}


def test_validation_alone(make_trainer, samples):
    """Without a fit there are no train terms; with one loader there is no gap."""
    module = make()
    make_trainer().validate(module, loaders(samples)[1][:1], verbose=False)
    assert {name.split("/")[0] for name in module.measured} == {"val", "weights"}


def test_nothing_is_logged_every_zero_steps(fit):
    assert fit(make(), log_every_n_steps=0).measured["train/loss"] > 0


# what is trained


def test_penalties_leave_biases_alone(fit):
    """The step of a penalty of enormous strength moves weights, not biases."""
    plain, penalized = (fit(make(p), max_epochs=1, limit_train_batches=1) for p in (None, {"l2": L2(100.0)}))
    for (name, a), b in zip(weights_of(plain).items(), weights_of(penalized).values(), strict=True):
        assert torch.equal(a, b) == name.endswith("bias")


def test_transforms_run_by_stage_and_in_training_only(fit, samples):
    seen = []

    def spy(transform, name):
        transform.register_forward_hook(lambda module, args, out: seen.append((name, module.training)))
        return transform

    transforms = [
        spy(LabelSmoothing(0.1, num_classes=3), "targets"),
        spy(Mixup(0.2, num_classes=3), "mixing"),
        spy(ShiftFlip(1), "inputs"),
    ]
    fit(make(transforms=transforms), max_epochs=1)
    steps = len(loaders(samples)[0])
    assert seen == [("inputs", True), ("mixing", True), ("targets", True)] * steps


def test_random_layers_are_off_in_validation(make_trainer, samples):
    module = make(dropout=partial(Dropout, 0.9))
    val = loaders(samples)[1]
    results = []
    for _ in range(2):
        make_trainer().validate(module, val, verbose=False)
        results.append(dict(module.measured))
    assert results[0] == results[1]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_constraint_holds_after_every_step(fit, accumulate):
    radius = 0.25

    class Watch(Callback):
        steps = 0

        def on_train_batch_end(self, trainer, pl_module, *_):
            self.steps = trainer.global_step
            for name, w in pl_module.objective.network.named_parameters():
                if w.ndim > 1 and self.steps:
                    assert (w.norm(dim=1) <= radius * (1 + 1e-6)).all(), name

    watch = Watch()
    module = make(optimizer=partial(torch.optim.SGD, lr=2.0), updates=[MaxNorm(radius)])
    assert any((w.norm(dim=1) > radius).any() for w in weights_of(module).values() if w.ndim > 1)
    fit(module, callbacks=[watch], accumulate_grad_batches=accumulate)
    assert watch.steps == 2 * -(-3 // accumulate)


def test_weight_decay_under_the_trainer_is_adamw(fit):
    """Lightning computes the gradient inside the step, and the decay must not come before it."""

    def adamw(parameters):
        parameters = list(parameters)
        groups = [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.25}]
        groups += [{"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=2**-4)

    theirs = weights_of(fit(make(optimizer=adamw)))
    ours = weights_of(fit(make(optimizer=partial(torch.optim.Adam, lr=2**-4), updates=[WeightDecay(0.25)])))
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("when", ["step", "epoch"])
def test_divergence_is_said_in_a_sentence(fit, when):
    module = make(optimizer=partial(torch.optim.SGD, lr=1e30))
    every = 1 if when == "step" else 1000  # a step's own values are looked at when they are logged
    name, step = (r"step/loss", 1) if when == "step" else (r"(train|val|weights)/\S+", 3)
    with pytest.raises(Diverged, match=rf"^{name} became (nan|inf) in epoch 0, step {step}$"):
        fit(module, log_every_n_steps=every)


# runs repeat


def everything(dropout=Dropout):
    """As much randomness and state as there is."""
    return make(
        {"l2": L2(1e-3)},
        dropout=partial(dropout, 0.3),
        optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        norm="batch",
        updates=[WeightDecay(0.1), MaxNorm(2.0)],
        transforms=[ShiftFlip(1, True), Mixup(0.4, num_classes=3)],
    )


def test_same_seed_same_bits(fit):
    runs = []
    for noise in (1, 2):
        module, rows = everything(), EachEpoch()
        torch.manual_seed(noise)  # whatever else is drawn before
        fit(module, callbacks=[rows], max_epochs=3)
        runs.append((weights_of(module), rows.rows))
    assert same(*runs)
    other = everything()
    other.seed = SEED + 1
    assert not same(weights_of(fit(other, max_epochs=3)), runs[0][0])


def test_validating_more_does_not_move_the_noise(fit):
    often, seldom = (
        fit(everything(), max_epochs=4, check_val_every_n_epoch=n, num_sanity_val_steps=s) for n, s in ((1, 2), (4, 0))
    )
    assert same(weights_of(often), weights_of(seldom))


def test_a_random_layer_moves_neither_initialization_nor_order(fit):
    class Batches(Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.seen.append(batch[0].clone())

    first, order = [], []
    for dropout in (nn.Identity, partial(Dropout, 0.5), partial(SpatialDropout, 0.1)):
        module, batches = make(dropout=dropout), Batches()
        first.append(weights_of(module))
        fit(module, callbacks=[batches])
        order.append(batches.seen)
    assert same(first[0], first[1])
    assert same(first[0], first[2])
    assert same(order[0], order[1])
    assert same(order[0], order[2])
    assert not same(order[0][:3], order[0][3:])  # each epoch has an order of its own


OPTIMIZERS = {
    "momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "adam": partial(torch.optim.Adam, lr=0.01, fused=True),
}
SCHEDULERS = {
    "cosine": (partial(CosineAnnealingLR, T_max=4), "epoch"),
    "step": (partial(StepLR, step_size=1, gamma=0.5), "epoch"),
    "one cycle": (partial(OneCycleLR, max_lr=0.1, total_steps=12), "step"),
}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("ema", [False, True], ids=["", "ema"])
def test_resumed_run_equals_one_never_interrupted(fit, optimizer, scheduler, ema, tmp_path):
    rows = {}

    def run(name, ckpt_path=None, kill=None):
        module, each_epoch = everything(), EachEpoch()
        module.make_optimizer = OPTIMIZERS[optimizer]
        module.make_scheduler, module.interval = SCHEDULERS[scheduler]
        path, rows[name] = tmp_path / f"{name}.ckpt", each_epoch.rows
        callbacks = [each_epoch, EarlyStopping("val/loss", patience=3), LastCheckpoint(str(path), every_seconds=0)]
        callbacks += [Ema(decay=0.8)] if ema else []
        torch.manual_seed(len(rows))  # nothing may hang on the global stream
        fit(module, ckpt_path, max_epochs=4, callbacks=callbacks + ([Kill(kill)] if kill else []))
        return module, path

    straight, straight_path = run("straight")
    with pytest.raises(Killed):
        run("killed", kill=2)
    resumed, resumed_path = run("resumed", tmp_path / "killed.ckpt")
    assert [len(rows[name]) for name in ("straight", "killed", "resumed")] == [4, 2, 2]
    assert same(rows["killed"] + rows["resumed"], rows["straight"])
    assert same(weights_of(resumed), weights_of(straight))
    assert resumed.measured == straight.measured
    ends = [torch.load(p, weights_only=True) for p in (straight_path, resumed_path)]
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step", "measured"):
        assert same(ends[0][key], ends[1][key]), key
    stopping = [next(v for k, v in end["callbacks"].items() if "EarlyStopping" in k) for end in ends]
    assert same(*stopping)


def test_strength_and_rate_are_in_the_checkpoint(fit, tmp_path):
    module = make({"l2": L2(0.25)}, dropout=partial(Dropout, 0.75), transforms=[Mixup(0.5, num_classes=3)])
    path = tmp_path / "last.ckpt"
    fit(module, callbacks=[LastCheckpoint(str(path))])
    fresh = make({"l2": L2(0.0)}, dropout=partial(Dropout, 0.0), transforms=[Mixup(0.0, num_classes=3)])
    # nothing is left to do but to restore
    assert fit(fresh, path, callbacks=[LastCheckpoint(str(path))]).measured == module.measured
    assert fresh.objective.penalties["l2"].strength == 0.25
    state = torch.load(path, weights_only=True)["state_dict"]
    assert state["objective.penalties.l2.strength"] == 0.25
    assert state["objective.network.hidden.0.3.rate"] == 0.75
    assert state["transforms.0.strength"] == 0.5


def test_average_is_what_is_validated_and_measured(fit, samples):
    """The EMA callback swaps the average in for validation; the weights that are measured are the average's."""
    averages = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module, *_):
            current = weights_of(pl_module)
            old = averages[-1] if averages else current  # the first is taken as it is
            averages.append({k: old[k] + 0.5 * (current[k] - old[k]) for k in current})

    module = make(optimizer=partial(torch.optim.SGD, lr=1.0))
    rows = EachEpoch()
    fit(module, max_epochs=1, callbacks=[Ema(decay=0.5), Watch(), rows])
    norm = math.sqrt(sum(w.square().sum().item() for w in averages[-1].values() if w.ndim > 1))
    assert rows.rows[0]["weights/norm"] == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_precisions(fit, precision):
    module = everything()
    module.transforms.append(LabelSmoothing(0.1, num_classes=3))
    if precision == "bf16-true":
        module.updates = nn.ModuleList(update for update in module.updates if not update.fine)
    fit(module, precision=precision)
    assert all(math.isfinite(value) for value in module.measured.values())
    assert module.measured["train/penalty/l2"] > 0


def test_resumed_after_it_was_stopped_early_it_stays_stopped(fit, tmp_path):
    path = str(tmp_path / "last.ckpt")
    stop = partial(EarlyStopping, "val/loss", patience=1, min_delta=1e9, check_finite=False)
    module = make()
    fit(module, max_epochs=9, callbacks=[stop(), LastCheckpoint(path)])
    again = make()
    fit(again, path, max_epochs=9, callbacks=[stop(), LastCheckpoint(path)])
    assert torch.load(path, weights_only=True)["epoch"] < 8
    assert again.trainer.current_epoch == module.trainer.current_epoch
    assert again.measured == module.measured
    before, after = weights_of(module), weights_of(again)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_regression_keeps_the_unit_of_its_targets_exactly(precision):
    network = nn.Sequential(nn.Linear(2, 1), Rescale(2000.0, 0.25))
    x = torch.randn(5, 2)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        y = network(x)
        inner = network[0](x)
    assert y.dtype == torch.float32
    assert torch.equal(y, 2000 + 0.25 * inner.float())
    assert network.bfloat16()[1].mean.dtype == torch.float32


@pytest.mark.parametrize("profiler", [None, NoProfiler()])
def test_no_profiler_changes_no_result(fit, profiler):
    module = make({"l2": L2(0.25)})
    fit(module, profiler=profiler)
    reference = make({"l2": L2(0.25)})
    assert fit(reference).measured == module.measured
