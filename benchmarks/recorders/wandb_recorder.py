"""W&B without a server: WANDB_MODE=offline, a .wandb file that `wandb sync` would send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recorders import Train

BLOCK_BYTES = 32768
HEADER_BYTES = 7


def record(folder: Path, train: Train) -> None:
    import wandb

    settings = wandb.Settings(
        mode="offline",
        console="off",
        silent=True,
        disable_git=True,
        disable_code=True,
        save_code=False,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )
    run = wandb.init(project="benchmark", name=folder.name, dir=str(folder), settings=settings)
    train(run.log)
    run.finish()


def count_points(folder: Path) -> int:
    """W&B has no reader of its own for this file; its own protobuf classes read the records."""
    from wandb.proto import wandb_internal_pb2

    points = 0
    for path in folder.glob("wandb/offline-run-*/*.wandb"):
        for data in _records(path.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(data)
            names = (item.key or "/".join(item.nested_key) for item in record.history.item)
            points += sum(not name.startswith("_") for name in names)
    return points


def _records(data: bytes) -> Iterator[bytes]:
    """LevelDB's log format: blocks of 32 KiB, a record in one piece (type 1) or first, middle, last (2, 3, 4)."""
    place, parts = HEADER_BYTES, b""  # the file's own header is as long as a piece's
    while place + HEADER_BYTES <= len(data):
        if BLOCK_BYTES - place % BLOCK_BYTES < HEADER_BYTES:
            place += BLOCK_BYTES - place % BLOCK_BYTES
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        parts += data[place + HEADER_BYTES : place + HEADER_BYTES + length]
        place += HEADER_BYTES + length
        if kind in (1, 4):
            yield parts
            parts = b""
