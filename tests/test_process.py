"""What happens around training: averages of weights, snapshots, early stopping; and that all of it resumes bitwise."""

import copy
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel, update_bn

from regnet.compose.build import build
from regnet.core.errors import UserError
from regnet.core.tasks import Classification
from regnet.data.loader import EpochSampler, TensorLoader
from regnet.data.samples import Samples
from regnet.models import MLP
from regnet.regularizers import (
    ASAM,
    L2,
    SAM,
    Dropout,
    GradientClipping,
    GradientNoise,
    Lookahead,
    ProximalL1,
    WeightDecay,
)
from regnet.regularizers.schedules import Schedules, parse
from regnet.training.callbacks import EarlyStopping, Ema, Ensemble, LastCheckpoint, NetworkCallback, Snapshots, Swa
from regnet.training.module import RegularizedModule
from regnet.training.objective import Objective
from tests.helpers.commands import TINY, evaluate, finish, record, start, train, train_into
from tests.helpers.equality import same

SEED, N, BATCH = 3, 22, 8  # 3 steps an epoch
SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9)


@pytest.fixture(scope="module")
def samples():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, N, 1, 4, 4, generator=generator)
    return [Samples(*part) for part in zip(x, torch.randint(3, (3, N), generator=generator), strict=True)]


def loader(part, size=16, shuffle=False):
    return TensorLoader(part, size, EpochSampler(len(part), SEED, shuffle))


@pytest.fixture
def fit(make_trainer, samples):
    def fit(module, ckpt_path=None, **settings):
        trainer = make_trainer(**settings)
        train, val, probe = samples
        trainer.fit(
            module,
            loader(train, BATCH, True),
            [loader(val), loader(probe)],
            ckpt_path=ckpt_path,
            weights_only=True,
        )
        return trainer

    return fit


def network(norm="none", dropout=nn.Identity):
    torch.manual_seed(SEED)
    return nn.Sequential(MLP((1, 4, 4), 3, (6,), norm=norm, dropout=dropout))


def module_of(net, **settings):
    return RegularizedModule(Objective(net, Classification()), SGD, seed=SEED, **settings)


class Keep(Callback):
    """The network after each step, the learning rate of it, and what was measured in each epoch."""

    def __init__(self):
        self.networks, self.rates, self.rows = [], [], []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.networks.append(copy.deepcopy(pl_module.objective.network).train())

    def on_train_batch_start(self, trainer, *_):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_validation_end(self, trainer, pl_module):
        self.rows.append(dict(pl_module.measured))


def loss_of(net, part):
    with torch.no_grad():
        return F.cross_entropy(net.eval()(part.x), part.y).item()


def assert_close(state, expected):
    assert state.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(state[name], expected[name], rtol=1e-5, atol=1e-6, msg=name)


# stochastic weight averaging


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_swa_is_torch_s(fit, samples, tmp_path, norm):
    """6 epochs, the last 3 of them count; each is validated with the average so far."""
    module, keep = module_of(network(norm)), Keep()
    path = tmp_path / "last.ckpt"
    fit(module, max_epochs=6, callbacks=[Swa(start=0.5), keep, LastCheckpoint(str(path))])
    theirs = AveragedModel(keep.networks[0])
    for epoch, row in enumerate(keep.rows):
        current = keep.networks[3 * epoch + 2]
        if epoch < 3:
            expected = copy.deepcopy(current)
        else:
            theirs.update_parameters(current)
            batches = loader(samples[0], BATCH, True)
            batches.sampler.set_epoch(epoch)
            update_bn(batches, theirs)
            expected = theirs.module
        assert row["val/loss"] == pytest.approx(loss_of(expected, samples[1]), rel=1e-5), epoch
    plain = loss_of(keep.networks[-1], samples[1])
    assert row["val/loss"] != pytest.approx(plain, rel=1e-3)
    state = torch.load(path, weights_only=True)["state_dict"]
    found = {k.removeprefix("objective.network."): v for k, v in state.items() if "objective.network." in k}
    assert_close(found, theirs.module.state_dict())
    assert_close(module.objective.network.state_dict(), theirs.module.state_dict())  # training ends with it


def test_swa_leaves_the_training_itself_as_it_is(fit):
    weights = []
    for callbacks in ([], [Swa(start=0.25)]):
        keep = Keep()
        fit(module_of(network("batch", partial(Dropout, 0.5))), max_epochs=4, callbacks=[*callbacks, keep])
        weights.append([net.state_dict() for net in keep.networks])
    assert same(*weights)


@pytest.mark.parametrize("scheduler", [None, partial(CosineAnnealingLR, T_max=6)], ids=["constant", "cosine"])
def test_swa_s_learning_rate_from_its_start_on(fit, scheduler):
    keep = Keep()
    fit(module_of(network(), scheduler=scheduler), max_epochs=6, callbacks=[Swa(start=0.5, lr=0.03), keep])
    before = [0.1 * (1 + math.cos(math.pi * e / 6)) / 2 if scheduler else 0.1 for e in range(3) for _ in range(3)]
    assert keep.rates[:9] == pytest.approx(before)
    assert keep.rates[9:] == [0.03] * 9


def test_swa_needs_to_know_the_end_and_to_be_the_only_average(fit):
    with pytest.raises(UserError, match=r"set trainer\.max_epochs"):
        fit(module_of(network()), max_epochs=-1, max_steps=3, callbacks=[Swa()])
    with pytest.raises(UserError, match=r"Swa.*Ema.*choose one|Ema.*Swa.*choose one"):
        fit(module_of(network()), callbacks=[Swa(), Ema()])
    for wrong in ({"start": 1.0}, {"start": -0.1}, {"lr": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Swa(**wrong)


@pytest.mark.parametrize("often", [0.5, 1], ids=["share of an epoch", "every batch"])
def test_swa_in_the_middle_of_an_epoch_is_what_there_is_by_then(fit, samples, often):
    """4 epochs of 3 steps, the last 2 count: before the third has ended the weights as they are, then the average."""
    module, keep = module_of(network()), Keep()
    fit(module, max_epochs=4, val_check_interval=often, callbacks=[Swa(start=0.5), keep])
    ends = keep.networks[8], keep.networks[11]
    averages = AveragedModel(ends[0])
    expected = dict(enumerate(keep.networks[:9], 1))
    for step, net in ((9, ends[0]), (12, ends[1])):
        averages.update_parameters(net)
        expected |= {later: copy.deepcopy(averages.module) for later in range(step, 13)}
    assert len(keep.rows) == 12
    for step, row in enumerate(keep.rows, 1):
        assert row["val/loss"] == pytest.approx(loss_of(expected[step], samples[1]), rel=1e-5), step


@pytest.mark.parametrize("average", [partial(Ema, 0.5), partial(Swa, 0.25)], ids=["ema", "swa"])
def test_no_average_touches_what_follows_a_schedule(fit, tmp_path, average):
    """A strength of 1 falls to 0 over 12 steps: logged and saved as it was in the last one, not as a mean."""
    penalty, path = L2(1.0), tmp_path / "last.ckpt"
    module = RegularizedModule(
        Objective(network(), Classification(), {"l2": penalty}),
        SGD,
        seed=SEED,
        updates=[lookahead := Lookahead(0.5, 5)],
        schedules=Schedules([("strength/l2", [penalty], "strength", parse("linear:1:0"))]),
    )
    keep = Keep()
    fit(module, max_epochs=4, val_check_interval=1, callbacks=[average(), keep, LastCheckpoint(str(path), 0)])
    assert [row["strength/l2"] for row in keep.rows] == pytest.approx([1 - step / 12 for step in range(12)])
    state = torch.load(path, weights_only=True)["state_dict"]
    assert state["objective.penalties.l2.strength"].item() == pytest.approx(1 / 12)
    assert state["updates.0.ratio"] == 0.5
    assert state["updates.0.steps"] == 12
    assert all(torch.equal(state[f"updates.0.slow.{name}"], slow) for name, slow in lookahead.slow._buffers.items())


# averages of weights in half precision


class Exactly(Callback):
    """ē ← ē + (1 - d)(w - ē) of the weights after each step, in float64."""

    def __init__(self, decay):
        self.decay, self.average = decay, None

    def on_train_batch_end(self, trainer, pl_module, *_):
        now = [w.detach().double().clone() for w in pl_module.objective.network.parameters()]
        before = self.average or now
        self.average = [a + (1 - self.decay) * (w - a) for a, w in zip(before, now, strict=True)]


@pytest.mark.parametrize("precision", ["bf16-true", "64-true", "32-true"])
def test_a_slow_average_moves_in_any_precision(fit, tmp_path, precision):
    """A thousandth of the way to the weights is less than bfloat16 can tell; 60 steps are 6 % of it."""
    exact, path = Exactly(0.999), tmp_path / "last.ckpt"
    callbacks = [Ema(0.999), exact, LastCheckpoint(str(path), every_seconds=0)]
    fit(module_of(network()), max_epochs=20, precision=precision, callbacks=callbacks)
    saved = torch.load(path, weights_only=True)
    found = [saved["state_dict"][f"objective.network.{name}"] for name, _ in network().named_parameters()]
    now = [saved["current_model_state"][f"objective.network.{name}"] for name, _ in network().named_parameters()]
    for average, expected, before, after in zip(found, exact.average, network().parameters(), now, strict=True):
        assert average.dtype == (torch.float64 if precision == "64-true" else torch.float32)
        moved = (after.double() - before).norm()
        assert (average.double() - expected).norm() < 2e-3 * moved  # all that rounding may lose


def test_an_average_in_half_precision_goes_on_where_it_was(fit, tmp_path):
    ends = []
    for stop in (None, 2):
        path = tmp_path / f"{stop}.ckpt"
        callbacks = [Ema(0.999), LastCheckpoint(str(path), every_seconds=0)]
        if stop:
            with pytest.raises(Killed):
                fit(module_of(network()), max_epochs=4, precision="bf16-true", callbacks=[*callbacks, Kill(stop)])
            callbacks = [Ema(0.999), LastCheckpoint(str(path), every_seconds=0)]
        going_on = path if stop else None
        fit(module_of(network()), going_on, max_epochs=4, precision="bf16-true", callbacks=callbacks)
        ends.append(torch.load(path, weights_only=True)["state_dict"])
    assert same(*ends)


def test_slow_weights_move_in_half_precision():
    """φ ← φ + α (θ - φ) with α = 1/1024, of which bfloat16 would see none: in closed form 1 - (1 - α)^n of the way."""
    net = nn.Linear(8, 8, bias=False).bfloat16()
    update, optimizer = Lookahead(2**-10, 1), torch.optim.SGD(net.parameters(), lr=1.0)
    update.attach(optimizer, net)
    start = net.weight.detach().float().clone()
    target = (start + 1).bfloat16()
    for _ in range(200):
        net.weight.grad = net.weight.detach() - target  # the step of size 1 ends at the target
        optimizer.step()
    share = ((update.slow.get_buffer("0") - start) / (target.float() - start)).mean().item()
    assert share == pytest.approx(1 - (1 - 2**-10) ** 200, rel=1e-3)
    assert update.double().slow.get_buffer("0").dtype == torch.float64
    assert update.bfloat16().slow.get_buffer("0").dtype == torch.float32


FINE = {"weight_decay": WeightDecay(0.1), "proximal_l1": ProximalL1(0.1), "sam": SAM(0.1), "asam": ASAM(0.1)}


@pytest.mark.parametrize("name", FINE)
def test_steps_too_small_for_half_precision_are_refused(compose_train, name):
    net = nn.Linear(3, 3).bfloat16()
    with pytest.raises(ValueError, match="moves weights by less than half precision can hold"):
        FINE[name].attach(torch.optim.SGD(net.parameters(), lr=0.1), net)
    for precision in ("bf16-true", "16-true"):
        message = rf"^regularizer\.{name.replace('asam', 'sam')} moves .*trainer\.precision={precision} .*bf16-mixed"
        with pytest.raises(UserError, match=message):
            build(compose_train(f"regularizer={name}", f"trainer.precision={precision}"))


# snapshot ensembles


def snapshots(cycles, norm="none", num_classes=3):
    callback = Snapshots(cycles, num_classes=num_classes)
    return callback, module_of(callback.wrap(network(norm)))


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_snapshots_against_the_networks_by_hand(fit, samples, norm):
    """4 epochs of 3 steps in 2 cycles of 6."""
    (callback, module), keep = snapshots(2, norm), Keep()
    fit(module, max_epochs=4, callbacks=[callback, keep])
    expected = [0.1 / 2 * (math.cos(math.pi * (t % 6) / 6) + 1) for t in range(12)]
    assert keep.rates == pytest.approx(expected)
    ends = []
    for epoch, row in enumerate(keep.rows):
        now = copy.deepcopy(keep.networks[3 * epoch + 2].single[0]).eval()
        if epoch % 2:
            ends.append(now)
        with torch.no_grad():
            probabilities = torch.stack([net(samples[1].x).softmax(-1) for net in ends or [now]]).mean(0)
        assert row["val/loss"] == pytest.approx(F.nll_loss(probabilities.log(), samples[1].y).item(), rel=1e-5)
    assert len(ends) == callback.ensemble.size == 2


def test_the_mean_of_a_regression_is_that_of_the_outputs():
    net = Ensemble(nn.Sequential(nn.Linear(2, 1), nn.Flatten()), classes=False)
    x, outputs = torch.randn(5, 2), []
    for _ in range(3):
        nn.init.normal_(net[0].weight)
        outputs.append(net.train()(x))
        net.take()
    torch.testing.assert_close(net.eval()(x), torch.stack(outputs).mean(0))
    torch.testing.assert_close(net.train()(x), outputs[-1])


def test_an_ensemble_keeps_the_names_and_goes_through_a_checkpoint():
    plain = network("batch")
    net = Ensemble(copy.deepcopy(plain))
    names = [name for name, _ in plain.named_parameters()]
    assert [name for name, _ in net.named_parameters()] == names
    x, start = torch.randn(4, 1, 4, 4), Ensemble(network("batch")).state_dict()
    for _ in range(2):
        net.train()(x)
        net.take()
    other = Ensemble(network("batch")).eval()
    other.load_state_dict(net.state_dict())
    assert other.size == 2
    assert torch.equal(other(x), net.eval()(x))
    other.load_state_dict(start)
    assert other.size == 0
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(plain.state_dict())
    double = copy.deepcopy(net).double()
    torch.testing.assert_close(double(x.double()).float(), net(x))


def test_a_period_that_does_not_divide_the_steps_ends_with_them(fit):
    (callback, module), keep = snapshots(4), Keep()
    fit(module, max_epochs=1, max_steps=-1, callbacks=[callback, keep])  # 3 steps, ⌈3/4⌉ = 1 each
    assert callback.ensemble.size == 3
    (callback, module), keep = snapshots(2), Keep()
    fit(module, max_epochs=1, callbacks=[callback, keep])  # 2 steps, then 1
    assert callback.ensemble.size == 2
    assert keep.rates == pytest.approx([0.1, 0.05, 0.1])


def test_snapshots_count_steps_and_not_batches(fit):
    callback, module = snapshots(2)
    fit(module, max_epochs=4, accumulate_grad_batches=3, callbacks=[callback])  # 4 steps
    assert callback.ensemble.size == 2


def test_snapshots_refuse_what_they_cannot_be_with(fit):
    callback, module = snapshots(2)
    module.make_scheduler = partial(CosineAnnealingLR, T_max=6)
    with pytest.raises(UserError, match="scheduler=constant"):
        fit(module, callbacks=[callback])
    callback, module = snapshots(2)
    with pytest.raises(UserError, match=r"Ema.*choose one"):
        fit(module, callbacks=[callback, Ema()])
    callback, module = snapshots(2)
    with pytest.raises(UserError, match=r"trainer\.max_epochs"):
        fit(module, max_epochs=-1, callbacks=[callback, ModelCheckpoint(train_time_interval=None)])
    with pytest.raises(ValueError, match="cycles"):
        Snapshots(0)


# early stopping


class Watched(Callback):
    """A monitor with given values, one for each validation."""

    def __init__(self, values):
        self.values = iter(values)

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("watched", next(self.values))


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        ({"patience": 2}, 3),  # 1 is the best
        ({"patience": 2, "start_epoch": 3}, 8),  # 5, 4, 3, 3, 3
        ({"patience": 2, "start_epoch": 3, "min_delta": 2.5}, 6),  # 5 is the best to the end
        ({"patience": 2, "mode": "max", "start_epoch": 1}, 7),  # 7, 6, 5 from epoch 1 on: 2 lost
    ],
)
def test_epochs_before_the_start_do_not_count(fit, settings, epochs):
    losses = [1.0, 7.0, 6.0, 5.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0]
    if settings.get("mode") == "max":
        epochs = 4
    stop = EarlyStopping("watched", **{"mode": "min"} | settings)
    trainer = fit(module_of(network()), max_epochs=10, callbacks=[Watched(losses), stop])
    assert trainer.current_epoch == epochs
    with pytest.raises(ValueError, match="start_epoch"):
        EarlyStopping("val/loss", start_epoch=-1)


@pytest.mark.parametrize(
    ("settings", "watched", "epochs"),
    [
        ({"check_val_every_n_epoch": 2}, [3, 1, 2, 2, 2], 8),  # of epochs 2, 4, 6, 8: 2, then 4 without improvement
        ({"check_val_every_n_epoch": 4}, [3, 1, 2, 2], 12),
        ({"val_check_interval": 1}, [3, 3, 3, 3, 1, 3] + [2] * 12, 5),  # in the middle of the second epoch
        ({"val_check_interval": 2, "check_val_every_n_epoch": None}, [3, 1, *[2] * 12], 5),  # steps 2, 4 (epoch 2), ...
    ],
)
def test_patience_counts_epochs_however_often_is_validated(fit, settings, watched, epochs):
    """Three epochs without improvement end training, wherever validations are."""
    stop = EarlyStopping("watched", mode="min", patience=3)
    trainer = fit(module_of(network()), max_epochs=20, callbacks=[Watched(map(float, watched)), stop], **settings)
    assert trainer.current_epoch == epochs


def test_which_way_is_better_belongs_to_the_monitor():
    ways = {"val/loss": "min", "val/accuracy": "max", "val/nll": "min", "val/ece": "min", "val/rmse": "min"}
    assert {name: EarlyStopping(name).mode for name in [*ways, "val/r2"]} == ways | {"val/r2": "max"}
    with pytest.raises(ValueError, match="monitor=mine must be one of val/loss, val/accuracy"):
        EarlyStopping("mine")


# all of them


class Killed(Exception):
    pass


class Kill(Callback):
    """Stops a run as a machine that goes down does, in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.epoch, 1):
            raise Killed


PROCESSES = {
    "swa": (lambda: [Swa(0.3, lr=0.05)], list),
    "snapshots": (lambda: [Snapshots(3, 3)], list),
    "early_stopping": (lambda: [EarlyStopping("val/loss", patience=4, start_epoch=1)], list),
    "sam": (list, lambda: [SAM(0.5)]),
    "asam": (list, lambda: [ASAM(0.5)]),
    "lookahead": (list, lambda: [Lookahead(0.5, 4)]),
    "gradient_noise": (list, lambda: [GradientNoise(0.3)]),
    "several": (lambda: [Swa(0.3)], lambda: [SAM(0.5), GradientNoise(0.1), GradientClipping(0.5), Lookahead(0.5, 4)]),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_resumed_run_equals_one_never_interrupted(fit, tmp_path, name):
    """6 epochs of 3 steps: 4 steps of Lookahead and the 6 of a cycle end in the middle of epochs and behind them."""
    make_callbacks, make_updates = PROCESSES[name]
    rows = {}

    def run(name, ckpt_path=None, kill=None):
        callbacks, updates, keep = make_callbacks(), make_updates(), Keep()
        net = network("batch", partial(Dropout, 0.5))
        for callback in callbacks:
            net = callback.wrap(net) if isinstance(callback, NetworkCallback) else net
        for update in updates:
            update.begin(net)
        module, path, rows[name] = module_of(net, updates=updates), tmp_path / f"{name}.ckpt", keep.rows
        last = LastCheckpoint(str(path), every_seconds=0)
        fit(module, ckpt_path, max_epochs=6, callbacks=[*callbacks, keep, last, *([Kill(kill)] if kill else [])])
        return torch.load(path, weights_only=True)

    straight = run("straight")
    for kill in (2, 4):
        with pytest.raises(Killed):
            run("killed", kill=kill)
        resumed = run("resumed", tmp_path / "killed.ckpt")
        assert len(rows["killed"]) == kill
        assert same(rows["killed"] + rows["resumed"], rows["straight"])
        for key in ("state_dict", "optimizer_states", "callbacks", "epoch", "global_step", "measured"):
            mine, theirs = resumed[key], straight[key]
            if key == "callbacks":  # LastCheckpoint aside, whose key is the same
                mine, theirs = ({k: v for k, v in one.items() if "Keep" not in k} for one in (mine, theirs))
            assert same(mine, theirs), (key, kill)


def test_an_ensemble_from_the_command_line_is_what_is_tested_and_evaluated(tmp_path):
    """The chosen epoch has fewer snapshots than the last one had."""
    tiny = [*TINY, "trainer.max_epochs=6", "optimizer.lr=0.3", "regularizer=snapshots"]
    kept = train_into(tmp_path / "run", *tiny, "regularizer.snapshots.cycles=6")
    state = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    sizes = {len(value) for name, value in state.items() if "/" in name}
    assert sizes == {kept["best_epoch"] + 1}
    assert "\nequal to the record\n" in evaluate("run=run", cwd=tmp_path).out
    done = train(*tiny, "scheduler=cosine", "hydra.run.dir=other", cwd=tmp_path)
    assert (done.code, record(tmp_path / "other")["reason"].count("scheduler=constant")) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("chosen", ["[sam,gradient_clipping]", "lookahead", "snapshots", "swa"])
def test_two_processes_with_half_batches_make_the_steps_of_one(tmp_path, chosen):
    common = [f"regularizer={chosen}", "trainer.max_epochs=4", "data.train_size=256", "trainer.accelerator=cpu"]
    two = ["trainer.devices=2", "+trainer.strategy=ddp", "data.batch_size=8", "trainer.accumulate_grad_batches=2"]
    done = finish(start("regnet-train", *common, *two, "hydra.run.dir=two", cwd=tmp_path))
    assert done.code == 0, done.err
    one = train_into(tmp_path / "one", *common, "data.batch_size=32")["metrics"]
    for part in ("train", "val", "test"):
        assert record(tmp_path / "two")["metrics"][part]["loss"] == pytest.approx(one[part]["loss"], rel=1e-3)


TWO = """
import os
from functools import partial

import torch
from lightning import Trainer
from torch import nn

from regnet.training.callbacks import Swa
from regnet.data.loader import EpochSampler, TensorLoader
from regnet.data.samples import Samples
from regnet.training.module import RegularizedModule
from regnet.training.objective import Objective
from regnet.regularizers import GradientNoise
from regnet.tasks import Classification

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
samples = Samples(torch.randn(40, 6), torch.arange(40) % 3)
module = RegularizedModule(
    Objective(net, Classification()), partial(torch.optim.SGD, lr=0.1), updates=[GradientNoise(1.0)]
)
trainer = Trainer(
    accelerator="cpu", devices=2, strategy="ddp", max_epochs=4, callbacks=[Swa(0.5)], logger=False,
    enable_checkpointing=False, enable_progress_bar=False, use_distributed_sampler=False, num_sanity_val_steps=0,
)
sampler = EpochSampler(40, 0, True, rank=int(os.environ.get("LOCAL_RANK", 0)), world_size=2)
eval_loader = TensorLoader(samples, 40, EpochSampler(40, 0, False))
trainer.fit(module, TensorLoader(samples, 10, sampler), [eval_loader] * 2)
for name, tensor in net.state_dict().items():
    each = [torch.empty_like(tensor) for _ in range(2)]
    torch.distributed.all_gather(each, tensor)
    assert torch.equal(*each), name
torch.testing.assert_close(net[1].running_mean, net[0](samples.x).mean(0))  # of the batches of both
print("the same in both")
"""


@pytest.mark.slow
def test_noise_is_the_same_in_two_processes_and_the_statistics_of_an_average_are_of_both(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    done = finish(start(str(tmp_path / "two.py"), cwd=tmp_path))
    assert done.code == 0, done.err
    assert done.out.count("the same in both") == 2
