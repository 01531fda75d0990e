"""Contrast, pixels and JPEG, the latter two against PIL."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from regnet.corruptions import corrupt
from regnet.corruptions.jpeg import CHROMINANCE, LUMINANCE, jpeg
from tests.helpers.pictures import digits, photos


def test_contrast_is_about_the_mean_of_each_channel():
    x = photos(3, 32).double()
    mean = x.mean((2, 3), keepdim=True)
    assert torch.allclose(corrupt(x, "contrast", 5), mean + 0.15 * (x - mean))


@pytest.mark.parametrize(("severity", "boxes"), [(2, 14), (5, 7)])
def test_boxes_of_whole_pixels_are_those_of_pil(severity, boxes):
    x = digits(5)
    for before, after in zip(x[:, 0].numpy(), corrupt(x, "pixelate", severity)[:, 0], strict=True):
        small = Image.fromarray(before).resize((boxes, boxes), Image.Resampling.BOX)
        assert np.allclose(small.resize((28, 28), Image.Resampling.BOX), after, atol=1e-6)


def test_pixels_in_two_boxes_take_of_both():
    x = torch.zeros(1, 1, 10, 10, dtype=torch.float64)
    x[..., 0] = 1  # boxes are 5 / 3 wide: the first holds column 0 and 2/3 of column 1
    worse = corrupt(x, "pixelate", 1)[0, 0, 0]
    assert worse.tolist() == pytest.approx([0.6, 0.6 * 2 / 3, *[0] * 8])


def kept_by_pil(x, quality):
    kept = []
    for image in (255 * x).round().byte().movedim(1, 3).squeeze(3).numpy():
        file = BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        kept.append(np.array(Image.open(file)))
    kept = torch.tensor(np.array(kept)) / 255
    return kept[:, None] if kept.ndim == 3 else kept.movedim(3, 1)


@pytest.mark.parametrize("quality", [7, 10, 25, 50, 80, 95])
@pytest.mark.parametrize(
    ("x", "mean"),
    [(digits(60), 0.15), (photos(30, 32), 0.8), (photos(10, 64)[..., :37, :51], 0.8), (photos(2, 224), 0.8)],
    ids=["grey", "colour", "odd", "large"],
)
def test_jpeg_is_that_of_pil_to_a_level_on_average(x, mean, quality):
    ours, theirs = jpeg(x, quality), kept_by_pil(x, quality)
    apart = 255 * (ours - theirs).abs()
    assert apart.mean() < mean
    assert (apart > 1.5).double().mean() < 0.14
    lost = 255 * (theirs - x).abs().mean()
    assert apart.mean() < lost / 2, "what JPEG does to the image is not matched by chance"


@pytest.mark.parametrize("quality", [10, 50, 90])
def test_tables_are_those_that_pil_writes(quality):
    from regnet.corruptions.jpeg import _steps

    file = BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file, "JPEG", quality=quality)
    written = Image.open(file).quantization
    for number, table in enumerate((LUMINANCE, CHROMINANCE)):
        assert list(written[number]) == _steps(table, quality).tolist()


def test_a_flat_image_is_kept_by_jpeg():
    x = torch.full((1, 3, 20, 20), 128 / 255)
    assert torch.allclose(corrupt(x, "jpeg", 5), x, atol=1.5 / 255)
