"""What every batch transform keeps to."""

import pytest
import torch
import torch.nn.functional as F

from regnet import regularizers as R
from regnet.regularizers.schedules import scheduled_buffer
from tests.helpers.table import CLASSES, each


@each(R.BatchTransform)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("targets", ["classes", "probabilities"])
@pytest.mark.parametrize("channels", [1, 3])
def test_transform(row, dtype, targets, channels):
    x = torch.rand(16, channels, 6, 6).to(dtype)
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
        assert (new_y.shape, new_y.dtype) == (
            (16, CLASSES),
            y.dtype if targets == "probabilities" else torch.promote_types(dtype, torch.float32),
        )
        assert (new_y >= 0).all()
        rounding = max(2 * torch.finfo(new_y.dtype).eps, 1e-6)
        torch.testing.assert_close(new_y.float().sum(1), torch.ones(16), atol=rounding, rtol=0)


@each(R.BatchTransform)
def test_transform_keeps_to_its_stage(row):
    """Inputs alone, both, or targets alone; an image in [0, 1] stays there but for noise that has mean 0."""
    x, y = torch.rand(16, 3, 8, 8), torch.arange(16) % CLASSES
    transform, changed = row.make(), set()
    for _ in range(10):
        new_x, new_y = transform(x, y)
        if not torch.equal(new_x, x):
            changed.add("x")
        if new_y is not y and not torch.equal(new_y, F.one_hot(y, CLASSES)):
            changed.add("y")
        assert isinstance(transform, R.FeatureNoise | R.InputNoise) or (new_x.min() >= 0 and new_x.max() <= 1)
    of = R.BatchTransform
    assert changed == {of.INPUTS: {"x"}, of.MIXING: {"x", "y"}, of.TARGETS: {"y"}}[transform.stage]


@each(R.BatchTransform)
def test_transform_draws_from_torchs_global_stream(row):
    x, y, results = torch.rand(16, 3, 8, 8), torch.arange(16) % CLASSES, []
    for _ in range(2):
        torch.manual_seed(7)
        results.append(row.make()(x, y))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@each(R.BatchTransform)
def test_transform_at_zero_is_the_identity(row):
    """The strength or probability is read at each use, so that schedules can change it in place."""
    x, y, transform = torch.rand(16, 3, 8, 8), torch.arange(16) % CLASSES, row.make()
    if isinstance(transform, R.ShiftFlip):  # a number of pixels: no strength
        with pytest.raises(ValueError, match="no strength or rate"):
            scheduled_buffer(transform)
        return
    transform.get_buffer(scheduled_buffer(transform)).zero_()
    fresh = row.make()
    fresh.load_state_dict(transform.state_dict())
    for it in (transform, fresh):
        for _ in range(5):
            new_x, new_y = it(x, y)
            assert torch.equal(new_x, x)
            assert new_y is y or torch.equal(new_y, F.one_hot(y, CLASSES).float())
