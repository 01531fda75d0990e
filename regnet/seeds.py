"""Random streams: one per purpose, derived from the run's seed by name."""

import hashlib


def derive(seed: int, *names: object) -> int:
    """The seed in [0, 2^63) of the stream `names` of `seed`, such as ``derive(seed, "order", epoch)``.

    Streams are independent: one more consumer under a name of its own never moves the others.
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
