"""A study of a person's own networks and regularizers gives in a pack what it gives run by run."""

from pathlib import Path

import pytest

from regnet.packed.memory import out_of_memory
from regnet.packed.stack import Stack
from tests.helpers.commands import TINY, finish, record, start, train
from tests.helpers.equality import compare, folders
from tests.packed.test_packed_trial import SAME, UNLIKE

PACKED = "hydra/launcher=packed"
OWN = "tests.packed.strangers"
ROOT = Path(__file__).parents[2]
SMALL = ["-m", "study=s", "trainer.max_epochs=3", "data.train_size=100", "data.batch_size=40", "logger=none"]
SMALL += ["callbacks.last.every_seconds=1000", "trainer.precision=64-true"]
NOISE = {"Dropping", "Noisy", "Attentive"}  # other bits, the same distribution
UNSEEDED = {"Python", "NumPy", "InGlobal", "InClass", "InDefault"}  # of no two studies the same
QUICK = {"NotPersistent", "Still", "Reassigned", "InHook", "OwnStream"}
EVERY = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name in (*SAME, *UNLIKE)
    if name not in NOISE | UNSEEDED and name != "InModule"  # which is float32 alone
]


def both(tmp_path, *command):
    """The folders of the study run by run and packed, by the run, and how the packed one ended."""
    for name, launcher in (("alone", []), ("packed", [PACKED])):
        (tmp_path / name).mkdir()
        done = train(*command, *launcher, cwd=tmp_path / name)
    left, right = (folders(tmp_path / name / "outputs" / "multirun" / "s") for name in ("alone", "packed"))
    assert left.keys() == right.keys()
    return [(left[name], right[name]) for name in left], done


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_a_network_is_packed_as_it_is_alone_or_runs_alone(tmp_path, name):
    pairs, done = both(tmp_path, *SMALL, f"model._target_={OWN}.{name}", "seed=0,1")
    assert done.code == 0
    reason = UNLIKE.get(name)
    assert ("trained alone" in done.out) == (reason is not None)
    assert reason is None or f"trained alone, as {reason}" in done.out or "cannot be stacked: RuntimeError" in done.out
    for alone, packed in pairs:
        compare(alone, packed, 1e-9)


@pytest.mark.parametrize(
    ("changed", "own"),
    [
        (["model._target_={}.Permuted", "seed=0,1"], "Permuted.order"),
        (["model._target_={}.scaled", "seed=0,1"], "a hook of Linear"),
        (["+regularizer.mine._target_={}.ListedPenalty", "+regularizer.mine.strength=0.01,0.1"], "ListedPenalty.held"),
    ],
    ids=["permutation", "hook", "list"],
)
def test_what_is_no_buffer_is_each_run_s_own(tmp_path, changed, own):
    pairs, done = both(tmp_path, *SMALL, *(text.format(OWN) for text in changed))
    assert (done.code, done.err) == (0, "")
    assert f"packed: runs of one pack must have the same {own} (no buffer)\n" in done.out
    assert "trained alone" not in done.out
    for alone, packed in pairs:
        compare(alone, packed, 1e-9)


@pytest.mark.parametrize(
    ("kind", "packs"),
    [
        ("BufferedPenalty", True),
        pytest.param("CountedPenalty", False, marks=pytest.mark.slow),
        ("ShrinkingConstraint", True),
        pytest.param("CountedConstraint", False, marks=pytest.mark.slow),
    ],
)
def test_regularizers_with_a_state(tmp_path, kind, packs):
    """The best epoch is the first, or among the first: what best.ckpt has is of then."""
    number = "radius=0.05,0.2" if kind.endswith("Constraint") else "strength=0.01,0.1"
    mine = [f"+regularizer.mine._target_={OWN}.{kind}", f"+regularizer.mine.{number}", "optimizer.lr=0.3"]
    pairs, done = both(tmp_path, *SMALL, "model.widths=[8]", *mine)
    assert (done.code, done.err) == (0, "")
    assert ("trained alone" not in done.out) == packs
    for alone, packed in pairs:
        compare(alone, packed, 1e-9)
    assert any(record(packed)["best_epoch"] < 2 for _, packed in pairs)


@pytest.mark.parametrize(
    "regularizer",
    [
        ["regularizer=nuclear_norm"],
        ["regularizer=spectral_norm"],
        [f"+regularizer.mine._target_={OWN}.Singular", "+regularizer.mine.strength=1e-3"],
    ],
    ids=["nuclear norm", "spectral norm", "a person's"],
)
def test_one_run_whose_decomposition_fails_does_not_end_the_others(tmp_path, regularizer):
    command = [text for text in SMALL if "precision" not in text]
    pairs, done = both(tmp_path, *command, "model.widths=[8]", *regularizer, "optimizer.lr=1e-3,1e30,3e-3,1e-2,2e-3")
    own = "failed" if OWN in regularizer[0] else "diverged"
    assert done.code == (own == "failed")
    assert "5 runs in 1 pack" in done.out
    assert "Traceback" not in done.out + done.err
    ends = []
    for alone, packed in pairs:
        expected, got = record(alone), record(packed)
        ends.append(got["status"])
        assert (got["status"], got["reason"]) == (expected["status"], expected["reason"])
        if got["status"] == "completed":
            compare(alone, packed, 1e-4)
    assert sorted(ends) == ["completed"] * 4 + [own]
    assert ("LinAlgError" in done.out and "the halves of its pack go on apart" in done.out) == (own == "failed")


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
        "cuFFT error: CUFFT_ALLOC_FAILED",
        "CUDA error: CUSPARSE_STATUS_INSUFFICIENT_RESOURCES when calling `cusparseSpMM`",
        "CUDA error: out of memory",
        "CUDA ran out of memory outside PyTorch's allocator.",
        "[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes.",
        "could not create a primitive",
    ],
)
def test_what_is_short_of_memory(text):
    assert out_of_memory(RuntimeError(text))


def test_other_errors_are_not():
    for error in (
        RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"),
        ValueError("the vocabulary is out of memory"),
    ):
        assert not out_of_memory(error)


def test_further_processes_of_ddp_leave_packs_to_the_first(tmp_path, monkeypatch):
    """They are started with the command of the study, for one run of it."""
    trained = []
    monkeypatch.setattr(Stack, "__init__", lambda *_, **__: trained.append(1))
    monkeypatch.setenv("LOCAL_RANK", "1")
    done = train("-m", "study=s", *TINY, "seed=0,1", PACKED, cwd=tmp_path)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert not trained
    assert not list(tmp_path.rglob("record.json"))


@pytest.mark.slow
def test_each_run_of_a_study_with_ddp_is_trained_once(tmp_path):
    singular = [f"+regularizer.mine._target_={OWN}.Singular", "+regularizer.mine.strength=1e-3"]
    swept = ["trainer.devices=1,2", "optimizer.lr=1e-3,1e30", "trainer.accelerator=cpu", "data.batch_size=10"]
    command = ["-m", "study=s", "hydra.callbacks.study_report.page=false", *TINY, "logger=none", *singular, *swept]
    done = finish(start("regnet-train", *command, PACKED, cwd=tmp_path, PYTHONPATH=str(ROOT)), seconds=240)
    assert "packed: 2 runs in 1 pack; 2 alone: 2 for trainer.devices=2\n" in done.out
    assert done.out.count("packed: 2 runs") == 1
    told = [line.split()[1] for line in (done.out + done.err).splitlines() if line.startswith("run ")]
    assert sorted(told) == ["1/4", "2/4", "3/4", "4/4"]
    ends = [record(folder)["status"] for folder in folders(tmp_path / "outputs" / "multirun" / "s").values()]
    assert sorted(ends) == ["completed", "completed", "failed", "failed"]
