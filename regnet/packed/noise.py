"""The noise streams of K networks."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from ..core.devices import sent
from ..core.keyed import GAMMA, Keyed

Tensors = dict[str, Tensor]
Draws = tuple[Tensor, ...]  # the key, then one tensor of each kind
Request = tuple[torch.dtype, int]  # a kind, int64 for words and else normal numbers, and how many


class Noise:
    """Each network draws from its own stream, as it would alone.

    On the CPU the 64-bit words and the normal numbers of a step are drawn before it, for each network from its
    generator, and handed out as its parts ask for them: bitwise those of the run alone. What else is drawn, and all on
    a GPU, is computed from a key that each network has for each of its steps, see `Keyed`: it depends on the run's
    seed, and neither on the runs beside it nor on how many are computed at once. What torch draws by other functions
    than `Keyed` knows comes from its global stream, for each network other numbers.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.generators: list[torch.Generator] = []
        self.on_device: list[torch.Generator] = []  # for each network, on a GPU
        self.keys = torch.zeros(0, dtype=torch.int64)  # (K,), of the next step
        self._needed: dict[Hashable, list[Request]] = {}

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

    def step(self, objective: nn.Module, rows: slice, x: Tensor, y: Tensor) -> Draws:
        """What the objectives of `rows` draw in one step on samples like x and y, words and normal numbers."""
        return self.draws(rows, x.shape, partial(functional_call, objective, args=(x, y)), objective)

    def draws(self, rows: slice, key: Hashable, call: Callable[[Tensors], Any], module: nn.Module) -> Draws:
        """What `call` draws for each network of `rows`: its key (K,), and on a CPU (K, n) of each kind.

        Args:
            key: names the call, which is tried once, to see what it asks for, on a copy of the state of `module`.
        """
        keys = self.keys[rows].clone()
        self.keys[rows] += GAMMA
        if self.device.type != "cpu":
            return (keys,)
        if key not in self._needed:
            with _Asked() as asked, torch.enable_grad(), torch.random.fork_rng(devices=[]):
                every = (*module.named_parameters(), *module.named_buffers())
                call({name: tensor.clone() for name, tensor in every})
            self._needed[key] = asked.requests
        requests = self._needed[key]
        generators = self.generators[rows]
        sizes: dict[torch.dtype, int] = {}
        for dtype, size in requests:
            sizes[dtype] = sizes.get(dtype, 0) + size
        drawn = {dtype: torch.empty(len(generators), size, dtype=dtype) for dtype, size in sizes.items()}
        for k, generator in enumerate(generators):
            left = {dtype: tensor[k] for dtype, tensor in drawn.items()}
            for dtype, size in requests:
                place, left[dtype] = left[dtype][:size], left[dtype][size:]
                if dtype == torch.int64:
                    place.random_(-(2**63), 2**63 - 1, generator=generator)
                else:
                    place.normal_(generator=generator)
        return keys, *drawn.values()


def _take_over(generators: Sequence[torch.Generator], states: Sequence[Tensor]) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


class Given(TorchFunctionMode):
    """Hands out what was drawn, (n,) of each kind, to those who ask for it; what else they draw has their key."""

    def __init__(self, draws: Sequence[Tensor]) -> None:
        super().__init__()
        self.keyed = Keyed(draws[0]) if draws else None
        self.left = {tensor.dtype: tensor for tensor in draws[1:]}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        asked = _asked(func, args, kwargs)
        if asked is None or asked[0] not in self.left or len(self.left[asked[0]]) < asked[1].numel():
            drawn = self.keyed.of(func, args, kwargs) if self.keyed else None
            return func(*args, **kwargs) if drawn is None else drawn
        dtype, shape = asked
        given = self.left[dtype][: shape.numel()].view(shape)
        self.left[dtype] = self.left[dtype][shape.numel() :]
        return given


class _Asked(TorchFunctionMode):
    """Notes what is drawn: neighbouring words as one, as they are the same bits."""

    def __init__(self) -> None:
        super().__init__()
        self._each: list[Request] = []

    @property
    def requests(self) -> list[Request]:
        found: list[Request] = []
        for dtype, together in groupby(self._each, key=itemgetter(0)):
            sizes = [size for _, size in together]
            found += [(dtype, sum(sizes))] if dtype == torch.int64 else [(dtype, size) for size in sizes]
        return found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        asked = _asked(func, args, kwargs or {})
        if asked is not None:
            self._each.append((asked[0], asked[1].numel()))
        return func(*args, **(kwargs or {}))


def _asked(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[torch.dtype, torch.Size] | None:
    """Kind and shape of a draw: int64 for words, else normal numbers."""
    if func is torch.randint and args[:2] == (-(2**63), 2**63 - 1):
        return torch.int64, torch.Size(args[2])
    if func is torch.randn_like:
        return kwargs.get("dtype", args[0].dtype), args[0].shape
    if func is torch.randn and args and "generator" not in kwargs:
        shape = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
        return kwargs.get("dtype") or torch.get_default_dtype(), torch.Size(shape)
    return None
