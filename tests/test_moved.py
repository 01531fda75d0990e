"""Old names of modules, which people's code and recorded configs hold."""

from importlib import import_module

import pytest

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
