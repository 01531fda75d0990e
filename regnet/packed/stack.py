"""K networks as one: their state in stacked tensors, their objectives computed under vmap.

All that decides how a stacked computation is carried out is here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.overrides import TorchFunctionMode

from ..exact import Exact
from ..objective import Objective
from ..regularizers import Constraint, Update, WeightDecay
from ..weights import weights

Tensors = dict[str, Tensor]


class Stack:
    """The parameters and buffers of K objectives of one structure, (K, *shape) each.

    The objectives' own parameters and buffers become views of the stacked ones: what is done to the stack
    is seen in them, and their `state_dict` is always the present one.

    Buffers of regnet's own modules (rates, strengths, moments of the inputs) that are equal in all networks
    are kept once, so that what depends on nothing else is computed once for all.
    """

    def __init__(self, objectives: Sequence[Objective], updates: Sequence[Sequence[Update]]) -> None:
        self.objectives, self.updates = list(objectives), [list(one) for one in updates]
        first = self.objectives[0]
        self.params = _stacked([dict(one.named_parameters()) for one in self.objectives])
        buffers = _stacked([dict(one.named_buffers()) for one in self.objectives])
        fixed = _fixed(first)
        self.shared = {
            name: buffer[0] for name, buffer in buffers.items() if name in fixed and bool((buffer == buffer[:1]).all())
        }
        self.buffers = {name: buffer for name, buffer in buffers.items() if name not in self.shared}
        self._link()

    def __len__(self) -> int:
        return len(self.objectives)

    def keep(self, index: Tensor) -> None:
        """Only the networks at `index` stay; the objectives of the others keep what they have."""
        chosen = index.tolist()
        self.objectives = [self.objectives[k] for k in chosen]
        self.updates = [self.updates[k] for k in chosen]
        self.params = {name: tensor[index.to(tensor.device)] for name, tensor in self.params.items()}
        self.buffers = {name: tensor[index.to(tensor.device)] for name, tensor in self.buffers.items()}
        self._link()

    def terms(self, params: Tensors, rows: slice, x: Tensor, y: Tensor, noise: "Noise", stacked: bool) -> Tensor:
        """The terms of the objectives of `rows`, (K, terms).

        `params` are those of these rows; x and y are (B, ...) for all of them, or (K, B, ...) if `stacked`.
        """
        objective = self.objectives[0]
        buffers = {name: tensor[rows] for name, tensor in self.buffers.items()}
        words = noise.words(self, rows, x[0] if stacked else x, y[0] if stacked else y)

        def compute(params: Tensors, buffers: Tensors, x: Tensor, y: Tensor, words: Tensor | None) -> Tensor:
            with noise.given(words):
                terms = functional_call(objective, (params, buffers | self.shared), (x, y))
            return torch.stack(list(terms.values()))

        batch = 0 if stacked else None
        dims = (0, 0, batch, batch, None if words is None else 0)
        return vmap(compute, in_dims=dims, randomness="different")(params, buffers, x, y, words)

    @torch.no_grad()
    def outputs(self, rows: slice, x: Tensor) -> Tensor:
        """Of the networks of `rows` in evaluation mode for the same inputs (B, ...): (K, B, outputs)."""
        objective = self.objectives[0]
        prefix = "network."
        own = {name: tensor[rows] for name, tensor in {**self.params, **self.buffers}.items()}
        own = {name.removeprefix(prefix): t for name, t in own.items() if name.startswith(prefix)}
        shared = {name.removeprefix(prefix): t for name, t in self.shared.items() if name.startswith(prefix)}
        objective.eval()
        try:
            return vmap(lambda own, x: functional_call(objective.network, own | shared, (x,)), in_dims=(0, None))(
                own, x
            )
        finally:
            objective.train()

    @torch.no_grad()
    def update(self, kind: type[Update], params: Tensors, rows: slice, lr: Tensor) -> None:
        """Constraints or decay of each network of `rows`, on their `params`; lr (K,)."""
        first = self.updates[0]
        for i, update in enumerate(first):
            if not isinstance(update, kind):
                continue
            scope = _Scope(self.objectives[0].network, update)
            buffers = _stacked([dict(one[i].named_buffers()) for one in self.updates[rows]], prefix="update.")
            own = {name: tensor for name, tensor in params.items() if name.startswith("network.")}
            rates = lr.to(next(iter(own.values())).device, torch.float32)

            def act(own: Tensors, buffers: Tensors, lr: Tensor, scope: nn.Module = scope) -> None:
                functional_call(scope, (own, buffers), (lr,))

            vmap(act)(own, buffers, rates)

    def _link(self) -> None:
        for k, objective in enumerate(self.objectives):
            for name, parameter in objective.named_parameters():
                parameter.data = self.params[name][k]
            for name, buffer in objective.named_buffers():
                if name in self.buffers:
                    buffer.data = self.buffers[name][k]


class _Scope(nn.Module):
    """A network and one update of it, so that both can be called with other tensors in their place."""

    def __init__(self, network: nn.Module, update: Update) -> None:
        super().__init__()
        self.network, self.update = network, update

    def forward(self, lr: Tensor) -> None:
        if isinstance(self.update, WeightDecay):
            self.update.shrink([weight.tensor for weight in weights(self.network, self.update.select)], lr)
        else:
            self.update(self.network)


UPDATES = (WeightDecay, Constraint)  # the kinds that `Stack.update` knows


class Noise:
    """The noise streams of K networks: each draws from its own, as it would alone.

    On the CPU, where all of regnet's layers draw 64-bit words, a step's words are drawn before it, for each
    network from its generator, and handed out as the layers ask for them: bitwise those of the run alone.
    What else is drawn comes from torch's global stream, for each network other numbers; so does all on a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.generators: list[torch.Generator] = []
        self._needed: dict[tuple[int, ...], list[int]] = {}

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

    def words(self, stack: Stack, rows: slice, x: Tensor, y: Tensor) -> Tensor | None:
        """What the layers of `rows` need for one step on samples like x and y, int64 (K, n)."""
        if self.device.type != "cpu":
            return None
        count = sum(self._needs(stack.objectives[0], x, y))
        if not count:
            return None
        generators = self.generators[rows]
        words = torch.empty(len(generators), count, dtype=torch.int64)
        for row, generator in zip(words, generators, strict=True):
            row.random_(-(2**63), 2**63 - 1, generator=generator)
        return words

    def given(self, words: Tensor | None) -> TorchFunctionMode:
        return _Given(words)

    def _needs(self, objective: Objective, x: Tensor, y: Tensor) -> list[int]:
        """How many words each layer asks for, found by one pass."""
        if x.shape not in self._needed:
            with _Counted() as counted, torch.no_grad(), torch.random.fork_rng(devices=[]):
                state = {name: tensor.clone() for name, tensor in objective.state_dict(keep_vars=True).items()}
                functional_call(objective, state, (x, y))
            self._needed[x.shape] = counted.sizes
        return self._needed[x.shape]


def _is_words(func: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    return func is torch.randint and args[:2] == (-(2**63), 2**63 - 1)


class _Counted(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _is_words(func, args):
            self.sizes.append(torch.Size(args[2]).numel())
        return func(*args, **(kwargs or {}))


class _Given(TorchFunctionMode):
    def __init__(self, words: Tensor | None) -> None:
        super().__init__()
        self.words, self.used = words, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.words is None or not _is_words(func, args):
            return func(*args, **(kwargs or {}))
        start, self.used = self.used, self.used + torch.Size(args[2]).numel()
        return self.words[start : self.used].view(args[2])


def _stacked(each: Sequence[Tensors], prefix: str = "") -> Tensors:
    return {prefix + name: torch.stack([one[name].detach() for one in each]) for name in each[0]}


def _fixed(objective: nn.Module) -> set[str]:
    """Names of the buffers that no forward pass changes: those of regnet's own modules."""
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in objective.named_modules()
        if isinstance(module, Exact)
        for name in module._buffers
    }
