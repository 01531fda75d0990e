"""What a config may give to a class, by its annotations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
import torch
from torch import Tensor, nn

from regnet.compose.arguments import describe, fits, suited
from regnet.core.errors import UserError


class Colour(Enum):
    RED = 1


class Loads(Protocol):
    def load(self) -> int: ...


@pytest.mark.parametrize(
    ("hint", "right", "wrong", "words"),
    [
        (int, [0, -1, 10**30], [True, 1.0, "1", None, [1], {"a": 1}], "a whole number"),
        (float, [0, 1.5, -1e30], [True, "abc", float("nan"), float("inf"), None, [1.0]], "a finite number"),
        (bool, [True, False], [0, 1, "true", None], "true or false"),
        (str, ["", "a"], [1, 1.5, True, None, ["a"]], "text"),
        (int | None, [1, None], [1.5, "null"], "a whole number or null"),
        (float | int, [1, 1.5], ["a", True], "a finite number"),
        (float | Tensor, [1.5], ["a", [1.0], True], "a finite number"),
        (Literal["a", 16], ["a", 16], ["b", "16", 1], "one of a, 16"),
        (bool | Literal["warn"] | None, [True, None, "warn"], ["foo", 1], "true or false or warn or null"),
        (list[int], [[], [1, 2]], [1, "1", ["a"], [True], [1.5], None], "a list of whole numbers"),
        (Sequence[float], [[1, 2.5]], ["12", 1, [None]], "a list of finite numbers"),
        (Iterable[str], [["a"]], ["a", [1]], "a list of texts"),
        (tuple[float, float], [[0.9, 0.99]], [[0.9], [0.9, 0.99, 1], 0.9], "a list of 2 finite numbers"),
        (tuple[int, ...], [[], [1, 2, 3]], [["a"], 1], "a list of whole numbers"),
        (Sequence[Sequence[int]], [[[1], [2, 3]], []], [[1], "a"], "a list of lists of whole numbers"),
        (Mapping[str, float] | None, [{"a": 1}, None], [{"a": "b"}, [1], 1], "a mapping {key: value} or null"),
        (str | Sequence[str] | None, ["a", ["a"], None], [5, [5], True], "text or a list of texts or null"),
        (Colour, ["RED"], [1, True, ["RED"]], "text, the name of a Colour"),
        (Path | None, ["a/b", None], [5, ["a"]], "text, the name of a Path or null"),
        (torch.device, ["cpu"], [5], "text, the name of a device"),
        (Callable[[], nn.Module], [], [5, "ReLU", None], ""),
        (Loads, [], [5, "a", None, [1]], ""),
        (Any, [1, "a", None, [1], True], [float("nan")], "another value than nan"),
    ],
)
def test_the_kinds_of_values(hint, right, wrong, words):
    assert [value for value in right if not fits(value, hint)] == []
    assert [value for value in wrong if fits(value, hint)] == []
    assert describe(hint) == words


@pytest.mark.parametrize("hint", [int, str, Loads, Callable[[], int], Tensor])
def test_what_was_made_of_another_node_is_not_judged(hint):
    assert fits(torch.zeros(2), hint)
    assert fits({"_target_": "my.Class"}, hint)


def take(number: int, text: str = "a", rate: float = None, untyped=1):  # noqa: RUF013
    """Its defaults need not be of its kinds."""


def test_a_whole_number_is_text_where_text_is_asked():
    assert suited(take, {"number": 1, "text": 2024, "rate": None, "untyped": "x"}, "key") == {
        "number": 1,
        "text": "2024",
        "rate": None,
        "untyped": "x",
    }


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"number": "abc"}, "key.number=abc must be a whole number"),
        ({"number": None}, "key.number=null must be a whole number"),
        ({"number": True}, "key.number=true must be a whole number"),
        ({"number": ""}, "key.number='' must be a whole number"),
        ({"text": 0.5}, "key.text=0.5 must be text"),
        ({"untyped": float("nan")}, "key.untyped=nan must be another value than nan"),
        ({"numbr": 1}, "key.numbr=1 is no setting of take; did you mean number? (it has number, text, rate, untyped)"),
    ],
)
def test_what_does_not_suit_is_told(settings, sentence):
    with pytest.raises(UserError) as caught:
        suited(take, settings, "key")
    assert str(caught.value) == sentence


def test_a_function_that_takes_any_name():
    def other(a: int = 1, **rest: Any) -> None:
        """Takes more."""

    assert suited(other, {"b": "x"}, "key") == {"b": "x"}
    with pytest.raises(UserError, match=r"key\.a=x must be a whole number"):
        suited(other, {"a": "x"}, "key")
