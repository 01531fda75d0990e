"""Packages that Lightning imports for a name or two: not loaded before they are used, and then as any other."""

import subprocess
import sys

import pytest

HEAVY = ("torchvision", "scipy", "matplotlib", "sklearn", "torch._dynamo.eval_frame", "torchmetrics.functional")
BEGIN = """
import sys
from regnet.core.deferred import Deferred, defer
defer()
import torch, lightning
"""


def run(code, *arguments):
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def test_a_run_loads_none_of_them(tmp_path):
    code = f"""
import sys
from regnet.__main__ import train
sys.argv = ["regnet-train", "regularizer=[dropout,l2]", "trainer.max_epochs=1", "hydra.run.dir={tmp_path}"]
train()
print("loaded", *(name for name in {HEAVY} if name in sys.modules))
"""
    assert run(code)[-1] == "loaded"


@pytest.mark.slow
@pytest.mark.parametrize(
    "use",
    [
        "import torchmetrics; torchmetrics.Accuracy",
        "from torchmetrics import Accuracy",
        "from torchmetrics import *; Accuracy",
        "import torchmetrics; torchmetrics.utilities.data.dim_zero_cat; torchmetrics.Accuracy",
        "import torchmetrics.functional as F; F.accuracy",
        "from torchmetrics.classification import MulticlassAccuracy",
        "from torchmetrics.utilities.plot import plot_curve",
        "import torchmetrics; assert 'Accuracy' in dir(torchmetrics)",
        "import torch._dynamo; torch._dynamo.reset()",
        "torch._dynamo.config.cache_size_limit; torch._dynamo.reset()",
        "from torch._dynamo.eval_frame import OptimizedModule",
        "import torch._dynamo.eval_frame as e; assert e is torch._dynamo.eval_frame",
        "import torch._inductor.utils; torch._inductor.config.cpp; torch._inductor.list_options()",
    ],
)
def test_whatever_is_used_is_there(use):
    """And the modules that were there before are the same."""
    code = f"""{BEGIN}
before = dict(sys.modules)
exec({use!r})
package = sys.modules["torchmetrics" if "torchmetrics" in {use!r} else "torch._inductor" if "inductor" in {use!r}
    else "torch._dynamo"]
assert type(package).__name__ == "module" or "plot" in {use!r}, type(package)
assert all(sys.modules[name] is module for name, module in before.items())
from torchmetrics import Metric
from lightning.pytorch.core.module import Metric as known
assert Metric is known and issubclass(sys.modules["torchmetrics"].Accuracy, torch.nn.Module)
assert issubclass(sys.modules["torchmetrics"].MeanMetric, known)
"""
    run(code)


def test_a_compiled_network_and_a_metric_of_a_person_are_known_to_lightning():
    code = f"""{BEGIN}
from lightning.pytorch.utilities.compile import OptimizedModule
assert type(sys.modules["torch._dynamo"]) is Deferred
net = torch.nn.Linear(2, 2)
assert not isinstance(net, OptimizedModule)
optimizer = torch.optim.Adam(net.parameters())
optimizer.zero_grad(); optimizer.step()
assert type(sys.modules["torch._dynamo"]) is Deferred
compiled = torch.compile(net, backend="eager")
assert isinstance(compiled, OptimizedModule) and not isinstance(net, OptimizedModule)
assert issubclass(type(compiled), OptimizedModule)
assert torch.equal(compiled(torch.ones(1, 2)), net(torch.ones(1, 2)))
optimizer.zero_grad()
net(torch.ones(1, 2)).sum().backward()
optimizer.step()
import torchmetrics
from torch.utils.data import DataLoader
class Net(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer, self.metric = torch.nn.Linear(2, 1), torchmetrics.MeanMetric()
    def training_step(self, batch, i):
        self.metric(batch.sum())
        self.log("mean", self.metric, on_epoch=True, on_step=False)
        return self.layer(batch).sum()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
trainer = lightning.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, accelerator="cpu")
trainer.fit(Net(), DataLoader(torch.ones(4, 2)))
print(float(trainer.callback_metrics["mean"]))
"""
    assert run(code)[-1] == "2.0"


@pytest.mark.slow
def test_threads_that_use_a_package_at_once_all_see_the_whole():
    code = f"""{BEGIN}
from concurrent.futures import ThreadPoolExecutor
import torchmetrics
names = ["Accuracy", "ROC", "AUROC", "MeanMetric", "BLEUScore"] * 4
with ThreadPoolExecutor(8) as pool:
    assert all(pool.map(lambda name: getattr(torchmetrics, name), names))
"""
    run(code)
