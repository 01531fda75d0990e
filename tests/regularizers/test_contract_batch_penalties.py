"""What the penalties of activations, outputs and derivatives by inputs keep to."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regnet import regularizers as R
from regnet.core.tasks import Classification
from regnet.models import CNN
from regnet.training.objective import Objective
from tests.helpers.table import CLASSES, made_by, penalties

X, Y = torch.linspace(-3, 3, 5 * 2 * 16, dtype=torch.double).sin().view(5, 2, 4, 4), torch.tensor([0, 3, 1, 2, 0])


@pytest.fixture
def network():
    return CNN((2, 4, 4), CLASSES, stages=((3,),), head=(6,)).double()


def term(row, network, strength=1.0, loss=F.cross_entropy):
    return Objective(network, loss, {"it": row.make(strength)})(X, Y)["penalty/it"]


@penalties(R.ActivityPenalty)
def test_activity_value(row, network):
    maps = network.stages[:3](X)  # (B, C, H, W), before the pooling
    hidden = network.head.hidden(network.stages(X).flatten(1))
    activations = [h.detach().numpy() for h in (maps, hidden)]
    assert term(row, network).item() == pytest.approx(row.reference(activations), rel=1e-9)


@penalties(R.ActivityPenalty)
def test_activity_of_chosen_layers(row, network):
    hidden = network.head.hidden(network.stages(X).flatten(1)).detach().numpy()
    for layers in ("head.hidden.*.2", r"re:^head\.hidden\.\d\.2$", ["head.hidden.0.2"]):
        penalty = row.make(1.0, layers=layers)
        penalty.begin(network)
        with penalty.recording(network) as activations:
            network(X)
        assert penalty(network, activations=activations).item() == pytest.approx(row.reference([hidden]), rel=1e-9)


@penalties(R.ActivityPenalty)
def test_activity_leaves_no_trace(row, network):
    objective = Objective(network, F.cross_entropy, {"it": row.make(1.0), "other": row.make(0.5, layers="Linear")})
    objective(X, Y)
    assert not any(module._forward_hooks for module in network.modules())
    assert objective(X, Y)["penalty/it"] == copy.deepcopy(objective)(X, Y)["penalty/it"]
    with pytest.raises(RuntimeError):
        objective(X[:, :1], Y)
    assert not any(module._forward_hooks for module in network.modules())


@penalties(R.ActivityPenalty)
def test_activity_of_layers_with_something_behind_them(row, network):
    """A layer put after an activation changes what goes on, not what is recorded."""
    before = term(row, nn.Sequential(nn.Flatten(), nn.Sigmoid(), nn.Linear(32, 4)).double())
    changed = nn.Sequential(nn.Flatten(), nn.Sigmoid(), nn.Linear(32, 4)).double()
    changed[1].register_forward_hook(lambda module, inputs, output: 0 * output)
    assert term(row, changed) == before


@penalties(R.ActivityPenalty)
def test_activity_needs_layers(row):
    with pytest.raises(ValueError, match="no activation functions"):
        row.make(1.0).begin(nn.Sequential(nn.Linear(3, 2), nn.MultiheadAttention(4, 2)))
    with pytest.raises(ValueError, match="'ReLU' matches no module"):
        row.make(1.0, layers="ReLU").begin(nn.Sequential(nn.Linear(3, 2)))


@penalties(R.ActivityPenalty)
def test_activity_of_what_is_no_tensor_or_never_called_is_told(row):
    penalty = row.make(1.0, layers="LSTM")
    lstm, name = nn.Sequential(nn.LSTM(3, 2)), type(penalty).__name__
    told = f"^{name} is for layers that put out one tensor, and LSTM puts out a tuple$"
    with pytest.raises(ValueError, match=told), penalty.recording(lstm):
        lstm(torch.zeros(1, 3))
    assert not lstm[0]._forward_hooks
    with penalty.recording(lstm) as activations:
        pass
    with pytest.raises(ValueError, match=f"^{name} has recorded nothing: none of its layers was called in this pass$"):
        penalty(lstm, activations=activations)


@penalties(R.ActivityPenalty)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_activity_of_half_precision_is_summed_in_float32(row, dtype):
    h = torch.full((2, 40_000), 2.0, dtype=dtype, requires_grad=True)
    value = row.make(1.0)(None, activations=[h])
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(row.reference([h.detach().double().numpy()]), rel=1e-5)
    assert h.grad.isfinite().all()


@penalties(R.ActivityPenalty)
def test_activity_of_dead_and_of_saturated_units(row):
    for level in (0.0, 1e4):
        h = torch.full((3, 4), level, requires_grad=True)
        value = row.make(1.0)(None, activations=[h])
        value.backward()
        assert value.isfinite()
        assert h.grad.isfinite().all()
        assert value.item() == pytest.approx(row.reference([h.detach().double().numpy()]), rel=2e-3)


def logits_for(row):
    return torch.randn(6, CLASSES, dtype=torch.double, requires_grad=True)


@penalties(R.OutputPenalty)
def test_output_value(row):
    z = logits_for(row)
    assert row.make(1.0)(None, logits=z).item() == pytest.approx(row.reference(z.detach().numpy()), rel=1e-9)
    assert row.make(0.25)(None, logits=z) == row.make(1.0)(None, logits=z) / 4
    assert row.make(0.0)(None, logits=z) == 0


@penalties(R.OutputPenalty)
def test_output_derivatives(row):
    penalty = row.make(0.7)
    assert torch.autograd.gradcheck(lambda z: penalty(None, logits=z), logits_for(row))
    assert torch.autograd.gradgradcheck(lambda z: penalty(None, logits=z), logits_for(row))


@penalties(R.OutputPenalty)
def test_output_of_extreme_logits(row):
    for z in (torch.zeros(4, CLASSES), 1e4 * torch.eye(4, CLASSES), torch.eye(4, CLASSES).half()):
        z.requires_grad_()
        value = row.make(1.0)(None, logits=z)
        value.backward()
        assert value.dtype == torch.float32
        assert value.isfinite()
        assert z.grad.isfinite().all()


@penalties(R.OutputPenalty)
def test_output_needs_classes(row):
    with pytest.raises(ValueError, match="needs classes, and this is a regression task"):
        made_by(row)(1.0, num_classes=None)


def derivatives(network):
    """∂z/∂x (B, C, D) and ∂loss/∂x (B, D), each sample by itself."""
    one = [
        (
            torch.autograd.functional.jacobian(lambda x: network(x[None])[0], x).flatten(1),
            torch.autograd.functional.jacobian(lambda x, y=y: F.cross_entropy(network(x[None]), y[None]), x).flatten(),
        )
        for x, y in zip(X, Y, strict=True)
    ]
    return tuple(torch.stack(column).numpy() for column in zip(*one, strict=True))


@penalties(R.InputPenalty)
@pytest.mark.parametrize("passes", [1, 2])
def test_input_value(row, network, passes):
    objective = Objective(network, Classification(), {"it": row.make(1.0)})
    objective.passes = passes
    expected = row.reference(*derivatives(network))
    assert objective(X, Y)["penalty/it"].item() == pytest.approx(expected, rel=1e-9)


@penalties(R.InputPenalty)
def test_input_leaves_the_batch_as_it_is(row, network):
    before = X.clone()
    terms = Objective(network, F.cross_entropy, {"it": row.make(1.0)})(X, Y)
    sum(terms.values()).backward()
    assert torch.equal(X, before)
    assert not X.requires_grad
    assert X.grad is None
    assert all(p.grad.isfinite().all() for p in network.parameters())


@penalties(R.InputPenalty)
def test_input_of_regression(row):
    network = nn.Sequential(nn.Flatten(), nn.Linear(32, 1)).double()
    value = Objective(network, lambda z, y: F.mse_loss(z.squeeze(1), y.double()), {"it": row.make(1.0)})(X, Y)
    jacobian = network[1].weight.detach().numpy()[None].repeat(5, 0)  # (B, 1, D)
    residual = network(X).detach().numpy()[:, 0] - Y.numpy()
    expected = row.reference(jacobian, 2 * residual[:, None] * jacobian[:, 0])
    assert value["penalty/it"].item() == pytest.approx(expected, rel=1e-9)


@penalties(R.ActivityPenalty, R.OutputPenalty, R.InputPenalty)
def test_passes_do_not_change_other_penalties(row, network):
    """Beside R-Drop the batch is doubled: means over it stay what they are."""
    both = Objective(network, F.cross_entropy, {"it": row.make(1.0), "r_drop": R.RDrop(1.0, CLASSES)})(X, Y)
    torch.testing.assert_close(both["penalty/it"], term(row, network))
    torch.testing.assert_close(both["loss"], F.cross_entropy(network(X), Y))
    assert abs(both["penalty/r_drop"]) < 1e-15  # nothing draws


@penalties(R.ActivityPenalty, R.OutputPenalty, R.InputPenalty)
def test_terms_are_not_negative_but_the_confidence_penalty(row, network):
    value = term(row, network).item()
    if made_by(row) is R.ConfidencePenalty:
        assert -np.log(CLASSES) <= value <= 0
    else:
        assert value >= 0
