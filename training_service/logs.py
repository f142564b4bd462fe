"""Log records, on standard error: JSON for machines, or lines for a developer's console."""

import logging
import sys
from typing import Any

import orjson
import structlog

from training_service.settings import Settings


def _to_json(record: dict[str, Any], **options: Any) -> str:
    return orjson.dumps(record, **options).decode()


def configure_logs(settings: Settings) -> None:
    """Sets up logging for this process."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(_to_json)
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # The stream that the process began with: loggers keep it, and others come and go in tests.
        logger_factory=structlog.PrintLoggerFactory(sys.__stderr__),
        cache_logger_on_first_use=True,
    )
    # Libraries: only what someone should look at.
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr)
