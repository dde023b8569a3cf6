"""What a live program tells, written as if it had been read from a file: the same reader, the same runs, no import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.data.ingest.ledger.turns import NeedsTurn, Turn, is_collision
from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.registry import Reader
from workbench.data.ingest.writing.writer import Writer
from workbench.errors import ConflictError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

_TRIES = 4


def write(store: Store, source: Source, reader: Reader) -> list[BadLine]:
    """Write what a reader finds in some bytes, in one transaction; what is stored already is left or completed.

    Returns
    -------
    list of BadLine
        What of it could not be read.

    Raises
    ------
    StoreUnavailableError
        No answer from the database: nothing of it is stored.
    ConflictError
        Others wrote the same runs each time.
    """
    is_alone = False
    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            return _write(store, source, reader, is_alone=is_alone)
        except NeedsTurn:
            pass
        except ConflictError as error:
            if last or not is_collision(error):
                raise
        is_alone = True
        source.restart()
    raise AssertionError("the last try returns or raises")


def _write(store: Store, source: Source, reader: Reader, *, is_alone: bool) -> list[BadLine]:
    bad = []
    with store.raw() as connection:
        turn = Turn(connection, reader.FORMAT, is_alone=is_alone)
        turn.take()
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        prices = store.settings.prices
        with Writer(connection, reader, source, turn, with_prices=prices, is_live=True) as writer:
            for item in reader.read(source):
                if isinstance(item, BadLine):
                    bad.append(item)
                else:
                    writer.add(item)
            writer.finish()
    return bad
