"""Log records, on standard error: JSON for machines, or lines for a developer's console."""

import asyncio
import logging
import sys
import traceback
from typing import Any

import orjson
import structlog

from training_service.errors import TrainingError
from training_service.observability.current import current_call
from training_service.settings import Settings


def _describe(error: BaseException) -> str:
    """Returns what of an error may be logged: messages of libraries quote the data they failed on,
    as PostgreSQL's DETAIL does; ours quote none."""
    name = type(error).__qualname__
    if isinstance(error, TrainingError):
        return f"{name}: {error}"
    state = getattr(error, "sqlstate", None)
    if not state:
        return name
    constraint = getattr(getattr(error, "diag", None), "constraint_name", None)
    return f"{name}: SQLSTATE {state}" + (f", constraint {constraint}" if constraint else "")


def safe_traceback(error: BaseException) -> str:
    """Returns where an error came from, with its causes, and without what their messages hold."""
    shown: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.format_tb(current.__traceback__))
        shown.insert(0, f"Traceback (most recent call last):\n{frames}{_describe(current)}")
        grouped = current.exceptions if isinstance(current, BaseExceptionGroup) else ()
        shown[:0] = [safe_traceback(one) for one in grouped]
        hidden = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or hidden
    return "\n\nwhich led to:\n\n".join(shown)


class SafeFormatter(logging.Formatter):
    """Formats records of libraries; of errors says where they came from, not what they say."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        # What another formatter made of the error and kept on the record.
        record.exc_text = None
        args = record.args
        if isinstance(args, tuple):
            record.args = tuple(_describe(a) if isinstance(a, BaseException) else a for a in args)
        try:
            return super().format(record)
        finally:
            record.args = args
            record.exc_text = None

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """See logging.Formatter."""
        return safe_traceback(ei[1]) if ei[1] else ""


def log_loop_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs what went wrong in a task that nobody waits for, as an event loop's handler: its own
    shows the message, and what the task and its futures hold."""
    error = context.get("exception")
    shown = safe_traceback(error) if isinstance(error, BaseException) else None
    structlog.get_logger(__name__).error("fault in the event loop", exception=shown)


def _format_exception(
    _: Any, __: str, record: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    error = record.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        record["exception"] = safe_traceback(error)
    return record


def _name_call(_: Any, __: str, record: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Adds what finds the call under way: its request id, and its trace if one is recorded."""
    call = current_call()
    if call is None:
        return record
    record.setdefault("request_id", call.logged_id)
    if call.trace is not None:
        record["trace_id"] = call.trace.trace_id
        record["span_id"] = call.trace.span_id
    return record


def _to_json(record: dict[str, Any], **options: Any) -> str:
    return orjson.dumps(record, **options).decode()


def configure_logs(settings: Settings) -> None:
    """Sets up logging for this process."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(_to_json)
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _format_exception,
            _name_call,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # The stream that the process began with: loggers keep it, and others come and go in tests.
        logger_factory=structlog.PrintLoggerFactory(sys.__stderr__),
        cache_logger_on_first_use=True,
    )
    # Libraries: only what someone should look at.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(SafeFormatter("%(levelname)s:%(name)s:%(message)s"))
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler])
