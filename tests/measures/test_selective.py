"""The risk-coverage curve by its definition."""

from itertools import pairwise, permutations

import pytest
import torch

from regnet.measures.selective import risks


def by_definition(confidence, wrong):
    """Of all orders that have more confident samples first, the mean curve."""
    curves = []
    for order in permutations(range(len(wrong))):
        if all(confidence[a] >= confidence[b] for a, b in pairwise(order)):
            errors = torch.tensor([float(wrong[i]) for i in order], dtype=torch.float64).cumsum(0)
            curves.append(errors / torch.arange(1, len(wrong) + 1))
    return torch.stack(curves).mean(0)


@pytest.mark.parametrize("confidence", [[0.9, 0.8, 0.7, 0.6, 0.5], [0.5, 0.9, 0.9, 0.5, 0.9], [0.3] * 5])
@pytest.mark.parametrize("wrong", [[0, 1, 0, 1, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
def test_the_curve_is_the_mean_over_all_orders_of_ties(confidence, wrong):
    found = risks(torch.tensor(confidence), torch.tensor(wrong, dtype=torch.bool))
    assert found.tolist() == pytest.approx(by_definition(confidence, wrong).tolist())


def test_at_full_coverage_it_is_the_error():
    generator = torch.Generator().manual_seed(0)
    confidence, wrong = torch.rand(300, generator=generator), torch.rand(300, generator=generator) < 0.3
    assert risks(confidence, wrong)[-1].item() == pytest.approx(wrong.double().mean().item())


def test_confidence_that_says_nothing_has_the_error_everywhere():
    generator = torch.Generator().manual_seed(1)
    wrong = torch.rand(200_000, generator=generator) < 0.3
    area = risks(torch.rand(200_000, generator=generator), wrong).mean().item()
    assert area == pytest.approx(0.3, abs=0.01)
