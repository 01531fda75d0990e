"""What packs do on a GPU, as far as it can be seen without one: torch's meta device has no numbers to be read."""

from functools import partial
from typing import NamedTuple

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from regnet import regularizers as R
from regnet.core.tasks import Classification
from regnet.data.samples import Samples
from regnet.models import CNN, MLP
from regnet.optimizers import LAMB, LARS
from regnet.packed.moving import Moving
from regnet.packed.noise import Noise
from regnet.packed.placed import Placed
from regnet.packed.plan import obstacle
from regnet.packed.rules import stack
from regnet.packed.stack import Stack
from regnet.packed.transforms import Transforms
from regnet.training.objective import Objective

CPU, META = torch.device("cpu"), torch.device("meta")
ADAM = [{"lr": 1e-3}, {"lr": 1e-1, "betas": (0.5, 0.9), "weight_decay": 0.3}]
RULES = {
    "adam": (torch.optim.Adam, ADAM),
    "adamw": (torch.optim.AdamW, ADAM),
    "rmsprop": (
        torch.optim.RMSprop,
        [{"lr": 0.1, "momentum": 0.9}, {"lr": 0.2, "weight_decay": 0.1}],
    ),
    "adagrad": (torch.optim.Adagrad, [{"lr": 0.1, "lr_decay": 0.1}, {"lr": 0.2, "weight_decay": 0.1}]),
    "nadam": (torch.optim.NAdam, ADAM),
    "lars": (LARS, [{"momentum": 0.0}, {"lr": 0.2, "trust_coefficient": 0.1, "weight_decay": 0.1}]),
    "lamb": (LAMB, ADAM),
    "sgd": (torch.optim.SGD, [{"lr": 0.1, "momentum": 0.9}, {"lr": 0.2, "momentum": 0.5, "weight_decay": 0.1}]),
}


PROXIMAL = ("adam", "adamw", "sgd")
TRANSFORMS = {  # and whether all runs' batches are changed at once
    "augment": (lambda k: R.ShiftFlip(1, flip=True), True),
    "mixup": (lambda k: R.Mixup(0.2 + k, num_classes=4), True),
    "cutmix": (lambda k: R.CutMix(0.2 + k, num_classes=4), True),
    "cutout": (lambda k: R.Cutout(0.3, 0.5), True),
    "input noise": (lambda k: R.InputNoise(0.1 * (k + 1)), True),
    "label smoothing": (lambda k: R.LabelSmoothing(0.1 * (k + 1), num_classes=4), True),
    "mixup or cutmix": (lambda k: R.MixupOrCutMix(num_classes=4), False),
    "random erasing": (lambda k: R.RandomErasing(), False),
    "rand augment": (lambda k: R.RandAugment(), False),
}


class Run(NamedTuple):
    """What of a run's module its transforms are."""

    transforms: nn.ModuleList
    objective: None = None


class Traffic(TorchDispatchMode):
    """Counts the tensors that go from one device to another, and the numbers that Python reads."""

    def __init__(self):
        super().__init__()
        self.sent = self.read = self.launched = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.launched += 1
        self.read += func is torch.ops.aten._local_scalar_dense.default
        if isinstance(out, torch.Tensor) and args and isinstance(args[0], torch.Tensor):
            devices = {a.device.type for a in (*args, out) if isinstance(a, torch.Tensor) and a.ndim}
            self.sent += len(devices) > 1
        return out


def rule_of(case, device=META):
    kind, settings = RULES[case]
    params = {name: torch.zeros(2, *shape, device=device) for name, shape in {"w": (3, 4), "b": (3,)}.items()}
    return params, stack([kind([torch.zeros(1, requires_grad=True)], **own) for own in settings], params)


@pytest.mark.parametrize("case", RULES)
def test_a_step_of_the_optimizer_sends_and_reads_nothing(case):
    params, rule = rule_of(case)
    with Traffic() as traffic:
        for _ in range(3):
            rule.step(params, params)
            if case in PROXIMAL:
                rule.step_sizes(params)
    assert traffic.launched
    assert (traffic.sent, traffic.read) == (0, 0)
    kind, settings = RULES[case]
    groups = [kind([torch.zeros(1, requires_grad=True)], **own).param_groups[0] for own in settings]
    with Traffic() as traffic:  # as after a step of a schedule
        rule.set_groups(groups)
    assert traffic.sent == 1


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 2), slice(0, 2)])
def test_a_number_counts_as_none_only_where_it_is_known_to_be(rows):
    params, rule = rule_of("adam")
    (_, _, numbers), *_ = rule._each({name: p[rows] for name, p in params.items()}, rows)
    assert {name for name, number in numbers.items() if not torch.is_tensor(number)} == (
        {"decay"} if rows == slice(0, 1) else set()
    )


def test_scheduled_settings_are_written_once_for_each_stacked_tensor():
    def buffers(device):
        stacked = [torch.zeros(50, dtype=dtype, device=device) for dtype in (torch.float64, torch.float32)]
        return stacked, [one[k] for k in range(50) for one in stacked]

    stacked, views = buffers("cpu")
    values = [k / 100 for k in range(100)]
    Moving(views).set(values)
    assert [view.item() for view in views[::2]] == values[::2]
    assert [view.item() for view in views] == pytest.approx(values)
    assert stacked[0][3] == values[6]
    moving = Moving(buffers(META)[1])
    with Traffic() as traffic:
        moving.set(values)
    assert traffic.sent == 1
    assert traffic.launched < 20


def test_settings_beside_those_that_move_stay():
    stacked = torch.arange(5.0, dtype=torch.float64)
    Moving([stacked[3], stacked[1]]).set([30, 10])
    assert stacked.tolist() == [0, 10, 2, 30, 4]
    Moving([]).set([])


def test_data_are_sent_once(monkeypatch):
    monkeypatch.setattr("regnet.packed.placed.fits", lambda size, device: size <= 400)
    placed, x, y = Placed(META), torch.zeros(10, 4), torch.zeros(10)
    with Traffic() as traffic:
        for _ in range(3):
            there = placed.samples(Samples(x, y))
            assert placed(x) is there.x
            assert placed(x[:5]) is not there.x
    assert there.y.device == META
    assert traffic.sent == 3  # x, its beginning, and y
    large = Samples(torch.zeros(200, 4), y)
    assert placed.samples(large) is large


def transformed(make, seeds, stacked, x, y):
    """Of runs with these seeds, as on a GPU."""
    runs = [Run(nn.ModuleList([make(seed)])) for seed in seeds]
    transforms, noise = Transforms(runs, META), Noise(CPU)
    noise.begin(seeds)
    if stacked:
        x, y = x.expand(len(seeds), *x.shape), y.expand(len(seeds), *y.shape)
    return transforms, transforms(slice(0, len(seeds)), x, y, noise, stacked)


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("case", TRANSFORMS)
def test_batches_are_transformed_at_once_and_each_by_its_own_noise(case, stacked):
    make, at_once = TRANSFORMS[case]
    x, y = torch.rand(8, 3, 6, 6), torch.arange(8) % 4
    transforms, (xs, ys) = transformed(make, [1, 2, 1, 3], stacked, x, y)
    assert transforms.at_once == at_once
    assert xs.shape == (4, *x.shape)
    assert len(ys) == 4
    if case != "label smoothing":
        assert not torch.equal(xs[0], xs[1])
    assert torch.equal(xs[0], xs[2])
    _, (others, targets) = transformed(make, [3, 2], stacked, x, y)
    torch.testing.assert_close(others, xs[[3, 1]])
    torch.testing.assert_close(targets, ys[[3, 1]])
    assert torch.equal(transformed(make, [1], stacked, x, y)[1][0][0], xs[0])


def test_a_strangers_transforms_run_one_after_the_other():
    class Mine(R.BatchTransform):
        def forward(self, x, y):
            return x, y

    assert not Transforms([Run(nn.ModuleList([Mine()]))], META).at_once
    assert not Transforms([Run(nn.ModuleList([R.Mixup(0.2, 4)]))], CPU).at_once


def test_transforms_follow_the_schedules_of_their_runs():
    runs = [Run(nn.ModuleList([R.Mixup(0.2, 4)])) for _ in range(3)]
    transforms = Transforms(runs, META)
    Moving([run.transforms[0].strength for run in runs]).set([1, 2, 3])
    assert transforms.buffers[0]["strength"].tolist() == [1, 2, 3]
    transforms.keep(torch.tensor([2, 0]))
    runs[2].transforms[0].strength.fill_(7)
    assert transforms.buffers[0]["strength"].tolist() == [7, 1]


NETWORKS = {
    "mlp": lambda: MLP((1, 6, 6), 3, [6], dropout=lambda: R.Dropout(0.4)),
    "cnn, batch norm": lambda: CNN((1, 6, 6), 3, [[2]], head=[5], norm="batch", dropout=lambda: R.GaussianDropout(0.4)),
    "gates": lambda: MLP((1, 6, 6), 3, [6], dropout=lambda: R.ConcreteDropout(0.2)),
}


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("case", RULES)
def test_a_step_sends_and_reads_nothing(case, network, stacked):
    """Forward, backward, penalties, noise, update and constraints of three runs, on a device that has no numbers."""
    each = [
        Objective(NETWORKS[network](), Classification(), {"l1": R.L1(0.1 * k), "l2": R.L2(0.1)}).to(META)
        for k in range(3)
    ]
    kinds = [partial(R.WeightDecay, 0.1), partial(R.MaxNorm, 1.0), *[partial(R.ProximalL1, 0.1)] * (case in PROXIMAL)]
    updates = [[make().to(META) for make in kinds] for _ in each]
    step = Stack.__new__(Stack)  # which otherwise asks, once, what is the same in all runs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "__bool__", lambda _: False)
        step.__init__(each, updates, recorded=False)
    kind, (first, second) = RULES[case]
    rule = stack([kind([torch.zeros(1, requires_grad=True)], **own) for own in (first, second, first)], step.params)
    rows, noise = slice(0, 3), Noise(META)
    noise.begin([1, 2, 3])
    x, y = torch.rand(5, 1, 6, 6, device=META), torch.zeros(5, dtype=torch.int64, device=META)
    if stacked:
        x, y = x.expand(3, *x.shape), y.expand(3, *y.shape)
    rates = rule.lr.float()
    with Traffic() as traffic:
        values, grads = step.gradients(rows, x, y, noise, stacked)
        step.before_step(rows, rates, grads, noise)
        rule.step(step.params, grads)
        step.after_step(rows, rule.step_sizes(step.params) if case in PROXIMAL else None)
    assert values.device == META
    assert traffic.launched > 50
    assert (traffic.sent, traffic.read) == (0, 0)


def test_what_would_wait_is_counted():
    with Traffic() as traffic:
        torch.zeros(3, 2).sum().item()
        torch.zeros(3).to(META)
    assert (traffic.sent, traffic.read) == (1, 1)


@pytest.mark.parametrize(
    ("devices", "packed"), [([1], True), ("1,", False), ([0, 1], False), (2, False), ([True], False), ("auto", False)]
)
def test_a_pack_takes_the_one_gpu_that_is_named(devices, packed, compose_train):
    config = OmegaConf.to_container(compose_train("optimizer=adam"), resolve=False)
    config["trainer"]["devices"] = devices
    usual = compose_train("optimizer=adam").trainer.devices
    assert (obstacle(config) is None) == (packed or devices == usual)
