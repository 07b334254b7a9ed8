"""sacred_script.py, ported to @experiment: the same config, the same metrics, the same files.

python ported.py @wide epochs=5
"""

import csv
from pathlib import Path

import cloister
import numpy as np
from sklearn.metrics import accuracy_score, log_loss
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).parent

# share: of the images, for training
data = cloister.Ingredient("data", config={"share": 0.75, "scaled": True})


@data.capture
def load(share, scaled, run):
    with run.open_resource(HERE / "digits.csv") as rows:
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


@cloister.experiment(name="digits", ingredients=[data], presets={"wide": {"hidden": 64}})
def main(
    run,
    seed: int = 42,
    hidden: int = 16,
    lr: float = 0.01,
    smallest_lr: float = cloister.computed(lambda lr: lr / 100),
    epochs: int = 3,
):
    (images, labels), (test_images, test_labels) = load()
    model = build()
    for epoch in range(epochs):
        anneal(model, epoch)
        model.partial_fit(images, labels, classes=np.arange(10))
        probabilities = model.predict_proba(test_images)
        accuracy = float(accuracy_score(test_labels, probabilities.argmax(axis=1)))
        loss = float(log_loss(test_labels, probabilities, labels=np.arange(10)))
        run.log({"val.loss": loss, "val.accuracy": accuracy}, step=epoch)
        print(f"epoch {epoch}: accuracy {accuracy:.3f}")
    np.save("weights.npy", model.coefs_[0])
    run.log_artifact("weights.npy")
    return accuracy


@main.capture
def build(hidden, lr, seed):
    return MLPClassifier(hidden_layer_sizes=(hidden,), learning_rate_init=lr, random_state=seed)


@main.capture
def anneal(model, epoch, lr, smallest_lr):
    model.learning_rate_init = max(lr / (1 + epoch), smallest_lr)


if __name__ == "__main__":
    main()
