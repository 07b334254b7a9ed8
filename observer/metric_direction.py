"""Which end of a metric is the better one, judged by its name."""

from __future__ import annotations

import re
from typing import Literal

Better = Literal["higher", "lower"]

_WORD = r"(?:^|[/_.\-])(?:{})(?:$|[/_.\-\d@])"
LOSS_NAME = re.compile(
    _WORD.format("loss|losses|nll|perplexity|ppl|cross_entropy|mse|mae|rmse|error|err"), re.IGNORECASE
)
SCORE_NAME = re.compile(
    _WORD.format("acc|accuracy|dice|iou|miou|f1|auc|auroc|precision|recall|ap|map|top1|top5|r2|score"), re.IGNORECASE
)
SCHEDULE_NAME = re.compile(
    _WORD.format("lr|learning_rate|epoch|step|momentum|weight_decay|beta1|beta2|temperature|dropout|schedule"),
    re.IGNORECASE,
)


def better_end(name: str) -> Better | None:
    """Whether more or less of the metric is better; None where neither is, or nobody can tell."""
    last = name.rsplit("/", 1)[-1]
    if SCHEDULE_NAME.search(last):
        return None
    if LOSS_NAME.search(last):
        return "lower"
    return "higher" if SCORE_NAME.search(last) else None
