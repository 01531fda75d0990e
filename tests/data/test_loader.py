import pytest
import torch

from regnet.data import loader as loaders
from regnet.data.loader import EpochSampler, TensorLoader, make_loader
from regnet.data.samples import Samples

CPU = torch.device("cpu")


class Decoded:
    """Lazy images that are in memory after all."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i]


def pixels(n):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (n, 1, 2, 2), dtype=torch.uint8, generator=generator)
    return Samples(x, torch.arange(n))


def lazily(samples):
    return Samples(Decoded(samples.x), samples.y)


def test_the_order_is_a_function_of_seed_and_epoch():
    one, other = EpochSampler(100, 7, shuffle=True), EpochSampler(100, 7, shuffle=True)
    first = list(one)
    assert first == list(one)
    one.set_epoch(3)
    assert list(one) != first
    other.set_epoch(3)
    assert list(one) == list(other)
    assert list(EpochSampler(100, 8, shuffle=True)) != first


def test_the_order_leaves_the_global_stream_alone():
    before = torch.get_rng_state()
    list(EpochSampler(10, 0, shuffle=True))
    for samples in (pixels(10), lazily(pixels(10))):
        list(make_loader(samples, 4, EpochSampler(10, 0, shuffle=True), CPU))
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("n", [12, 13, 2])
def test_processes_share_all_samples_equally(n):
    parts = [list(EpochSampler(n, 0, True, rank, 4)) for rank in range(4)]
    assert {len(part) for part in parts} == {-(-n // 4)}
    assert set().union(*parts) == set(range(n))
    whole = list(EpochSampler(n, 0, True))
    assert parts[1][0] == whole[1]


@pytest.mark.parametrize("wrap", [lambda samples: samples, lazily])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_sample_once_with_its_target(wrap, shuffle):
    samples = pixels(23)
    loader = make_loader(wrap(samples), 5, EpochSampler(23, 0, shuffle), CPU)
    batches = list(loader)
    assert len(batches) == len(loader) == 5
    assert [len(y) for _, y in batches] == [5, 5, 5, 5, 3]
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    assert y.tolist() == list(loader.sampler)
    assert x.dtype == torch.float32
    assert x.equal(samples.x[y] / 255)


@pytest.mark.parametrize("wrap", [lambda samples: samples, lazily])
def test_a_training_batch_of_one_is_dropped(wrap):
    def sizes(n, batch_size, shuffle):
        loader = make_loader(wrap(pixels(n)), batch_size, EpochSampler(n, 0, shuffle), CPU)
        found = [len(y) for _, y in loader]
        assert len(loader) == len(found)
        return found

    assert sizes(9, 4, shuffle=True) == [4, 4]
    assert sizes(9, 4, shuffle=False) == [4, 4, 1]
    assert sizes(3, 1, shuffle=True) == [1, 1, 1]


@pytest.mark.gpu
@pytest.mark.parametrize("fits", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_gpu_gets_its_batches_there(monkeypatch, fits, shuffle):
    monkeypatch.setattr(loaders, "fits", lambda size, device: fits or device.type == "cpu")
    sampler = EpochSampler(23, 0, shuffle)
    here, there = (list(make_loader(pixels(23), 5, sampler, torch.device(name))) for name in ("cpu", "cuda"))
    for (x, y), (other_x, other_y) in zip(here, there, strict=True):
        assert other_x.is_cuda
        assert other_y.is_cuda
        assert x.equal(other_x.cpu())
        assert y.equal(other_y.cpu())


def test_floats_pass_unchanged():
    samples = Samples(torch.tensor([[1.0, float("nan")], [300.0, 2.0]]), torch.tensor([0.5, 1.5]))
    x, y = next(iter(TensorLoader(samples, 2, EpochSampler(2, 0, shuffle=False))))
    assert torch.equal(x.nan_to_num(-1), samples.x.nan_to_num(-1))
    assert y.dtype == torch.float32


def test_worker_processes_give_the_same_batches():
    samples, sampler = lazily(pixels(10)), EpochSampler(10, 0, shuffle=True)
    here, there = (list(make_loader(samples, 4, sampler, CPU, workers)) for workers in (0, 1))
    for (x, y), (other_x, other_y) in zip(here, there, strict=True):
        assert x.equal(other_x)
        assert y.equal(other_y)
