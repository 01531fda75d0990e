"""What every batch transform keeps to."""

import pytest
import torch
from table import CLASSES, each

from regnet import regularizers as R


@each(R.BatchTransform)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("targets", ["classes", "probabilities"])
def test_transform(row, dtype, targets):
    x = torch.rand(16, 2, 6, 6).to(dtype)
    y = torch.arange(16) % CLASSES
    if targets == "probabilities":
        y = torch.rand(16, CLASSES, dtype=torch.float32).softmax(1).to(dtype)
    before = x.clone(), y.clone()
    new_x, new_y = row.make()(x, y)
    assert torch.equal(x, before[0]), "the batch may be a view of the data"
    assert torch.equal(y, before[1])
    assert (new_x.shape, new_x.dtype) == (x.shape, dtype)
    assert new_x.isfinite().all()
    if new_y.dtype == torch.int64:
        assert torch.equal(new_y, y)
    else:
        assert (new_y.shape, new_y.dtype) == ((16, CLASSES), y.dtype if targets == "probabilities" else torch.float32)
        assert (new_y >= 0).all()
        rounding = max(2 * torch.finfo(new_y.dtype).eps, 1e-6)
        torch.testing.assert_close(new_y.float().sum(1), torch.ones(16), atol=rounding, rtol=0)
    assert row.make().stage in (R.BatchTransform.INPUTS, R.BatchTransform.MIXING, R.BatchTransform.TARGETS)
