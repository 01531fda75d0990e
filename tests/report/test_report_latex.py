import pytest

from regnet.core.errors import UserError
from regnet.report.content import content
from regnet.report.latex import escape, write_latex
from regnet.run.record import find_runs
from tests.helpers.records import KNOWN


def test_the_best_is_bold_and_what_differs_has_a_mark(tmp_path):
    write_latex(content(list(find_runs(KNOWN / "techniques"))), tmp_path / "table.tex")
    text = (tmp_path / "table.tex").read_text(encoding="utf-8")
    assert r"& gain over none \\" in text
    assert r"max\_norm & 5 & $90.1 \pm 2.0$ & $90.0 \pm 1.9$ & $+0.00 \pm 0.31$ \\" in text
    assert r"l2 & 5 & $93.0 \pm 2.0$ & $93.0 \pm 2.1$ & $+3.00 \pm 0.31$* \\" in text
    assert r"mixup & 4 & \boldmath$95.5 \pm 2.1$ & \boldmath$95.5 \pm 2.1$" in text
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))


def test_text_is_escaped():
    assert escape(r"a_b & 5 % \x {y}") == r"a\_b \& 5 \% \textbackslash{}x \{y\}"


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"--latex .* cannot be written"):
        write_latex(content(list(find_runs(KNOWN / "one_seed"))), tmp_path / "nowhere" / "table.tex")
