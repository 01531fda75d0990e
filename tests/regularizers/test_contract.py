"""Every file in conf/regularizer has its row in `table`, and trains: alone, and in every pair."""

import copy
import inspect
from functools import cache
from itertools import combinations
from pkgutil import resolve_name

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from omegaconf import OmegaConf, open_dict

from regnet import regularizers as R
from regnet.compose.build import build
from regnet.compose.checks import CONTRADICTIONS, SAME_WEIGHT
from regnet.core.errors import UserError
from tests.helpers.table import CONF, FILES, LAYERS, TABLE, made_by


def test_one_row_for_each_file():
    assert set(TABLE) == set(FILES), "each conf/regularizer/*.yaml needs its row in TABLE, and each row its file"


@pytest.fixture(scope="module")
def added(compose_train):
    """What each file adds to a config; files with different keys are composed at once."""
    groups: list[list[str]] = []
    for name in FILES:
        groups = groups if any(keys(name).isdisjoint(of(group)) for group in groups) else [*groups, []]
        next(group for group in groups if keys(name).isdisjoint(of(group))).append(name)
    entries = {}
    for group in groups:
        regularizer = compose_train(f"regularizer=[{','.join(group)}]").regularizer
        assert set(regularizer) == of(group)
        entries |= {name: {key: regularizer[key] for key in keys(name)} for name in group}
    return entries


def of(group):
    return {key for name in group for key in keys(name)}


@pytest.mark.parametrize("name", FILES)
def test_file_adds_one_entry_of_its_kind(name, added):
    text = (CONF / f"{name}.yaml").read_text()
    assert text.startswith("# "), "the first line says what it is"
    if name == "none":
        assert not added[name]
        return
    assert list(added[name]) == list(OmegaConf.create(text))
    assert len(added[name]) == 1
    (target,) = {entry._target_ for entry in added[name].values()}
    assert target.rpartition(".")[2] == made_by(TABLE[name]).__name__
    assert issubclass(made_by(TABLE[name]), TABLE[name].kind)


def steps(cfg, count=3):
    """A few steps by hand: transforms ─► objective ─► backward ─► the optimizer with its updates."""
    setup = build(cfg)
    module = setup.module.train()
    optimizer = module.configure_optimizers()
    before = [p.detach().clone() for p in module.objective.parameters()]
    batches = iter(setup.data.train_dataloader())
    terms = {}
    for _ in range(count):
        x, y = next(batches)
        for transform in module.transforms:
            x, y = transform(x, y, module.objective)

        def closure(x=x, y=y):
            optimizer.zero_grad()
            terms.update(module.objective(x, y))
            torch.stack(list(terms.values())).sum().backward()

        module.optimizer_step(0, 0, optimizer, closure)
    after = list(module.objective.parameters())
    assert all(torch.isfinite(p).all() for p in after)
    assert any(not torch.equal(p, q) for p, q in zip(before, after, strict=True))
    return setup, terms


@pytest.fixture(scope="module")
def composed(compose_train, added):
    """The config of a tiny run for each model, and the entries of each file."""
    sizes = {
        "mlp": ["model.widths=[6]"],
        "cnn": ["model.stages=[[3],[4]]", "model.head=[5]"],
        "resnet": ["model.blocks=[1,1]", "model.branches=2"],
    }
    small = ["data.train_size=40", "data.batch_size=8", "trainer.max_epochs=1"]
    configs = {model: compose_train(f"model={model}", *sizes[model], *small) for model in sizes}

    def config(model, *names):
        cfg = copy.deepcopy(configs[model])
        for name in names:
            with open_dict(cfg):
                cfg.regularizer.update(added[name])
        return cfg

    return config, added


def lacks_site(model, *names):
    """Whether a layer among these files has no site in the model, by the model's own signature."""
    layers = {key for name in names if name in LAYERS for key in keys(name)}
    return not layers <= sites(model)


@cache
def keys(name):
    return set(OmegaConf.load(CONF / f"{name}.yaml") or ())


@cache
def sites(model):
    target = OmegaConf.load(CONF.parent / "model" / f"{model}.yaml")["_target_"]
    return set(inspect.signature(resolve_name(target)).parameters)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet"])
def test_trains_alone(name, model, composed):
    config, entries = composed
    if lacks_site(model, name):
        with pytest.raises(UserError, match=rf"{next(iter(entries[name]))}.*site.*input_dropout, "):
            build(config(model, name))
        return
    setup, terms = steps(config(model, name))
    kinds = (R.Penalty, R.Update, R.BatchTransform, R.RandomLayer, R.WeightLayer, Callback)
    row, network, penalties = TABLE[name], setup.module.objective.network, setup.module.objective.penalties
    learned = (R.LayerPenalty, R.WeightLayerPenalty)  # what layers ask for themselves
    layers = [module for module in network.modules() if isinstance(module, R.RandomLayer)]
    places = (
        [penalty for penalty in penalties.values() if not isinstance(penalty, learned)],
        list(setup.module.updates),
        list(setup.module.transforms),
        *([module for module in layers if isinstance(module, kind)] for kind in (R.RandomLayer, R.WeightLayer)),
        list(setup.regularizers.callbacks.values()),
    )
    for kind, found in zip(kinds, places, strict=True):
        belongs = row.kind is not None and issubclass(row.kind, kind)
        assert [type(item) for item in found] == [made_by(row)] * (len(found) if belongs else 0)
        assert bool(found) == belongs
    asks = (R.Penalty, R.PenalizedLayer, R.L0, R.VariationalDropout)
    penalized = row.kind is not None and issubclass(made_by(row), asks)
    assert list(terms) == ["loss", *(f"penalty/{key}" for key in entries[name] if penalized)]


def train_as_a_pair(one, other, model, config):
    cfg = config(model, one, other)
    if any(len(rivals & {one, other}) > 1 for rivals, _ in (*CONTRADICTIONS, *SAME_WEIGHT)):
        with pytest.raises(UserError, match=rf"{one}.*{other}|{other}.*{one}.*contradict"):
            build(cfg)
        return
    setup, _ = steps(cfg)
    stages = [transform.stage for transform in setup.module.transforms]
    assert stages == sorted(stages)


PAIRS = [pair for pair in combinations(FILES, 2) if keys(pair[0]).isdisjoint(keys(pair[1]))]  # no variants of one thing


def of_each_kind():
    """A pair for each two kinds, and one for each file, with another kind each time."""
    first = {TABLE[name].kind: name for name in reversed(FILES)}
    found = [pair for pair in PAIRS if {*pair} <= {*first.values()}]
    for place, name in enumerate(FILES):
        partners = [other for other in first.values() if {(name, other), (other, name)} & {*PAIRS}]
        pair = tuple(sorted((name, partners[place % len(partners)])))
        found += [pair] if pair not in found else []
    return found


@pytest.mark.parametrize(("one", "other"), of_each_kind())
def test_trains_with_each_kind(one, other, composed):
    """In one network: mlp and cnn by turns, resnet where those lack a site."""
    able = [name for name in ("mlp", "cnn") if not lacks_site(name, one, other)] or ["resnet"]
    train_as_a_pair(one, other, able[FILES.index(other) % len(able)], composed[0])


@pytest.mark.slow
@pytest.mark.parametrize("one", FILES)
@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet"])
def test_trains_in_every_pair_and_network(one, model, composed):
    for _, other in (pair for pair in PAIRS if pair[0] == one):
        if not lacks_site(model, one, other):
            train_as_a_pair(one, other, model, composed[0])
