"""A small convolutional network of torch, recorded at every step (about 4 ms)."""

from __future__ import annotations

import torch
from recorders import Log
from sklearn.datasets import load_digits
from torch import nn

BATCH = 64


def train(log: Log, size: int) -> None:
    torch.manual_seed(0)
    pixels, digits = load_digits(return_X_y=True)
    images = torch.tensor(pixels / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    labels = torch.tensor(digits)
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 16, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(size):
        picked = torch.randint(len(images), (BATCH,))
        scores = model(images[picked])
        loss = nn.functional.cross_entropy(scores, labels[picked])
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        accuracy = (scores.argmax(dim=1) == labels[picked]).float().mean()
        metrics = {
            "train/loss": loss.item(),
            "train/accuracy": accuracy.item(),
            "gradient_norm": norm.item(),
            "lr": 1e-3,
            "epoch": step * BATCH / len(images),
        }
        log(metrics, step)
        if step % 20 == 0:
            print(f"step {step:5d} of {size}  loss {metrics['train/loss']:.4f}")
