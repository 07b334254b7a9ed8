"""Trains a small neural network on scikit-learn's handwritten digits, epoch by epoch, and records it with Cloister.

python examples/digits.py lr=0.01 hidden=128
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
from cloister import experiment
from digits_pictures import draw_confusion, draw_mistakes
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

DIGITS = np.arange(10)


@experiment(project="digits", tags=["demo"])
def train(run, lr: float = 1e-3, hidden: int = 64, epochs: int = 40, seed: int = 0, pause: float = 0.0):
    """Train a perceptron with one hidden layer.

    Args:
        lr: the learning rate of Adam.
        hidden: neurons of the hidden layer.
        epochs: how often it sees the 1,437 training images.
        seed: makes the run repeatable.
        pause: seconds of rest after each epoch, so that there is something to watch.
    """
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16, labels, test_size=0.2, random_state=seed, stratify=labels)
    train_images, val_images, train_labels, val_labels = split
    model = MLPClassifier([hidden], learning_rate_init=lr, batch_size=32, random_state=seed)
    print(f"{len(train_images)} images to learn from, {len(val_images)} to check with", flush=True)

    for epoch in range(epochs):
        started = time.perf_counter()
        model.partial_fit(train_images, train_labels, classes=DIGITS)
        seconds = time.perf_counter() - started
        guesses = model.predict_proba(val_images)
        accuracy = accuracy_score(val_labels, guesses.argmax(axis=1))
        run.log(
            {
                "train": {"loss": model.loss_, "accuracy": model.score(train_images, train_labels)},
                "val": {"loss": log_loss(val_labels, guesses, labels=DIGITS), "accuracy": accuracy},
                "weights": {"hidden": np.linalg.norm(model.coefs_[0]), "output": np.linalg.norm(model.coefs_[1])},
                "images_per_second": len(train_images) / seconds,
            },
            step=epoch,
        )
        print(f"epoch {epoch + 1:3d} of {epochs}  loss {model.loss_:.4f}  accuracy {accuracy:.1%}", flush=True)
        time.sleep(pause)

    with tempfile.TemporaryDirectory() as folder:
        joblib.dump(model, Path(folder, "model.joblib"))
        draw_confusion(val_labels, guesses.argmax(axis=1)).save(Path(folder, "confusion.png"))
        draw_mistakes(val_images, val_labels, guesses.argmax(axis=1)).save(Path(folder, "mistakes.png"))
        for path in sorted(Path(folder).iterdir()):
            run.log_artifact(path)
    return float(accuracy)


if __name__ == "__main__":
    train()
