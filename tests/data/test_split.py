import pytest
import torch

from regnet.core.errors import UserError
from regnet.data.split import corrupt_labels, split, stratified_order


def generator(seed):
    return torch.Generator().manual_seed(seed)


def labels(*counts):
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return y[torch.randperm(len(y), generator=generator(0))]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("counts", [(50, 50), (90, 10), (30,) * 10, (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)])
def test_every_prefix_holds_each_class_in_proportion(counts, seed):
    y = labels(*counts)
    order = stratified_order(y, generator(seed))
    assert order.sort().values.equal(torch.arange(len(y)))
    held = torch.nn.functional.one_hot(y[order]).cumsum(0)  # (N, K)
    share = torch.arange(1, len(y) + 1)[:, None] * torch.tensor(counts) / len(y)
    assert (held - share).abs().max() <= 1.0 + 1e-4


@pytest.mark.parametrize("counts", [(500, 20, 20, 20, 20), (1000, 1, 1, 1, 1, 1, 1)])
def test_the_bound_for_unbalanced_classes(counts):
    y, k = labels(*counts), len(counts)
    held = torch.nn.functional.one_hot(y[stratified_order(y, generator(0))]).cumsum(0)
    p = torch.tensor(counts) / len(y)
    share = torch.arange(1, len(y) + 1)[:, None] * p
    assert ((held - share).abs() <= 0.5 * (1 + p * (k - 2)) + 1e-3).all()


def test_the_order_is_random_in_and_across_classes():
    y = labels(20, 20)
    orders = [stratified_order(y, generator(seed)) for seed in range(50)]
    assert len({tuple(order.tolist()) for order in orders}) == 50
    first = torch.stack([y[order[0]] for order in orders])
    assert 0 < first.sum() < 50


def test_numbers_are_permuted():
    order = stratified_order(torch.rand(50), generator(0))
    assert order.sort().values.equal(torch.arange(50))


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_disjoint_and_cover(seed):
    y = labels(60, 30, 10)
    parts = split(y, 0.2, 0.25, None, seed)
    assert [len(parts.train), len(parts.val), len(parts.test)] == [60, 20, 20]
    assert torch.cat(list(parts)).sort().values.equal(torch.arange(100))
    assert y[parts.test].bincount().tolist() == [12, 6, 2]
    assert y[parts.train].bincount().tolist() == [36, 18, 6]


def test_training_sets_are_nested_and_leave_the_others_alone():
    y = labels(100, 100)
    large = split(y, 0.2, 0.2, None, 3)
    for size in (2, 17, 90):
        small = split(y, 0.2, 0.2, size, 3)
        assert small.train.equal(large.train[:size])
        assert small.val.equal(large.val)
        assert small.test.equal(large.test)


def test_no_test_part_is_cut_off_where_there_is_one():
    parts = split(labels(10, 10), 0, 0.2, None, 0)
    assert (len(parts.train), len(parts.val), len(parts.test)) == (16, 4, 0)


def test_train_size_beyond_what_is_left():
    with pytest.raises(UserError, match=r"^data.train_size=5000 is more than the 72 samples .* at most 72$"):
        split(labels(50, 50), 0.2, 0.1, 5000, 0)


@pytest.mark.parametrize("rate", [0.0, 0.004, 0.1, 0.333, 0.5, 1.0])
@pytest.mark.parametrize("num_classes", [2, 10])
def test_label_noise_is_exact_and_never_the_true_label(rate, num_classes):
    y = torch.randint(num_classes, (301,), generator=generator(1))
    noisy = corrupt_labels(y, rate, num_classes, generator(2))
    assert (noisy != y).sum() == round(rate * 301)
    assert noisy.min() >= 0
    assert noisy.max() < num_classes


def test_label_noise_is_nested_in_the_rate():
    y = torch.randint(10, (500,), generator=generator(1))
    small, large = (corrupt_labels(y, rate, 10, generator(2)) for rate in (0.2, 0.6))
    assert small[small != y].equal(large[small != y])


def test_wrong_labels_are_uniform_over_the_other_classes():
    noisy = corrupt_labels(torch.zeros(9000, dtype=torch.int64), 1.0, 4, generator(0))
    assert (noisy.bincount()[1:] - 3000).abs().max() < 200


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_out_of_range(rate):
    with pytest.raises(UserError, match=r"^data\.label_noise=.* from 0 to 1"):
        corrupt_labels(torch.zeros(3, dtype=torch.int64), rate, 2, generator(0))
