"""K networks as one: their state in stacked tensors, their objectives computed under vmap.

How it is carried out is decided in `forms`, `trace` and `chunks`.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from ..core.exact import settings
from ..core.parametrized import note_frozen
from ..core.tasks import Classification, Regression
from ..core.weights import grouped, name_statistics, tensor_statistics, weights
from ..regularizers import SAM, BeforeStep, Constraint, GradientUpdate, Lookahead, Proximal, Update, WeightDecay
from ..training.callbacks import Ensemble
from ..training.objective import Objective
from ..training.trace import Traced, takes_no_decisions
from .forms import Forms
from .noise import Given, Noise

Tensors = dict[str, Tensor]
Computation = Callable[..., Sequence[Tensor]]
NETWORK = "network."
PATIENCE = 20  # calls before recording, which pays only if the shape then stays
UPDATES = (SAM, GradientUpdate, WeightDecay, Lookahead, Constraint, Proximal)  # the kinds that a stack knows


class Stack:
    """The parameters and buffers of K objectives of one structure, (K, *shape) each, and their updates'.

    The objectives' own parameters and buffers become views of the stacked ones: what is done to the stack
    is seen in them, and what is done to a rate or strength in them is seen in the stack.

    Buffers of regnet's own modules (rates, strengths, moments of the inputs) that are equal in all networks
    are kept once, so that what depends on nothing else is computed once for all; but not those that schedules move.

    Args:
        moving: buffers of the objectives that change while training goes on.
        recorded: whether steps may be `Traced`.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        updates: Sequence[Sequence[Update]],
        recorded: bool = True,
        moving: Sequence[Tensor] = (),
    ) -> None:
        self.objectives, self.updates = list(objectives), [list(one) for one in updates]
        first = self.objectives[0]
        trained = {name for name, p in first.named_parameters() if p.requires_grad}
        self.growing = _growing(first)
        every = _stacked([_tensors(one, self.growing) for one in self.objectives])
        self.lasting = first.state_dict().keys()
        fixed = _settings(first) - _names(self.objectives, moving)
        self.shared = {name: t[0] for name, t in every.items() if name in fixed and bool((t == t[:1]).all())}
        self.params = {name: t for name, t in every.items() if name in trained}
        self.buffers = {name: t for name, t in every.items() if name not in self.params and name not in self.shared}
        self.best: Tensors = {}  # parameters and buffers of each network's best epoch
        self.limits = [_stacked([dict(one[i].named_buffers()) for one in self.updates]) for i in range(len(updates[0]))]
        self.model = _with_frozen_noted(first)
        self._prepare(recorded and takes_no_decisions([first, *self.updates[0]]))
        self._link()

    def __len__(self) -> int:
        return len(self.objectives)

    @property
    def state(self) -> Tensors:
        return {**self.params, **self.buffers}

    def keep(self, index: Tensor) -> None:
        """Only the networks at `index` stay; the objectives of the others keep what they have."""
        self.objectives = [self.objectives[k] for k in index.tolist()]
        self.updates = [self.updates[k] for k in index.tolist()]

        def kept(tensors: Tensors) -> Tensors:
            return {name: tensor[index.to(tensor.device)] for name, tensor in tensors.items()}

        self.params, self.buffers, self.best = kept(self.params), kept(self.buffers), kept(self.best)
        self.limits = [kept(buffers) for buffers in self.limits]
        self._link()
        for computation in (*self._gradients.values(), *self._updates):
            if isinstance(computation, Traced):
                computation.patience = PATIENCE
                computation.forget()

    def remember(self, index: Sequence[int]) -> None:
        """The networks at `index` are at their best now."""
        if not self.best:
            self.best = {name: tensor.clone() for name, tensor in self.state.items()}
        elif index:
            for name, tensor in self.state.items():
                place = torch.tensor(index, device=tensor.device)
                self.best[name].index_copy_(0, place, tensor.index_select(0, place))

    def state_of(self, k: int, best: bool = False) -> Tensors:
        """A copy of the state of network k, now or at its best, as a checkpoint has it: without transient buffers."""
        state = self.best if best else self.state
        own = {name: tensor[k].clone() for name, tensor in state.items()} | self.shared
        growing = {name: self.objectives[k].get_buffer(name) for name in self.growing}
        return {name: tensor for name, tensor in (own | growing).items() if name in self.lasting}

    def snapshots(self, k: int) -> int:
        """How many network k has taken."""
        return len(self.objectives[k].get_buffer(self.growing[0])) if self.growing else 0

    def load_best(self, k: int, state: Tensors) -> None:
        self.remember(())
        for name in self.best.keys() & self.lasting:
            self.best[name][k].copy_(state[name])

    def gradients(self, rows: slice, x: Tensor, y: Tensor, noise: Noise, stacked: bool) -> tuple[Tensor, Tensors]:
        """The terms of the objectives of `rows`, (K, terms), and the gradients of their sum.

        x and y are (B, ...) for all of them, or (K, B, ...) if `stacked`.
        """
        draws = noise.step(self.objectives[0], rows, x[0] if stacked else x, y[0] if stacked else y)
        params, buffers = ([tensor[rows] for tensor in of.values()] for of in (self.params, self.buffers))
        fixed = (*self.shared.values(), x, y, *draws)
        values, *grads = self._gradients[stacked](*params, *buffers, *fixed)
        for i, update in enumerate(self.updates[0]):
            if isinstance(update, SAM):  # the same batch again, with the same noise
                limits = [limit[rows] for limit in self.limits[i].values()]
                there = self._updates[i](*limits, *params, *grads)
                _, *grads = self._gradients[stacked](*there, *(buffer.clone() for buffer in buffers), *fixed)
        return values, dict(zip(self.params, grads, strict=True))

    def before_step(self, rows: slice, lr: Tensor, grads: Tensors, noise: Noise) -> None:
        """What changes the gradients of `rows`, and decay, in their order; lr (K,)."""
        for i, update in enumerate(self.updates[0]):
            if isinstance(update, GradientUpdate):
                own = self._of_network(grads)
                scope = _Scope(self.model.network, update)
                draws = noise.draws(rows, i, partial(_try_to_change, scope, own), scope)
                self._update(i, rows, *own.values(), *draws)
            elif isinstance(update, BeforeStep):
                self._update(i, rows, lr)

    def after_step(self, rows: slice, steps: Tensors | None = None) -> None:
        """What acts on the weights of `rows` behind the optimizer; `steps` are what proximal updates follow."""
        for i, update in enumerate(self.updates[0]):
            if isinstance(update, Proximal):
                self._update(i, rows, *self._of_network(steps or {}).values())
            elif isinstance(update, Lookahead | Constraint):
                self._update(i, rows)

    @torch.no_grad()
    def _update(self, i: int, rows: slice, *more: Tensor) -> None:
        own = (*self._of_network(self.state).values(), *self.limits[i].values())
        self._updates[i](*(tensor[rows] for tensor in own), *more)

    @torch.no_grad()
    def task_metrics(self, rows: slice, batches: Sequence[Tensor], y: Tensor) -> list[dict[str, float]]:
        """The task's metrics of the networks of `rows`, in evaluation mode.

        Args:
            rows: of networks that have taken equally many snapshots.
            batches: the same inputs for all of them, (B, ...) each.
            y: their targets, (N,), or (K, N) where each network has its own.
        """
        grown = _stacked([{n: one.get_buffer(n) for n in self.growing} for one in self.objectives[rows]])
        state = [tensor[rows] for tensor in self.state.values()]
        measure = partial(self._measure, list(grown)) if grown else self._measured
        (values,) = measure(*self.shared.values(), *state, *grown.values(), y, *batches)
        return [dict(zip(self.objectives[0].loss.names, row, strict=True)) for row in values.tolist()]

    @torch.no_grad()
    def statistics(self) -> list[dict[str, float]]:
        """`weight_statistics` of every network."""
        network = self.objectives[0].network
        found = weights(network, frozen=True)
        if not found:
            return [{} for _ in self.objectives]
        used = _Used(network)
        own, same = ({n: t for n, t in of.items() if n.startswith(NETWORK)} for of in (self.state, self.shared))
        with evaluating(network):
            rows = vmap(lambda own: functional_call(used, own | same, ()))(own)  # (K, tensors, 3)
        return [name_statistics(found, own) for own in rows.cpu()]

    def _prepare(self, recorded: bool) -> None:
        written = len(self.params) + len(self.buffers)
        self._gradients: dict[bool, Computation] = {
            stacked: partial(self._compute, stacked) for stacked in (False, True)
        }
        self._measured: Computation = partial(self._measure, [])
        self._updates: list[Computation] = [
            partial(self._ascend if isinstance(update, SAM) else self._act, i, list(limits))
            for i, (update, limits) in enumerate(zip(self.updates[0], self.limits, strict=True))
        ]
        if recorded:
            self._gradients = {
                stacked: Traced(one, written, len(self.shared)) for stacked, one in self._gradients.items()
            }
            self._measured = Traced(self._measured, 0, len(self.shared))
            self._measured.patience = PATIENCE
            self._updates = [
                Traced(one, self._written(update, limits))
                for one, update, limits in zip(self._updates, self.updates[0], self.limits, strict=True)
            ]

    def _written(self, update: Update, limits: Tensors) -> int:
        """How many tensors an update may change: those of the network, its own, and gradients; SAM none."""
        if isinstance(update, SAM):
            return 0
        gradients = len(self._of_network(self.params)) if isinstance(update, GradientUpdate) else 0
        return len(self._of_network(self.state)) + len(limits) + gradients

    def _compute(self, stacked: bool, *tensors: Tensor) -> tuple[Tensor, ...]:
        names = [*self.params, *self.buffers, *self.shared]
        state, (x, y, *draws) = tensors[: len(names)], tensors[len(names) :]
        named = dict(zip(names, state, strict=True))
        buffers = {name: named[name] for name in self.buffers}
        shared = {name: named[name] for name in self.shared}

        def terms(params: Tensors, buffers: Tensors, x: Tensor, y: Tensor, *draws: Tensor) -> Tensor:
            with Given(draws), Forms():
                terms = functional_call(self.model, params | buffers | shared, (x, y))
            return torch.stack(list(terms.values()))

        targets = 0 if stacked else None
        if self.objectives[0].needs.of_inputs:  # each network has derivatives of its own
            x = (x if stacked else x.expand(len(state[0]), *x.shape)).detach().requires_grad_()
        with torch.enable_grad():
            params = {name: named[name].detach().requires_grad_() for name in self.params}
            axes = (0, 0, 0 if x.requires_grad else targets, targets, *(0 for _ in draws))
            values = vmap(terms, in_dims=axes, randomness="different")(params, buffers, x, y, *draws)
            grads = torch.autograd.grad(values.sum(), list(params.values()))
        return values.detach(), *(grad.contiguous() for grad in grads)  # laid out as the weights, for fused optimizers

    def _measure(self, growing: Sequence[str], *tensors: Tensor) -> tuple[Tensor, ...]:
        """The task's metrics (K, metrics) in evaluation mode."""
        objective, names = self.objectives[0], [*self.shared, *self.state, *growing]
        named, (y, *batches) = dict(zip(names, tensors, strict=False)), tensors[len(names) :]
        shared = {name: named[name] for name in self.shared}
        own = {name: tensor for name, tensor in named.items() if name not in shared}
        task = _Metrics(objective.loss)

        def outputs(own: Tensors, x: Tensor) -> Tensor:
            with Forms():
                return functional_call(objective.network, own | self._of_network(shared), (x,))

        def metrics(own: Tensors, outputs: Tensor, y: Tensor) -> Tensor:
            with Forms():
                return functional_call(task, own | _of_loss(shared), (outputs, y))

        with evaluating(objective):
            found = torch.cat([vmap(outputs, in_dims=(0, None))(self._of_network(own), x) for x in batches], 1)
        return (vmap(metrics, in_dims=(0, 0, 0 if y.ndim == 2 else None))(_of_loss(own), found, y),)

    def _act(self, i: int, limits: Sequence[str], *tensors: Tensor) -> tuple[Tensor, ...]:
        scope = _Scope(self.model.network, self.updates[0][i])
        trained = self._of_network(self.params)
        names = [*(NETWORK + name for name in self._of_network(self.state)), *(f"update.{name}" for name in limits)]
        state, more = dict(zip(names, tensors, strict=False)), tensors[len(names) :]
        for name in trained:  # by which those are told from frozen ones
            state[NETWORK + name] = state[NETWORK + name].detach().requires_grad_()

        def act(state: Tensors, *more: Tensor) -> Tensor:
            named = dict(zip(trained, more, strict=False))
            with Given(more[len(trained) :]), Forms():
                functional_call(scope, state, (named, *more))
            return next(iter(state.values())).new_zeros(())

        return (vmap(act, randomness="different")(state, *more),)

    @torch.no_grad()
    def _ascend(self, i: int, limits: Sequence[str], *tensors: Tensor) -> tuple[Tensor, ...]:
        """The parameters at w + e of `SAM`, from its own buffers, the parameters and their gradients."""
        sharpness = self.updates[0][i]
        assert isinstance(sharpness, SAM)
        named = dict(zip((f"sharpness.{name}" for name in limits), tensors, strict=False))
        found = tensors[len(limits) :]
        w, grads = found[: len(self.params)], found[len(self.params) :]
        there = _There(sharpness)
        return vmap(lambda named, *found: functional_call(there, named, found))(named, *zip(w, grads, strict=True))

    @staticmethod
    def _of_network(tensors: Tensors) -> Tensors:
        return {name.removeprefix(NETWORK): tensor for name, tensor in tensors.items() if name.startswith(NETWORK)}

    def _link(self) -> None:
        for k, objective in enumerate(self.objectives):
            own = dict(objective.named_parameters()) | dict(objective.named_buffers())
            for name, stacked in self.state.items():
                own[name].data = stacked[k]
            for name, shared in self.shared.items():
                own[name].data = shared
            for update, limits in zip(self.updates[k], self.limits, strict=True):
                for name, buffer in update.named_buffers():
                    buffer.data = limits[name][k]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """In evaluation mode; then each part is in its own again, as a network may keep one out of training."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _with_frozen_noted(objective: Objective) -> Objective:
    if all(parameter.requires_grad for parameter in objective.parameters()):
        return objective
    model = copy.deepcopy(objective)
    note_frozen(model)
    return model


class _Scope(nn.Module):
    """A network and one update of it, so that both can be called with other tensors in their place."""

    def __init__(self, network: nn.Module, update: Update) -> None:
        super().__init__()
        self.network, self.update = network, update

    def forward(self, named: Tensors, *more: Tensor) -> None:
        """`named` are the gradients or step sizes of the trained parameters; the learning rate comes alone."""
        if isinstance(self.update, Proximal):
            self.update(self.network, named)
        elif isinstance(self.update, GradientUpdate):
            self.update.change(self.network, named)
        elif isinstance(self.update, WeightDecay):
            for factor, found in grouped(self.network, self.update.select, self.update.scale):
                self.update.shrink(found, factor * more[0])
        else:
            self.update(self.network)


class _There(nn.Module):
    """The weights w + e of one network."""

    def __init__(self, sharpness: SAM) -> None:
        super().__init__()
        self.sharpness = sharpness

    def forward(self, *found: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        return tuple(w + e for (w, _), e in zip(found, self.sharpness.ascent(found), strict=True))


def _try_to_change(scope: _Scope, grads: Tensors, state: Tensors) -> None:
    with torch.no_grad():
        functional_call(scope, state, ({name: gradient[0].clone() for name, gradient in grads.items()},))


class _Used(nn.Module):
    """Statistics of a network's weights as its layers use them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self) -> Tensor:
        return tensor_statistics([weight.used for weight in weights(self.network, frozen=True)])


class _Metrics(nn.Module):
    def __init__(self, loss: Classification | Regression) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self.loss.measures(outputs, y)


def _growing(objective: Objective) -> list[str]:
    """The names of the buffers that each network has for itself, as they grow: its snapshots'."""
    ensembles = ((path, part) for path, part in objective.named_modules() if isinstance(part, Ensemble))
    return [f"{path}.{name}" for path, part in ensembles for name in part.growing]


def _tensors(objective: Objective, without: Sequence[str]) -> Tensors:
    every = dict(objective.named_parameters()) | dict(objective.named_buffers())
    return {name: tensor for name, tensor in every.items() if name not in without}


def _of_loss(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if name.startswith("loss.")}


def _stacked(each: Sequence[Tensors]) -> Tensors:
    return {name: torch.stack([one[name].detach() for one in each]) for name in each[0]}


def _settings(objective: Objective) -> set[str]:
    """The names of buffers of regnet's own modules, which no call changes; those of a class derived from one may."""
    own = {name for name, one in objective.named_modules() if type(one).__module__.startswith("regnet.")}
    return {name for name in settings(objective) if name.rpartition(".")[0] in own}


def _names(objectives: Sequence[Objective], buffers: Sequence[Tensor]) -> set[str]:
    """What `buffers` are called in the objectives that have them."""
    wanted = {id(buffer) for buffer in buffers}
    return {name for one in objectives for name, buffer in one.named_buffers() if id(buffer) in wanted}
