"""Penalties against what others compute: scikit-learn, closed forms, Keras's formulas, torch.func, the command line."""

import csv

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, MultiTaskLasso
from torch import nn
from torch.func import functional_call, jacrev
from torch.func import vmap as each_sample
from torch.nn.utils import parametrizations

from regnet import regularizers as R
from regnet.core.tasks import Classification
from regnet.core.weights import weights
from regnet.models import MLP
from regnet.training.objective import Objective
from tests.helpers import references as ref
from tests.helpers.commands import TINY, evaluate, train, train_into


def least(objective, x, y, corners=False):
    """Trains by L-BFGS, and where corners stop it by ever smaller gradient steps; the sum of the terms."""

    def closure():
        objective.zero_grad()
        total = sum(objective(x, y).values())
        total.backward()
        return total

    parameters = list(objective.network.parameters())
    torch.optim.LBFGS(parameters, 1.0, 200, 2000, 1e-12, 1e-16, line_search_fn="strong_wolfe").step(closure)
    if corners:
        optimizer = torch.optim.Adam(parameters, 0.05)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.995)
        for _ in range(2000):
            optimizer.step(closure)
            schedule.step()
    return sum(objective(x, y).values()).item()


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), y


def linear(inputs, outputs):
    return MLP((inputs,), outputs, widths=()).double()


def test_l2_gives_logistic_regression(iris):
    x, y = iris
    strength = 2.0**-6
    model = linear(4, 3)
    least(Objective(model, Classification(), {"l2": R.L2(strength)}), torch.tensor(x), torch.tensor(y))
    # C Σ loss + ½ Σ w²: N C times ours
    theirs = LogisticRegression(C=1 / (2 * strength * len(y)), tol=1e-10, max_iter=10_000).fit(x, y)
    np.testing.assert_allclose(model.head.weight.detach().numpy(), theirs.coef_, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_elastic_net_gives_logistic_regression(iris, ratio):
    """Gradient steps do not find the corners themselves: they come as low as the optimum, and never below it."""
    x, y = iris
    strength = 2.0**-6
    objective = Objective(linear(4, 3), Classification(), {"both": R.ElasticNet(strength, ratio)})
    found = least(objective, torch.tensor(x), torch.tensor(y), corners=True)
    # C Σ loss + r Σ|w| + (1 - r)/2 Σ w² is N C times ours, if r = α / (α + 2 (1 - α))
    total = strength * (ratio + 2 * (1 - ratio))
    theirs = LogisticRegression(
        C=1 / (total * len(y)),
        l1_ratio=strength * ratio / total,
        solver="saga",
        tol=1e-10,
        max_iter=100_000,
    ).fit(x, y)
    with torch.no_grad():
        objective.network.head.weight.copy_(torch.tensor(theirs.coef_))
        objective.network.head.bias.copy_(torch.tensor(theirs.intercept_))
        optimum = sum(objective(torch.tensor(x), torch.tensor(y)).values()).item()
    assert (theirs.coef_ == 0).any()
    assert optimum * (1 - 1e-7) <= found <= optimum * (1 + 1e-3)


@pytest.fixture
def regression(rng):
    x = rng.normal(size=(40, 6))
    return x, x @ np.array([1.0, -2.0, 0.0, 0.0, 0.5, 0.0]) + 0.3 * rng.normal(size=40)


@pytest.mark.parametrize("start", [False, True])
def test_l2_and_l2_sp_give_ridge_in_closed_form(regression, start):
    """(XᵀX / n + λ) w = Xᵀy / n + λ w⁰, for centred inputs and targets; w⁰ = 0 is ridge regression."""
    x, y = (column - column.mean(0) for column in regression)
    strength, model = 2.0**-2, linear(6, 1)
    penalty = R.L2SP(strength) if start else R.L2(strength)
    anchor = np.zeros(6)
    if start:
        penalty.begin(model)
        anchor = model.head.weight.detach().numpy()[0].copy()
    expected = np.linalg.solve(x.T @ x / 40 + strength * np.eye(6), x.T @ y / 40 + strength * anchor)
    objective = Objective(model, lambda z, t: F.mse_loss(z.squeeze(1), t), {"it": penalty})
    least(objective, torch.tensor(x), torch.tensor(y))
    np.testing.assert_allclose(model.head.weight.detach().numpy()[0], expected, rtol=1e-7)


def test_group_lasso_gives_multi_task_lasso(regression, rng):
    x, first = regression
    y = np.stack([first, 0.5 * first + rng.normal(size=40), x[:, 4]], 1)
    alpha = 0.2
    theirs = MultiTaskLasso(alpha, tol=1e-12, max_iter=100_000).fit(x, y)  # ||Y - XW||² / 2n + α Σ_j ||w_j||
    assert (theirs.coef_ == 0).all(0).any()
    penalty = R.GroupLasso(2 * alpha / 3**0.5, groups="in")  # twice theirs, and √3 of three tasks is in
    objective = Objective(linear(6, 3), lambda z, t: 3 * F.mse_loss(z, t), {"it": penalty})
    found = least(objective, torch.tensor(x), torch.tensor(y), corners=True)
    optimum = ((y - theirs.predict(x)) ** 2).sum(1).mean() + 2 * alpha * np.linalg.norm(theirs.coef_, axis=0).sum()
    assert optimum * (1 - 1e-7) <= found <= optimum * (1 + 1e-3)


@pytest.mark.parametrize(("groups", "value"), [("in", ref.group_lasso(1)), ("fiber", ref.fibers)])
def test_groups(groups, value, every_kind):
    found = ref.blocks(weights(every_kind))
    assert R.GroupLasso(1.0, groups)(every_kind).item() == pytest.approx(value(found), rel=1e-5)
    sparse = R.SparseGroupLasso(1.0, 0.5, groups)(every_kind).item()
    assert sparse == pytest.approx(0.5 * value(found) + 0.5 * ref.entries(np.abs)(found), rel=1e-5)


def test_right_angles_of_keras(every_kind):
    found = ref.blocks(weights(every_kind))
    rows = ref.matrices(ref.keras_orthogonal)(found)
    columns = ref.matrices(lambda w: ref.keras_orthogonal(w.T))(found)
    assert R.Orthogonal(1.0, "rows")(every_kind).item() == pytest.approx(rows, rel=1e-5)
    assert R.Orthogonal(1.0, "columns")(every_kind).item() == pytest.approx(columns, rel=1e-5)


@pytest.mark.parametrize("form", ["rows", "columns"])
def test_right_angles_of_a_single_unit_and_of_none(form):
    for shape in ((1, 3), (3, 1), (3, 4)):
        network = nn.Linear(*shape)
        nn.init.zeros_(network.weight)
        value = R.Orthogonal(1.0, form)(network)
        value.backward()
        assert value == 0
        assert network.weight.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
def test_of_orthogonal_matrices(shape):
    network = nn.Linear(*shape[::-1]).double()
    nn.init.orthogonal_(network.weight)
    assert R.Orthogonal(1.0)(network).item() == pytest.approx(0, abs=1e-12)
    assert R.SpectralNorm(1.0)(network).item() == pytest.approx(1)
    assert R.NuclearNorm(1.0)(network).item() == pytest.approx(min(shape))
    with torch.no_grad():
        network.weight.mul_(3)
    assert R.SpectralNorm(1.0)(network).item() == pytest.approx(9)
    assert R.Orthogonal(1.0)(network).item() == pytest.approx(64 * min(shape))


def test_hoyer_knows_sparsity_and_no_scale():
    network = nn.Linear(5, 4).double()
    before = R.Hoyer(1.0)(network)
    with torch.no_grad():
        network.weight.mul_(1e-3)
    assert R.Hoyer(1.0)(network).item() == pytest.approx(before.item())
    for entries in (1, 3, 20):
        with torch.no_grad():
            network.weight.zero_().view(-1)[:entries] = -2
        assert R.Hoyer(1.0)(network).item() == pytest.approx(entries)


class TestStartingPoint:
    def test_is_the_initial_weights(self):
        network, penalty = MLP((4,), 3, (5,)), R.L2SP(1.0)
        with pytest.raises(RuntimeError, match="begin"):
            penalty(network)
        penalty.begin(network)
        assert penalty(network) == 0
        with torch.no_grad():
            network.head.weight += 2
        assert penalty(network).item() == pytest.approx(4 * 15)
        assert penalty.double()._buffers["anchor/head/weight"].dtype == torch.float32  # as it was begun

    @pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": state, "epoch": 3}])
    def test_is_a_state_dict(self, wrap, tmp_path):
        start, network = MLP((4,), 7, (5,)), nn.Sequential()
        network.add_module("model", MLP((4,), 3, (5,)))  # as regnet has it, and with another head
        torch.save(wrap(start.state_dict()), tmp_path / "start.pt")
        penalty = R.L2SP(1.0, str(tmp_path / "start.pt"))
        penalty.begin(network)
        first = network.model.hidden[0][0].weight - start.hidden[0][0].weight
        expected = first.square().sum() + network.model.head.weight.square().sum()
        assert penalty(network).item() == pytest.approx(expected.item(), rel=1e-6)

    def test_is_found_under_parametrizations(self, tmp_path):
        start, network = nn.Sequential(nn.Linear(4, 3)), nn.Sequential(nn.Linear(4, 3))
        parametrizations.weight_norm(start[0])
        torch.save(start.state_dict(), tmp_path / "start.pt")
        R.L2SP(1.0, str(tmp_path / "start.pt")).begin(network)
        parametrizations.orthogonal(network[0])
        penalty = R.L2SP(1.0)
        penalty.begin(network)
        assert penalty(network) == 0

    def test_that_cannot_be_had(self, tmp_path):
        network = nn.Sequential(nn.Linear(4, 3))
        with pytest.raises(ValueError, match="cannot be read"):
            R.L2SP(1.0, str(tmp_path / "none.pt")).begin(network)
        torch.save(nn.Sequential(nn.Linear(2, 3)).state_dict(), tmp_path / "other.pt")
        with pytest.raises(ValueError, match=r"has none of 0\.weight"):
            R.L2SP(1.0, str(tmp_path / "other.pt")).begin(network)

    def test_is_a_run(self, tmp_path):
        """Of one without a step it is where the next begins; evaluation needs it no more."""
        first = train_into(tmp_path / "first", *TINY)
        second = [*TINY, "regularizer=l2_sp", "regularizer.l2_sp.strength=1e4", "optimizer=sgd", "optimizer.lr=1e-5"]
        (tmp_path / "moved").mkdir()
        train_into(tmp_path / "second", *second, f"regularizer.l2_sp.checkpoint={tmp_path / 'first'}")
        a, b = (
            torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
            for name in ("first", "second")
        )
        best = torch.load(tmp_path / "first" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        key = "objective.network.model.head.weight"
        assert torch.equal(b["objective.penalties.l2_sp.anchor/model/head/weight"], best[key])
        assert (b[key] - best[key]).norm() < 0.5 * best[key].norm()
        assert a[key].shape == b[key].shape
        assert first["status"] == "completed"
        (tmp_path / "first").rename(tmp_path / "moved" / "first")
        done = evaluate(f"run={tmp_path / 'second'}", cwd=tmp_path)
        assert done.code == 0, done.err
        assert "equal to the record" in done.out
        assert "NOT" not in done.out


@pytest.fixture
def smooth():
    return nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 4)).double()


X, Y = torch.linspace(-2, 2, 24, dtype=torch.double).sin().view(8, 3), torch.arange(8) % 4


def test_jacobian_of_torch_func(smooth):
    expected = each_sample(jacrev(lambda x: smooth(x)))(X).square().sum((1, 2)).mean()
    value = Objective(smooth, Classification(), {"it": R.Jacobian(1.0, projections=None)})(X, Y)["penalty/it"]
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("projections", [1, 3])
def test_projections_are_without_bias(smooth, projections):
    exact = Objective(smooth, Classification(), {"it": R.Jacobian(1.0, None)})(X, Y)["penalty/it"].item()
    objective = Objective(smooth, Classification(), {"it": R.Jacobian(1.0, projections)})
    draws = torch.stack([objective(X, Y)["penalty/it"].detach() for _ in range(600)])
    assert abs(draws.mean() - exact) < 5 * draws.std() / 600**0.5
    assert draws.std() > 0.01 * exact


@pytest.mark.parametrize("bad", [0, 1.5, -1, "2"])
def test_projections_out_of_range(bad):
    with pytest.raises(ValueError, match="projections must be a whole number >= 1, got"):
        R.Jacobian(1.0, bad)


def test_r_drop_of_two_passes_with_dropout():
    network = MLP((3,), 4, (50,), dropout=lambda: R.Dropout(0.5)).double()
    objective = Objective(network, Classification(), {"r_drop": R.RDrop(1.0, 4)})
    torch.manual_seed(7)
    terms = objective(X, Y)
    torch.manual_seed(7)
    one, other = network(torch.cat([X, X])).split(8)
    assert not torch.equal(one, other)
    torch.testing.assert_close(terms["loss"], (F.cross_entropy(one, Y) + F.cross_entropy(other, Y)) / 2)
    p, q = one.log_softmax(1), other.log_softmax(1)
    there, back = (F.kl_div(a, b, reduction="batchmean", log_target=True) for a, b in ((p, q), (q, p)))
    torch.testing.assert_close(terms["penalty/r_drop"], (there + back) / 2)
    mixed = objective(X, F.one_hot(Y, 4).double())  # targets may be probabilities
    assert mixed["loss"].isfinite()


def test_confidence_penalty_of_the_least_confident():
    z = torch.zeros(3, 5, dtype=torch.double, requires_grad=True)
    value = R.ConfidencePenalty(1.0, 5)(None, logits=z)
    assert value.item() == pytest.approx(-np.log(5))
    assert value == -torch.distributions.Categorical(logits=z).entropy().mean()


def test_kl_sparsity_is_zero_at_its_target():
    h = torch.full((6, 3, 2, 2), 0.25, dtype=torch.double)
    assert R.KLSparsity(1.0, 0.25, squash="none")(None, activations=[h]) == 0
    assert R.KLSparsity(1.0, 0.25, squash="sigmoid")(None, activations=[torch.logit(h)]).item() == pytest.approx(0)
    assert R.KLSparsity(1.0, 0.25)(None, activations=[torch.atanh(h)]).item() == pytest.approx(0)
    p, q = (torch.distributions.Bernoulli(torch.tensor(rate, dtype=torch.double)) for rate in (0.125, 0.25))
    expected = 3 * torch.distributions.kl_divergence(p, q)
    assert R.KLSparsity(1.0, 0.125, squash="none")(None, activations=[h]).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: R.GroupLasso(1.0, "rows"), "groups='rows' is none of out, in, fiber"),
        (lambda: R.Orthogonal(1.0, "soft"), "form='soft' is none of gram, rows, columns"),
        (lambda: R.KLSparsity(1.0, squash="relu"), "squash='relu' is none of none, tanh, sigmoid"),
        (lambda: R.KLSparsity(1.0, target=1.0), r"target must be in \(0, 1\), got 1.0"),
    ],
)
def test_unknown_choices(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["regularizer=r_drop", "data=diabetes"], "regularizer.r_drop: RDrop needs classes, and this is a regression"),
        (["regularizer=activity_l1", "model.widths=[]"], "regularizer.activity_l1: the network has no activation func"),
        (["regularizer=kl_sparsity", "regularizer.kl_sparsity.layers=Tanh"], "regularizer.kl_sparsity: 'Tanh' matches"),
        (["regularizer=l2_sp", "regularizer.l2_sp.checkpoint=nowhere"], "regularizer.l2_sp: checkpoint=nowhere cannot"),
    ],
)
def test_what_a_person_got_wrong(arguments, sentence, tmp_path):
    done = train(*arguments, "logger=none", cwd=tmp_path)
    assert done.code != 0
    assert sentence in done.out + done.err
    assert "Traceback" not in done.out + done.err


def test_losses_of_a_doubled_batch_are_logged_as_of_one(tmp_path):
    """Without a layer that draws, R-Drop changes nothing: not the data loss either, with an uneven last batch."""
    rows = []
    for name, more in (("one", []), ("two", ["regularizer=r_drop"])):
        train_into(tmp_path / name, *TINY, "data.batch_size=16", "logger=none", "trainer.precision=64-true", *more)
        with (tmp_path / name / "metrics.csv").open() as file:
            rows.append([float(row["train/loss"]) for row in csv.DictReader(file)])
    assert rows[0] == pytest.approx(rows[1], rel=1e-9)


@pytest.mark.parametrize("penalty", [R.NuclearNorm, R.SpectralNorm])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_matrix_that_is_not_finite_gives_nan_and_no_error(penalty, bad):
    """LAPACK raises an error, of all matrices that are decomposed in one call."""
    networks = [nn.Linear(3, 4, bias=False) for _ in range(3)]
    expected = [penalty(1.0)(network) for network in networks]
    with torch.no_grad():
        networks[1].weight[0, 0] = bad
    assert penalty(1.0)(networks[1]).isnan()
    together = _Of(networks[0], penalty(1.0))
    weights = torch.stack([network.weight.detach() for network in networks])
    values = each_sample(lambda w: functional_call(together, {"network.weight": w}, ()))(weights)
    assert values[1].isnan()
    assert values[[0, 2]].tolist() == pytest.approx([expected[0].item(), expected[2].item()])


class _Of(nn.Module):
    def __init__(self, network, penalty):
        super().__init__()
        self.network, self.penalty = network, penalty

    def forward(self):
        return self.penalty(self.network)
