"""The networks of torchvision and timm, fitted to the data: their own modules under their own names.

Nothing is downloaded: weights to begin with come from a file. Both packages are imported when they are asked for.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..core.errors import near
from ..run.checkpoints import read_checkpoint
from ..run.record import regular

log = logging.getLogger(__name__)

OWN = (  # arguments of constructors that regnet gives itself, or that would load or download weights
    *("num_classes", "in_chans", "weights", "weights_backbone", "pretrained", "pretrained_cfg"),
    *("pretrained_cfg_overlay", "pretrained_strict", "checkpoint_path", "cache_dir", "progress", "features_only"),
)
SINGLE_OUTPUT = {  # in training these put out further logits, for which there is no loss
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


def from_torchvision(
    shape: Sequence[int],
    num_outputs: int,
    name: str,
    weights: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A classification network of `torchvision.models` for images of any number of channels.

    Its sites for layers are behind its modules: ``regularizer.dropout.after=ReLU``.

    Args:
        shape: of one image, (C, H, W). Where C is not 3, the first convolution is made anew.
        num_outputs: classes, or 1 for regression.
        name: one of `torchvision.models.list_models(torchvision.models)`.
        weights: a file with the state dict of this network for 3 channels and any number of classes (see `begin_at`).
        options: further arguments of its constructor.

    Raises:
        ValueError: no such network or option, samples that are no images, or weights that do not fit.
    """
    import torchvision.models

    own = _checked(shape, name, torchvision.models.list_models(torchvision.models), options)
    settings = SINGLE_OUTPUT.get(name, {}) | own
    if name.startswith("vit_"):  # made for one size of image
        settings = {"image_size": shape[1]} | settings
    network = torchvision.models.get_model(name, weights=None, num_classes=num_outputs, **settings)
    if shape[0] != 3:
        _widen(network, shape[0])
    return network if weights is None else begin_at(network, weights, num_outputs)


def from_timm(
    shape: Sequence[int],
    num_outputs: int,
    name: str,
    weights: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A network of `timm` for images of any number of channels; of any size, where it can be made for one.

    Args: as of `from_torchvision`; `name` is one of `timm.list_models()`.

    Raises:
        ValueError: timm is not installed; no such network or option, samples that are no images, or weights that do
            not fit.
    """
    try:
        import timm
    except ImportError as error:
        raise ValueError(f"model=timm needs timm ({error}): pip install 'regnet[timm]'") from None
    own = _checked(shape, name, timm.list_models(), options)
    known = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if known is not None and known.fixed_input_size:
        own = {"img_size": tuple(shape[1:])} | own
    network = timm.create_model(name, pretrained=False, num_classes=num_outputs, in_chans=shape[0], **own)
    return network if weights is None else begin_at(network, weights, num_outputs)


def begin_at(network: nn.Module, file: str | Path, num_outputs: int) -> nn.Module:
    """`network` with the weights of a state dict in `file` (``.pth`` or ``.safetensors``).

    Two places may differ in shape. The first convolution: for C channels its weight is Σ w / C over the file's
    channels, so that the network begins as the same function of an image that shows the mean of the channels. The
    head, whose first axis is that of `num_outputs`: it stays as it was initialized, and the log says so.

    Raises:
        ValueError: the file cannot be read, or holds the weights of another network.
    """
    saved, heads = _read(Path(file)), []
    for name, tensor in network.state_dict().items():
        found = saved.pop(name, None)
        if found is None and name.endswith("num_batches_tracked"):  # which older files do not have
            continue
        if not isinstance(found, Tensor):
            raise ValueError(f"weights={file} has no {name} of shape {tuple(tensor.shape)}: of another network?")
        if found.ndim == tensor.ndim == 4 and found.shape[1] == 3 != tensor.shape[1]:
            found = (found.sum(1, keepdim=True) / tensor.shape[1]).expand(-1, tensor.shape[1], -1, -1)
        if found.shape == tensor.shape:
            tensor.copy_(found)
        elif tensor.shape[0] == num_outputs and found.shape[1:] == tensor.shape[1:]:
            heads.append(name)
        else:
            shapes = f"{tuple(found.shape)}, and the network's is {tuple(tensor.shape)}"
            raise ValueError(f"weights={file}: its {name} has shape {shapes}: of another network or image size?")
    if more := [name for name in saved if not name.lower().startswith("aux")]:  # heads that are for training only
        raise ValueError(f"weights={file} has {more[0]}, which the network does not have: of another network?")
    if heads:
        log.warning("weights=%s is for other classes: %s begins anew", file, " and ".join(heads))
    return network


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(regular(file))
        state = read_checkpoint(file)
    except ImportError:
        raise ValueError(f"weights={file} needs safetensors: pip install safetensors") from None
    except OSError as error:
        raise ValueError(f"weights={file} cannot be read: {error.strerror or error}") from None
    except Exception as error:
        raise ValueError(f"weights={file} holds no state dict: {str(error).partition('.')[0]}") from None
    for key in ("state_dict", "model"):  # as training scripts save it
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise ValueError(f"weights={file} holds no state dict, but a {type(state).__name__}")
    return dict(state)


def _checked(
    shape: Sequence[int], name: str, known: Sequence[str], options: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The options, once name, sizes and options are ones that a network can be made of."""
    if name not in known:
        untagged = str(name).partition(".")[0]  # timm's names end with the weights that they mean
        raise ValueError(f"name={name} is none of its networks{near(untagged, known)}")
    if len(shape) != 3:
        raise ValueError(f"{name} needs images of shape (C, H, W), and these samples have shape {tuple(shape)}")
    refused = next((key for key in options or {} if key in OWN), None)
    if refused is not None:
        raise ValueError(f"options.{refused} cannot be set: sizes are the data's, and weights come from weights=FILE")
    return dict(options or {})


def _widen(network: nn.Module, channels: int) -> None:
    """Makes the first convolution anew, for so many channels."""
    name, conv = next(
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.in_channels == 3
    )
    owner, _, attribute = name.rpartition(".")
    same = ("out_channels", "kernel_size", "stride", "padding", "dilation", "padding_mode")
    made = nn.Conv2d(channels, bias=conv.bias is not None, **{name: getattr(conv, name) for name in same})
    setattr(network.get_submodule(owner), attribute, made)
