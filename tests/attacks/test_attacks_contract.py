"""Every file in conf/attack has its row in `TABLE`, and keeps what an attack promises."""

import copy

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from regnet.attacks import Stacked, correct
from regnet.compose.arguments import suited
from regnet.models import CNN
from regnet.regularizers import Dropout
from tests.helpers.attack_table import CONF, FILES, TABLE

SHAPE, CLASSES, SAMPLES = (2, 6, 5), 5, 48
NORMS = ["linf", "l2"]
every = pytest.mark.parametrize("name", FILES)


def test_one_row_for_each_file():
    assert set(TABLE) == set(FILES), "each conf/attack/*.yaml needs its row in TABLE, and each row its file"


def made(name, **settings):
    norm = settings.get("norm") or ("l2" if name == "pgd_l2" else "linf")
    return TABLE[name](**{"epsilon": 0.05 if norm == "linf" else 0.3, "bounds": (0, 1)} | settings)


def size(change, norm):
    flat = change.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


@pytest.fixture(scope="module")
def data():
    torch.manual_seed(1)
    y = torch.arange(SAMPLES) % CLASSES
    means = torch.rand(CLASSES, *SHAPE)
    return (means[y] + 0.1 * torch.randn(SAMPLES, *SHAPE)).clamp(0, 1), y


def fitted(data, seed=0):
    torch.manual_seed(seed)
    x, y = data
    network = nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Flatten(), Dropout(0.3), nn.Linear(72, CLASSES)
    )
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return network  # in training mode


@pytest.fixture(scope="module")
def network(data):
    return fitted(data)


@every
def test_file_has_the_settings_of_the_class(name):
    text = (CONF / f"{name}.yaml").read_text()
    assert text.startswith("# "), "the first line says what it is"
    node = OmegaConf.to_container(OmegaConf.create(text))
    kind = type(made(name))
    assert node.pop("_target_") == f"regnet.attacks.{kind.__name__}"
    assert node.pop("_partial_") is True
    assert suited(kind, node, "attack") == node
    attack = kind(0.1, **node)
    assert attack.norm == node["norm"]
    assert attack.within((0, 1)).bounds == (0, 1)


@every
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_stays_within_epsilon_and_bounds(name, norm, dtype, network, data):
    x, y = data[0].to(dtype), data[1]
    one = copy.deepcopy(network).to(dtype)
    attack = made(name, norm=norm)
    found = attack(one, x, y)
    assert found.dtype == dtype
    assert found.shape == x.shape
    assert not found.requires_grad
    rounding = 1e-6 if dtype == torch.float32 else 1e-12
    sizes = size(found - x, norm)
    assert sizes.max() <= attack.epsilon + rounding
    assert sizes.max() > 0.5 * attack.epsilon
    assert found.min() >= 0
    assert found.max() <= 1
    assert size(made(name, norm=norm, bounds=None)(one, x, y) - x, norm).max() > 0.99 * attack.epsilon


@every
def test_makes_errors_and_never_fewer_at_a_larger_epsilon(name, network, data):
    x, y = data
    attack = made(name)
    clean = correct(network, x, y).sum()
    found = [correct(network, attack(network, x, y, epsilon=k * attack.epsilon), y).sum() for k in (0, 1, 4)]
    assert clean == found[0] >= found[1] >= found[2]
    assert found[2] < 0.95 * clean if name == "square" else found[2] < 0.6 * clean, "else nothing was attacked"


@every
@pytest.mark.parametrize("norm", NORMS)
def test_epsilon_0_is_x_exactly(name, norm, network, data):
    x, y = data
    assert torch.equal(made(name, norm=norm, epsilon=0)(network, x, y), x)


@every
def test_same_again_and_another_for_another_seed(name, network, data):
    first = made(name)(network, *data)
    torch.manual_seed(99)
    assert torch.equal(made(name)(network, *data), first)
    if name != "fgsm":  # which draws nothing
        assert not torch.equal(made(name, seed=1)(network, *data), first)


@every
@pytest.mark.parametrize("norm", NORMS)
def test_same_for_any_size_of_batches(name, norm, network, data):
    x, y = data[0].double(), data[1]
    one, attack, index = copy.deepcopy(network).double(), made(name, norm=norm), torch.arange(SAMPLES)
    whole = attack(one, x, y)
    parts = [
        attack(one, *batch[:2], index=batch[2]) for batch in zip(x.split(7), y.split(7), index.split(7), strict=True)
    ]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-9)


@every
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("passes", [None, 2])
def test_leaves_network_and_random_numbers_as_they_were(name, training, passes, network, data):
    network.train(training)
    network[1].training = not training
    network[0].weight.grad = torch.ones_like(network[0].weight)
    before, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    x, y = data[0].clone(), data[1].clone()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    made(name, passes=passes)(network, x, y)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in network.modules()] == modes
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    for key, parameter in network.named_parameters():
        assert parameter.requires_grad
        expected = torch.ones_like(parameter) if key == "0.weight" else None
        assert parameter.grad is expected or torch.equal(parameter.grad, expected)
    assert torch.equal(x, data[0])
    assert torch.equal(y, data[1])
    network[0].weight.grad = None
    network.train()


@every
def test_can_be_made_where_gradients_are_off(name, network, data):
    first = made(name)(network, *data)
    with torch.no_grad():
        assert torch.equal(made(name)(network, *data), first)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        assert torch.equal(made(name)(network, *data), first)
        assert torch.equal(made(name)(network, data[0].clone(), data[1].clone()), first)


@every
@pytest.mark.parametrize("norm", NORMS)
def test_stacked_networks_are_attacked_as_each_alone(name, norm, data):
    x, y = data[0].double(), data[1]
    networks = [fitted(data, seed).double() for seed in range(3)]
    stacked, attack = Stacked(networks), made(name, norm=norm)
    index = torch.arange(SAMPLES)
    found = stacked.split(attack(stacked, *map(stacked.repeat, (x, y)), index=stacked.repeat(index)))
    for one, theirs in zip(networks, found, strict=True):
        alone = attack(one, x, y)
        if name == "strongest":  # alone, what is misclassified already is left alone
            assert torch.equal(correct(one, alone, y), correct(one, theirs, y))
        else:
            torch.testing.assert_close(theirs, alone, rtol=0, atol=1e-9)


@every
def test_each_example_may_have_its_own_epsilon(name, network, data):
    x, y = data[0].double(), data[1]
    one, attack = copy.deepcopy(network).double(), made(name, bounds=None)
    epsilon = torch.linspace(0, 0.2, SAMPLES)
    found = attack(one, x, y, epsilon=epsilon)
    for i in (0, 20, 47):
        alone = attack(one, x[i : i + 1], y[i : i + 1], epsilon=epsilon[i].item(), index=torch.tensor([i]))
        torch.testing.assert_close(found[i : i + 1], alone, rtol=0, atol=1e-8)


@every
@pytest.mark.parametrize("norm", NORMS)
def test_epsilon_in_units_of_each_feature(name, norm):
    """The same attack on features of other units, whose network divides by them."""
    torch.manual_seed(3)
    network, x, y = nn.Linear(6, 4).double(), torch.randn(30, 6).double(), torch.arange(30) % 4
    unit = torch.tensor([0.1, 1, 3, 10, 100, 1]).double()
    attack = made(name, norm=norm, bounds=None, epsilon=0.2)
    scaled = attack.within(scale=unit)(lambda z: network(z / unit), x * unit, y)
    torch.testing.assert_close(
        scaled / unit, attack(network, x, y), rtol=0, atol=1e-7
    )  # the root of what rounding leaves
    assert attack.scale == 1.0, "within makes another"


@every
@pytest.mark.parametrize("outputs", [lambda z: z, lambda z: z[:, 0]])
def test_one_logit_is_two_classes(name, outputs):
    torch.manual_seed(3)
    layer, x, y = nn.Linear(6, 1).double(), torch.randn(30, 6).double(), torch.arange(30) % 2
    attack = made(name, bounds=None) if name != "strongest" else None
    if attack is None:
        with pytest.warns(UserWarning, match=r"^the targeted DLR loss needs at least 4 classes, and there are 2"):
            found = made(name, bounds=None)(lambda z: outputs(layer(z)), x, y)
    else:
        found = attack(lambda z: outputs(layer(z)), x, y)
    signed = layer.weight * (1 - 2 * y)[:, None]
    assert ((found - x) * signed).sum(1).min() >= -1e-12
    assert ((found - x) * signed).sum(1).max() > 0.01


@every
def test_passes_of_random_layers_are_attacked_together(name, network, data):
    one = made(name, passes=4)
    first = one(network, *data)
    assert torch.equal(one(network, *data), first)
    assert not torch.equal(made(name)(network, *data), first) or name == "square"
    with pytest.raises(ValueError, match=r"^the network has no random layer"):
        one(nn.Flatten(), *data)


@every
def test_no_examples(name, network, data):
    x, y = data
    assert made(name)(network, x[:0], y[:0]).shape == x[:0].shape


BAD = [
    ({"epsilon": -0.1}, r"^epsilon must be a finite number >= 0, got -0\.1$"),
    ({"epsilon": float("inf")}, r"^epsilon must be a finite number >= 0, got inf$"),
    ({"epsilon": float("nan")}, r"^epsilon must be a finite number >= 0, got nan$"),
    ({"epsilon": 1.5}, r"^epsilon=1\.5 is larger than the range of bounds=\(0\.0, 1\.0\)$"),
    ({"norm": "l1"}, r"^norm='l1' is none of linf, l2"),
    ({"bounds": (1, 0)}, r"^bounds must be \(low, high\) with low < high, or null, got \(1, 0\)$"),
    ({"bounds": (0, 1, 2)}, r"^bounds must be \(low, high\) with low < high"),
    ({"scale": 0.0}, r"^scale must be a finite number > 0, got 0\.0$"),
    ({"scale": torch.tensor([1.0, -1.0])}, r"^scale must be finite and > 0 for each feature$"),
    ({"passes": 0}, r"^passes must be a whole number >= 1, got 0$"),
    ({"seed": -1}, r"^seed must be a whole number >= 0, got -1$"),
]


@every
@pytest.mark.parametrize(("settings", "sentence"), BAD)
def test_a_setting_out_of_range_is_told(name, settings, sentence):
    norm = {"norm": "linf"} if "epsilon" in settings else {}
    with pytest.raises(ValueError, match=sentence):
        TABLE[name](**{"epsilon": 0.1, "bounds": (0, 1)} | norm | settings)


INPUTS = [
    (lambda x, y: (x + 1, y), {}, r"^x must be within bounds=\(0\.0, 1\.0\), and goes from 1\.\d+ to \d"),
    (lambda x, y: (x * float("nan"), y), {}, r"^x must be within bounds"),
    (lambda x, y: (x.byte(), y), {}, r"^x must be floating point, got torch\.uint8$"),
    (lambda x, y: (x, y[:5]), {}, r"^y must have shape \[48\], a class for each example, got \[5\]$"),
    (lambda x, y: (x, y[:, None]), {}, r"^y must have shape \[48\], a class for each example, got \[48, 1\]$"),
    (lambda x, y: (x, y.float()), {}, r"^y must be class indices, got torch\.float32: .* no meaning for a regression$"),
    (lambda x, y: (x, y), {"epsilon": -1}, r"^epsilon must be a finite number >= 0$"),
    (lambda x, y: (x, y), {"epsilon": torch.tensor(float("nan"))}, r"^epsilon must be a finite number >= 0$"),
    (lambda x, y: (x, y), {"epsilon": torch.ones(3)}, r"^epsilon must be a number, or one for each of 48 .*got \[3\]$"),
    (lambda x, y: (x, y), {"index": torch.arange(3)}, r"^index must have the shape of y, \[48\], got \[3\]$"),
    (lambda x, y: (x, y + 3), {}, r"^y must be from 0 to 4, and goes from 3 to 7$"),
    (lambda x, y: (x, y - 1), {}, r"^y must be from 0 to 4, and goes from -1 to 3$"),
]


@every
@pytest.mark.parametrize(("change", "settings", "sentence"), INPUTS)
def test_inputs_that_cannot_be_attacked_are_told(name, change, settings, sentence, network, data):
    with pytest.raises(ValueError, match=sentence):
        made(name)(network, *change(*data), **settings)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("pgd", {"steps": 0}, r"^steps must be a whole number >= 1, got 0$"),
        ("pgd", {"restarts": 0}, r"^restarts must be a whole number >= 1, got 0$"),
        ("pgd", {"relative_step": 0.0}, r"^relative_step must be a finite number > 0, got 0\.0$"),
        ("pgd", {"random_start": 1}, r"^random_start must be true or false, got 1$"),
        ("pgd", {"loss": "drl"}, r"^loss='drl' is none of cross_entropy, dlr, margin; did you mean dlr\?$"),
        ("apgd", {"steps": 0}, r"^steps must be a whole number >= 1, got 0$"),
        ("apgd", {"loss": "x"}, r"^loss='x' is none of cross_entropy, dlr, margin, targeted_dlr$"),
        ("apgd", {"targets": 0}, r"^targets must be a whole number >= 1, got 0$"),
        ("apgd", {"restarts": 0}, r"^restarts must be a whole number >= 1, got 0$"),
        ("square", {"queries": 0}, r"^queries must be a whole number >= 1, got 0$"),
        ("square", {"share": 1.0}, r"^share must be in \(0, 1\), got 1\.0$"),
        ("strongest", {"steps": 0}, r"^steps must be a whole number >= 1, got 0$"),
        ("strongest", {"targets": 0}, r"^targets must be a whole number >= 1, got 0$"),
        ("strongest", {"queries": 0}, r"^queries must be a whole number >= 1, got 0$"),
    ],
)
def test_a_setting_of_its_own_out_of_range_is_told(name, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        made(name, **settings)


def test_a_network_of_regnet_with_its_input_module():
    torch.manual_seed(0)
    network, x, y = CNN((1, 12, 12), 3), torch.rand(6, 1, 12, 12), torch.arange(6) % 3
    assert (made("pgd")(network, x, y) - x).abs().max() <= 0.05 + 1e-6
