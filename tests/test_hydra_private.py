"""Private names of Hydra and OmegaConf: regnet has them in one file, and each is what regnet takes it for."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

import regnet

ROOT = Path(regnet.__file__).parents[1]
ONE_FILE = ROOT / "regnet" / "compose" / "hydra_private.py"
NAMES = re.findall(r"from (\S+) import (\w+)", ONE_FILE.read_text(encoding="utf-8"))
PRIVATE = re.compile(r"\b(hydra\._\w+|omegaconf\._\w+|_get_root|from (?:hydra|omegaconf)[\w.]* import _\w+)")


def test_one_file_names_them():
    folders = [ROOT / name for name in ("regnet", "hydra_plugins", "conf")]
    files = [path for folder in folders for kind in ("*.py", "*.yaml") for path in folder.rglob(kind)]
    named = {path for path in files if PRIVATE.search(path.read_text(encoding="utf-8"))}
    assert len(files) > 300
    assert named == {ONE_FILE}


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_the_name_is_where_it_was(module, name):
    assert hasattr(import_module(module), name), f"{module}.{name} has moved: mend regnet/compose/hydra_private.py"


def test_the_launcher_is_the_one_that_hydra_takes_by_default():
    from hydra._internal.core_plugins.basic_launcher import BasicLauncherConf

    from regnet.compose.hydra_private import BasicLauncher

    assert BasicLauncherConf._target_ == f"{BasicLauncher.__module__}.{BasicLauncher.__name__}"
    assert {"setup", "launch"} <= set(vars(BasicLauncher))


def test_the_parser_reads_hydras_own_flags_among_overrides():
    from regnet.compose.hydra_private import get_args_parser

    known, unknown = get_args_parser().parse_known_intermixed_args(["a=1", "-m", "b=2", "--config-dir", "my", "--odd"])
    assert (known.overrides, known.multirun, known.config_dir) == (["a=1", "b=2"], True, "my")
    assert unknown == ["--odd"]


@pytest.mark.parametrize("text", ["1e-3", "007", "1_000", "true", "Off", "null", "0x1f", ".5", "a b", "% fat", "", "~"])
def test_text_is_written_as_omegaconf_writes_it(text):
    from omegaconf._utils import get_omega_conf_dumper

    from regnet.compose.hydra_private import Dumper

    written = yaml.dump({"key": text}, Dumper=Dumper, default_flow_style=False)
    assert written == yaml.dump({"key": text}, Dumper=get_omega_conf_dumper(), default_flow_style=False)
    assert written == OmegaConf.to_yaml({"key": text})
    assert OmegaConf.create(written).key == text


def test_hydra_writes_configs_by_the_fast_dumper():
    from omegaconf import omegaconf

    from regnet.compose.hydra_private import Dumper

    assert omegaconf.get_omega_conf_dumper() is Dumper


def test_the_root_is_that_of_the_whole_config():
    from regnet.compose.hydra_private import root

    config = OmegaConf.create({"a": {"b": [{"c": 1}]}})
    assert root(config.a.b[0]) is config
    assert root(config) is config


def test_a_text_is_parsed_once():
    from omegaconf import _utils, base, grammar_parser

    assert base.parse is _utils.parse
    assert base.parse.__wrapped__ is grammar_parser.parse
    before = base.parse.cache_info()
    config = OmegaConf.create({"a": 1, "b": "${a} of ${a}", "c": {"a": 3, "b": "${a} of ${a}"}})
    assert [config.b, config.c.b, config.b] == ["1 of 1", "1 of 1", "1 of 1"]
    config.a = 2
    assert config.b == "2 of 2"
    assert base.parse.cache_info().misses <= before.misses + 1


def test_hydra_copies_the_config_of_a_job_whole():
    from hydra.core import utils

    from regnet.compose.hydra_private import copied

    assert utils.copy.deepcopy is copied
    config = OmegaConf.create({"a": {"b": [1, "${c}"]}, "c": 2, "d": "???"})
    OmegaConf.set_readonly(config.a, True)
    copy = copied(config)
    assert copy is not config
    assert copy == config
    assert OmegaConf.is_readonly(copy.a)
    copy.c = 3
    assert (config.a.b[1], copy.a.b[1]) == (2, 3)


def test_what_cannot_be_pickled_is_copied_all_the_same():
    from regnet.compose.hydra_private import copied

    config = OmegaConf.create({"a": lambda: 1}, flags={"allow_objects": True})
    assert copied(config).a() == 1
