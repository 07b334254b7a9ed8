"""Real trainings, for what recording costs them.

Each module has `train(log, size)`: it trains on scikit-learn's digits for `size` epochs or steps, calls
`log(metrics, step)` and prints as people do.
"""

from __future__ import annotations
