"""How an argument must be quoted: the shell and Hydra then read the text that was meant."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from regnet.compose.quoting import quoted, unreadable
from regnet.core.overrides import as_typed

TEXTS = [
    "für.csv",
    "价格.csv",
    "a(1).csv",
    "a,b.csv",
    "a=b.csv",
    "my file.csv",
    "it's.csv",
    'a"b.csv',
    r"C:\data\x.csv",
    "a\\",
    'a\\"b',
    "${x}",
    "$HOME/x",
    "[x",
    "{a",
    "a&b;c|d#e!f*g?h<i>j`k~l^m",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_quoted_argument_is_read_as_the_text(text):
    (argument,) = shlex.split(quoted(f"data.path={text}"))
    override = OverridesParser.create().parse_override(argument)
    assert override.key_or_group == "data.path"
    assert OmegaConf.create({"path": override.value()}).path == text
    assert unreadable([argument]) is None


@pytest.mark.parametrize("arguments", [["seed=1"], ["a=[1,2]", "~b", "+c.d={x: 1}"], ["e='für'"], ["f=a b"], []])
def test_what_can_be_read(arguments):
    assert unreadable(arguments) is None


def test_a_list_that_the_shell_has_cut():
    assert unreadable(["seed=1", "regularizer=[dropout,", "l2,", "l1]", "model=cnn"]) == (
        "the shell has cut regularizer=[dropout, l2, l1] at its spaces; write 'regularizer=[dropout, l2, l1]'"
    )


def test_overrides_in_a_config_stay_as_they_were_typed():
    task = OmegaConf.create({"task": ["data.batch_size=${seed}", "seed=1"]}).task
    assert as_typed(task) == ["data.batch_size=${seed}", "seed=1"]
    assert as_typed(["seed=1"]) == ["seed=1"]
