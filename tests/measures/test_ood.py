"""Out-of-distribution scores against scikit-learn, and on networks whose answer is known."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve
from torch import nn

from regnet.core.tasks import Classification
from regnet.data import DataModule, Dataset, Samples
from regnet.measures import OOD, Part
from regnet.measures.ood import auroc, fpr95
from regnet.training.objective import Objective
from tests.helpers.commands import record, train
from tests.test_errors import assert_one_sentence


@pytest.mark.parametrize("decimals", [0, 1, 6])  # many ties, some, none
def test_auroc_is_that_of_scikit_learn(decimals):
    rng = np.random.default_rng(decimals)
    inside, outside = rng.normal(1, 1, 200).round(decimals), rng.normal(0, 1, 77).round(decimals)
    theirs = roc_auc_score([1] * 200 + [0] * 77, np.concatenate([inside, outside]))
    assert auroc(torch.tensor(inside), torch.tensor(outside)) == pytest.approx(theirs)


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_fpr95_is_that_of_the_roc_curve(decimals):
    rng = np.random.default_rng(decimals)
    inside, outside = rng.normal(1, 1, 200).round(decimals), rng.normal(0, 1, 77).round(decimals)
    found, passed, _ = roc_curve([1] * 200 + [0] * 77, np.concatenate([inside, outside]), drop_intermediate=False)
    assert fpr95(torch.tensor(inside), torch.tensor(outside)) == pytest.approx(found[passed >= 0.95].min())


class Source:
    def __init__(self, x):
        self.x = x

    def load(self):
        return Dataset(Samples(self.x, torch.arange(len(self.x)) % 2), classes=["a", "b"])


class Sign(nn.Module):
    """Sure of what is positive, and of nothing else."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):  # (B, 3)
        return torch.stack([self.scale * 5 * x.relu().sum(1), torch.zeros(len(x))], 1)


def test_other_data_are_told_apart():
    objective = Objective(Sign(), Classification())
    x = torch.rand(40, 3) + 1
    part = Part(objective, [(x, torch.zeros(40, dtype=torch.long))])
    data = DataModule(Source(-torch.rand(80, 3)), eval_batch_size=7)
    numbers = OOD(data=data)(part, part).numbers
    assert numbers == {
        "ood_auroc_probability": 1.0,
        "ood_fpr95_probability": 0.0,
        "ood_auroc_energy": 1.0,
        "ood_fpr95_energy": 0.0,
    }  # without a random layer nothing is known of mutual information


def test_of_the_same_data_it_tells_nothing():
    objective = Objective(Sign(), Classification())
    x = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0))
    part = Part(objective, [(x[:2000], torch.zeros(2000, dtype=torch.long))])
    data = DataModule(Source(x[2000:]), test_fraction=0.99, val_fraction=0.5)
    numbers = OOD(data=data)(part, part).numbers
    assert numbers["ood_auroc_energy"] == pytest.approx(0.5, abs=0.03)
    assert numbers["ood_fpr95_energy"] == pytest.approx(0.95, abs=0.03)


def test_other_data_from_the_command_line(tmp_path):
    # features of one table for images of another are of another shape
    asked = ["measure=ood", "model.widths=[4]", "trainer.max_epochs=1"]
    done = train(*asked, "data@measure.ood.data=wine", cwd=tmp_path)
    assert_one_sentence(done, r"measure\.ood: data has samples of shape \[13\], and the network takes \[1, 8, 8\]")
    done = train(*asked, "data@measure.ood.data=digits", f"hydra.run.dir={tmp_path}/run", cwd=tmp_path)
    assert done.code == 0, done.err
    assert record(tmp_path / "run")["metrics"]["test"]["ood_auroc_energy"] == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize(("setting", "sentence"), [({"passes": 0}, "passes"), ({"at": 2}, "at=2 must")])
def test_settings_out_of_range(setting, sentence):
    with pytest.raises(ValueError, match=sentence):
        OOD(**setting)
