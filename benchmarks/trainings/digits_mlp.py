"""A perceptron of scikit-learn, recorded once an epoch (about 25 ms), as in examples/digits.py."""

from __future__ import annotations

from recorders import Log
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier


def train(log: Log, size: int) -> None:
    images, labels = load_digits(return_X_y=True)
    images, kept = images[:1437] / 16, images[1437:] / 16
    truth = labels[1437:]
    model = MLPClassifier([64], batch_size=32, random_state=0)
    for epoch in range(size):
        model.partial_fit(images, labels[:1437], classes=range(10))
        guesses = model.predict_proba(kept)
        metrics = {
            "train/loss": float(model.loss_),
            "train/accuracy": float(model.score(images, labels[:1437])),
            "val/loss": float(log_loss(truth, guesses, labels=range(10))),
            "val/accuracy": float((guesses.argmax(axis=1) == truth).mean()),
            "lr": 1e-3,
        }
        log(metrics, epoch)
        print(f"epoch {epoch + 1:3d} of {size}  loss {model.loss_:.4f}  accuracy {metrics['val/accuracy']:.1%}")
