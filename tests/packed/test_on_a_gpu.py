"""What packs do on a GPU, as far as it can be seen without one: torch's meta device has no numbers to be read."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from regnet.packed.optimizers import stack

META = torch.device("meta")
ADAM = [{"lr": 1e-3}, {"lr": 1e-1, "betas": (0.5, 0.9), "weight_decay": 0.3}]
RULES = {
    "adam": (torch.optim.Adam, ADAM),
    "adamw": (torch.optim.AdamW, ADAM),
    "sgd": (torch.optim.SGD, [{"lr": 0.1, "momentum": 0.9}, {"lr": 0.2, "momentum": 0.5, "weight_decay": 0.1}]),
}


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
            rule.step_sizes(params)
    assert traffic.launched
    assert (traffic.sent, traffic.read) == (0, 0)
    with Traffic() as traffic:  # as after a step of a schedule
        rule.set_groups([{**ADAM[0], "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.1}] * 2)
    assert traffic.sent == 1
