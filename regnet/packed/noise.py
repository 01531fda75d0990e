"""The noise streams of K networks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode


class Noise:
    """Each network draws from its own stream, as it would alone.

    On the CPU, where all of regnet's layers draw 64-bit words, a step's words are drawn before it, for each
    network from its generator, and handed out as the layers ask for them: bitwise those of the run alone.
    What else is drawn comes from torch's global stream, for each network other numbers; so does all on a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.generators: list[torch.Generator] = []
        self._needed: dict[torch.Size, int] = {}

    def begin(self, seeds: Sequence[int]) -> None:
        """Starts the stream of each network anew."""
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        torch.manual_seed(sum(seeds) % 2**63)

    def keep(self, index: Tensor) -> None:
        self.generators = [self.generators[k] for k in index.tolist()]

    @contextmanager
    def of(self, k: int) -> Iterator[None]:
        """torch's global stream is that of network k."""
        if self.device.type != "cpu":
            yield
            return
        before = torch.random.get_rng_state()
        torch.random.set_rng_state(self.generators[k].get_state())
        yield
        self.generators[k].set_state(torch.random.get_rng_state())
        torch.random.set_rng_state(before)

    def words(self, objective: nn.Module, rows: slice, x: Tensor, y: Tensor) -> Tensor:
        """What the layers of `rows` need for one step on samples like x and y, int64 (K, n); n = 0 if nothing."""
        generators = self.generators[rows]
        count = self._needs(objective, x, y) if self.device.type == "cpu" else 0
        words = torch.empty(len(generators), count, dtype=torch.int64, device=self.device)
        if count:
            for row, generator in zip(words, generators, strict=True):
                row.random_(-(2**63), 2**63 - 1, generator=generator)
        return words

    def _needs(self, objective: nn.Module, x: Tensor, y: Tensor) -> int:
        """How many words the layers ask for, found by one pass."""
        if x.shape not in self._needed:
            with _Counted() as counted, torch.no_grad(), torch.random.fork_rng(devices=[]):
                every = (*objective.named_parameters(), *objective.named_buffers())
                functional_call(objective, {name: tensor.clone() for name, tensor in every}, (x, y))
            self._needed[x.shape] = counted.count
        return self._needed[x.shape]


class Given(TorchFunctionMode):
    """Hands out `words` (n,) to the layers that ask for random 64-bit words; (0,) lets them draw."""

    def __init__(self, words: Tensor) -> None:
        super().__init__()
        self.words, self.used = words, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.words.numel() == 0 or not _is_words(func, args):
            return func(*args, **(kwargs or {}))
        start, self.used = self.used, self.used + torch.Size(args[2]).numel()
        return self.words[start : self.used].view(args[2])


class _Counted(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _is_words(func, args):
            self.count += torch.Size(args[2]).numel()
        return func(*args, **(kwargs or {}))


def _is_words(func: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    return func is torch.randint and args[:2] == (-(2**63), 2**63 - 1)
