"""The noise streams of K networks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from ..core.devices import sent
from .keyed import GAMMA, Keyed


class Noise:
    """Each network draws from its own stream, as it would alone.

    On the CPU, where most of regnet's layers draw 64-bit words, a step's words are drawn before it, for each
    network from its generator, and handed out as the layers ask for them: bitwise those of the run alone.
    What else is drawn, and all on a GPU, is computed from a key that each network has for each of its steps, see
    `Keyed`: it depends on the run's seed, and neither on the runs beside it nor on how many are computed at once.
    What torch draws by other functions than `Keyed` knows comes from its global stream, for each network other numbers.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.generators: list[torch.Generator] = []
        self.on_device: list[torch.Generator] = []  # for each network, on a GPU
        self.keys = torch.zeros(0, dtype=torch.int64)  # (K,), of the next step
        self._needed: dict[torch.Size, int] = {}

    def begin(self, seeds: Sequence[int]) -> None:
        """Starts the stream of each network anew."""
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        if self.device.type == "cuda":
            self.on_device = [torch.Generator(self.device).manual_seed(seed) for seed in seeds]
        self.keys = sent(torch.tensor(seeds, dtype=torch.int64), self.device)
        torch.manual_seed(sum(seeds) % 2**63)

    def keep(self, index: Tensor) -> None:
        self.generators = [self.generators[k] for k in index.tolist()]
        self.on_device = [self.on_device[k] for k in index.tolist() if self.on_device]
        self.keys = self.keys[index.to(self.device)]

    @contextmanager
    def of(self, k: int) -> Iterator[None]:
        """torch's global streams are those of network k."""
        own, shared = [self.generators[k]], [torch.default_generator]
        if self.on_device:
            own.append(self.on_device[k])
            shared.append(torch.cuda.default_generators[self.on_device[k].device.index])
        before = [stream.get_state() for stream in shared]
        _take_over(shared, [generator.get_state() for generator in own])
        yield
        _take_over(own, [stream.get_state() for stream in shared])
        _take_over(shared, before)

    def words(self, objective: nn.Module, rows: slice, x: Tensor, y: Tensor) -> Tensor:
        """What the layers of `rows` need for one step on samples like x and y, int64 (K, 1 + n), the key first."""
        generators = self.generators[rows]
        count = self._needs(objective, x, y) if self.device.type == "cpu" else 0
        words = torch.empty(len(generators), 1 + count, dtype=torch.int64, device=self.device)
        words[:, 0] = self.keys[rows]
        self.keys[rows] += GAMMA
        if count:
            for row, generator in zip(words, generators, strict=True):
                row[1:].random_(-(2**63), 2**63 - 1, generator=generator)
        return words

    def _needs(self, objective: nn.Module, x: Tensor, y: Tensor) -> int:
        """How many words the layers ask for, found by one pass."""
        if x.shape not in self._needed:
            with _Counted() as counted, torch.no_grad(), torch.random.fork_rng(devices=[]):
                state = {name: tensor.clone() for name, tensor in objective.state_dict(keep_vars=True).items()}
                functional_call(objective, state, (x, y))
            self._needed[x.shape] = counted.count
        return self._needed[x.shape]


def _take_over(generators: Sequence[torch.Generator], states: Sequence[Tensor]) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


class Given(TorchFunctionMode):
    """Hands out `words` (1 + n,) to the layers that ask for random 64-bit words; what else they draw has their key."""

    def __init__(self, words: Tensor) -> None:
        super().__init__()
        self.words, self.used = words, 1
        self.draws = Keyed(words[0])

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if len(self.words) == 1 or not _is_words(func, args):
            drawn = self.draws.of(func, args, kwargs or {})
            return func(*args, **(kwargs or {})) if drawn is None else drawn
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
