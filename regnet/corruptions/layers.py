"""What is drawn before an image: in a small one it is drawn as for a published size, and shrinks."""

from torch import Tensor
from torch.nn.functional import interpolate


def layer(x: Tensor, unit: float) -> tuple[tuple[int, int], float]:
    """The height and width to draw at, for images (B, C, H, W), and the unit of lengths there, >= 1."""
    height, width = x.shape[2:]
    if unit >= 1:
        return (height, width), unit
    return (round(height / unit), round(width / unit)), 1.0


def shrunk(drawn: Tensor, x: Tensor) -> Tensor:
    """(B, 1, h, w) at the size of x (B, C, H, W), by means over areas."""
    return drawn if drawn.shape[2:] == x.shape[2:] else interpolate(drawn, x.shape[2:], mode="area")
