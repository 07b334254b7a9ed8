"""</pre><script>alert(4)</script>{{7*7}} Two runs of which every text means harm: one that returns, one that fails."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from cloister import experiment, start_run
from payload import PAYLOAD

FILE_NAME = PAYLOAD.replace("/", "\\")  # what a file system takes


def record(run) -> None:
    for step in range(12):
        run.log({PAYLOAD: step / 2, f"{PAYLOAD}/{PAYLOAD}": -step, "val/acc": step / 12}, step=step)
    print(PAYLOAD)
    print(f"\x1b]8;;javascript:alert(5)\x07link\x1b]8;;\x07 \x1b[31m{PAYLOAD}\x1b[0m", file=sys.stderr)
    logging.getLogger(PAYLOAD).warning(PAYLOAD)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(f"<!doctype html>{PAYLOAD}<script>alert(document.domain)</script>", encoding="utf-8")
        table = Path(folder, "table.csv")
        table.write_text(f"name,{PAYLOAD.replace(',', ' ')}\n{PAYLOAD},1\n", encoding="utf-8")
        for path in (page, table):
            run.log_artifact(path, f"{PAYLOAD}/{PAYLOAD}{path.suffix}", metadata={PAYLOAD: PAYLOAD})
    run.add_tags(f"second {PAYLOAD}")


@experiment(project=PAYLOAD, name=PAYLOAD, run_name=PAYLOAD, tags=[PAYLOAD], notes=PAYLOAD)
def train(run, text: str = "plain", count: int = 1):
    record(run)
    return {PAYLOAD: [PAYLOAD, PAYLOAD]}


train()
with start_run(project=PAYLOAD, name=f"failed {PAYLOAD}", config={PAYLOAD: PAYLOAD, "a": {PAYLOAD: [PAYLOAD]}}) as run:
    record(run)
    raise RuntimeError(PAYLOAD)
