"""README.md, CONTRIBUTING.md and docs/: each command and block does what it is there for, as it is written."""

import argparse
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import lightning
import numpy as np
import pandas
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import regnet
from regnet.compose.config_files import config_folder
from tests.helpers import commands
from tests.helpers.documents import PAGES, PROGRAM, ROOT, Block, blocks, composed, cut, is_override, spans
from tests.helpers.documents import commands as typed
from tests.helpers.idx import write_mnist_like
from tests.helpers.quick_hydra import quick_hydra


def script(block: Block) -> str:
    """The commands of a block, without the lines in which a shell script speaks to a scheduler."""
    lines = block.text.split("\n") if block.language in ("", "bash") else []
    return "\n".join(line for line in lines if not line.startswith("#"))


BLOCKS = [block for page in PAGES for block in blocks(page)]
SPANS = [span for page in PAGES for span in spans(page)]
COMMANDS = [(block.place, words) for block in BLOCKS for words in typed(script(block))]
COMMANDS += [(span.place, words) for span in SPANS if PROGRAM.match(span.text) for words in typed(span.text)]
OVERRIDES = [(span.place, shlex.split(span.text)) for span in SPANS if is_override(span.text)]
NOT_HERE = ("optuna-dashboard", "wandb", "mlflow")  # programs that regnet does not install
PLUGINS = ("joblib", "submitit", "ray")  # launchers of packages that regnet does not install
OUTPUT = ("Best by validation: ", "packed: ", "regnet/planning/ ")  # how blocks begin that nobody types
NOT_OURS = {  # overrides by their looks only
    "+model.options.KEY=VALUE": "any key",
    "hydra.launcher.cpus_per_task=4": "of hydra-submitit-launcher",
    "weight_decay=2λ": "torch's argument",
    "weight_decay=λ": "torch's argument",
    "activity_regularizer=L1": "Keras's",
    "activity_regularizer=L2": "Keras's",
    "after=ReLU": "the last part of a regularizer's key",
    "select=re:^(?!.*position).*weight$": "the last part of a regularizer's key",
    "requires_grad=False": "torch's attribute",
    "model.width=abc": "of a class that the page makes up",
    "allow=[my.pkg]": "regnet-evaluate's: tests/test_trust.py",
    "install=zsh": "of the shell completion",
    "install=fish": "of the shell completion",
    "data=": "any value",
    "data.train_size=": "any value",
    "study=": "any value",
}
OPTIONS = ("data=mnist", "data=csv", "data=image_folder", "model=torchvision")  # between them they have every key
COMPOSED_ONLY = {  # what is not run here, and why
    "model.weights=": "begins at a file: tests/test_published_models.py",
    "model.options.": "is of one network: tests/test_published_models.py",
    "model.name=": "its networks are large: tests/test_published_models.py trains small ones",
    "hydra/launcher=joblib": "hydra-joblib-launcher is not installed for tests",
    "hydra/launcher=submitit": "hydra-submitit-launcher is not installed for tests, and SLURM is not there",
    "hydra/launcher=ray": "hydra-ray-launcher is not installed for tests",
    "wandb": "starts a service: tests/test_loggers.py",
    "logger=mlflow": "makes a data base: tests/test_loggers.py",
    "experiment=": "tests/test_experiments.py trains each",
    "trainer.devices=2": "starts processes: tests/test_process.py",
    "hydra.sweeper.up=": "a path trains for a while: tests/test_sweepers.py",
    "data@measure.ood.data=": "other data are not here: tests/measures/test_ood.py",
    "glob(*)": "all techniques in turn take minutes: tests/regularizers/test_contract.py trains each",
}
PLACEHOLDERS = {
    "outputs/multirun/<study>...": "outputs/multirun/s",
    "outputs/multirun/<study>": "outputs/multirun/s",
    "FOLDER...": "outputs/multirun/s",
    "from=outputs/multirun/<study>": "from=outputs/multirun/seeds",
    "run=outputs/multirun/<study>/<run>": "run=outputs/multirun/s/dropout",
    "study=outputs/multirun/<study>": "study=outputs/multirun/s",
    "data.path=FILE": "data.path=new.csv",
    "data.path=FOLDER": "data.path=images",
    "data.target=COLUMN": "data.target=price",
    "experiment=NAME": "experiment=combine",
    "hydra/sweeper=decide|tune|refine|path|search": "hydra/sweeper=search",
    "hydra.launcher.size=N": "hydra.launcher.size=2",
    "regularizer=<name>": "regularizer=l2",
    "regularizer=[a,b]": "regularizer=[l1,l2]",
    "regularizer.<key>.<knob>=...": "regularizer.l2.strength=1",
}
GIVES_PLACE = {"...": [], "<overrides>": []}
MAINS = {
    "regnet-train": commands.train,
    "regnet-evaluate": commands.evaluate,
    "regnet-report": commands.report,
    "regnet-inspect": commands.inspect,
    "regnet-plan": commands.plan,
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """The folder of a reader who has done all that the pages speak of: own modules, own configs, data, a study."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "my").mkdir()
    for name, content in written().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    write_mnist_like(folder / "data", "MNIST", 2300, 20)
    rng = np.random.default_rng(0)
    table = pandas.DataFrame(rng.normal(size=(60, 3)), columns=["rooms", "age", "price"])
    table.to_csv(folder / "new.csv", index=False)
    for i in range(40):
        place = folder / "images" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(place / f"{i}.png")
    done = commands.train("-m", "study=s", *commands.TINY, "regularizer=none,dropout,l2", cwd=folder)
    assert done.code == 0, done.err
    for name in ("none", "dropout", "l2"):
        next(folder.glob(f"outputs/multirun/s/regularizer={name},*")).rename(folder / f"outputs/multirun/s/{name}")
    seeds = ["-m", "study=seeds", *commands.TINY, "regularizer=none,dropout", "seed=range(4)", "optimizer.lr=0.01"]
    assert commands.train(*seeds, cwd=folder).code == 0
    done = commands.train(
        "hydra.run.dir=of_a_table", *commands.TINY[:2], "data=csv", "data.path=new.csv", "data.target=price", cwd=folder
    )
    assert done.code == 0, done.err
    done = commands.train("hydra.run.dir=own", *commands.TINY[1:], "model._target_=my.pkg.Net", cwd=folder)
    assert done.code == 0, done.err
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "my"]:
        del sys.modules[name]


def written() -> dict[str, str]:
    """The files that the pages let a reader write: classes, and the YAML that names them."""
    classes = {re.search(r"class (\w+)", block.text)[1]: block.text for block in BLOCKS if "\nclass " in block.text}
    yamls = {}
    for block in BLOCKS:
        if block.language == "yaml":
            yamls[re.findall(r"`(my_conf/\w+/\w+\.yaml)`", block.before)[-1]] = block.text
    targets = [line.split()[-1] for text in yamls.values() for line in text.split("\n") if "_target_: my." in line]
    modules = {target.rpartition(".")[0]: classes[target.rpartition(".")[2]] for target in targets}
    modules["my.pkg"] = classes["Net"]
    return yamls | {f"{name.replace('.', '/')}.py": text for name, text in modules.items()}


def filled(words: list[str]) -> list[str]:
    """A command with something for each of its placeholders."""
    found = [own for word in words for own in GIVES_PLACE.get(word, [PLACEHOLDERS.get(word, word)])]
    if found[0] == "regnet-evaluate":
        run = "run=of_a_table" if "data=csv" in found else "run=outputs/multirun/s/dropout"
        found = [run if word == "run=..." else word for word in found]
        return found if any(word.startswith(("run=", "study=")) for word in found) else [*found, run]
    return found


def without_plugins(words: list[str]) -> list[str]:
    """A command without the launcher that a package of others brings, whose own tests look after its options."""
    if any(word.startswith(tuple(f"hydra/launcher={name}" for name in PLUGINS)) for word in words):
        return [word for word in words if not word.startswith(("hydra/launcher=", "hydra.launcher."))]
    return words


def needed(words: list[str]) -> list[str]:
    """Choices that overrides further below speak of, where they do not make them themselves."""
    chosen = {word.partition("=")[0] for word in words}
    keys = [word.lstrip("+~").partition("=")[0] for word in words]
    own = sorted({key.split(".")[1] for key in keys if key.startswith("regularizer.")})
    extra = [f"regularizer=[{','.join(own)}]"] if own and "regularizer" not in chosen else []
    for choice, prefix in (("hydra/launcher=packed", "hydra.launcher."), ("experiment=path", "hydra.sweeper.up")):
        if any(key.startswith(prefix) for key in keys) and choice.partition("=")[0] not in chosen:
            extra.append(choice)
    if any(key.startswith(("model.weights", "model.options")) for key in keys):
        extra.append("model=torchvision")
    if "model.name" not in chosen and {"model=torchvision", "model=timm"} & {*words, *extra}:
        extra.append("model.name=resnet18")
    source = next((word for word in words if word in ("data=image_folder", "data=csv")), None)
    if source and "data.path" not in chosen:
        extra += ["data.path=images"] if source == "data=image_folder" else ["data.path=new.csv", "data.target=price"]
    return extra


def small(words: list[str]) -> list[str]:
    """Overrides that keep a command of `regnet-train` short, where it does not say otherwise itself."""
    given = {word.partition("=")[0] for word in words}
    theirs = {Path(name).stem for name in written()}
    own = [word for word in composed(words) if is_override(word) and not word.startswith("hydra")]
    with quick_hydra(), initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("train", [word for word in own if word.partition("=")[2] not in theirs])
    sizes = {"trainer.max_epochs": "1", "data.train_size": "40", "callbacks.last.every_seconds": "1000"}
    sizes |= {"model.widths": "[8,8]"} if "widths" in cfg.model else {}
    sizes |= {"model.stages": "[[4]]", "model.head": "[8]"} if "stages" in cfg.model else {}
    if cfg.data.get("path") or "model._target_" in given:
        sizes = {"trainer.max_epochs": "1"}
    return [f"{key}={value}" for key, value in sizes.items() if key not in given]


def run(words: list[str], folder: Path, keep=lambda values: values[:2]) -> commands.Done:
    """A command of ours in its short form: sweeps of two values, tiny runs of two epochs at most, no page."""
    program, *rest = filled(words)
    fewer = r"(sweeper\.trials|trainer\.max_epochs)=\d+"
    rest = [re.sub(fewer, r"\1=2", word) for word in cut([*needed(rest), *rest], keep)]
    if program == "regnet-train" and "-sc" not in rest:
        swept = ["-m"] if "-m" not in rest and rest != cut(rest, lambda values: values[:1]) else []
        rest = [*swept, *rest, *small(rest)]
    if program == "regnet-report":
        rest = [*rest, "--no-page"]
    return MAINS[program](*rest, cwd=folder)


def why_not_run(words: list[str]) -> str | None:
    return next((reason for part, reason in COMPOSED_ONLY.items() if any(part in word for word in words)), None)


def ours(words: list[str]) -> bool:
    return words[0] in MAINS


def test_every_block_is_of_a_kind_that_is_tested():
    for block in BLOCKS:
        known = block.language in ("python", "yaml") or typed(script(block))
        assert known or block.text.startswith(OUTPUT), f"{block.place}: neither commands nor listed: {block.first}"
    assert {block.language for block in BLOCKS} == {"", "bash", "python", "yaml"}
    assert len(COMMANDS) > 30
    assert len(OVERRIDES) > 40


def named(value: str | list[str]) -> str:
    return value if isinstance(value, str) else " ".join(value)[:60]


TYPED = [(place, words) for place, words in COMMANDS if ours(words)]
TYPED += [(place, ["regnet-train", *words]) for place, words in OVERRIDES if " ".join(words) not in NOT_OURS]
ONCE = {tuple(words): (place, words) for place, words in reversed(TYPED)}  # what several pages say


@pytest.mark.parametrize(("place", "words"), [*reversed(ONCE.values())], ids=named)
def test_a_command(place, words, desk):
    """Runs a command; what is not run here is composed, so that each of its keys and options is there."""
    if why_not_run([*words, *needed(words)]):
        program, *rest = filled(words)
        rest = without_plugins(rest)
        done = MAINS[program](*composed([*needed(rest), *rest]), cwd=desk)
        assert done.err == "", f"{place}: {done.err}"
    else:
        done = run(words, desk)
    assert done.code == 0, f"{place}: {done.err}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "words"),
    [(p, w) for p, w in COMMANDS if w[0] == "regnet-train" and "-m" in w and not why_not_run(w)],
    ids=named,
)
def test_a_study_with_all_its_values(place, words, desk):
    done = run(words, desk, keep=lambda values: values)
    assert done.code == 0, f"{place}: {done.err}"


def test_the_penalty_is_its_formula_and_trains(desk):
    done = commands.train(
        "--config-dir=my_conf", "hydra.run.dir=penalized", *commands.TINY, "regularizer=log_l2", cwd=desk
    )
    assert done.code == 0, done.err
    header, *rows = (desk / "penalized" / "metrics.csv").read_text().splitlines()
    column = header.split(",").index("train/penalty/log_l2")
    assert all(float(row.split(",")[column]) > 0 for row in rows)
    sys.path.insert(0, str(desk))
    try:
        penalty = importlib.import_module("my.penalties").LogL2(0.5)
    finally:
        sys.path.remove(str(desk))
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    expected = 0.5 * torch.log(1 + net[0].weight.square().sum() + net[2].weight.square().sum())
    torch.testing.assert_close(penalty(net).float(), expected)


def test_the_logger_of_the_pages_writes(desk):
    done = commands.train("--config-dir=my_conf", "hydra.run.dir=logged", *commands.TINY, "logger=both", cwd=desk)
    assert done.code == 0, done.err
    assert list((desk / "logged").glob("events.out.tfevents.*"))
    assert list((desk / "logged").glob("csv/version_0/metrics.csv"))


def test_the_network_is_trained_with_its_site_filled(desk):
    arguments = ["model._target_=my.pkg.Net", "regularizer=dropout", "regularizer.dropout.rate=0.25"]
    done = commands.train("hydra.run.dir=network", *commands.TINY[1:3], *arguments, cwd=desk)
    assert done.code == 0, done.err
    state = torch.load(desk / "network" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    rates = [tensor.item() for name, tensor in state.items() if name.endswith("layers.3.rate")]
    assert rates == [0.25]


@pytest.fixture
def namespace(tmp_path, monkeypatch, desk):
    """What the blocks of Python speak of without making it: a reader's own training code, and a study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(desk)
    shutil.copytree(desk / "outputs/multirun", "outputs/multirun")
    net = nn.Sequential(OrderedDict(body=nn.Linear(4, 8), act=nn.ReLU(), drop=nn.Dropout(0.5), head=nn.Linear(8, 10)))
    x, y = torch.randn(16, 4), torch.arange(16) % 10
    own = OwnModule()
    return {
        "regnet": regnet,
        "folder": desk / "own",
        "net": net,
        "x": x,
        "y": y,
        "optimizer": torch.optim.Adam(net.parameters()),
        "your_module": own,
        "your_batches_of_x_and_y": DataLoader(TensorDataset(x, y), 8),
    }


class OwnModule(lightning.LightningModule):
    """As a reader has written it, for training without regnet."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 10)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> torch.Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


LIGHTNINGS_ADVICE = pytest.mark.filterwarnings("ignore:.*(workers|logging interval).*:UserWarning")


def python(beginning: str) -> str:
    return next(block.text for block in BLOCKS if block.language == "python" and beginning in block.text)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=lambda block: block.place)
@LIGHTNINGS_ADVICE
def test_a_block_of_python_runs_as_it_is_written(block, namespace):
    exec(compile(block.text, block.place, "exec"), namespace)


def test_the_losses_are_those_of_their_formulas(namespace, tmp_path):
    net, x, y = (namespace[name] for name in ("net", "x", "y"))
    net.eval()
    data_loss = nn.functional.cross_entropy(net(x), y)
    head = torch.cat([net.head.weight.detach().flatten(), net.head.bias.detach()])
    exec(python("smaller = compact(net)"), namespace)
    torch.testing.assert_close(namespace["loss"], data_loss + 1e-4 * head.abs().sum(), check_dtype=False)
    smaller = torch.load(tmp_path / "smaller.pt", weights_only=False)
    torch.testing.assert_close(smaller.eval()(x), net(x))


def test_monte_carlo_gives_what_the_comments_say(namespace):
    exec(python("import of_classes"), namespace)
    assert namespace["logits"].shape == (50, 16, 10)
    mean = namespace["logits"].softmax(-1).mean(0)
    torch.testing.assert_close(namespace["log_mean"].exp(), mean, check_dtype=False)
    assert {"entropy", "mutual_information"} <= namespace["spread"].keys()


@LIGHTNINGS_ADVICE
def test_regularize_constrains_what_it_trains(namespace):
    namespace["your_module"].net.weight.data.mul_(100)
    exec(python("import Regularize"), namespace)
    assert namespace["your_module"].net.weight.norm(dim=1).max() <= 3.001


@pytest.mark.parametrize("words", [w for _, w in COMMANDS if w[:2] == ["python", "scripts/benchmark.py"]], ids=named)
def test_the_options_of_a_script_exist(words, monkeypatch):
    class Parsed(Exception):
        pass

    def parse(parser, arguments):
        parser.parse_known_args(arguments)[1] and parser.error("unknown")
        raise Parsed

    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    _, _, benchmark, *rest = words
    with pytest.raises(Parsed):
        importlib.import_module(f"benchmarks.{benchmark}").main(rest)


def test_other_commands_name_what_there_is():
    """Environments, installations and servers are not started: what they name is looked up."""
    project = (ROOT / "pyproject.toml").read_text()
    for place, words in COMMANDS:
        if words[0] == "make":
            dry = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, encoding="utf-8")
            assert dry.returncode == 0, f"{place}: {dry.stderr}"
        elif words[0] == "pip":
            for extra in re.findall(r"\[(\w+)\]", " ".join(words)):
                assert f"\n{extra} = [" in project, place
            assert "-c" not in words or (ROOT / words[words.index("-c") + 1]).exists()
        elif words[0] == "python":
            module = words[2].replace(".", "/") if words[1] == "-m" else words[1]
            assert any((ROOT / file).is_file() for file in (module, f"{module}.py", f"{module}/__main__.py")), (
                f"{place}: {module}"
            )
        else:
            assert (
                ours(words)
                or words[0] in ("python3", ".", "eval", *NOT_HERE)
                or (commands.PROGRAMS / words[0]).exists()
            ), f"{place}: {words}"


def test_the_files_that_the_pages_name_are_there():
    for span in SPANS:
        if re.fullmatch(r"[\w/.-]+/[\w.-]+\.(py|md|yaml|json|svg)|[A-Z]+\.md|(regnet|conf|tests)/[\w/]*", span.text):
            written = span.text in globals()["written"]() or span.text.startswith(("my/", "my_conf/"))
            placeholder = "NAME" in span.text
            assert written or placeholder or (ROOT / span.text).exists(), f"{span.place}: {span.text}"


def test_the_keys_that_the_pages_name_are_there(compose_train):
    regularizers = sorted({span.text.split(".")[1] for span in SPANS if re.match(r"regularizer\.\w+\.", span.text)})
    chosen = f"regularizer=[{','.join(regularizers)}]"
    configs = [compose_train(chosen, option) for option in OPTIONS]
    for span in SPANS:
        if re.fullmatch(r"[a-z_]+(\.(?!html)[a-z_]+)+", span.text) and span.text.split(".")[0] in configs[0]:
            assert any(has(cfg, span.text) for cfg in configs), f"{span.place}: {span.text}"


@pytest.mark.parametrize("group", ["data", "model", "optimizer", "scheduler", "logger"])
def test_what_there_is_is_in_the_table(group):
    (row,) = re.findall(rf"^\| `{group}` \|(.*)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")} <= set(re.findall(r"`(\w+)`", row))


def has(cfg, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent, throw_on_missing=False)
    return node is not None and name in [*node]  # also where its value is still to be given
