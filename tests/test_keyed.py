"""Random numbers from a key: as they are said to be distributed, and the same whoever is computed beside."""

import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn
from torch.func import vmap

from regnet.core.keyed import Keyed, mixed
from regnet.core.tasks import Classification
from regnet.models import MLP
from regnet.packed.noise import Given, Noise
from regnet.packed.stack import Stack
from regnet.regularizers import ConcreteDropout, GaussianDropout
from regnet.training.objective import Objective

CPU = torch.device("cpu")
SHAPE = torch.Size([100, 400])
DTYPES = [torch.float32, torch.float64]


def draws(key=7):
    return Keyed(torch.tensor(key))


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_numbers_are_uniform(dtype):
    u = draws().uniform(SHAPE, dtype)
    assert u.dtype == dtype
    assert 0 <= u.min() < u.max() < 1
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("dtype", DTYPES)
def test_normal_numbers_are_normal(dtype):
    e = draws().normal(SHAPE, dtype)
    assert e.dtype == dtype
    assert stats.kstest(e.flatten().numpy(), "norm").pvalue > 0.01
    assert abs(torch.corrcoef(torch.stack([e[:, 1:].flatten(), e[:, :-1].flatten()]))[0, 1]) < 0.02


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_never_rounds_to_one(dtype):
    u = draws().uniform(torch.Size([10_000]), dtype)
    assert u.max() < 1
    assert u.float().mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 4.0])
def test_shares_of_a_dirichlet_distribution(alpha):
    shares = draws().dirichlet(torch.full((20_000, 2), alpha, dtype=torch.float64))
    torch.testing.assert_close(shares.sum(1), torch.ones(20_000, dtype=torch.float64))
    assert (shares[:, 0] > 0.5).double().mean() == pytest.approx(0.5, abs=0.02)
    smaller = shares.amin(1).numpy()  # the larger of two is often 1 but for less than rounding
    assert stats.kstest(2 * stats.beta(alpha, alpha).cdf(smaller), "uniform").pvalue > 0.01
    several = draws().dirichlet(torch.tensor([1.0, 2.0, 5.0]).expand(20_000, 3))
    torch.testing.assert_close(several.mean(0), torch.tensor([1.0, 2.0, 5.0]) / 8, rtol=0.02, atol=0)


def test_words_have_all_bits_and_follow_the_published_generator():
    words = draws().words(20_000)
    ones = torch.stack([(words >> bit) & 1 for bit in range(64)], 1).double().mean(0)
    assert (ones - 0.5).abs().max() < 0.02
    # the first two of SplitMix64 seeded by 0 (Vigna's splitmix64.c)
    gamma = torch.tensor(0x9E3779B97F4A7C15 - 2**64)
    found = [int(mixed(n * gamma)) % 2**64 for n in (1, 2)]
    assert found == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


def test_keys_that_follow_each_other_are_independent():
    a, b = (draws(key).uniform(SHAPE, torch.float64).flatten() for key in (0, 1))
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.02


def test_no_two_draws_of_a_step_are_the_same():
    stream = draws()
    assert not torch.equal(stream.words(8), stream.words(8))


CALLS = {
    "rand": lambda: torch.rand(3, 4),
    "rand of a shape": lambda: torch.rand((3, 4), dtype=torch.float64),
    "rand_like": lambda: torch.rand_like(torch.zeros(3, 4)),
    "randn": lambda: torch.randn(2, 3, 2),
    "randn_like": lambda: torch.randn_like(torch.zeros(3, 4), dtype=torch.float64),
    "randint": lambda: torch.randint(7, (3, 4)),
    "randint, low": lambda: torch.randint(-3, 7, (3, 4)),
    "randint, bool": lambda: torch.randint(2, (12,), dtype=torch.bool),
    "randperm": lambda: torch.randperm(9),
    "bernoulli": lambda: torch.bernoulli(torch.full((12,), 0.5)),
    "dropout": lambda: F.dropout(torch.ones(3, 4), 0.5),
    "dropout2d": lambda: F.dropout2d(torch.ones(3, 4, 2, 2), 0.5),
}


@pytest.mark.parametrize("call", CALLS)
def test_torchs_own_functions_draw_from_the_key(call):
    expected = CALLS[call]()

    def drawn(key):
        with Given((key,)):
            return CALLS[call]()

    before = torch.get_rng_state()
    keys = torch.tensor([3, 4, 3])
    first, other, again = vmap(drawn, randomness="error")(keys)
    assert torch.equal(torch.get_rng_state(), before)
    assert (first.shape, first.dtype) == (expected.shape, expected.dtype)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(drawn(keys[1]), other)
    if call == "randperm":
        assert first.sort().values.tolist() == list(range(9))
    if call == "randint, low":
        assert -3 <= first.min() <= first.max() < 7
    if call == "dropout2d":
        assert ((first == 0).flatten(2).all(2) | (first == 2).flatten(2).all(2)).all()


def test_what_has_a_generator_of_its_own_keeps_it():
    with Given((torch.tensor(3),)):
        drawn = torch.rand(5, generator=torch.Generator().manual_seed(0))
        kept = F.dropout(torch.ones(50), 0.5, training=False)
    assert torch.equal(drawn, torch.rand(5, generator=torch.Generator().manual_seed(0)))
    assert kept.sum() == 50


def test_dropout_drops_its_share():
    with Given((torch.tensor(3),)):
        y = F.dropout(torch.ones(40_000), 0.3)
    assert sorted(set(y.tolist())) == [0.0, pytest.approx(1 / 0.7)]
    assert (y == 0).float().mean() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("layer", [lambda: GaussianDropout(0.3), lambda: ConcreteDropout(0.2), lambda: nn.Dropout(0.4)])
def test_what_a_run_draws_depends_on_no_other(layer):
    def objective(k):
        torch.manual_seed(k)
        return Objective(MLP((1, 4, 4), 3, [6], dropout=layer), Classification())

    x, y = torch.rand(5, 1, 4, 4), torch.randint(3, (5,))

    def losses(runs, calls):
        stack, noise = Stack([objective(k) for k in runs], [[] for _ in runs]), Noise(CPU)
        noise.begin([100 + k for k in runs])
        found = []
        for _ in range(2):  # steps
            parts = [stack.gradients(rows, x, y, noise, stacked=False)[0][:, 0] for rows in calls]
            found.append(torch.cat(parts))
        return torch.stack(found)  # (steps, K)

    together = losses([0, 1, 2, 3], [slice(0, 4)])
    assert not torch.equal(together[0], together[1])
    torch.testing.assert_close(losses([0, 1, 2, 3], [slice(0, 1), slice(1, 4)]), together)
    torch.testing.assert_close(losses([3, 2], [slice(0, 2)]), together[:, [3, 2]])
