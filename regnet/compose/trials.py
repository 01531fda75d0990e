"""A network and the parts of a step are tried on two inputs, before training starts."""

import copy
from collections.abc import Mapping

import torch
from omegaconf import DictConfig
from torch import nn

from ..core.errors import UserError, described
from ..core.weights import weights
from ..regularizers import BatchTransform, Constraint, Update
from ..training.objective import Objective
from .make import try_to


def try_network(network: nn.Module, cfg: DictConfig, x: torch.Tensor) -> None:
    """One forward pass of inputs x: the model takes such, and gives the outputs that it must. Raises UserError."""
    right = (len(x), cfg.data.num_outputs)
    model = " model.name=".join(filter(None, (f"model={cfg.model._target_}", cfg.model.get("name"))))
    package = cfg.model._target_.partition(".")[0]
    hint = f"; model={package} model.name=... fits it to the data" if package in ("torchvision", "timm") else ""
    inside = network.get_submodule("model").register_forward_hook(
        lambda module, inputs, output: _check_output(output, model, right, hint)
    )
    try:
        outputs = network.eval()(x.clone())
    except UserError:
        raise
    except Exception as error:
        reason = described(error)
        if not x.is_floating_point():
            hint += f"; they are whole numbers ({x.dtype}), which go in as they are: give measurements as float32"
        raise UserError(f"{model} fails on inputs of shape {tuple(x.shape)}: {reason}{hint}") from error
    finally:
        inside.remove()
        network.train()
    precisions = {parameter.dtype.to_real() for parameter in network.parameters()}
    if precisions not in ({torch.float32}, {torch.float64}, set()):
        names = ", ".join(sorted(map(str, precisions)))
        raise UserError(f"{model} has weights in {names}; make all of them float32, or all float64")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UserError(f"{model} has no parameters to train")
    if not outputs.requires_grad:
        raise UserError(f"{model} gives outputs without a gradient: nothing behind a detach or no_grad can be trained")
    if not outputs.isfinite().all():
        what = "the data's example" if x.any() else "inputs of zeros"
        raise UserError(f"{model} gives values that are not finite for {what}")


def _check_output(output: object, model: str, right: tuple[int, int], hint: str) -> None:
    if not isinstance(output, torch.Tensor):
        raise UserError(f"{model} gives a {type(output).__name__}, and must give one Tensor of shape {right}")
    if tuple(output.shape) != right:
        shape = tuple(output.shape)
        raise UserError(f"{model} gives outputs of shape {shape} for {right[0]} samples, and must give {right}{hint}")
    if not output.is_floating_point():
        raise UserError(f"{model} gives outputs of type {output.dtype}, and must give floating-point numbers")


def try_parts(
    transforms: Mapping[str, BatchTransform],
    updates: Mapping[str, Update],
    cfg: DictConfig,
    objective: Objective,
    x: torch.Tensor,
) -> None:
    """Each as a step of training uses it, on inputs x; whole numbers stay whole. Raises UserError."""
    y = torch.zeros(len(x), dtype=torch.float32 if cfg.data.num_classes is None else torch.int64)
    with torch.random.fork_rng(devices=[]):
        _try_penalties(objective.eval(), x, y)
        objective.train()
        for name, update in updates.items():
            if isinstance(update, Constraint):
                _try_constraint(f"regularizer.{name}", update, objective.network)
        if any(transform.of_objective for transform in transforms.values()):
            objective = copy.deepcopy(objective)  # in training mode batch norm would count these samples
        for name, transform in transforms.items():
            key = f"regularizer.{name}" + ("" if x.is_floating_point() else f" on whole numbers ({x.dtype})")
            changed = try_to(key, transform, x, y, objective)
            if not isinstance(changed, tuple) or [type(part) for part in changed] != [torch.Tensor] * 2:
                raise UserError(f"{key} gives a {type(changed).__name__}, and must give a pair of tensors (x, y)")
            if changed[0].is_floating_point() and not x.is_floating_point():
                raise UserError(f"{key} makes inputs of {changed[0].dtype}, which the network does not take")
            try_to(f"{key}, which gives inputs and targets that cannot be trained on", _loss, objective, *changed)


def _loss(objective: Objective, x: torch.Tensor, y: torch.Tensor) -> None:
    network = objective.network.eval()
    try:
        objective.loss(network(x), y)
    finally:
        network.train()


def _try_penalties(objective: Objective, x: torch.Tensor, y: torch.Tensor) -> None:
    for name, penalty in objective.penalties.items():
        attributes, buffers = dict(vars(penalty)), [buffer.clone() for buffer in penalty.buffers()]
        alone = Objective(objective.network, objective.loss, {name: penalty})
        term = try_to(f"regularizer.{name}", alone, x, y)[f"penalty/{name}"]
        vars(penalty).update(attributes)  # of one that counts its calls
        for buffer, before in zip(penalty.buffers(), buffers, strict=True):
            buffer.copy_(before)
        if term.ndim:
            raise UserError(
                f"regularizer.{name} gives numbers of shape {tuple(term.shape)}, and must give a single one"
            )


@torch.no_grad()
def _try_constraint(key: str, constraint: Constraint, network: nn.Module) -> None:
    for weight in weights(network, constraint.select) if type(constraint).forward is Constraint.forward else ():
        units = weight.effective.units.detach().clone()
        feasible = try_to(key, constraint.project, units)
        shape = tuple(feasible.shape) if isinstance(feasible, torch.Tensor) else type(feasible).__name__
        if shape != tuple(units.shape):
            raise UserError(f"{key} makes of {weight.name}, {tuple(units.shape)}, a {shape}; give weights of one shape")
