"""The update of a run's document that ends a batch: for who knows the newest version, without what is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .database_faults import is_refused_document
from .mongo import first_sentence
from .overtaking import catch_up, named, remember
from .run_losses import RunLosses
from .run_record import VERSION
from .run_update import Overtaken, RunUpdate, Wish, granting

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

REFUSED_LIMIT = 100  # refusals of one update, after which it is not divided any further


class RunCommits:
    """Applies updates to one run's document, and keeps what is known of it up to date."""

    def __init__(
        self,
        database: Database[dict[str, Any]],
        run: dict[str, Any],
        losses: RunLosses,
        summaries: Callable[[], Iterable[str]],
    ) -> None:
        """
        Args:
            summaries: says of which fields the updates are made from what is known here.
        """
        self._database = database
        self._run = run
        self._losses = losses
        self._summaries = summaries

    def apply(self, update: RunUpdate, segments: Iterable[int]) -> None:
        """Apply `update`, with what is lost by now. What of it the database refuses is counted as lost and left out.

        Args:
            segments: those that are applied here.

        Raises:
            Overtaken: the document is not any more what `update` was made from.
        """
        self._losses.enter(update)
        try:
            self._write(update, segments)
        except Exception as error:  # refusals are of several classes, of the driver and of BSON; all else goes on up
            if not is_refused_document(error):
                raise
            self._do_without_refused(list(update.wishes()))
            account = update.without_wishes()
            self._losses.enter(account)
            self._write(account, segments)

    def _write(self, update: RunUpdate, segments: Iterable[int]) -> None:
        while True:
            update.leave_edited(self._run["cloister"].get("edited"))
            version = self._run["cloister"].get("version")
            update.fields[VERSION] = (version or 0) + 1
            known = {**named(self._run), VERSION: version}
            if self._database["runs"].update_one(known, update.document()).matched_count:
                remember(self._run, update)
                return
            if not catch_up(self._database, self._run, update, segments, self._summaries()):
                raise Overtaken(self._run["_id"])

    def _do_without_refused(self, wishes: list[Wish]) -> None:
        """The database refuses something of `wishes`: find out what, by halves, and grant all else."""
        groups, refused = [wishes] if wishes else [], 0
        while groups:
            group = groups.pop()
            try:
                self._database["runs"].update_one(named(self._run), granting(group))
            except Exception as error:  # as in `commit`
                if not is_refused_document(error):
                    raise
                refused += 1
                half = len(group) // 2
                if half and refused < REFUSED_LIMIT:  # a document that is full refuses everything
                    groups += [group[half:], group[:half]]
                    continue
                size = sum(self._losses.note_refused(value) for _, _, value in group)
                logger.error(
                    "The database refuses %s of run %s (%d bytes), which is lost; all else is stored: %s",
                    ", ".join(repr(field) for _, field, _ in group[:5]), self._run["_id"], size, first_sentence(error),
                )  # fmt: skip
