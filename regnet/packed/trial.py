"""A pack's trial: before it is trained, two of its runs make the same steps alone and stacked."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from ..core.exact import in_precision
from ..data.loader import as_float
from ..regularizers import SAM
from ..training.trace import takes_no_decisions
from .alike import held
from .draws import HandedOut, Noted
from .job import CannotPack
from .loader import Part
from .member import Member
from .module import PackedModule
from .noise import Draws, Given, Noise
from .outside import Outside
from .stack import evaluating

SAMPLES = 16  # of a step
NEAR = {torch.float64: 1e-7, torch.float32: 1e-3}  # of a tensor's largest entry; half precision:
NEAR_HALF = 5e-2
ZERO = {torch.float64: 1e-11, torch.float32: 1e-5}  # of the largest entry of all gradients, what is rounding alone
ZERO_HALF = 5e-2


def compare(member: Member, copies: Callable[[], Sequence[Member]], trainer: Any) -> None:
    """Two runs make two steps, and are evaluated between them, each by itself and both as one stack.

    Losses and penalties, gradients, parameters, buffers, the optimizers' state and the loss in evaluation must be the
    same, in float64 where the network can be computed in it, else up to the rounding of its own precision. In the
    first step both are computed in one call, with inputs of their own; in the second each in a call of its own, with
    the same inputs. The optimizers get the very same gradients, and layers the very same random numbers, so that
    neither rounding nor chance makes a difference. Python's objects may not change at all, as there is one for all runs
    of a stack.

    Args:
        member: one of the runs.
        copies: makes two of them anew each time.
        trainer: gives device and precision.

    Raises:
        CannotPack: what differs.
    """
    device = trainer.strategy.root_device
    outside = Outside(member.module.modules())
    with _random_numbers_kept(device):
        for wide in (True, False) if device.type != "mps" else (False,):
            try:
                _Trial(copies(), copies(), trainer, wide).run()
                return
            except CannotPack:
                raise
            except Exception:
                if not wide:
                    raise
            finally:
                outside.put_back()


def is_of_a_person(member: Member) -> bool:
    """Whether a run has code that is neither regnet's nor torch's own; those are compared in the tests."""
    nodes = [member.cfg.model, *member.cfg.regularizer.values()]
    targets = [node.get("_target_") for node in nodes if OmegaConf.is_dict(node)]
    if any(target and not str(target).startswith("regnet.") for target in targets):
        return True
    return not takes_no_decisions([member.objective, *member.module.updates])


class _Call(NamedTuple):
    """One call for the gradients of some networks of the stack."""

    rows: slice
    x: Tensor
    y: Tensor
    stacked: bool
    given: Draws  # of each network, that were drawn before the call
    draws: list[Tensor]  # in the call
    streams: list[Tensor]  # of each network, after it
    values: Tensor  # (K, terms)
    grads: dict[str, Tensor]


class _Trial:
    def __init__(self, alone: Sequence[Member], stacked: Sequence[Member], trainer: Any, wide: bool) -> None:
        self.alone, self.stacked = list(alone), list(stacked)
        self.outside = Outside(self.stacked[0].module.modules())
        self.precision, self.device = trainer.precision_plugin, trainer.strategy.root_device
        self.trainer, self.wide = trainer, wide
        self.calls: list[_Call] = []

    def run(self) -> None:
        """Raises CannotPack."""
        self._prepare()
        before = self._held()
        for step, (together, size) in enumerate(((False, len(self.stacked)), (True, 1))):
            self._step_stacked(together, size)
            self._compare_held(before)
            self._step_alone()
            self._compare_states()
            if step == 0:
                self._evaluate()
                self._compare_held(before)

    def _prepare(self) -> None:
        for member in (*self.alone, *self.stacked):
            if self.wide:
                member.module.double()
            self.precision.convert_module(member.module).to(self.device)
        for member in (*self.alone, *self.stacked):
            for maker in member.makers:
                maker.plan(member.epochs * member.steps, member.optimizer.param_groups)
        states = [None for _ in self.stacked]
        self.pack = PackedModule(self.stacked, states, self.trainer, _nothing, _nothing, each=1, recorded=False)
        self.pack.trainer = self.trainer
        self.pack.chunks.settled = True
        self.dtype = next(iter(self.pack.stack.params.values())).dtype
        half = self.trainer.precision == "bf16-mixed" and not self.wide
        self.near = NEAR_HALF if half else NEAR.get(self.dtype, NEAR_HALF)
        self.zero = ZERO_HALF if half else ZERO.get(self.dtype, ZERO_HALF)
        self._watch()

    def _watch(self) -> None:
        """What the stack is asked for is noted, and may do nothing beside it."""
        stack, noise = self.pack.stack, self.pack.noise
        of_a_step, gradients = noise.step, stack.gradients
        noted = Noted()
        given: list[Draws] = []

        def drawn_before(*args: Any) -> Draws:
            noted.paused = True
            given[:] = [of_a_step(*args)]
            noted.paused = False
            return given[0]

        def kept(rows: slice, x: Tensor, y: Tensor, noise: Noise, *, stacked: bool) -> Any:
            inputs = x.clone(), y.clone()
            noted.draws = []
            with noted:
                values, grads = gradients(rows, x, y, noise, stacked=stacked)
            if not (torch.equal(x, inputs[0]) and torch.equal(y, inputs[1])):
                raise CannotPack("the network changes its inputs in place, which several runs share")
            copies = {name: grad.clone() for name, grad in grads.items()}
            streams = [generator.get_state() for generator in noise.generators[rows]]
            self.calls.append(_Call(rows, *inputs, stacked, given[0], noted.draws, streams, values.clone(), copies))
            return values, grads

        noise.step = drawn_before  # type: ignore[method-assign, assignment]
        stack.gradients = partial(_without_other_noise, kept)  # type: ignore[method-assign]
        for name in ("before_step", "after_step", "task_metrics"):
            setattr(stack, name, partial(_without_other_noise, getattr(stack, name)))

    def _held(self) -> dict[str, str]:
        """The Python objects of the modules that are called for all, described."""
        first, stack = self.stacked[0].module, self.pack.stack
        parts = {"objective": first.objective, "updates": first.updates, "model": stack.model}
        found: dict[str, str] = {}
        for path, name, text in held(parts, known=first.modules()):  # type: ignore[arg-type]
            if not name.startswith("the shape of"):  # which shows in the numbers
                found[name] = f"{found.get(name, '')} {path} {text}"
        return found

    def _compare_held(self, before: dict[str, str]) -> None:
        for name, text in self._held().items():
            if before.get(name) != text:
                raise CannotPack(f"{name} changes when it is called, and is no buffer")
        if changed := self.outside.changed():
            raise CannotPack(f"{changed[0]} changes when it is called, and is no buffer")

    def _batch(self, member: Member) -> tuple[Tensor, Tensor]:
        size = min(SAMPLES, *(min(len(one.data.train), one.data.batch_size) for one in self.stacked))
        samples = member.data.train.subset(torch.arange(size))
        x = in_precision(as_float(samples.tensor.to(self.device)), self.dtype)
        return x, samples.y.to(self.device)

    def _step_stacked(self, together: bool, size: int) -> None:
        self.calls.clear()
        each = [self._batch(member) for member in self.stacked]
        x, y = each[0] if together else (torch.stack(column) for column in zip(*each, strict=True))
        self.pack.chunks.size = size
        self.pack.on_train_epoch_start()
        self.pack.batch = self.stacked[0].batches - 1  # after which the optimizer makes a step, however many add up
        with self.precision.train_step_context():
            self.pack._train(self.precision.convert_input([Part(0, len(each), not together, x, y)]))
        if self.pack.errors:  # a term is not finite
            raise next(iter(self.pack.errors.values()))

    def _step_alone(self) -> None:
        for k, member in enumerate(self.alone):
            with self.precision.train_step_context():
                self._step_of(k, member)

    def _step_of(self, k: int, member: Member) -> None:
        """One step of network k, whose gradients are compared, and replaced by those of the stack."""
        call = next(call for call in self.calls if call.rows.start <= k < call.rows.stop)
        row, parameters = k - call.rows.start, list(member.objective.parameters())
        x, y = (call.x[row], call.y[row]) if call.stacked else (call.x, call.y)
        given = tuple(one[row] for one in call.given)
        first: list[Tensor] = []  # the terms, of several gradients a step those of the first

        def closure() -> Any:  # a tensor, where torch declares a float
            member.optimizer.zero_grad()
            with HandedOut(call.draws, row, len(call.values)) as draws, Given(given), torch.enable_grad():
                values = torch.stack(list(member.objective(x.clone(), y).values()))
                values.sum().backward()
            if not draws.fits:
                raise CannotPack("other random numbers are asked for in a pack than alone")
            first.append(values.detach())
            return values.sum().detach()

        def compared(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            computed = args[1] if len(args) > 1 else kwargs["closure"]

            def as_stacked() -> Any:
                output = computed()
                self._compare_gradients(member, first[0], call, row)
                if self.pack.most is not None:
                    torch.nn.utils.clip_grad_norm_(parameters, self.pack.most)
                if self.device.type == "cpu":
                    torch.random.set_rng_state(call.streams[row])
                return output

            return args[:1], {**kwargs, "closure": as_stacked}

        member.begin_step()
        if member.module.schedules.scheduled:
            member.module.schedules.set(member.step / (member.steps * member.epochs))
        network, updates = member.objective.network, list(member.module.updates)
        makers = [update for update in updates if isinstance(update, SAM)]
        others = [update for update in updates if not isinstance(update, SAM)]
        handles = [update.attach(member.optimizer, network) for update in makers]
        handles.append(member.optimizer.register_step_pre_hook(compared))
        handles += [update.attach(member.optimizer, network) for update in others]
        member.optimizer.step(closure)
        member.end_step()
        for handle in handles:
            handle.remove()

    def _compare_gradients(self, member: Member, values: Tensor, call: _Call, row: int) -> None:
        for name, alone, stacked in zip(self.pack.terms, values, call.values[row], strict=True):
            self._same(f"the {name}", alone, stacked)
        params = {name: p for name, p in member.objective.named_parameters() if name in call.grads}
        most = max((p.grad.abs().max().item() for p in params.values() if p.grad is not None), default=0.0)
        for name, p in params.items():
            stacked = call.grads[name][row]
            alone = torch.zeros_like(p) if p.grad is None else p.grad
            self._same(f"the gradient of {_short(name)}", alone, stacked, self.zero * most)
            p.grad = stacked / member.accumulates

    def _compare_states(self) -> None:
        for k, (alone, stacked) in enumerate(zip(self.alone, self.stacked, strict=True)):
            for part in ("parameter", "buffer"):
                mine, others = (dict(getattr(one.module, f"named_{part}s")()) for one in (alone, stacked))
                for name in mine.keys() | others.keys():
                    what = f"the {part} {_short(name)}"
                    if name not in mine.keys() & others.keys():
                        raise CannotPack(_differs(what))
                    self._same(what, mine[name], others[name])
            states = alone.optimizer.state_dict()["state"]
            for i, state in self.pack.rule.state_of(k, alone.names).items():
                for key in state.keys() & states.get(i, {}).keys():
                    self._same(f"the optimizer's {key}", torch.as_tensor(states[i][key]), torch.as_tensor(state[key]))

    def _evaluate(self) -> None:
        x, y = self._batch(self.stacked[0])
        rows = slice(0, len(self.stacked))
        with torch.autocast(self.device.type, enabled=False):
            measured = self.pack.stack.task_metrics(rows, [x.clone()], y)
            for member, stacked in zip(self.alone, measured, strict=True):
                objective = member.objective
                with evaluating(objective), torch.no_grad():
                    alone = objective.loss.metrics(objective.network(x.clone()), y)
                self._same("the loss in evaluation", torch.tensor(alone["loss"]), torch.tensor(stacked["loss"]))

    def _same(self, what: str, alone: Tensor, stacked: Tensor, zero: float = 0.0) -> None:
        """Raises CannotPack where they are not, up to rounding."""
        alone, stacked = (tensor.detach().cpu() for tensor in (alone, stacked))
        if alone.shape != stacked.shape or alone.dtype != stacked.dtype:
            raise CannotPack(_differs(what))
        if not alone.numel() or torch.equal(alone, stacked):
            return
        wide = torch.complex128 if alone.is_complex() else torch.float64
        alone, stacked = alone.to(wide), stacked.to(wide)
        size = alone[alone.isfinite()].abs().max().item() if alone.isfinite().any() else 0.0
        if not torch.allclose(stacked, alone, rtol=0, atol=self.near * size + zero + 1e-12, equal_nan=True):
            raise CannotPack(_differs(what))


@contextmanager
def _random_numbers_kept(device: torch.device) -> Iterator[None]:
    """Go on as if nothing had been drawn."""
    own, numpys = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(own)
        np.random.set_state(numpys)


@contextmanager
def _no_other_noise() -> Iterator[None]:
    own, numpys = random.getstate(), repr(np.random.get_state())
    yield
    if random.getstate() != own:
        raise CannotPack("it draws from Python's random, one number for all runs of a pack")
    if repr(np.random.get_state()) != numpys:
        raise CannotPack("it draws from NumPy's random, one number for all runs of a pack")


def _without_other_noise(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with _no_other_noise():
        return call(*args, **kwargs)


def _short(name: str) -> str:
    """As a person knows it, without regnet's own modules around it."""
    return name.removeprefix("objective.").removeprefix("network.").removeprefix("model.")


def _differs(what: str) -> str:
    return f"{what} would not be in a pack what it is alone"


def _nothing(*_: Any) -> None: ...
