"""The process that makes a study's page."""

import os
import signal
import subprocess
import sys

import pytest

from regnet.core.errors import UserError
from regnet.report.ahead import PageProcess
from regnet.report.content import content
from regnet.run.record import runs_in
from tests.helpers.records import add_run, classification


def test_it_makes_the_page_of_a_folder(tmp_path):
    for rate in (0.0, 0.5):
        add_run(tmp_path, [f"regularizer.dropout.rate={rate}"], classification(0.9 + rate / 10))
    process = PageProcess()
    process.begin(tmp_path)
    assert process.told() == content(runs_in([tmp_path]))
    assert process.page() == tmp_path / "report.html"
    assert "rate=0.5" in (tmp_path / "report.html").read_text()


def test_runs_that_it_cannot_read_are_left_to_the_study(tmp_path):
    process = PageProcess()
    process.begin(tmp_path)
    assert process.told() is None


def test_a_page_that_cannot_be_made_is_told_in_a_sentence(tmp_path):
    add_run(tmp_path, ["seed=0"], classification(0.9))
    (tmp_path / "figures").symlink_to(tmp_path)
    process = PageProcess()
    process.begin(tmp_path)
    assert process.told()
    with pytest.raises(UserError, match="is a link"):
        process.page()


def test_a_process_that_was_killed_is_told(tmp_path):
    process = PageProcess()
    process.process.kill()
    process.process.wait()
    process.begin(tmp_path)
    assert process.told() is None
    with pytest.raises(UserError, match="the process that makes the page has ended with exit code -9"):
        process.page()


def test_it_is_gone_when_it_is_left():
    process = PageProcess()
    process.leave()
    assert process.process.returncode == -signal.SIGKILL
    process.leave()


def test_it_ends_with_its_study():
    """However that ends: nobody tells it anything any more."""
    code = (
        "import os; from regnet.report.ahead import PageProcess; p = PageProcess(); print(p, flush=True); os._exit(1)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True) as study:
        output, _ = study.communicate()  # ends when its last holder does, the process that makes pages
    assert "PageProcess" in output
