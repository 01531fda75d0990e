"""Old names of modules, which people's code and recorded configs hold."""

import sys
from importlib import import_module
from types import FunctionType

import pytest

import regnet
from regnet.compose.trust import trusted
from regnet.core.moved import MOVED, present_name


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_gives_the_very_module(old):
    module = import_module(old)
    assert module is import_module(MOVED[old])
    assert module.__spec__.name == module.__name__ == MOVED[old]


def test_a_name_in_a_module_that_has_moved():
    assert present_name("regnet.callbacks.Ema") == "regnet.training.callbacks.Ema"
    assert present_name("regnet.regularizers.dropout.Dropout") == "regnet.regularizers.layers.dropout.Dropout"
    for name in ("regnet.regularizers.L2", "regnet", "torch.optim.SGD", "regnet.weightsandmore.x"):
        assert present_name(name) == name


def test_a_record_of_an_earlier_version_is_still_trusted():
    config = {"regularizer": {"ema": {"_target_": "regnet.callbacks.averages.Ema", "decay": 0.9}}}
    assert trusted(config, [], "run=x").regularizer.ema._target_ == "regnet.training.callbacks.averages.Ema"


def test_the_interface_of_the_package_is_never_a_module():
    """Importing a module sets it as an attribute of its package, in place of a function of the same name."""
    for name in MOVED:
        import_module(name)
    import_module("regnet.commands.train")
    import_module("regnet.training")
    for name in ("train", "load", "load_study"):
        assert isinstance(getattr(regnet, name), FunctionType), name
        assert not {f"regnet.{name}"} & {*sys.modules, *MOVED}
    assert {*regnet.__all__} <= {*dir(regnet)}
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = regnet.nothing_such
