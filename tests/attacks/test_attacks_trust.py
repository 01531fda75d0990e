"""Each sign is there where it should be, and none of a plain network."""

import pytest
import torch
from torch import nn

from regnet.attacks import PGD, signs

ATTACK = PGD(0.1, 10, bounds=(0, 1))


@pytest.fixture
def fit():
    """A small network, its examples and their classes."""
    torch.manual_seed(0)
    y = torch.arange(120) % 3
    x = (torch.rand(3, 10)[y] + 0.15 * torch.randn(120, 10)).clamp(0, 1)

    def trained(seed):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(10, 30), nn.ReLU(), nn.Linear(30, 3))
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
        return network

    return trained, x, y


def names(network, x, y, **settings):
    found = signs(ATTACK, network, x, y, **settings)
    assert all(sign.sentence and 0 <= sign.value <= 1 for sign in found)
    return [sign.name for sign in found]


def test_none_of_a_plain_network(fit):
    trained, x, y = fit
    assert names(trained(0), x, y, others=[trained(1)]) == []


def test_a_network_without_gradients(fit):
    """Inputs rounded to tenths: no gradient, and so nothing that PGD could climb."""
    trained, x, y = fit
    plain = trained(0)
    found = names(lambda x: plain((x * 10).round() / 10), x, y, others=[plain])
    assert found == ["zero_gradients", "black_box", "large_epsilon", "transfer"]


def test_a_saturated_network(fit):
    """Logits so large that the cross-entropy is exactly 0, and its gradient too."""
    trained, x, y = fit
    plain = trained(0)
    assert "zero_gradients" in names(lambda x: 1000 * plain(x), x, y)


def test_a_random_network(fit):
    trained, x, y = fit
    plain = trained(0)
    found = signs(ATTACK, lambda x: plain(x + 0.05 * torch.randn_like(x)), x, y)
    assert "randomness" in [sign.name for sign in found]
    assert sum(sign.name == "randomness" for sign in found) == 1


def test_what_no_radius_makes_an_error(fit):
    _, x, y = fit
    found = names(lambda x: torch.nn.functional.one_hot(y, 3) * 5 + 0 * x.sum(1, keepdim=True), x, y)
    assert found == ["zero_gradients", "large_epsilon"]
