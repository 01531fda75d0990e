"""What of Lightning's own is imitated: this fails when one of its releases moves it."""

import shutil

import lightning
import pytest
import torch

from regnet.run import lightning_state
from regnet.training.callbacks import LastCheckpoint

EPOCHS, BATCHES = 3, 4
pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


class Plain(lightning.LightningModule):
    def __init__(self, interval):
        super().__init__()
        self.layer, self.interval = torch.nn.Linear(2, 1), interval

    def training_step(self, batch, batch_idx):
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        pass

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        if self.interval is None:
            return optimizer
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": self.interval}}


class EachEpoch(LastCheckpoint):
    """Keeps all that regnet would save one after the other."""

    def on_train_epoch_end(self, trainer, pl_module):
        super().on_train_epoch_end(trainer, pl_module)
        shutil.copy(self.path, f"{self.path}.{trainer.fit_loop.epoch_progress.current.processed}")


def loader(samples):
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(samples, 2)), batch_size=2)


def fit(folder, interval, first=0):
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        callbacks=[EachEpoch(str(folder / "last.ckpt"), every_seconds=0)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        log_every_n_steps=1,
        num_sanity_val_steps=0,
    )
    if first:
        lightning_state.begin_at(trainer, first)
    trainer.fit(Plain(interval), loader(2 * BATCHES), [loader(2), loader(2)])  # validation and probe, of a batch each


@pytest.mark.parametrize("interval", [None, "epoch", "step"])
def test_a_checkpoint_is_as_lightning_makes_it(tmp_path, interval):
    fit(tmp_path, interval)
    for epochs in range(1, EPOCHS + 1):
        real = torch.load(tmp_path / f"last.ckpt.{epochs}", weights_only=True)
        made = lightning_state.checkpoint(
            epochs,
            epochs * BATCHES,
            real["state_dict"],
            batches=BATCHES,
            steps_of_epoch=BATCHES,
            finished=epochs == EPOCHS,
            optimizer=real["optimizer_states"][0],
            scheduler=real["lr_schedulers"][0] if interval else None,
            interval=interval,
            callbacks={},
        )
        assert made.keys() == real.keys()
        for key in ("epoch", "global_step", "loops", "lr_schedulers", "pytorch-lightning_version"):
            assert made[key] == real[key], key
        assert lightning_state.epochs_of(real) == epochs


def test_a_fit_begins_at_an_epoch(tmp_path):
    fit(tmp_path, None, first=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "last.ckpt.3"]


def test_packages_are_asked_for_callbacks_once():
    from lightning.fabric.utilities import registry

    found = registry.entry_points(group="lightning.pytorch.callbacks_factory")
    assert registry.entry_points(group="lightning.pytorch.callbacks_factory") is found
