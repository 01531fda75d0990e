"""Random streams: one per purpose, derived from the run's seed by name."""

import hashlib
from collections.abc import Callable

import torch


def derive(seed: int, *names: object) -> int:
    """The seed in [0, 2^63) of the stream `names` of `seed`, such as ``derive(seed, "order", epoch)``.

    Streams are independent: one more consumer under a name of its own never moves the others.
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def bookmark(device: torch.device) -> Callable[[], None]:
    """Takes torch's generators, the CPU's and that of `device`, back to where they are now, when it is called."""
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def rewind() -> None:
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, device)

    return rewind
