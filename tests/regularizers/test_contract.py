"""Every file in conf/regularizer has its row in `table`, and trains: alone, and in every pair."""

import copy
from itertools import combinations

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from omegaconf import OmegaConf, open_dict
from table import CONF, FILES, TABLE, made_by

from regnet import regularizers as R
from regnet.build import build
from regnet.errors import UserError


def test_one_row_for_each_file():
    assert set(TABLE) == set(FILES), "each conf/regularizer/*.yaml needs its row in TABLE, and each row its file"


@pytest.mark.parametrize("name", FILES)
def test_file_adds_one_entry_of_its_kind(name, compose_train):
    text = (CONF / f"{name}.yaml").read_text()
    assert text.startswith("# "), "the first line says what it is"
    entries = compose_train(f"regularizer={name}").regularizer
    if name == "none":
        assert not entries
        return
    assert list(entries) == list(OmegaConf.create(text))
    assert len(entries) == 1
    (target,) = {entry._target_ for entry in entries.values()}
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
            x, y = transform(x, y)

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
def composed(compose_train):
    """The config of a tiny run for each model, and the entries of each file."""
    sizes = {"mlp": ["model.widths=[6]"], "cnn": ["model.stages=[[3],[4]]", "model.head=[5]"]}
    small = ["data.train_size=40", "data.batch_size=8", "trainer.max_epochs=1"]
    configs = {model: compose_train(f"model={model}", *sizes[model], *small) for model in sizes}
    entries = {name: compose_train(f"regularizer={name}").regularizer for name in FILES}

    def config(model, *names):
        cfg = copy.deepcopy(configs[model])
        for name in names:
            with open_dict(cfg):
                cfg.regularizer.update(entries[name])
        return cfg

    return config, entries


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_trains_alone(name, model, composed):
    config, _ = composed
    if (name, model) == ("spatial_dropout", "mlp"):
        with pytest.raises(UserError, match=r"spatial_dropout.*site.*input_dropout, dropout"):
            build(config(model, name))
        return
    setup, terms = steps(config(model, name))
    row, kinds = TABLE[name], (R.Penalty, R.Update, R.BatchTransform, R.Dropout, Callback)
    places = (
        list(setup.module.objective.penalties.values()),
        list(setup.module.updates),
        list(setup.module.transforms),
        [module for module in setup.module.objective.network.modules() if isinstance(module, R.Dropout)],
        list(setup.callbacks.values()),
    )
    for kind, found in zip(kinds, places, strict=True):
        belongs = row.kind is not None and issubclass(row.kind, kind)
        assert [type(item) for item in found] == [made_by(row)] * (len(found) if belongs else 0)
        assert bool(found) == belongs
    assert list(terms) == ["loss"] + [f"penalty/{name}"] * (row.kind is R.Penalty)


@pytest.mark.parametrize("one", FILES)
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_trains_in_every_pair(one, model, composed):
    config, entries = composed
    files = [name for name in FILES if (name, model) != ("spatial_dropout", "mlp")]
    for first, other in combinations(files, 2):
        if first == one and not set(entries[one]) & set(entries[other]):  # variants of one thing share a key
            setup, _ = steps(config(model, one, other))
            stages = [transform.stage for transform in setup.module.transforms]
            assert stages == sorted(stages)
