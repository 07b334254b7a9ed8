"""Console pieces in the database as the courier stores them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from pymongo.database import Database


def write_pieces(database: Database[dict[str, Any]], run_id: int, pieces: Iterable[tuple[str, str]]) -> None:
    """Append (stream, text) pieces to a run's console, and count them as the courier does."""
    start = database["console"].count_documents({"run_id": run_id})
    now = datetime.now(timezone.utc)
    documents = [
        {"_id": uuid.uuid4().hex, "run_id": run_id, "n": number, "stream": stream, "time": now, "text": text}
        for number, (stream, text) in enumerate(pieces, start)
    ]
    database["console"].insert_many(documents)
    counts = {
        "cloister.console.lines": sum(document["text"].count("\n") for document in documents),
        "cloister.console.bytes": sum(len(document["text"].encode()) for document in documents),
    }
    touched = {"cloister.updated_at": now, "heartbeat": now}
    database["runs"].update_one({"_id": run_id}, {"$inc": counts, "$set": touched})
