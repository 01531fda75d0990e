"""`scripts/benchmark.py jobs`: what it takes for the fixed cost of a further job."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from benchmarks import jobs  # noqa: E402


def test_the_start_and_the_epochs_are_no_part_of_the_fixed_cost(monkeypatch, capsys):
    def took(arguments):
        settings = dict(text.split("=") for text in arguments if "=" in text)
        epochs, count = settings["trainer.max_epochs"], settings["seed"].strip("range()")
        return 3.0 + int(count) * (0.080 + 0.015 * int(epochs)), 0.0

    monkeypatch.setattr(jobs, "run", took)
    jobs.main(["--rounds", "2", "--jobs", "4", "--epochs", "2", "--ways", "command"])
    told = capsys.readouterr().out
    assert "a job of 2 epochs 110.0 (110.0 to 110.0) ms   without its epochs  80.0 (80.0 to 80.0) ms" in told
