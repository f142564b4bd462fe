"""What logs hold of errors: where they came from, and never the data that they quote."""

import asyncio
import logging
from typing import Any

import psycopg
import pytest
import structlog
from psycopg import errors

from training_service.errors import Reason, TrainingError
from training_service.logs import SafeFormatter, log_loop_error, safe_traceback

NOTE = "my knee hurts"


def a_violation(url: str) -> psycopg.Error:
    """Returns an error of PostgreSQL's whose DETAIL holds a note."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TEMP TABLE remarks (notes text CONSTRAINT remarks_short CHECK (notes = ''))"
        )
        try:
            connection.execute("INSERT INTO remarks VALUES (%s)", [NOTE])
        except psycopg.Error as error:
            return error
    raise AssertionError("nothing was violated")


def test_of_a_database_error_class_state_and_constraint_are_shown(server_url: str) -> None:
    error = a_violation(server_url)
    assert NOTE in str(error)
    shown = safe_traceback(error)
    assert NOTE not in shown
    assert shown.endswith("CheckViolation: SQLSTATE 23514, constraint remarks_short")
    assert "a_violation" in shown


def test_causes_contexts_and_groups_are_shown_without_their_messages() -> None:
    try:
        try:
            raise ValueError(NOTE)
        except ValueError as cause:
            raise ExceptionGroup(NOTE, [KeyError(NOTE)]) from cause
    except ExceptionGroup as error:
        shown = safe_traceback(error)
    assert NOTE not in shown
    assert all(name in shown for name in ("ValueError", "KeyError", "ExceptionGroup"))


def test_what_the_service_itself_says_is_shown() -> None:
    assert "the deadline passed" in safe_traceback(
        TrainingError(Reason.DEADLINE_EXCEEDED, "the deadline passed")
    )


@pytest.mark.parametrize("as_argument", [False, True])
def test_records_of_libraries_hold_no_message(as_argument: bool) -> None:
    error = errors.CheckViolation(NOTE)
    info = None if as_argument else (type(error), error, None)
    args = (error,) if as_argument else ()
    message = "failed: %s" if as_argument else "failed"
    record = logging.LogRecord("library", logging.ERROR, "", 1, message, args, info)
    logging.Formatter().format(record)  # which keeps its text on the record
    shown = SafeFormatter().format(record)
    assert NOTE not in shown
    assert "CheckViolation" in shown


def test_the_event_loop_logs_no_message() -> None:
    async def fail() -> None:
        asyncio.get_running_loop().set_exception_handler(log_loop_error)
        nothing: dict[str, str] = {}
        asyncio.get_running_loop().call_soon(nothing.__getitem__, NOTE)
        await asyncio.sleep(0.01)

    with structlog.testing.capture_logs() as seen:
        asyncio.run(fail())
    [record] = seen
    assert "KeyError" in record["exception"]
    assert NOTE not in str(record)


def test_structlog_renders_no_message() -> None:
    from training_service.logs import _format_exception

    try:
        raise ValueError(NOTE)
    except ValueError as error:
        given: list[Any] = [True, error, (type(error), error, error.__traceback__)]
        shown = [_format_exception(None, "error", {"exc_info": one}) for one in given]
    for record in shown:
        assert "ValueError" in str(record["exception"])
        assert NOTE not in str(record)
