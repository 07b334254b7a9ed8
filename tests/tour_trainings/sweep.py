"""Trains one network for each learning rate and size that the command line names: python sweep.py 0.001x64 0.003x128"""

from __future__ import annotations

import sys

from train import train

for words in sys.argv[1:]:
    lr, _, hidden = words.partition("x")
    train(lr=float(lr), hidden=int(hidden))
