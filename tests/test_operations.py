"""Operations against counts by hand."""

import pytest
import torch
from torch import nn

from regnet.core.tasks import Classification
from regnet.regularizers import L2, SAM
from regnet.training.module import RegularizedModule
from regnet.training.objective import Objective
from regnet.training.operations import Operations, step_operations
from tests.helpers.commands import TINY, record, train, train_into

B, N, C = 32, 20, 5  # samples, inputs, classes
FORWARD = 2 * B * N * C  # a multiplication and an addition for each weight and sample
WEIGHT_GRADIENT = 2 * N * B * C  # the inputs of the first layer need none


def module(penalties=None, updates=(), net=None):
    network = net or nn.Linear(N, C)
    sgd = lambda parameters: torch.optim.SGD(parameters, lr=0.1, foreach=False)  # noqa: E731
    return RegularizedModule(Objective(network, Classification(), penalties), sgd, updates=updates)


def batch():
    return torch.randn(B, N), torch.randint(C, (B,))


def test_products_by_their_formula_and_all_else_by_entries():
    x, w = torch.randn(3, 4), torch.randn(4, 5)
    with Operations() as counted:
        product = x @ w  # 2 · 3 · 4 · 5
        product.t().reshape(-1)[:0]  # one copy of 15 entries, views are free
        product.sum()  # reads 15
        torch.linalg.svdvals(w)  # U, S and V have 16 + 4 + 20 entries, and 4 is the shorter side
    assert counted.total == 120 + 15 + 15 + 160


def test_a_step_is_little_more_than_its_products():
    counted = step_operations(module(), batch())
    small = 40 * B * C  # softmax, its gradient, the update of N·C + C numbers
    assert FORWARD + WEIGHT_GRADIENT < counted < FORWARD + WEIGHT_GRADIENT + small


def test_a_penalty_adds_its_own_and_a_second_gradient_doubles():
    plain = step_operations(module(), batch())
    penalized = step_operations(module({"l2": L2(1e-3)}), batch())
    assert N * C <= penalized - plain <= 10 * N * C
    twice = step_operations(module(updates=[SAM(0.05)]), batch())
    assert 1.9 * plain < twice < 2.6 * plain


def test_accumulated_batches_count_but_the_update_only_once():
    one, two, three = (step_operations(module(), batch(), batches) for batches in (1, 2, 3))
    assert three - two == two - one
    assert FORWARD + WEIGHT_GRADIENT < two - one < one


def test_counting_leaves_weights_statistics_and_random_numbers_alone():
    net = nn.Sequential(nn.Linear(N, C), nn.BatchNorm1d(C), nn.Dropout())
    own = module(net=net)
    samples, before = batch(), {name: tensor.clone() for name, tensor in own.state_dict().items()}
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    step_operations(own, samples)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in own.state_dict().items())
    assert all(parameter.grad is None for parameter in own.parameters())


@pytest.mark.parametrize("regularizer", ["[dropout,l2]", "[mixup,max_norm]"])
def test_alone_and_packed_record_the_same_operations(tmp_path, regularizer):
    study = ["-m", f"regularizer={regularizer}", "seed=0,1", *TINY, "logger=none"]
    costs = {}
    for launcher in ("basic", "packed"):
        done = train(*study, f"hydra/launcher={launcher}", f"study={launcher}", cwd=tmp_path)
        assert done.code == 0, done.err
        assert launcher == "basic" or "packed: 2 runs in 1 pack" in done.out
        paths = sorted((tmp_path / "outputs/multirun" / launcher).glob("*/record.json"))
        kept = [record(path.parent) for path in paths]
        costs[launcher] = [(one["steps"], one["step_operations"]) for one in kept]
    assert costs["basic"] == costs["packed"]
    assert costs["basic"][0] == costs["basic"][1]
    steps, operations = costs["basic"][0]
    assert steps == 2  # two epochs of one batch of 60
    assert operations > 2 * 2 * 60 * (64 * 8 + 8 * 10)


def test_a_network_that_cannot_be_counted_is_trained_nevertheless(tmp_path):
    (tmp_path / "mynet_uncounted.py").write_text(
        "import copy\nfrom torch import nn\n\nclass Net(nn.Sequential):\n"
        "    def __init__(self, shape, num_outputs):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, num_outputs))\n"
        "    def __deepcopy__(self, memo):\n        raise RuntimeError('there is one of me')\n"
    )
    kept = train_into(
        tmp_path / "run", "model._target_=mynet_uncounted.Net", "trainer.max_epochs=1", "data.train_size=60"
    )
    assert (kept["status"], kept["steps"], kept["step_operations"]) == ("completed", 1, None)
