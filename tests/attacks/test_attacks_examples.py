"""The examples in the docstrings of regnet.attacks give what they say."""

import doctest
import importlib
import pkgutil

import pytest

from regnet import attacks

MODULES = [f"regnet.attacks.{module.name}" for module in pkgutil.iter_modules(attacks.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) >= 20
