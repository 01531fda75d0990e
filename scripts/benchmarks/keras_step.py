"""The Keras arm of `benchmark.py step`, which prints the seconds of each epoch's training part and of the epoch."""

import gzip
import json
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

BATCH, VAL, L1, L2 = 128, 6_000, 1e-5, 1e-4


class Stopwatch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.starts, self.trained = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.starts.append(time.perf_counter())

    def on_test_begin(self, logs=None):
        self.trained.append(time.perf_counter())

    def on_train_end(self, logs=None):
        self.starts.append(time.perf_counter())


def read(root):
    raw = Path(root) / "MNIST" / "raw"

    def idx(name, skip):
        plain = raw / name
        data = plain.read_bytes() if plain.exists() else gzip.decompress((raw / f"{name}.gz").read_bytes())
        return np.frombuffer(data, np.uint8, offset=skip)

    x = idx("train-images-idx3-ubyte", 16).reshape(-1, 28, 28, 1).astype(np.float32) / 255
    return (x - 0.1307) / 0.3081, idx("train-labels-idx1-ubyte", 8).astype(np.int64)


def network(widths):
    penalized = {"kernel_regularizer": keras.regularizers.L1L2(L1, L2)}
    layers = [keras.Input((28, 28, 1))]
    if widths is None:
        for channels in (32, 64):
            layers.append(keras.layers.Conv2D(channels, 3, padding="same", activation="relu", **penalized))
            layers.append(keras.layers.MaxPooling2D())
    layers.append(keras.layers.Flatten())
    for width in widths or [128]:
        layers += [keras.layers.Dense(width, activation="relu", **penalized), keras.layers.Dropout(0.5)]
    return keras.Sequential([*layers, keras.layers.Dense(10, **penalized)])


def main(root, widths, samples, epochs):
    x, y = read(root)
    net, stopwatch = network(widths), Stopwatch()
    net.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=32,
    )
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = keras.callbacks.ModelCheckpoint(f"{folder}/best.keras", save_best_only=True)
        log = keras.callbacks.CSVLogger(f"{folder}/log.csv")
        net.fit(
            x[:samples],
            y[:samples],
            batch_size=BATCH,
            epochs=epochs,
            validation_data=(x[-VAL:], y[-VAL:]),
            validation_batch_size=1024,
            callbacks=[stopwatch, checkpoint, log],
            verbose=0,
        )
    ends = stopwatch.starts[1:]
    print(json.dumps([(b - a, end - a) for a, b, end in zip(stopwatch.starts, stopwatch.trained, ends, strict=False)]))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
