"""Classes refuse wrong values by themselves, in any code: with the name, the rule and the value."""

import math

import pytest

from regnet.core import values
from regnet.core.errors import UserError
from regnet.models import CNN, MLP, ResidualMLP, ResNet
from regnet.regularizers import L0, L1, DropBlock, Jacobian, Lookahead, Orthogonal, ShiftFlip, VariationalDropout
from regnet.run.study import study_name
from regnet.training.callbacks import EarlyStopping, Ema, LastCheckpoint, Progress, Snapshots, Swa

NOT_NUMBERS = ["abc", None, True, [1], {"a": 1}, math.nan]


@pytest.mark.parametrize(
    ("check", "right", "wrong", "rule"),
    [
        (values.finite, [0, -1.5, 1e30], [math.inf, 1e39, 10**400], "must be a finite number"),
        (values.nonnegative, [0, 2.5], [-1e-9, math.inf, 1e39], "must be a finite number >= 0"),
        (values.positive, [1e-9, 3], [0, -1, math.inf], "must be a finite number > 0"),
        (values.rate, [0, 0.999], [1, -0.1], r"must be in \[0, 1\)"),
        (values.ratio, [0, 1, 0.5], [1.1, -0.1], r"must be in \[0, 1\]"),
        (values.fraction, [0.5], [0, 1], r"must be in \(0, 1\)"),
        (values.whole, [1, 2**60], [0, 1.0, "1", 10**30], "must be a whole number >= 1"),
    ],
)
def test_numbers(check, right, wrong, rule):
    assert [check(value, "x") for value in right] == right
    for value in [*wrong, *NOT_NUMBERS]:
        with pytest.raises(ValueError, match=rf"^x {rule}, got ") as caught:
            check(value, "x")
        assert str(caught.value).endswith(f"got {value!r}")


def test_other_kinds():
    assert values.whole(30, "x", 0, 30) == 30
    assert values.wholes((3, 4), "x") == [3, 4]
    assert values.flag(False, "x") is False
    assert values.one_of("max", "x", ("max", "average")) == "max"
    with pytest.raises(ValueError, match=r"^x must be a whole number from 0 to 30, got 31$"):
        values.whole(31, "x", 0, 30)
    for value in ("abc", 5, [0], [True], [1.5], ["1"]):
        with pytest.raises(ValueError, match=r"^x must be a list of whole numbers >= 1, got "):
            values.wholes(value, "x")
    with pytest.raises(ValueError, match=r"^x must be true or false, got 1$"):
        values.flag(1, "x")
    with pytest.raises(ValueError, match=r"^x='avrage' is none of max, average; did you mean average\?$"):
        values.one_of("avrage", "x", ("max", "average"))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: L1("abc"), "strength must be a finite number >= 0, got 'abc'"),
        (lambda: L0(1.0, groups="row"), "groups='row' is none of weight, out, in"),
        (lambda: L0(1.0, rate=0), r"rate must be in \(0, 1\), got 0"),
        (lambda: VariationalDropout(1.0, 10, threshold=None), "threshold must be a finite number, got None"),
        (lambda: Orthogonal(1.0, form=None), "form=None is none of gram, rows, columns"),
        (lambda: Jacobian(1.0, projections=True), "projections must be a whole number >= 1, got True"),
        (lambda: Lookahead(period=2.5), "period must be a whole number >= 1, got 2.5"),
        (lambda: DropBlock(0.1, block_size=0), "block_size must be a whole number >= 1, got 0"),
        (lambda: ShiftFlip(shift=True), "shift must be a whole number >= 0, got True"),
        (lambda: ShiftFlip(flip=1), "flip must be true or false, got 1"),
        (lambda: Ema(decay="abc"), r"decay must be in \[0, 1\), got 'abc'"),
        (lambda: Swa(start=None), r"start must be in \[0, 1\), got None"),
        (lambda: Swa(lr=0), "lr must be a finite number > 0, got 0"),
        (lambda: Snapshots(cycles=None), "cycles must be a whole number >= 1, got None"),
        (lambda: EarlyStopping("val/loss", patience="abc"), "patience must be a whole number >= 1, got 'abc'"),
        (lambda: EarlyStopping("val/loss", patience=-1), "patience must be a whole number >= 1, got -1"),
        (lambda: EarlyStopping("val/loss", min_delta=math.nan), "min_delta must be a finite number >= 0, got nan"),
        (lambda: LastCheckpoint("x", every_seconds="abc"), "every_seconds must be a finite number >= 0, got 'abc'"),
        (lambda: Progress(report=None), "report must be a finite number >= 0, got None"),
        (lambda: MLP((4,), 2, "abc"), "widths must be a list of whole numbers >= 1, got 'abc'"),
        (lambda: MLP((4,), 2, 5), "widths must be a list of whole numbers >= 1, got 5"),
        (lambda: CNN((1, 8, 8), 2, [8]), r"stages\[0\] must be a list of whole numbers >= 1, got 8"),
        (lambda: CNN((1, 8, 8), 2, "abc"), "stages must be a list of lists of channels"),
        (lambda: ResidualMLP((4,), 2, blocks=None), "blocks must be a whole number >= 1, got None"),
        (lambda: ResNet((1, 8, 8), 2, projection="no"), "projection must be true or false, got 'no'"),
    ],
)
def test_classes_refuse_by_themselves(make, sentence):
    with pytest.raises(ValueError, match=rf"^{sentence}"):
        make()


@pytest.mark.parametrize("name", ["a", "2026-01-01_10", "mnist, 3 seeds", "größe", 5, "..a", "x" * 200])
def test_names_of_studies(name):
    assert study_name(name) == str(name)


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "a/b", "/a", "../a", "a\\b", "a\0b", "a\nb", "x" * 201, "é" * 101, None, True, ["a"], {}],
)
def test_what_is_no_name_of_a_study(name):
    with pytest.raises(UserError, match="must be the name of a folder"):
        study_name(name)
