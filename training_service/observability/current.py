"""The call under way, for those who count and log below it without knowing what a call is."""

from contextvars import ContextVar
from typing import Any, Protocol


class CallTrace(Protocol):
    """The recorded span of a call, and those of its statements."""

    trace_id: str
    span_id: str

    def began(self, connection: object, sql: str) -> Any:
        """Begins the span of a statement that is queued on a connection; returns it."""

    def answered(self, connection: object, span: Any) -> None:
        """Ends the span of a statement whose rows came, and those queued before it."""

    def released(self, connection: object, error_type: str) -> None:
        """Ends the spans that a connection still has; the error, if any, is theirs."""


class WatchedCall(Protocol):
    """What is counted of a call, and what it is called in logs."""

    statements: int
    sessions_logged: int
    trace: CallTrace | None
    """None when no trace of it is recorded."""

    @property
    def logged_id(self) -> str:
        """The request id as it may be logged."""


_current: ContextVar[WatchedCall | None] = ContextVar("watched_call", default=None)


def watch(call: WatchedCall) -> None:
    """Makes a call the current one for the rest of its task."""
    _current.set(call)


def current_call() -> WatchedCall | None:
    """Returns the call under way; None outside of calls, such as in health checks."""
    return _current.get()


def note_sessions_logged(count: int) -> None:
    """Counts sessions that the call under way added, once they are committed."""
    call = _current.get()
    if call is not None:
        call.sessions_logged += count
