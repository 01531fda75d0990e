"""The notebooks in examples/ run from their first cell to the last."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_cells_run(path, tmp_path, monkeypatch, capsys):
    """As Python, with trainings of three epochs."""
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            short = re.sub(r"max_epochs=\d+", "max_epochs=3", cell.source)
            exec(compile(short, path.name, "exec"), names)
    text = capsys.readouterr().out
    assert text.count("accuracy train ") == 2
    assert "test images are taken for another digit" in text
    assert len(names["runs"]) == len(list(tmp_path.glob("outputs/wrong_labels/*/record.json"))) == 2
    assert any(axes.images for axes in names["figure"].axes)
    names["plt"].close("all")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    """In a kernel of its own, as a person runs it."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.text for output in outputs if output.output_type == "stream")
    assert text.count("accuracy train ") == 2
    assert "test images are taken for another digit" in text
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("text/html" in output.get("data", {}) for output in outputs), "the table"
    assert len(list(tmp_path.glob("outputs/wrong_labels/*/record.json"))) == 2


def test_there_is_one():
    assert NOTEBOOKS
