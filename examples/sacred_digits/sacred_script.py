"""A Sacred experiment as papers publish them; it knows nothing of Cloister.

python record.py with wide epochs=5        (record.py puts our observer into it)
"""

import csv
from pathlib import Path

import numpy as np
from sacred import Experiment, Ingredient
from sklearn.metrics import accuracy_score, log_loss
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).parent

data = Ingredient("data")


@data.config
def data_config():
    share = 0.75  # of the images, for training
    scaled = True


@data.capture
def load(share, scaled, _run):
    with _run.open_resource(str(HERE / "digits.csv")) as rows:
        table = np.array([[float(cell) for cell in row] for row in csv.reader(rows)])
    images, labels = table[:, :-1], table[:, -1].astype(int)
    if scaled:
        images = images / 16.0
    cut = int(len(images) * share)
    return (images[:cut], labels[:cut]), (images[cut:], labels[cut:])


@data.command
def count(share):
    """Print how many images there are to train on."""
    with open(HERE / "digits.csv") as rows:
        print(int(sum(1 for _ in rows) * share), "images to train on")


ex = Experiment("digits", ingredients=[data], save_git_info=False)


@ex.config
def config():
    seed = 42
    hidden = 16
    lr = 0.01
    smallest_lr = lr / 100
    epochs = 3


@ex.named_config
def wide():
    hidden = 64


@ex.capture
def build(hidden, lr, seed):
    return MLPClassifier(hidden_layer_sizes=(hidden,), learning_rate_init=lr, random_state=seed)


@ex.capture
def anneal(model, epoch, lr, smallest_lr):
    model.learning_rate_init = max(lr / (1 + epoch), smallest_lr)


@ex.automain
def main(epochs, _run):
    (images, labels), (test_images, test_labels) = load()
    model = build()
    for epoch in range(epochs):
        anneal(model, epoch)
        model.partial_fit(images, labels, classes=np.arange(10))
        probabilities = model.predict_proba(test_images)
        accuracy = float(accuracy_score(test_labels, probabilities.argmax(axis=1)))
        _run.log_scalar("val.loss", float(log_loss(test_labels, probabilities, labels=np.arange(10))), epoch)
        _run.log_scalar("val.accuracy", accuracy, epoch)
        print(f"epoch {epoch}: accuracy {accuracy:.3f}")
    np.save("weights.npy", model.coefs_[0])
    _run.add_artifact("weights.npy")
    return accuracy
