import io
from types import SimpleNamespace

import pytest
from rich.table import Table

from regnet.core import progress
from regnet.core.console import live_line, plain_console
from regnet.packed import progress as packed
from regnet.training.callbacks import progress as alone

TEXTS = ("run 1/4 regularizer=[dropout,l2] seed=0", "[bold]x[/bold]", "[/] layer:a: :smile: [red]", "select=re:[ab]$")


def terminal(width=120):
    return plain_console(file=io.StringIO(), force_terminal=True, color_system=None, width=width)


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_printed_as_it_is(text):
    console = terminal()
    table = Table(text, title=text)
    table.add_row(text)
    console.print(text)
    console.print(table)
    assert console.file.getvalue().count(text) == 4


@pytest.mark.parametrize("text", TEXTS)
def test_the_live_line_shows_text_as_it_is(text):
    console = terminal()
    with live_line(console) as bar:
        bar.add_task(text, total=2, text=f"epoch 1/2 {text}")
        bar.refresh()
    assert f"epoch 1/2 {text}" in console.file.getvalue()
    assert console.file.getvalue().count(text) >= 2


def test_the_live_line_of_a_run_alone_names_its_regularizers(monkeypatch):
    console = terminal()
    monkeypatch.setattr(progress, "plain_console", lambda: console)
    monkeypatch.setattr(alone, "position", lambda: TEXTS[0])
    trainer = SimpleNamespace(current_epoch=0, is_global_zero=True, max_epochs=3, num_training_batches=2)
    shown = alone.Progress(redraw=0)
    shown.on_train_start(trainer, SimpleNamespace())
    shown.on_train_batch_end(trainer, SimpleNamespace(measured={"val/loss": 0.5}), None, None, 0)
    shown.teardown(trainer, None, "fit")
    assert TEXTS[0] in console.file.getvalue()
    assert "epoch 1/3  val loss 0.500" in console.file.getvalue()


def test_the_live_line_of_packs_is_drawn_by_the_same_console(monkeypatch):
    console = terminal()
    monkeypatch.setattr(progress, "plain_console", lambda: console)
    monkeypatch.setattr(progress.ProgressLine, "due", lambda _: True)
    with packed.PackProgress(runs=2, epochs=6, say=print) as shown:
        shown.trained(3)
        shown.end(0)
    assert "3 of 6 epochs, 1 of 2 runs done" in console.file.getvalue()
