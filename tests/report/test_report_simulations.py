"""What the statistics promise, by `scripts/simulate.py`; docs/studies.md has its tables."""

import runpy
import subprocess
import sys

import pytest

from regnet.report.family import ALPHA
from scripts.simulations.coverage import coverage
from scripts.simulations.crossed import coverage as crossed
from scripts.simulations.crossed import of_means
from scripts.simulations.equivalence import called, called_crossed
from scripts.simulations.family import KINDS, family
from scripts.simulations.wins import held
from tests.helpers.documents import ROOT

SIMULATIONS = ("coverage", "crossed", "equivalence", "family", "wins")


@pytest.mark.parametrize("n", [3, 5, 10])
def test_students_interval_covers_and_the_percentile_bootstrap_does_not(n):
    shares = coverage("normal", n, samples=500)
    assert shares["Student t"] == pytest.approx(0.95, abs=0.03)
    assert shares["percentile bootstrap"] < 0.93


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(3, 2), (5, 2), (10, 2), (3, 3), (5, 3), (10, 3), (5, 5), (10, 5)])
def test_intervals_over_seeds_and_splits_cover_whatever_varies(shape):
    for variances in ((0, 0), (0, 10), (10, 0), (1, 1), (0.1, 1), (10, 10)):
        for level in (0.95, 1 - ALPHA / 8):
            share, _ = crossed(*shape, variances, 1500, level)
            assert share > level - 3 * (level * (1 - level) / 1500) ** 0.5


@pytest.mark.slow
def test_intervals_over_the_means_of_seeds_do_not_hold_the_gain_on_new_splits():
    assert of_means(5, 3, (0, 1), 1000) < 0.7


@pytest.mark.slow
def test_a_lost_run_leaves_the_coverage():
    share, _ = crossed(5, 4, (1, 1), 1500, missing=1)
    assert share > 0.95 - 0.017


@pytest.mark.parametrize("kind", list(KINDS))
def test_eight_arms_and_five_seeds_keep_the_error_of_the_family(kind):
    missed, called_one, _ = family(kind, 8, 5, samples=500)
    assert max(missed, called_one) < ALPHA + 3 * (ALPHA * (1 - ALPHA) / 500) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("arms", [1, 2, 4, 8])
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_error_of_a_family(kind, seeds, arms):
    missed, called_one, _ = family(kind, arms, seeds, samples=3000)
    assert max(missed, called_one) < ALPHA + 3 * (ALPHA * (1 - ALPHA) / 3000) ** 0.5


@pytest.mark.slow
def test_the_intervals_of_a_family_hold_true_gains_at_once_and_find_them():
    missed, _, found = family("normal", 8, 5, samples=3000, gain=1.0)
    assert missed < ALPHA + 0.012
    assert found == pytest.approx(0.09, abs=0.02)  # the power of five seeds and eight arms at d = 1
    assert family("normal", 1, 10, samples=3000, gain=1.0)[2] == pytest.approx(0.803, abs=0.03)  # statsmodels: 0.803


def test_arms_a_margin_apart_are_called_equivalent_in_no_more_than_5_percent():
    assert called(5, 4.0, 4.0, samples=1500) == pytest.approx(0.05, abs=0.02)
    assert called(5, 0.5, 0.5, samples=1500) < 0.03
    assert called(10, 2.0, 0.0, samples=500) > 0.95


@pytest.mark.slow
def test_arms_a_margin_apart_over_seeds_and_splits():
    assert called_crossed(5, 5, 4.0, 4.0, samples=2000) < 0.05 + 0.015


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_the_interval_of_wins_holds_the_probability(shift):
    share, truth = held("normal", 5, shift, 0.0, 1000)
    assert share > 0.93, truth


@pytest.mark.parametrize("name", SIMULATIONS)
def test_the_command(name, capsys, monkeypatch):
    script = ROOT / "scripts" / "simulate.py"
    monkeypatch.setattr(sys, "argv", [str(script), name, "--samples", "20"])
    monkeypatch.syspath_prepend(script.parent)
    runpy.run_path(str(script), run_name="__main__")
    rows = [line for line in capsys.readouterr().out.splitlines() if line]
    assert all(line.startswith("|") and line.endswith("|") for line in rows)
    assert len(rows) > 4
    assert f"python scripts/simulate.py {name}" in (ROOT / "docs" / "studies.md").read_text()


def test_the_command_names_what_it_has():
    script = ROOT / "scripts" / "simulate.py"
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert all(f"\n{name} " in done.stdout for name in SIMULATIONS)
