"""Networks of torchvision and timm: fitted to the data, begun at a file's weights, regularized behind their modules."""

import re
import sys

import pytest
import torch
import torchvision.models
from PIL import Image
from torch import nn

from regnet.compose.sites import Site
from regnet.models import from_timm, from_torchvision
from tests.helpers.commands import evaluate, train, train_into
from tests.helpers.studies import runs, value

NAME = "shufflenet_v2_x0_5"
RESNET = ["model=torchvision", "model.name=resnet18", "trainer.max_epochs=1", "data.train_size=20", "logger=none"]
TINY = [f"model.name={NAME}", "model=torchvision", "trainer.max_epochs=1", "data.train_size=40", "logger=none"]


class Calls(nn.Module):
    """Counts how often it is called, and zeroes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return torch.zeros_like(x)


@pytest.fixture
def timm():
    return pytest.importorskip("timm", reason="timm is not installed: pip install 'regnet[timm]'")


def saved(network: nn.Module, path, change=lambda state: state):
    torch.save(change(network.state_dict()), path)
    return path


@pytest.mark.parametrize(
    ("name", "channels"),
    [("resnet18", 1), ("squeezenet1_1", 1), ("squeezenet1_1", 4), ("mobilenet_v3_small", 2), ("swin_t", 1)],
)
def test_classes_and_channels_are_the_datas(name, channels):
    network = from_torchvision((channels, 32, 32), 7, name).eval()
    assert network(torch.randn(2, channels, 32, 32)).shape == (2, 7)


def test_a_transformer_of_one_size_is_made_for_that_of_the_data():
    network = from_torchvision((1, 64, 64), 3, "vit_b_32").eval()
    assert network(torch.randn(1, 1, 64, 64)).shape == (1, 3)


def test_the_tag_of_a_name_in_timm_is_no_part_of_the_network():
    with pytest.raises(ValueError, match=r"^name=resnet18\.a1_in1k is none of its networks; did you mean resnet18"):
        from_torchvision((1, 64, 64), 3, "resnet18.a1_in1k")


def test_with_three_channels_the_network_is_torchvisions_own():
    torch.manual_seed(3)
    network = from_torchvision((3, 32, 32), 5, "resnet18")
    torch.manual_seed(3)
    expected = torchvision.models.resnet18(num_classes=5).state_dict()
    assert type(network) is torchvision.models.ResNet
    assert network.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_with_auxiliary_heads_give_one_output_in_training(name):
    network = from_torchvision((1, 96, 96), 3, name)
    assert network.train()(torch.randn(2, 1, 96, 96)).shape == (2, 3)
    assert not [key for key in network.state_dict() if key.lower().startswith("aux")]


def test_weights_of_other_classes_are_loaded_but_for_the_head(tmp_path, caplog):
    whole = torchvision.models.resnet18(num_classes=9)
    file = saved(whole, tmp_path / "whole.pth")
    network = from_torchvision((3, 32, 32), 4, "resnet18", weights=str(file))
    assert "fc.weight and fc.bias begins anew" in caplog.text
    own = network.state_dict()
    assert all(torch.equal(own[k], v) for k, v in whole.state_dict().items() if not k.startswith("fc."))
    caplog.clear()
    same = from_torchvision((3, 32, 32), 9, "resnet18", weights=str(file)).state_dict()
    assert all(torch.equal(same[k], v) for k, v in whole.state_dict().items())
    assert caplog.text == ""


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_on_other_channels_it_begins_as_the_function_of_their_mean(channels, tmp_path):
    whole = torchvision.models.resnet18(num_classes=4).eval()
    network = from_torchvision(
        (channels, 32, 32), 4, "resnet18", weights=str(saved(whole, tmp_path / "whole.pth"))
    ).eval()
    x = torch.randn(2, channels, 32, 32)
    grey = x.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(network(x), whole(grey), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("nested", ["state_dict", "model"])
def test_a_state_dict_may_lie_within_a_checkpoint(nested, tmp_path):
    whole = torchvision.models.resnet18(num_classes=4)
    file = saved(whole, tmp_path / "whole.pth", lambda state: {nested: state, "epoch": 3})
    network = from_torchvision((3, 32, 32), 4, "resnet18", weights=str(file))
    assert torch.equal(network.fc.weight, whole.fc.weight)


def test_weights_that_do_not_fit(tmp_path):
    state = torchvision.models.get_model(NAME, num_classes=4).state_dict()
    torch.save(state | {"deeper.weight": torch.ones(3)}, tmp_path / "deeper.pth")
    torch.save({k: v for k, v in state.items() if k != "conv5.0.weight"}, tmp_path / "shallower.pth")
    torch.save(state | {"conv5.0.weight": torch.ones(7, 192, 1, 1)}, tmp_path / "narrower.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "pickled.pth")
    (tmp_path / "text.pth").write_text("nothing")
    for name, message in {
        "deeper": r"deeper\.pth has deeper\.weight, which the network does not have",
        "shallower": r"has no conv5\.0\.weight of shape \(1024, 192, 1, 1\)",
        "narrower": r"its conv5\.0\.weight has shape \(7, 192, 1, 1\), and the network's is \(1024, 192, 1, 1\)",
        "nowhere": r"nowhere\.pth cannot be read: No such file",
        "list": r"list\.pth holds no state dict: it holds a list",
        "pickled": r"pickled\.pth holds no state dict: Weights only load failed",
        "text": r"text\.pth holds no state dict",
    }.items():
        with pytest.raises(ValueError, match=message):
            from_torchvision((3, 32, 32), 4, NAME, weights=str(tmp_path / f"{name}.pth"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3, 8, 8), 4, "resnet19"), r"name=resnet19 is none of its networks; did you mean resnet18"),
        (((3, 8, 8), 4, "fasterrcnn_resnet50_fpn"), r"is none of its networks"),
        (((13,), 4, "resnet18"), r"resnet18 needs images of shape \(C, H, W\), and these samples have shape \(13,\)"),
        (((3, 8, 8), 4, "resnet18", None, {"weights": "DEFAULT"}), r"options\.weights cannot be set: sizes are"),
        (((3, 8, 8), 4, "resnet18", None, {"pretrained": True}), r"options\.pretrained cannot be set"),
        (((3, 8, 8), 4, "resnet18", None, {"num_classes": 7}), r"options\.num_classes cannot be set"),
    ],
)
def test_what_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        from_torchvision(*arguments)


def test_a_layer_behind_a_module_that_is_called_twice_acts_at_each_call():
    """A block of ResNet calls its one in-place ReLU twice."""
    network = from_torchvision((1, 32, 32), 4, "resnet18")
    site = Site(Calls(), after="ReLU")
    site.insert(network, "calls")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.eval()(torch.randn(2, 1, 32, 32))
    assert [layer.count for layer in site.made] == [1] + [2] * 8  # behind the stem, and in each of 8 blocks
    assert before.keys() == network.state_dict().keys()


def test_a_layer_behind_a_block_with_a_pass_of_its_own_acts():
    class Doubled(nn.Sequential):
        def forward(self, x):
            return 2 * self[0](x)

    network = nn.Sequential(Doubled(nn.Linear(3, 3)))
    Site(Calls(), after="Doubled").insert(network, "calls")
    assert torch.equal(network(torch.randn(2, 3)), torch.zeros(2, 3))


def test_it_trains_under_the_command_line_with_dropout_behind_its_activations(tmp_path):
    kept = train_into(tmp_path / "run", *TINY, "regularizer=dropout", "regularizer.dropout.after=ReLU")
    assert kept["status"] == "completed"
    state = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    rates = [tensor.item() for name, tensor in state.items() if name.endswith(".dropout.rate")]
    assert len(rates) == sum(isinstance(m, nn.ReLU) for m in torchvision.models.shufflenet_v2_x0_5().modules())
    assert set(rates) == {0.5}
    assert state["objective.network.model.fc.weight"].shape[0] == 10


def test_a_run_is_evaluated_without_the_file_it_began_at(tmp_path):
    file = saved(getattr(torchvision.models, NAME)(), tmp_path / "begin.pth")
    train_into(tmp_path / "run", *TINY, "model.weights=begin.pth")
    file.unlink()
    done = evaluate("run=run", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "equal to the record" in done.out


def test_a_study_of_it_is_packed_and_equals_the_runs_alone(tmp_path):
    settings = [*TINY, "regularizer=[dropout,l2]", "regularizer.dropout.after=ReLU", "regularizer.dropout.rate=0.1,0.4"]
    for name, launcher in (("alone", []), ("packed", ["hydra/launcher=packed"])):
        done = train("-m", f"study={name}", *settings, *launcher, cwd=tmp_path)
        assert done.code == 0, done.err
    rate = "regularizer.dropout.rate"
    alone, packed = ({value(kept, rate): kept for kept in runs(tmp_path, name)} for name in ("alone", "packed"))
    assert alone.keys() == packed.keys() == {"0.1", "0.4"}
    assert {kept["launcher"] for kept in packed.values()} == {"packed"}
    for name, kept in alone.items():
        one, other = kept["metrics"], packed[name]["metrics"]
        assert other["train"]["loss"] == pytest.approx(one["train"]["loss"], rel=1e-4)
        assert other["weight_norm"] == pytest.approx(one["weight_norm"], rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=torchvision"], r"^failed: model\.name has no value; give it as model\.name=VALUE$"),
        (["model=torchvision", "model.name=resnet19"], r"name=resnet19 is none of its networks; did you mean resnet18"),
        (["model=torchvision", "model.name=alexnet"], r"model\.name=alexnet fails on inputs of shape \(2, 1, 8, 8\)"),
        (
            [*RESNET, "regularizer=dropout"],
            r"needs a site `dropout`.*, which has none; regularizer\.dropout\.after=ReLU",
        ),
        ([*RESNET, "+model.options.foo=1"], r"unexpected keyword argument 'foo'"),
        (
            ["model._target_=torchvision.models.resnet18", "+model.num_classes=10"],
            r"fails on inputs of shape \(2, 1, 8, 8\): .*; model=torchvision model\.name=\.\.\. fits it to the data$",
        ),
        (
            ["model._target_=torchvision.models.resnet18", "+model.num_classes=3", "regularizer=dropout"],
            r"needs a site `dropout` in model=torchvision\.models\.resnet18, which has none",
        ),
    ],
)
def test_mistakes_are_told_in_one_sentence(arguments, message, tmp_path):
    done = train(*arguments, "trainer.max_epochs=1", cwd=tmp_path)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert re.search(message, done.err.strip())


def test_a_constructor_of_torchvision_takes_what_is_written_and_no_key_of_another_model(tmp_path):
    for i in range(20):
        place = tmp_path / "images" / "abc"[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (i, 2 * i, 255 - i)).save(place / f"{i}.png")
    kept = train_into(
        tmp_path / "run",
        *("data=image_folder", "data.path=images", "data.size=16", "trainer.max_epochs=1", "logger=none"),
        *(f"model._target_=torchvision.models.{NAME}", "+model.num_classes=3"),
    )
    assert kept["status"] == "completed"


def test_a_class_that_passes_all_on_still_gets_all(tmp_path):
    (tmp_path / "mynetall.py").write_text(
        "from regnet.models import MLP\n\nclass Net(MLP):\n    def __init__(self, **settings):\n"
        "        super().__init__(**settings)\n"
    )
    kept = train_into(tmp_path / "run", "model._target_=mynetall.Net", "model.widths=[5]", "trainer.max_epochs=1")
    assert kept["status"] == "completed"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_timm_fits_classes_channels_and_size(name, channels, timm):
    network = from_timm((channels, 32, 32), 5, name).eval()
    assert network(torch.randn(2, channels, 32, 32)).shape == (2, 5)


def test_timm_begins_at_weights_and_refuses_the_same_as_torchvision(timm, tmp_path):
    whole = timm.create_model("resnet10t", num_classes=6)
    file = saved(whole, tmp_path / "whole.pth")
    network = from_timm((1, 32, 32), 5, "resnet10t", weights=str(file)).eval()
    expected = timm.create_model("resnet10t", num_classes=5).eval()
    state = {k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")}
    expected.load_state_dict(state | {k: v for k, v in network.state_dict().items() if k.startswith("fc.")})
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(network(x), expected(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)
    for name in ("resnet11t", "hf_hub:timm/resnet10t.c3_in1k"):
        with pytest.raises(ValueError, match=r"is none of its networks"):
            from_timm((1, 32, 32), 5, name)
    for option in ("pretrained", "pretrained_cfg", "checkpoint_path", "in_chans"):
        with pytest.raises(ValueError, match=rf"options\.{option} cannot be set"):
            from_timm((1, 32, 32), 5, "resnet10t", options={option: True})


def test_timm_reads_safetensors(timm, tmp_path):
    from safetensors.torch import save_file

    whole = timm.create_model("resnet10t", num_classes=5)
    save_file(whole.state_dict(), tmp_path / "whole.safetensors")
    network = from_timm((3, 32, 32), 5, "resnet10t", weights=str(tmp_path / "whole.safetensors"))
    assert torch.equal(network.fc.weight, whole.fc.weight)


def test_timm_trains_and_packs_under_the_command_line(timm, tmp_path):
    done = train(
        *("-m", "study=s", "model=timm", "model.name=test_resnet", "trainer.max_epochs=1", "data.train_size=40"),
        *("regularizer=none,dropout", "++regularizer.dropout.after=ReLU", "seed=0,1", "hydra/launcher=packed"),
        cwd=tmp_path,
    )
    assert (done.code, done.err) == (0, "")
    assert "packed: 4 runs in 2 packs" in done.out
    assert {kept["launcher"] for kept in runs(tmp_path)} == {"packed"}


def test_without_timm_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"model=timm needs timm .*: pip install 'regnet\[timm\]'"):
        from_timm((1, 8, 8), 2, "resnet10t")
