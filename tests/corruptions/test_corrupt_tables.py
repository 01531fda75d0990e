"""Corruptions of the rows of tables."""

import math

import pytest
import torch

from regnet.corruptions import TABLE_CORRUPTIONS, corrupt_table

SCALE = torch.tensor([1.0, 10.0, 0.0])
X = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)) * SCALE + 5
every_kind = pytest.mark.parametrize("kind", TABLE_CORRUPTIONS)


@every_kind
def test_a_row_is_corrupted_the_same_in_any_batch(kind):
    x = X[:9]
    together = corrupt_table(x, kind, 3, SCALE, seed=2)
    alone = [corrupt_table(x[i : i + 1], kind, 3, SCALE, seed=2, first=i) for i in range(9)]
    assert torch.cat(alone).nan_to_num(-1).equal(together.nan_to_num(-1))
    assert not together.nan_to_num(-1).equal(corrupt_table(x, kind, 3, SCALE, seed=3).nan_to_num(-1))
    assert together.dtype == x.dtype
    assert corrupt_table(x.double(), kind, 3, SCALE).dtype == torch.float64
    assert corrupt_table(x, kind, 0, SCALE).equal(x)
    assert corrupt_table(x[:0], kind, 3, SCALE).shape == (0, 3)


@pytest.mark.parametrize(("severity", "strength"), [*enumerate([0.1, 0.25, 0.5, 0.75, 1.0], 1)])
def test_noise_is_in_standard_deviations_of_the_feature(severity, strength):
    noise = corrupt_table(X, "feature_noise", severity, SCALE) - X
    assert torch.allclose(noise.std(0), strength * SCALE, rtol=0.06)
    assert torch.allclose(noise.mean(0), torch.zeros(3), atol=4 * 10 / math.sqrt(2000))
    same = corrupt_table(X[:5], "feature_noise", severity, SCALE) - X[:5]
    assert same.equal(noise[:5]), "whatever the other rows are"


@pytest.mark.parametrize(("severity", "share"), [*enumerate([0.05, 0.1, 0.2, 0.35, 0.5], 1)])
def test_a_share_of_the_values_is_missing(severity, share):
    worse = corrupt_table(X, "missing_values", severity, SCALE)
    assert worse.isnan().double().mean().item() == pytest.approx(share, abs=4 * math.sqrt(share / X.numel()))
    assert worse[~worse.isnan()].equal(X[~worse.isnan()])


def test_more_severe_means_more_is_missing():
    fewer, more = (corrupt_table(X, "missing_values", severity, SCALE).isnan() for severity in (2, 3))
    assert (fewer <= more).all()


@every_kind
def test_missing_values_stay_missing(kind):
    x = X[:50].clone()
    x[::2, 1] = math.nan
    assert corrupt_table(x, kind, 2, SCALE)[::2, 1].isnan().all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": torch.zeros(2, 3, 4)}, "x must be a table (B, F) of float32 or float64, got [2, 3, 4]"),
        ({"x": torch.zeros(2, 3, dtype=torch.int64)}, "of torch.int64"),
        ({"kind": "missing"}, "did you mean missing_values?"),
        ({"severity": 6}, "severity must be a whole number from 0 to 5, got 6"),
        ({"scale": torch.ones(2)}, "scale must be 3 finite numbers >= 0, one for each feature, got [1.0, 1.0]"),
        ({"scale": -torch.ones(3)}, "scale must be 3 finite numbers >= 0"),
        ({"scale": torch.full((3,), math.nan)}, "scale must be 3 finite numbers >= 0"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(change, said):
    right = {"x": torch.zeros(2, 3), "kind": "feature_noise", "severity": 1, "scale": torch.ones(3)}
    with pytest.raises(ValueError, match=r"^[^\n]+$") as told:
        corrupt_table(**right | change)
    assert said in str(told.value)
