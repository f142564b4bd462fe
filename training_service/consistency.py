"""How far the database's log was when a write was stored, and the token that tells a caller.

A token is opaque to callers. They give it back with a later read, which then sees the write,
wherever it is answered from.
"""

import base64
import binascii
import struct
from collections.abc import Iterable
from contextvars import ContextVar
from typing import NamedTuple

from training_service.errors import TrainingError, invalid_field

TOKEN_KEY = "x-consistency-token"  # noqa: S105
"""What the token is called in metadata, of a write's answer and of a read's request."""
_MARK = b"TS"
"""What tokens of all versions begin with; then comes the version."""
VERSION = 1
_LAYOUT = struct.Struct("!2sBqIQ")


class History(NamedTuple):
    """A log whose positions can be compared with one another."""

    cluster: int
    """PostgreSQL's system identifier; 0 is that of no cluster."""
    timeline: int
    """The next one begins when a replica becomes the primary."""


UNKNOWN = History(0, 0)
"""Of what nobody can say how far it is: only the primary has it for certain."""


class Position(NamedTuple):
    """How far a log was."""

    history: History
    lsn: int
    """In bytes."""


class Consistency:
    """What the reads of one call have to see."""

    __slots__ = ("_needed", "is_write", "reached")

    def __init__(self, needed: Iterable[Position], *, is_write: bool) -> None:
        self._needed: dict[History, int] = {}
        self.is_write = is_write
        self.reached: Position | None = None
        """How far the log was after the last unit of work on the primary that told."""
        for position in needed:
            self._need(position)

    @property
    def needed(self) -> list[Position]:
        """What a replica must have: what the caller's tokens name, and what the call itself did."""
        return [Position(*item) for item in self._needed.items()]

    def reach(self, position: Position) -> None:
        """Records how far the log is after a unit of work of this call."""
        self.reached = position
        self._need(position)

    def _need(self, position: Position) -> None:
        history, lsn = position
        self._needed[history] = max(lsn, self._needed.get(history, 0))


_current: ContextVar[Consistency | None] = ContextVar("consistency", default=None)


def set_consistency(consistency: Consistency | None) -> None:
    """Records what the reads of this call have to see."""
    _current.set(consistency)


def current_consistency() -> Consistency | None:
    """Returns what the reads of the call under way have to see; None outside of calls."""
    return _current.get()


def to_token(position: Position) -> str:
    """Returns a position as callers get it."""
    (cluster, timeline), lsn = position
    packed = _LAYOUT.pack(_MARK, VERSION, cluster, timeline, lsn)
    return base64.urlsafe_b64encode(packed).decode()


def from_token(token: str) -> Position:
    """Returns the position that a token names; one of a later version is of an unknown history.

    Raises INVALID_FIELD for what is no token.
    """
    try:
        packed = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _no_token() from None
    mark, version = packed[:2], packed[2:3]
    if mark == _MARK and version > bytes([VERSION]):
        return Position(UNKNOWN, 0)
    if mark != _MARK or version != bytes([VERSION]) or len(packed) != _LAYOUT.size:
        raise _no_token()
    _, _, cluster, timeline, lsn = _LAYOUT.unpack(packed)
    return Position(History(cluster, timeline), lsn)


def _no_token() -> TrainingError:
    return invalid_field(TOKEN_KEY, "is no token of this service")
