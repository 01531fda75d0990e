"""On a GPU: the tests that need one, then what steps and packed studies take there, within nine minutes.

    python scripts/benchmark.py gpu [--seconds 520] [--only tests,step,...] [--save outputs/gpu.json]

Without a GPU it says so and measures nothing. Every arm has a time of its own; one that fails or takes too long is
recorded with its error, and the others go on. Results are written after each arm, and a figure beside them at the end.

    tests       those marked `gpu`
    step        one step of 784-128-10 with dropout 0.5, L1 and L2, batches of 128: a bare loop, the same as a CUDA
                graph, and `regnet-train`, in turns
    stack       one step of 256 such networks at once: as it is computed, recorded, and as a CUDA graph; and what the
                profiler sees of it: launches, copies and waits
    wide        256 jobs of the MNIST MLP, 10 epochs, packed beside one by one
    srivastava  32 jobs of 784-1024-1024-2048-10, 3 epochs
    cnn         32 jobs of the cnn, 3 epochs
    growth      digits, 5 epochs, 1 to 1,024 jobs, packed
    robust      robust accuracies, once regnet has attacks

The studies say too how busy the GPU was, as nvidia-smi sees it. Where there is no MNIST (REGNET_DATA), images of its
shape are made up, and the results say so.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OTHER_NAMES = {"hydra": "hydra-core", "sklearn": "scikit-learn", "yaml": "pyyaml"}
MODULES = ["torch", "torchvision", "lightning", "hydra", "omegaconf", "optuna", "filelock", "yaml", "sklearn", "scipy"]
NEEDS = {
    name: OTHER_NAMES.get(name, name) for name in [*MODULES, "pandas", "rich", "tensorboard", "matplotlib", "pytest"]
}
SECONDS = 520
Left = Callable[[], float]  # the seconds that an arm still has
Found = dict[str, Any]


def tests(found: Found, left: Left) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=left())
    found["said"] = ended.stdout.splitlines()[-30:]
    if ended.returncode:
        raise RuntimeError(f"pytest ended with {ended.returncode}: {found['said'][-1:]}")


def step(found: Found, left: Left) -> None:
    from .gpu_steps import single

    single(found, left)


def stack(found: Found, left: Left) -> None:
    from .gpu_steps import stacked

    stacked(found, left)


def study(name: str) -> Callable[[Found, Left], None]:
    def arm(found: Found, left: Left) -> None:
        from .packed import ON_GPU, against_few

        found |= against_few(*ON_GPU[name], left)

    return arm


def growth(found: Found, left: Left) -> None:
    from .packed import GROWTH, run

    for jobs, one in GROWTH.items():
        found[str(jobs)] = run(one, "packed" if jobs > 1 else "basic", left()).seconds


def robust(found: Found, left: Left) -> None:
    if (ROOT / "conf" / "attack").is_dir():
        raise NotImplementedError("regnet has attacks now: this arm is to be written")
    found["skipped"] = "regnet-evaluate has no attacks"


ARMS: dict[str, tuple[Callable[[Found, Left], None], float]] = {  # and their seconds
    "tests": (tests, 130),
    "step": (step, 50),
    "stack": (stack, 50),
    "wide": (study("wide"), 110),
    "srivastava": (study("srivastava"), 70),
    "cnn": (study("cnn"), 70),
    "growth": (growth, 120),
    "robust": (robust, 20),
}
APART = ("step", "stack")  # in a process of their own, as they might break the GPU's context


def measure(only: list[str], seconds: float, save: Path) -> Found:
    """All arms of `only`, each with its time, as long as there are `seconds` left."""
    end = time.monotonic() + seconds
    results: Found = {"where": where(), "data": "MNIST", "arms": {}}
    with mnist() as made_up:
        if made_up:
            results["data"] = "made-up images of MNIST's shape: there is no MNIST here"
        for name in only:
            arm, most = ARMS[name]
            start = time.monotonic()
            last = min(end, start + most)
            found: Found = {}
            try:
                if last - start < 5:
                    raise TimeoutError("no time was left")
                if name in APART:
                    found |= apart(name, last - start)
                else:
                    arm(found, lambda last=last: max(0.1, last - time.monotonic()))
            except (Exception, SystemExit) as error:
                found["error"] = "".join(traceback.format_exception_only(error)).strip()[-2000:]
            found["took"] = round(time.monotonic() - start, 1)
            results["arms"][name] = found
            save.parent.mkdir(parents=True, exist_ok=True)
            save.write_text(json.dumps(results, indent=1) + "\n")
            print(f"{name:<11} {json.dumps(found)[:300]}", flush=True)
    return results


def apart(name: str, seconds: float) -> Found:
    """An arm in a process of its own, of which what it had found is kept where its time is over."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        command = [sys.executable, str(ROOT / "scripts/benchmark.py"), "gpu", "--arm", name, "--save", str(file)]
        command += ["--seconds", str(seconds)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
            said = ended.stderr[-1500:] if ended.returncode else None
        except subprocess.TimeoutExpired:
            said = f"it took more than {seconds:.0f} s"
        found = json.loads(file.read_text()) if file.exists() else {}
        return found if said is None else found | {"error": said}


class Kept(dict):
    """What an arm has found, on disk as soon as it is found."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.file.write_text(json.dumps(self))


def where() -> Found:
    import torch

    return {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
    }


@contextmanager
def mnist() -> Iterator[bool]:
    """REGNET_DATA holds MNIST, or images that were made up, of which it tells."""
    given = os.environ.get("REGNET_DATA", "data")
    if (Path(given) / "MNIST" / "raw").is_dir():
        os.environ["REGNET_DATA"] = str(Path(given).absolute())
        yield False
        return
    with tempfile.TemporaryDirectory() as folder:
        make_up(Path(folder) / "MNIST" / "raw")
        os.environ["REGNET_DATA"] = folder
        try:
            yield True
        finally:
            os.environ["REGNET_DATA"] = given


def make_up(raw: Path, sizes: tuple[int, int] = (60_000, 10_000)) -> None:
    """MNIST's four files, of ten patterns under noise."""
    import numpy as np

    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 256, (10, 28, 28))
    for part, n in zip(("train", "t10k"), sizes, strict=True):
        labels = np.arange(n) % 10
        images = (0.3 * patterns[labels] + 0.7 * rng.integers(0, 256, (n, 28, 28))).astype(np.uint8)
        for name, array in (("labels-idx1", labels), ("images-idx3", images)):
            head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (raw / f"{part}-{name}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())


def draw(results: Found, path: Path) -> None:
    """What was found, in one figure: steps, studies, growth."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    arms = results["arms"]
    figure, (steps, studies, grown) = pyplot.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    times = {f"{arm}\n{name}": one for arm in APART for name, one in arms.get(arm, {}).get("us", {}).items()}
    steps.barh(list(times), list(times.values()), color="#0b6e99")
    steps.set(xlabel="µs a step", xscale="log" if times else "linear")
    ratios = {name: arms[name]["ratio"] for name in ("wide", "srivastava", "cnn") if "ratio" in arms.get(name, {})}
    studies.bar(list(ratios), list(ratios.values()), color="#0b6e99")
    studies.set(ylabel="times as fast, packed")
    seconds = {int(jobs): one for jobs, one in arms.get("growth", {}).items() if jobs.isdigit()}
    grown.plot(list(seconds), list(seconds.values()), color="#0b6e99", marker="o")
    if seconds:
        grown.set(xscale="log", yscale="log")
    grown.set(xlabel="jobs of the study", ylabel="seconds, end to end")
    figure.suptitle(f"{results['where']['device']}, {results['data']}", fontsize=9)
    figure.savefig(path, metadata={"Date": None})


def missing() -> list[str]:
    """The packages that the arms import and this Python has not."""
    return sorted({package for module, package in NEEDS.items() if find_spec(module) is None})


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmark.py gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all arms together")
    parser.add_argument("--only", default=",".join(ARMS), help="by commas")
    parser.add_argument("--save", type=Path, default=ROOT / "outputs" / "gpu.json")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    only = arguments.only.split(",")
    if unknown := set(only) - ARMS.keys():
        sys.exit(f"benchmark: --only={arguments.only} has no arm {min(unknown)!r}; there are {', '.join(ARMS)}")
    if find_spec("torch") is None or not import_module("torch").cuda.is_available():
        print("no GPU: nothing measured")
        return
    if lacking := missing():
        sys.exit(f"benchmark: {sys.executable} lacks {', '.join(lacking)}: pip install -c constraints.txt -e '.[dev]'")
    if arguments.arm:
        end = time.monotonic() + arguments.seconds
        ARMS[arguments.arm][0](Kept(arguments.save), lambda: end - time.monotonic())
        return
    save = arguments.save.absolute()
    results = measure(only, arguments.seconds, save)
    draw(results, save.with_suffix(".svg"))
    failed = [name for name, found in results["arms"].items() if "error" in found]
    print(f"{save}, {save.with_suffix('.svg')}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    sys.exit(1 if failed else 0)
