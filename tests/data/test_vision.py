import os
import socket
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision import datasets

from regnet.core.errors import UserError
from regnet.data import DataModule
from regnet.data.vision import TorchvisionImages
from tests.helpers.idx import write_idx, write_mnist_like


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_mnist_and_its_kin(tmp_path, name):
    write_mnist_like(tmp_path, name)
    data = TorchvisionImages(name, str(tmp_path)).load()
    assert data.samples.x.shape == (30, 1, 28, 28)
    assert data.samples.x.dtype == torch.uint8
    assert (len(data.test), len(data.classes)) == (10, 10)
    assert data.samples.x[:, 0, 14, 14].long().equal(data.samples.y)


def fake(shape, targets, classes):
    """A torchvision class that holds counted pixels in memory."""

    class Fake:
        def __init__(self, root, train=True, split=None, download=False):
            n = 6 if train and split != "test" else 2
            self.data = np.arange(n * 3 * 4 * 4, dtype=np.uint8).reshape(n, *shape)
            setattr(self, targets, [0, 1] * (n // 2))
            if classes:
                self.classes = classes

    return Fake


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_cifar_becomes_channels_first(monkeypatch, name):
    kind = fake((4, 4, 3), "targets", ["cat", "dog"])
    monkeypatch.setattr(datasets, name, kind)
    data = TorchvisionImages(name, "anywhere").load()
    assert data.classes == ("cat", "dog")
    assert data.samples.x.shape == (6, 3, 4, 4)
    assert data.samples.x.is_contiguous()
    np.testing.assert_array_equal(data.samples.x[1].permute(1, 2, 0), kind("anywhere").data[1])
    assert len(data.test) == 2


def test_svhn_is_channels_first(monkeypatch):
    kind = fake((3, 4, 4), "labels", None)
    monkeypatch.setattr(datasets, "SVHN", kind)
    data = TorchvisionImages("SVHN", "anywhere").load()
    assert data.classes == tuple("0123456789")
    np.testing.assert_array_equal(data.samples.x, kind("anywhere").data)
    assert (data.samples.y.dtype, len(data.test)) == (torch.int64, 2)


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "CIFAR10", "CIFAR100", "SVHN"])
def test_absent_and_no_network(tmp_path, monkeypatch, name):
    patience = []

    def offline(*_, **__):
        patience.append(socket.getdefaulttimeout())
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(UserError) as caught:
        TorchvisionImages(name, str(tmp_path)).load()
    sentence = str(caught.value)
    assert sentence.startswith(f"{name} is absent or damaged in data.root={tmp_path}")
    assert "Name or service not known" in sentence
    assert "REGNET_DATA" in sentence
    assert "\n" not in sentence
    assert patience[0] == 30
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("end", [0, 3, -3])
def test_a_truncated_file(tmp_path, file, end):
    raw = write_mnist_like(tmp_path, "MNIST")
    (raw / file).write_bytes((raw / file).read_bytes()[:end])
    with pytest.raises(UserError, match=r"^The files of MNIST in data.root=.* damaged; delete .*/MNIST so that"):
        TorchvisionImages("MNIST", str(tmp_path)).load()


@pytest.mark.parametrize("labels", [np.zeros(29), np.full(30, 10)])
def test_images_without_labels_and_labels_without_a_class(tmp_path, labels):
    raw = write_mnist_like(tmp_path, "MNIST")
    write_idx(raw / "train-labels-idx1-ubyte", labels)
    with pytest.raises(UserError, match="are damaged"):
        TorchvisionImages("MNIST", str(tmp_path)).load()


def test_real_mnist():
    root = Path(os.environ.get("REGNET_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (root / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.skip(f"no MNIST in {root}; set REGNET_DATA to the folder that holds it")
    module = DataModule(TorchvisionImages("MNIST", str(root)), train_size=1000)
    module.setup()
    assert (len(module.train), len(module.val), len(module.test)) == (1000, 6000, 10000)
    mean, std = module.statistics()
    assert mean.item() == pytest.approx(0.1307, abs=0.005)
    assert std.item() == pytest.approx(0.3081, abs=0.005)
    share = module.val.y.bincount() / 6000
    assert share.numpy() == pytest.approx(module.source.load().samples.y.bincount().numpy() / 60000, abs=1 / 3000)
