"""Every experiment that is shipped, through the real command line in a tiny form."""

import re
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from regnet.compose.config_files import config_folder
from tests.helpers.commands import train
from tests.helpers.studies import runs, value

TINY = ["study=s", "trainer.max_epochs=1", "model.widths=[8]", "logger=none", "hydra/launcher=packed"]
FILES = {path.stem: path for path in (config_folder() / "experiment").glob("*.yaml")}
ALONE = ["data=digits", "regularizer=none,dropout", "seed=0"]  # of an experiment that is one run
STUDIES = {  # what makes it small, and how many runs it has
    "choose_rate": (["regularizer.dropout.rule=constant,last", "regularizer.dropout.rate=0,0.9,0.5", "seed=0"], 8),
    "choose_technique": (["hydra.sweeper.trials=1", "seed=range(2)"], 9),
    "classic_dropout": (ALONE, 2),
    "classic_l2": (ALONE, 2),
    "cocktail": (["hydra.sweeper.trials=6", "hydra.sweeper.prune=false", "seed=0"], 6),
    "calibration": (["seed=0"], 7),
    "combine": (["seed=0"], 16),
    "defaults": (["seed=0"], 51),
    "data_size": (["seed=0", "data.train_size=50,700"], 10),
    "decide": (["seed=0"], 4),
    "label_noise": (["seed=0", "data.label_noise=0,0.4"], 10),
    "path": (["trainer.max_epochs=3", "optimizer.lr=0.01", "hydra.sweeper.points=2"], 2),
    "robustness": (["seed=0", "measure.robustness.samples=20"], 8),
    "strengths": (["seed=range(2)", "hydra.sweeper.trials=1", "regularizer=none,l2,ema"], 3),
    "small_digits": (["regularizer=none,[dropout,l2]"], 2),
}
LARGEST = ("choose_technique", "combine", "data_size", "defaults", "label_noise")


def test_every_experiment_is_tried():
    assert set(STUDIES) == set(FILES)


@pytest.mark.parametrize(
    "name",  # the largest with the slow tests
    [pytest.param(name, marks=[pytest.mark.slow] if name in LARGEST else []) for name in STUDIES],
)
def test_an_experiment_trains_what_it_says(name, tmp_path):
    arguments, number = STUDIES[name]
    done = train("-m", f"experiment={name}", *TINY, *arguments, cwd=tmp_path)
    assert (done.code, done.err) == (0, ""), done.out
    found = runs(tmp_path)
    assert len(found) >= number
    assert {kept["status"] for kept in found} == {"completed"}
    arms = {tuple(o for o in kept["overrides"] if not o.startswith("seed=")) for kept in found}
    if name == "choose_rate":  # three of each rule, and one or two beside the best
        assert 8 <= len(arms) <= 10
    else:
        assert len(arms) == len(found) == number
    if name == "choose_technique":
        assert len({value(kept, "regularizer") for kept in found}) == 9


@pytest.mark.parametrize("name", FILES)
def test_the_commands_in_the_header_compose(name, tmp_path):
    header = FILES[name].read_text().partition("\ndefaults:")[0].replace("\\\n#", "")
    commands = re.findall(r"^#   regnet-train (.*?)(?: {2,}.*)?$", header, re.MULTILINE)
    assert any(f"experiment={name}" in command for command in commands)
    assert re.search(r"Takes .*\b(second|minute|s a run)", header)
    assert "expect" in header.lower()
    parser = OverridesParser.create()
    for command in commands:
        overrides = parser.parse_overrides([word for word in shlex.split(command) if word != "-m"])
        first = [f"{o.get_key_element()}={next(o.sweep_string_iterator())}" for o in overrides if o.is_sweep_override()]
        fixed = [override.input_line for override in overrides if not override.is_sweep_override()]
        done = train(*fixed, *first, "--cfg", "job", cwd=tmp_path)
        assert (done.code, done.err) == (0, ""), command
