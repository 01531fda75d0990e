"""What the tests mean by equal."""

import csv

import pytest
import torch

from tests.helpers.commands import record


def same(a, b):
    """Bitwise, through nested containers."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def compare(alone, packed, relative):
    """The folders of two runs hold the same results, to a relative difference."""
    left, right = record(alone), record(packed)
    assert right["status"] == left["status"] == "completed", right["reason"]
    assert (right["best_epoch"], right["epochs"]) == (left["best_epoch"], left["epochs"])
    assert right["fingerprint"] == left["fingerprint"]
    close(right["metrics"], left["metrics"], relative)
    with (alone / "metrics.csv").open() as a, (packed / "metrics.csv").open() as b:
        close(list(csv.DictReader(b)), list(csv.DictReader(a)), relative)
    for name in ("best.ckpt", "last.ckpt"):
        a, b = (torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (alone, packed))
        assert (a["epoch"], a["global_step"]) == (b["epoch"], b["global_step"])
        assert name == "best.ckpt" or _progress(a) == _progress(b)
        assert list(a["state_dict"]) == list(b["state_dict"])
        for key, weight in a["state_dict"].items():
            # rounding is relative to a tensor's largest entry: a single one may cancel to any smallness
            size = weight.double().abs().max().item() if weight.numel() else 0
            torch.testing.assert_close(b["state_dict"][key], weight, rtol=relative, atol=relative * size, msg=key)


def close_tensors(a, b, relative):
    """Through nested containers; what only one of two mappings has is left out."""
    if isinstance(a, torch.Tensor) and a.is_floating_point():
        size = a.double().abs().max().item() if a.numel() else 0
        torch.testing.assert_close(b, a, rtol=relative, atol=relative * size)
    elif isinstance(a, dict):
        for key in a.keys() & b.keys():
            close_tensors(a[key], b[key], relative)
    elif isinstance(a, list | tuple):
        for one, other in zip(a, b, strict=True):
            close_tensors(one, other, relative)
    elif isinstance(a, float):
        assert b == pytest.approx(a, rel=relative)
    else:
        assert same(a, b), (a, b)


def _progress(checkpoint):
    loops = checkpoint["loops"]
    # SAM's second closure is counted in some steps and not in others
    loops["fit_loop"]["epoch_loop.automatic_optimization.optim_progress"]["optimizer"].pop("zero_grad")
    return loops


def close(got, expected, relative):
    if isinstance(expected, dict):
        assert list(got) == list(expected)
        for key in expected:
            if key.endswith("ece") and relative > 1e-6:
                continue  # it jumps where rounding takes a sample across a bin's edge
            close(got[key], expected[key], relative)
    elif isinstance(expected, list):
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            close(a, b, relative)
    elif expected not in (None, ""):
        assert float(got) == pytest.approx(float(expected), rel=relative, abs=relative)
    else:
        assert got == expected


def folders(study):
    """Of the finished runs, by their names."""
    return {path.parent.name: path.parent for path in study.glob("*/record.json")}
