"""What counts as a weight and what does not: in torch's layers, in networks of torchvision and timm, in one's own."""

import pytest
import torch
import torchvision
from torch import nn

from regnet.core.weights import parameters, weights
from regnet.regularizers import L2, DropConnect, MaxNorm, WeightDecay

TORCHVISION = {  # of each family what has two axes or more, is of no normalization, and is no weight
    "alexnet": {},
    "vgg11_bn": {},
    "densenet121": {},
    "efficientnet_b0": {},
    "efficientnet_v2_s": {},
    "mnasnet0_5": {},
    "mobilenet_v2": {},
    "mobilenet_v3_small": {},
    "regnet_y_400mf": {},
    "resnet18": {},
    "resnext50_32x4d": {},
    "wide_resnet50_2": {},
    "shufflenet_v2_x0_5": {},
    "squeezenet1_0": {},
    "r3d_18": {},
    "mc3_18": {},
    "s3d": {},
    "convnext_tiny": {"layer_scale": "broadcast"},
    "maxvit_t": {"relative_position_bias_table": "table"},
    "swin_t": {"relative_position_bias_table": "table"},
    "swin_v2_t": {"logit_scale": "broadcast"},
    "swin3d_t": {"relative_position_bias_table": "table"},
    "vit_b_16": {"class_token": "broadcast", "pos_embedding": "broadcast"},
    "mvit_v1_b": {"spatial_pos": "table", "temporal_pos": "table"},
    "mvit_v2_s": {"rel_pos_h": "table", "rel_pos_w": "table", "rel_pos_t": "table"},
}


def roles(network):
    return {parameter.key: parameter.role for parameter in parameters(network)}


@pytest.mark.parametrize("name", TORCHVISION)
@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_torchvision(name):
    with torch.device("cpu" if name.startswith("regnet") else "meta"):  # RegNet computes while it is made
        network = torchvision.models.get_model(name, weights=None)
    found = {}
    for parameter in parameters(network):
        tail = parameter.name.rpartition(".")[2]
        if parameter.tensor.ndim < 2:
            assert parameter.role in ("bias", "norm", "vector"), parameter.name
        elif parameter.role != "weight":
            found[tail] = parameter.role
        else:  # none of torchvision's own modules has a matrix by itself
            assert isinstance(parameter.module, nn.Linear | nn.Conv2d | nn.Conv3d | nn.MultiheadAttention)
    assert found == TORCHVISION[name]


def test_torchs_own_layers():
    network = nn.ModuleDict(
        {
            "attention": nn.MultiheadAttention(4, 2, add_bias_kv=True, kdim=3, vdim=5),
            "lstm": nn.LSTM(3, 4, proj_size=2),
            "cell": nn.GRUCell(3, 4),
            "bag": nn.EmbeddingBag(5, 4),
            "one_output": nn.Linear(4, 1),
            "one_input": nn.Linear(1, 4),
            "one_by_one": nn.Conv2d(1, 4, 1),
            "conv": nn.Conv1d(1, 1, 3),
            "slope": nn.PReLU(3),
            "norm": nn.LayerNorm((3, 4)),
            "position": nn.Embedding(7, 4),  # a table of positions by use, which its class does not tell
        }
    )
    named = {name for name, parameter in network.named_parameters() if "bias" not in name and parameter.ndim > 1}
    assert {w.name for w in weights(network)} == named - {"norm.weight"}
    assert roles(network)["attention.bias_k"] == roles(network)["attention.bias_v"] == "broadcast"
    without = [w.name for w in weights(network, "re:^(?!position).*weight$")]
    assert "position.weight" not in without
    assert "lstm.weight_hr_l0" not in without
    assert "one_by_one.weight" in without


class Norm2d(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 4))


class WeightNorm(nn.Module):
    """No normalization layer, but a layer with weight normalization."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(1, 3, 3, 3))


OWN = {
    "matrix": ((4, 3), "weight"),
    "w1": ((1, 4), "weight"),  # a matrix that is called one
    "out_weight": ((4, 1), "weight"),
    "experts": ((2, 4, 3), "weight"),
    "lora_A": ((2, 4), "weight"),
    "text_projection": ((4, 4), "weight"),
    "codebook": ((8, 4), "weight"),
    "cls_token": ((1, 1, 4), "broadcast"),
    "pos_embed": ((1, 5, 4), "broadcast"),
    "pos_map": ((4, 5, 5), "table"),
    "positional_embedding": ((5, 4), "table"),  # as CLIP has it
    "rel_pos_w": ((5, 4), "table"),  # of the width
    "relative_position_bias_table": ((9, 2), "table"),
    "queries": ((6, 4), "table"),
    "registerTokens": ((3, 4), "table"),
    "mask_token": ((1, 4), "broadcast"),
    "layer_scale": ((4, 1, 1), "broadcast"),
    "weight": ((1, 4, 1, 1), "broadcast"),  # of a normalization over channels
    "gamma": ((2, 4), "table"),
    "temperature": ((1, 1), "broadcast"),
    "head_bias": ((2, 4), "table"),
    "bias": ((4,), "bias"),
    "scale": ((4,), "vector"),
}


class Own(nn.Module):
    """Somebody's module: matrices, scales, tokens and tables as plain parameters beside layers."""

    def __init__(self):
        super().__init__()
        for name, (shape, _) in OWN.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape)))
        self.layer, self.norm, self.normalized = nn.Linear(4, 4), Norm2d(), WeightNorm()
        self.tokens = nn.ParameterList([torch.randn(3, 4)])
        self.matrices = nn.ParameterDict({"up": torch.randn(3, 4)})


def test_parameters_of_ones_own():
    expected = {name: role for name, (_, role) in OWN.items()} | {
        "layer.weight": "weight",
        "layer.bias": "bias",
        "norm.weight": "norm",
        "normalized.kernel": "weight",
        "tokens.0": "table",
        "matrices.up": "weight",
    }
    assert roles(Own()) == expected
    assert [w.name for w in weights(Own(), ["pos_embed", "gamma"])] == ["pos_embed", "gamma"]  # on demand
    assert "pos_embed" not in [w.name for w in weights(Own(), "layer:0")]
    value = L2(1.0)(network := Own()).item()
    taken = [parameter for name, parameter in network.named_parameters() if expected[name] == "weight"]
    assert value == pytest.approx(sum(parameter.detach().square().sum().item() for parameter in taken), rel=1e-5)


class Timm(nn.Module):
    """As timm's transformers: names from here, or parts of names."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(5, 4))
        self.position = nn.Embedding(5, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))

    @torch.jit.ignore
    def no_weight_decay(self):
        return {"table", "position.weight", "head.weight"}


class Swin(Timm):
    def no_weight_decay(self):
        return set()

    def no_weight_decay_keywords(self):
        return {"posi", "blocks.1"}


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_what_the_network_itself_takes_out(depth):
    for make, expected in ((Timm, {"blocks.0", "blocks.1"}), (Swin, {"table", "blocks.0", "head"})):
        network, path = make(), ""
        for _ in range(depth):
            network, path = nn.Sequential(nn.Flatten(), network), path + "1."
        got = {w.name for w in weights(network)}
        assert got == {path + name + ("" if name == "table" else ".weight") for name in expected}
        assert roles(network)[f"{path}position.weight"] == "no_weight_decay"
        assert [w.name for w in weights(network, f"{path}position.*")] == [f"{path}position.weight"]
        assert f"{path}position.weight" not in [w.name for w in weights(network, "layer::")]


def test_two_networks_take_out_their_own():
    network = nn.Sequential(Timm(), nn.Linear(4, 4), Swin())
    assert {w.name for w in weights(network)} == {
        *("0.blocks.0.weight", "0.blocks.1.weight", "1.weight", "2.table", "2.blocks.0.weight", "2.head.weight")
    }


def test_a_tied_weight_counts_once_wherever_it_multiplies():
    network = nn.Module()
    network.position = nn.Parameter(torch.randn(5, 4))  # a table by its name, and the last layer's matrix
    network.first, network.last = nn.Linear(4, 5), nn.Linear(4, 5)
    network.last.weight = network.position
    network.again = network.first
    assert [w.name for w in weights(network)] == ["last.weight", "first.weight"]
    expected = network.position.detach().square().sum() + network.first.weight.detach().square().sum()
    torch.testing.assert_close(L2(1.0)(network).detach(), expected)
    tied = Timm()
    tied.blocks[0].weight = nn.Parameter(torch.randn(5, 4))
    tied.position.weight = tied.blocks[0].weight  # one of its names is taken out
    assert [w.name for w in weights(tied)] == ["blocks.1.weight"]


def test_lazy_modules_are_told_of_before_they_are_counted():
    network = nn.Sequential(nn.Linear(3, 4), nn.LazyLinear(2), nn.LazyBatchNorm1d())
    optimizer = torch.optim.SGD(network[0].parameters(), lr=0.1)
    calls = [
        lambda: L2(1.0)(network),
        lambda: MaxNorm(1.0)(network),
        lambda: WeightDecay(0.1).attach(optimizer, network),
        lambda: DropConnect(0.5).put_on(network),
        lambda: weights(network, "0.weight"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"1\.weight has no shape yet: call the network on a batch first"):
            call()
    network(torch.randn(2, 3))
    expected = sum(network[i].weight.detach().square().sum() for i in (0, 1))
    torch.testing.assert_close(L2(1.0)(network).detach(), expected)
