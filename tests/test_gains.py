"""docs/gains.json says what the records of its studies say."""

import json
import sys
from pathlib import Path

import pytest
from scipy.stats import ttest_rel

import regnet
from tests.helpers.commands import train

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from benchmarks import gains

TINY = ["trainer.max_epochs=2", "data.train_size=100", "logger=none", "hydra/launcher=packed", "seed=range(3)"]
STUDIES = {
    "defaults": ["regularizer=none,l2,[dropout,r_drop]"],
    "strengths": ["regularizer=none,l2", "++regularizer.l2.strength=0.3"],
    "residual": ["regularizer=none,drop_path", "model=residual_mlp"],
}


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Their folder: one with defaults, one with a strength, one with another network."""
    folder = tmp_path_factory.mktemp("gains")
    for name, own in STUDIES.items():
        done = train("-m", f"study={name}", *TINY, *own, cwd=folder)
        assert (done.code, done.err) == (0, ""), done.out
    return folder / "outputs" / "multirun"


def test_gains_are_those_of_the_records(studies, tmp_path):
    gains.main([*(str(studies / name) for name in STUDIES), "--save", str(tmp_path / "gains.json")])
    found = json.loads((tmp_path / "gains.json").read_text())
    assert set(found["defaults"]) == {"l2", "r_drop", "drop_path"}
    assert set(found["strengths"]) == {"l2"}
    assert found["strengths"]["l2"]["digits"]["knobs"] == {"strength": 0.3}
    assert found["defaults"]["drop_path"]["digits"]["model"] == "residual_mlp"

    runs = regnet.load_study(studies / "defaults")
    accuracy = {name: own.sort_values("seed")["test/accuracy"].to_numpy() for name, own in runs.groupby("regularizer")}
    assert (found["data"]["digits"]["samples"], found["data"]["digits"]["epochs"]) == (100, 2)
    assert found["data"]["digits"]["none"] == pytest.approx(accuracy["none"].mean(), abs=1e-5)
    for name, key in (("l2", "l2"), ("r_drop", "[dropout,r_drop]")):
        one = found["defaults"][name]["digits"]
        low, high = ttest_rel(accuracy[key], accuracy["none"]).confidence_interval(0.95)
        assert one["n"] == 3
        assert (one["gain"] - one["half"], one["gain"] + one["half"]) == pytest.approx((low, high), abs=3e-5)


def test_a_study_without_none_has_no_gains(studies, tmp_path):
    with pytest.raises(SystemExit, match=f"^gains: there is no completed run of regularizer=none in {tmp_path}$"):
        gains.main([str(tmp_path)])
