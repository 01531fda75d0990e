"""What runs have saved: reading a checkpoint, and putting its weights into a network.

A checkpoint may come from a stranger. torch opens nothing but tensors and plain data (``weights_only``), and what is
not a checkpoint of the same network is refused in one sentence.
"""

import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import keystr, tree_map_with_path

from ..core.errors import UserError
from ..core.exact import settings
from .record import find_runs, regular

if TYPE_CHECKING:
    from ..training.objective import Objective

PREFIX = "objective."
NODES = (dict, list, tuple, OrderedDict)
LEAVES = (bool, bytes, float, int, str, type(None))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The names and values in a file that torch has saved, on the CPU.

    Raises:
        OSError, ValueError: it cannot be opened, or holds no names and values; torch raises others of its own.
    """
    checkpoint = torch.load(regular(path), map_location="cpu", weights_only=True)
    if not isinstance(checkpoint, dict):
        raise ValueError(f"it holds a {type(checkpoint).__name__}")
    return checkpoint


def readable(state: Any, keeper: str) -> Any:
    """A state as `read_checkpoint` opens it: numpy's numbers as Python's.

    Args:
        keeper: who keeps it, such as ``scheduler``.

    Raises:
        UserError: a value in it is neither a tensor nor plain data, and the checkpoint could not be read again.
    """

    def leaf(path: Any, value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        if not isinstance(value, Tensor) and type(value) not in LEAVES:
            file = BytesIO()
            try:
                torch.save(value, file)
                torch.load(BytesIO(file.getvalue()), weights_only=True)
            except Exception as error:
                raise UserError(
                    f"{keeper} keeps a {type(value).__name__} in its state_dict(){keystr(path)}, which no checkpoint "
                    "can be read with; keep tensors, numbers, texts, and lists and dicts of these"
                ) from error
        return value

    return tree_map_with_path(leaf, state, is_leaf=lambda value: type(value) not in NODES)


def read_whole(path: Path) -> dict[str, Any]:
    """As `read_checkpoint`. Raises an error too where a byte is not as it was saved, which torch does not look at."""
    with zipfile.ZipFile(path) as file:
        if (name := file.testzip()) is not None:
            raise ValueError(f"its part {name} is not as it was saved")
    return read_checkpoint(path)


def chosen_checkpoint(folder: Path) -> dict[str, Any]:
    """The checkpoint of the epoch that validation chose: best.ckpt in `folder`, or last.ckpt where no best is kept.

    Raises:
        UserError: there is neither, or it is damaged.
    """
    return _checkpoint(folder / "best.ckpt" if (folder / "best.ckpt").exists() else folder / "last.ckpt")


def last_checkpoint(folder: Path) -> dict[str, Any]:
    """The checkpoint of the last epoch: last.ckpt in `folder`. Raises UserError as `chosen_checkpoint`."""
    return _checkpoint(folder / "last.ckpt")


def _checkpoint(path: Path) -> dict[str, Any]:
    try:
        checkpoint = read_checkpoint(path)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"{path} is absent or damaged ({reason}); train the run again") from error
    weights = checkpoint.get("state_dict")
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise UserError(f"{path} is damaged (it has no state_dict); train the run again")
    return checkpoint


def load_objective(objective: "Objective", checkpoint: Mapping[str, Any]) -> None:
    """Puts what a loaded checkpoint of `RegularizedModule` knows of its objective into `objective`.

    Raises:
        UserError: the checkpoint is one of another objective.
    """
    state = {k.removeprefix(PREFIX): v for k, v in checkpoint["state_dict"].items() if k.startswith(PREFIX)}
    own = {name: parameter for name, parameter in objective.named_parameters() if name in state}
    if wrong := next((name for name, parameter in own.items() if not _is_like(state[name], parameter)), None):
        raise UserError(f"the checkpoint is of another network than the config's: its {wrong} holds no such numbers")
    # the average of weights in half precision is kept in float32
    wide = any(state[name].dtype in (torch.float64, torch.complex128) for name in own)
    objective.double() if wide else objective.float()  # neither changes complex numbers
    try:
        objective.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the checkpoint is of another network or regularizer than the config's: {reason}") from error


def warm_start(network: nn.Module, folder: Path) -> None:
    """Gives the network the chosen weights of the run in `folder`; strengths and rates stay its own.

    Raises:
        UserError: there is no such run, or its network is another.
    """
    if not (folder / "checkpoints").is_dir():
        inside = next(find_runs(folder), None) if folder.is_dir() else None
        what = f"holds runs, such as {inside.folder}" if inside else "has no checkpoints"
        what = what if folder.is_dir() else "is no folder"
        raise UserError(f"warm_start={folder} {what}: give the folder of a run, such as outputs/runs/<time>")
    state = chosen_checkpoint(folder / "checkpoints")["state_dict"]
    kept = settings(network)
    own = {name: tensor for name, tensor in network.state_dict(keep_vars=True).items() if name not in kept}
    saved = {name: state.get(f"{PREFIX}network.{name}") for name in own}
    for name, tensor in own.items():
        if not _is_like(saved[name], tensor) or saved[name].shape != tensor.shape:
            raise UserError(f"warm_start={folder} has no {name} of shape {tuple(tensor.shape)}: another network?")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(saved[name])


def _is_like(value: Any, tensor: Tensor) -> bool:
    """Whether it is a dense tensor of numbers of the same kind."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        return False
    return (value.is_floating_point(), value.is_complex()) == (tensor.is_floating_point(), tensor.is_complex())
