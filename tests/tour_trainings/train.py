"""A small network learns scikit-learn's handwritten digits, epoch by epoch.

python train.py lr=0.01 hidden=128
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from cloister import experiment
from digits_pictures import draw_confusion, draw_mistakes
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

DIGITS = np.arange(10)
EPOCHS = int(os.environ.get("TOUR_EPOCHS", "40"))
PAUSE_SECONDS = float(os.environ.get("TOUR_PAUSE", "0"))
WARM_UP_EPOCHS = 5
MOST_LOSS = 5.0


@experiment(project="digits", name="mlp", notes="How far does one hidden layer go?")
def train(run, lr: float = 1e-3, hidden: int = 64, epochs: int = EPOCHS, batch: int = 64, seed: int = 0):
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16, labels, test_size=0.25, random_state=seed, stratify=labels)
    train_images, val_images, train_labels, val_labels = split
    model = MLPClassifier([hidden], learning_rate_init=lr, batch_size=batch, random_state=seed)
    print(f"\x1b[1mdigits\x1b[0m: {len(train_images)} to learn from, {len(val_images)} to check with")
    if (lr, hidden) == (1e-3, 64):
        run.add_tags("baseline")
    elif hidden >= 256:
        run.add_tags("wide")
    best, history = 0.0, []
    for epoch in range(epochs):
        rate = lr * min(1.0, (epoch + 1) / WARM_UP_EPOCHS) * 0.97 ** max(0, epoch - WARM_UP_EPOCHS)
        if epoch:
            model._optimizer.learning_rate_init = rate
        model.partial_fit(train_images, train_labels, classes=DIGITS)
        guesses = model.predict_proba(val_images)
        loss, val_loss = model.loss_, log_loss(val_labels, guesses, labels=DIGITS)
        accuracy = float(np.mean(guesses.argmax(axis=1) == val_labels))
        print(f"epoch {epoch} at {time.time():.3f}  loss {loss:.4f}  val/acc {accuracy:.4f}", flush=True)
        run.log(
            {
                "train": {"loss": loss, "acc": model.score(train_images, train_labels), "lr": rate},
                "val": {"loss": val_loss, "acc": accuracy},
            },
            step=epoch,
        )
        if accuracy > best:
            best = accuracy
            print(f"\x1b[32mbest so far: {best:.4f}\x1b[0m", file=sys.stderr, flush=True)
        if loss > MOST_LOSS:
            raise FloatingPointError(f"The loss is {loss:.3g} in epoch {epoch}: lr={lr:g} is too high.")
        history.append((epoch, loss, val_loss, accuracy))
        time.sleep(PAUSE_SECONDS)

    with tempfile.TemporaryDirectory() as folder:
        draw_confusion(val_labels, guesses.argmax(axis=1)).save(Path(folder, "confusion.png"))
        draw_mistakes(val_images, val_labels, guesses.argmax(axis=1)).save(Path(folder, "mistakes.png"))
        with Path(folder, "history.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("epoch", "train loss", "val loss", "val acc"), *history])
        for path in sorted(Path(folder).iterdir()):
            run.log_artifact(path, f"report/{path.name}")
    return {"val/acc": accuracy, "best": best}


if __name__ == "__main__":
    train()
