"""What corruptions of images cost and look like.

    python scripts/benchmark.py corruptions [--rounds 5] [--pictures FILE.png]

CPU milliseconds for 1,000 test images of MNIST (REGNET_DATA), 1 x 28 x 28, and for as many of 3 x 32 x 32, uniform
noise in blocks of 4 x 4 pixels; in batches of 500 on one thread, the mean over the severities; median of the rounds
(smallest to largest). The pictures are rows of kinds, three digits each, from severity 0 to 5.
"""

import argparse
import os
import statistics
import time

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchvision.datasets import MNIST
from torchvision.utils import save_image

from regnet.corruptions import CORRUPTIONS, SEVERITIES, corrupt

BATCH = 500


def milliseconds(x: Tensor, kind: str) -> float:
    """CPU time for 1,000 of the images x (1000, C, H, W)."""
    before = time.process_time()
    for severity in SEVERITIES:
        for first in range(0, len(x), BATCH):
            corrupt(x[first : first + BATCH], kind, severity, first=first)
    return (time.process_time() - before) * 1e3 / len(SEVERITIES)


def told(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def draw(x: Tensor, file: str) -> None:
    rows = [torch.stack([corrupt(x, kind, severity) for severity in (0, *SEVERITIES)], 1) for kind in CORRUPTIONS]
    save_image(pad(torch.cat(rows).flatten(0, 1), (1,) * 4, value=0.5), file, nrow=len(x) * 6, padding=0)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", help="a file to draw them in, .png")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    digits = MNIST(os.environ.get("REGNET_DATA", "data"), train=False, download=True).data[:1000, None] / 255
    blocks = torch.rand(1000, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    colours = blocks.repeat_interleave(4, 2).repeat_interleave(4, 3)
    if options.pictures:
        draw(digits[:3], options.pictures)
    times = {kind: ([], []) for kind in CORRUPTIONS}
    for _ in range(options.rounds):
        for kind, both in times.items():
            for x, values in zip((digits, colours), both, strict=True):
                values.append(milliseconds(x, kind))
    print("| kind | 1 x 28 x 28 | 3 x 32 x 32 |\n|---|---|---|")
    for kind, both in times.items():
        print(f"| `{kind}` | {told(both[0])} | {told(both[1])} |")
