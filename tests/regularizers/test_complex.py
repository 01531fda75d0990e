"""Complex weights, as of layers in Fourier space: |w| and Wᴴ take the places of w and Wᵀ."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import regnet.regularizers as R
from regnet.core.tasks import Classification
from regnet.core.weights import weight_statistics
from regnet.packed.rules import stack
from regnet.run.checkpoints import load_objective
from regnet.training.callbacks import Ema, Swa
from regnet.training.objective import Objective
from tests.helpers.theirs import Theirs


class Fourier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, 5, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(self.w.dtype) @ self.w.T).abs()


def squares(w):
    return w.real.square() + w.imag.square()


def singular(w, change):
    u, s, vh = torch.linalg.svd(w, full_matrices=False)
    return (u * change(s)) @ vh


PENALTIES = {
    R.L1: lambda w: squares(w).sqrt().sum(),
    R.L2: lambda w: squares(w).sum(),
    R.ElasticNet: lambda w: (squares(w).sqrt() + squares(w)).sum() / 2,
    R.GroupLasso: lambda w: 5**0.5 * squares(w).sum(1).sqrt().sum(),
    R.Hoyer: lambda w: squares(w).sqrt().sum().square() / squares(w).sum(),
    R.NuclearNorm: lambda w: torch.linalg.svdvals(w).sum(),
    R.SpectralNorm: lambda w: torch.linalg.svdvals(w)[0].square(),
    R.Orthogonal: lambda w: squares(w @ w.conj().T - torch.eye(3)).sum(),
}
CONSTRAINTS = {
    R.MaxNorm: (R.MaxNorm(0.5), lambda w: w * (0.5 / squares(w).sum(1, keepdim=True).sqrt()).clamp(max=1)),
    R.UnitNorm: (R.UnitNorm(), lambda w: w / squares(w).sum(1, keepdim=True).sqrt()),
    R.SpectralClip: (R.SpectralClip(0.5), lambda w: singular(w, lambda s: s.clamp(max=0.5))),
    R.OrthogonalProjection: (R.OrthogonalProjection(), lambda w: singular(w, torch.ones_like)),
}


@pytest.mark.parametrize("kind", PENALTIES, ids=lambda kind: kind.__name__)
def test_penalties_and_their_gradients(kind):
    net = Fourier()
    w = net.w.detach().clone().requires_grad_()
    value, expected = kind(1.0)(net), PENALTIES[kind](w)
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    torch.testing.assert_close(net.w.grad, w.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", CONSTRAINTS, ids=lambda kind: kind.__name__)
def test_constraints(kind):
    net = Fourier()
    constraint, feasible = CONSTRAINTS[kind]
    expected = feasible(net.w.detach().clone())
    constraint(net)
    torch.testing.assert_close(net.w.detach(), expected)


@pytest.mark.parametrize("make", [R.NonNegative, partial(R.ProximalL1, 0.1), partial(R.ProximalL0, 0.1)])
def test_what_compares_numbers_is_refused(make):
    net = Fourier()
    with pytest.raises(ValueError, match=r"^w is complex, and has no"):
        make().attach(torch.optim.SGD(net.parameters(), lr=0.1), net)


def test_norm_and_sparsity():
    net = Fourier()
    with torch.no_grad():
        net.w[0] = 0
    found = weight_statistics(net)
    assert found["norm"] == pytest.approx(squares(net.w.detach()).sum().sqrt().item())
    assert found["zeros"] == found["sparsity"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("average", [Ema(0.8), Swa(start=0.0)])
def test_averages(make_trainer, average):
    seen = []

    class Watched(Theirs):
        def __init__(self):
            super().__init__()
            self.encoder, self.head = nn.Identity(), Fourier()
            self.head.w = nn.Parameter(torch.randn(3, 6, dtype=torch.complex64))

        def on_train_batch_end(self, *_):
            seen.append(self.head.w.detach().clone())

    module = Watched()
    samples = TensorDataset(torch.randn(24, 6), torch.arange(24) % 3)
    make_trainer(callbacks=[average], max_epochs=4).fit(module, DataLoader(samples, 24))
    expected = seen[0]
    for w in seen[1:]:
        expected = expected + 0.2 * (w - expected)
    if isinstance(average, Swa):
        expected = torch.stack(seen).mean(0)
    assert not torch.allclose(seen[-1], expected, atol=1e-4)
    torch.testing.assert_close(module.head.w.detach(), expected)


def test_a_checkpoint_gives_each_parameter_its_kind_of_number():
    one, other = (Objective(nn.Sequential(Fourier(), nn.Linear(3, 2)), Classification()) for _ in range(2))
    load_objective(other, {"state_dict": {f"objective.{name}": w for name, w in one.state_dict().items()}})
    for w, v in zip(one.parameters(), other.parameters(), strict=True):
        assert w.dtype == v.dtype
        assert torch.equal(w, v)


def test_they_are_trained_alone_and_not_packed():
    nets = [Fourier(), Fourier()]
    stacked = {"w": torch.stack([net.w.detach() for net in nets])}
    with pytest.raises(ValueError, match=r"^complex parameters have no stacked form$"):
        stack([torch.optim.Adam(net.parameters()) for net in nets], stacked)


@pytest.mark.parametrize("layer", [R.DropConnect(0.5), R.L0(1.0)], ids=lambda layer: type(layer).__name__)
def test_weight_layers_multiply_a_complex_weight_by_real_numbers(layer):
    net = Fourier()
    layer.put_on(net)
    ratio = net.w.detach() / net.parametrizations.w.original.detach()
    torch.testing.assert_close(ratio.imag, torch.zeros(3, 5))
    assert ratio.real.unique().numel() > 1
    net(torch.randn(2, 5)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_dropout_of_complex_activations():
    x = torch.ones(1000, dtype=torch.complex64)
    assert {*R.Dropout(0.5)(x).tolist()} == {0, 2}


def test_variational_dropout_refuses_a_complex_weight():
    with pytest.raises(ValueError, match="w is complex, and its variance is not one number; leave it out by select"):
        R.VariationalDropout(1.0, num_samples=10).put_on(Fourier())
