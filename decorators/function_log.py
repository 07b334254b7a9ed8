"""`_log`: the logger of a captured function, which can be read also where the script has not set up logging."""

from __future__ import annotations

import logging
import sys


class _Stderr(logging.Handler):
    """Writes to whatever is stderr at the moment: the console's recording replaces it while a run goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s - %(name)s - %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
        except Exception:  # as all handlers of Python do: a message that cannot be shown fails nobody's work
            self.handleError(record)


def function_log(experiment: str, path: str, function: str) -> logging.Logger:
    """The logger 'experiment.path.function'. Where nobody has set up logging, what it says from INFO on goes to stderr.

    Python alone would drop `_log.info(...)` without a word, and people who come from Sacred read it on their screens.
    """
    top = logging.getLogger(experiment)
    if not logging.getLogger().handlers and not top.handlers:
        top.addHandler(_Stderr())
        if top.level == logging.NOTSET:
            top.setLevel(logging.INFO)
    return logging.getLogger(".".join(filter(None, (experiment, path, function))))
