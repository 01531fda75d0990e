"""`make gpu`: what it does where there is no GPU, and how it keeps to its time, with arms that are made up."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from benchmarks import gpu, gpu_steps  # noqa: E402


@pytest.fixture
def arms(monkeypatch):
    """Three arms: one that ends well, one that fails, one whose time is over."""

    def well(found, left):
        found["us"] = {"bare": 2.0}

    def fails(found, left):
        found["half"] = 1
        raise RuntimeError("CUDA error: it is broken")

    def exits(found, left):
        sys.exit("benchmark: the packed study failed")

    def late(found, left):
        subprocess.run(["sleep", "30"], timeout=left() - 5)

    every = {"step": (well, 10), "wide": (fails, 10), "cnn": (exits, 10), "growth": (late, 5.5), "robust": (well, 10)}
    monkeypatch.setattr(gpu, "ARMS", every)
    monkeypatch.setattr(gpu, "APART", ())
    monkeypatch.setattr(gpu, "where", lambda: {"device": "none"})
    monkeypatch.setenv("REGNET_DATA", "nowhere")
    monkeypatch.setattr(gpu, "make_up", lambda raw: None)
    return list(every)


def test_without_a_gpu_nothing_is_measured(tmp_path):
    save = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/benchmark.py"), "gpu", "--save", str(save)],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "no GPU: nothing measured\n"), done.stderr
    assert not save.exists()


def test_an_arm_that_fails_is_recorded_and_the_others_go_on(arms, tmp_path):
    save = tmp_path / "new" / "gpu.json"
    start = time.monotonic()
    results = gpu.measure(arms, 60, save)
    assert time.monotonic() - start < 20
    assert json.loads(save.read_text()) == results
    assert results["data"].startswith("made-up")
    found = results["arms"]
    assert list(found) == arms
    assert found["wide"]["half"] == 1
    assert found["wide"]["error"] == "RuntimeError: CUDA error: it is broken"
    assert found["cnn"]["error"] == "SystemExit: benchmark: the packed study failed"
    assert "TimeoutExpired" in found["growth"]["error"]
    assert "error" not in found["robust"]
    gpu.draw(results, tmp_path / "gpu.svg")
    assert "<svg" in (tmp_path / "gpu.svg").read_text()


def test_when_the_time_is_over_no_arm_begins(arms, tmp_path):
    found = gpu.measure(arms, 4, tmp_path / "gpu.json")["arms"]
    assert {one["error"] for one in found.values()} == {"TimeoutError: no time was left"}


def test_all_arms_together_end_within_nine_minutes():
    assert gpu.SECONDS + 15 < 9 * 60  # the start and the figure beside
    assert gpu.ARMS.keys() >= {"tests", "step", "wide", "srivastava", "cnn", "growth", "robust"}
    assert sum(seconds for name, (_, seconds) in gpu.ARMS.items() if name != "growth") < gpu.SECONDS


def test_what_is_missing_is_told(monkeypatch):
    assert gpu.missing() == []
    monkeypatch.setitem(gpu.NEEDS, "no_such_module", "such-package")
    assert gpu.missing() == ["such-package"]


def test_an_arm_that_there_is_not(capsys):
    with pytest.raises(SystemExit, match=r"--only=stepp has no arm 'stepp'; there are tests, step"):
        gpu.main(["--only", "stepp"])


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    gpu.make_up(tmp_path / "MNIST" / "raw", sizes=(600, 40))
    monkeypatch.setenv("REGNET_DATA", str(tmp_path))


def test_made_up_images_are_read_as_mnist(made_up):
    x, y = gpu_steps.images(torch.device("cpu"))
    assert (x.shape, x.dtype) == ((600, 1, 28, 28), torch.uint8)
    assert y.tolist()[:11] == [*range(10), 0]
    with gpu.mnist() as is_made_up:
        assert not is_made_up


@pytest.mark.filterwarnings("ignore:The number of training batches")
def test_steps_are_measured(made_up):
    found = {}
    gpu_steps.stacked(found, lambda: 0.0, device="cpu", networks=2, steps=1)
    assert found["us"].keys() == {"computed", "recorded"}
    x, y = gpu_steps.images(torch.device("cpu"))
    assert gpu_steps.bare(x, y) > 0
    assert gpu_steps.regnet(2) > 0
