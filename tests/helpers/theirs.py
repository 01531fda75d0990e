"""Training code that knows nothing of regnet."""

import torch
import torch.nn.functional as F
from lightning import LightningModule
from torch import nn

LR = 0.1


class Theirs(LightningModule):
    """As people write one: nothing in it knows of regnet."""

    def __init__(self, as_dict=False):
        super().__init__()
        self.encoder, self.head = nn.Linear(6, 5), nn.Linear(5, 3)
        self.as_dict = as_dict
        self.seen, self.losses = [], []

    def forward(self, x):
        return self.head(self.encoder(x).tanh())

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.seen.append((x, y))
        loss = F.cross_entropy(self(x), y)
        self.losses.append(loss.detach())
        return {"loss": loss, "extra": 1} if self.as_dict else loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=LR)
