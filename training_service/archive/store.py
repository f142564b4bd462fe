"""Where archived objects are: a folder, or a bucket of an object store."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from training_service.errors import Reason, TrainingError
from training_service.settings import Settings, SettingsError, secret_files

logger = structlog.get_logger(__name__)

FOLDER = "archive"
"""The folder in the data directory, unless another place is named."""
CONNECT_TIMEOUT = "2s"
REQUEST_TIMEOUT = "10s"
MAX_RETRIES = 2
LIST_CHUNK = 1000
VENDOR_PREFIXES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
LOCAL_ENDPOINT = "http://"


class ObjectStore:
    """Objects by key. What does not answer surfaces as ARCHIVE_UNAVAILABLE."""

    async def put(self, key: str, data: bytes) -> None:
        """Stores an object. When this returns, it stays, whatever fails afterwards."""
        raise NotImplementedError

    async def get(self, key: str) -> bytes | None:
        """Returns an object, None when there is none of this key."""
        raise NotImplementedError

    def list_keys(self, prefix: str = "") -> AsyncIterator[Sequence[str]]:
        """Yields the keys there are under a prefix, some at a time."""
        raise NotImplementedError

    async def delete(self, keys: Sequence[str]) -> None:
        """Removes objects; those that are not there are no mistake."""
        raise NotImplementedError


class BucketStore(ObjectStore):
    """A bucket, or what is under a prefix of one. Credentials and region come from the variables
    that its vendor's own tools read, such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL, or files of
    the same names."""

    def __init__(self, url: str, credentials: Mapping[str, str]) -> None:
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT", "")
        try:
            self._store = from_url(
                url,
                config=dict(credentials),  # type: ignore[call-overload] # by name
                client_options={
                    "connect_timeout": CONNECT_TIMEOUT,
                    "timeout": REQUEST_TIMEOUT,
                    # Who names such an endpoint means it.
                    "allow_http": endpoint.startswith(LOCAL_ENDPOINT),
                },
                retry_config={"max_retries": MAX_RETRIES},
            )
        except (BaseError, ValueError) as error:
            raise SettingsError(f"TRAINING_ARCHIVE_URL: {_first_line(error)}") from None

    async def put(self, key: str, data: bytes) -> None:
        """See ObjectStore.put. One request: an object is there as a whole or not at all."""
        with _answering():
            await obstore.put_async(self._store, key, data, use_multipart=False)

    async def get(self, key: str) -> bytes | None:
        """See ObjectStore.get."""
        with _answering():
            return await _get(self._store, key)

    async def list_keys(self, prefix: str = "") -> AsyncIterator[Sequence[str]]:
        """See ObjectStore.list_keys."""
        with _answering():
            async for found in obstore.list(self._store, prefix or None, chunk_size=LIST_CHUNK):
                yield [one["path"] for one in found]

    async def delete(self, keys: Sequence[str]) -> None:
        """See ObjectStore.delete."""
        with _answering(), suppress(FileNotFoundError):
            if keys:
                await obstore.delete_async(self._store, keys)


class FolderStore(ObjectStore):
    """A folder of this machine, made when the first object is stored."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, key: str, data: bytes) -> None:
        """See ObjectStore.put."""
        with _answering():
            self._folder.mkdir(parents=True, exist_ok=True)
            await obstore.put_async(LocalStore(self._folder), key, data, use_multipart=False)
            await asyncio.to_thread(self._make_durable, key)

    def _make_durable(self, key: str) -> None:
        # The file's bytes, and its names in the folders above it.
        file = self._folder / key
        for path in (file, *file.parents[: len(Path(key).parts)]):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    async def get(self, key: str) -> bytes | None:
        """See ObjectStore.get."""
        with _answering():
            # It refuses a folder that is gone: a disk that is not mounted.
            return await _get(LocalStore(self._folder), key)

    async def list_keys(self, prefix: str = "") -> AsyncIterator[Sequence[str]]:
        """See ObjectStore.list_keys. With what killed writers left, which obstore hides."""
        for folder in sorted(self._folder.glob(prefix or "*")):
            yield [file.relative_to(self._folder).as_posix() for file in sorted(folder.glob("*"))]

    async def delete(self, keys: Sequence[str]) -> None:
        """See ObjectStore.delete."""
        with _answering():
            for key in keys:
                (self._folder / key).unlink(missing_ok=True)


def open_store(settings: Settings) -> ObjectStore:
    """Returns the store that the settings name. Nothing is asked of it yet.

    Raises SettingsError for a URL that leads nowhere.
    """
    if not settings.archive_url:
        return FolderStore(settings.data_directory / FOLDER)
    url = urlsplit(settings.archive_url)
    if url.scheme == "file":
        return FolderStore(Path(unquote(url.path)))
    return BucketStore(settings.archive_url, _credentials(settings, url.scheme))


def _credentials(settings: Settings, scheme: str) -> dict[str, str]:
    """Returns what files say of a vendor's credentials and no variable does."""
    if settings.secrets_directory is None:
        return {}
    files = secret_files(settings.secrets_directory, VENDOR_PREFIXES[scheme])
    return {name: value for name, value in files.items() if name not in os.environ}


def archive_unavailable() -> TrainingError:
    """Returns the refusal of a call that needs what is archived and can't be had now."""
    return TrainingError(
        Reason.ARCHIVE_UNAVAILABLE,
        "the archive does not answer; try again",
        retry_after_seconds=1.0,
    )


async def _get(store: Any, key: str) -> bytes | None:
    try:
        found = await obstore.get_async(store, key)
        return bytes(await found.bytes_async())
    except FileNotFoundError:
        return None


@contextmanager
def _answering() -> Iterator[None]:
    """Makes ARCHIVE_UNAVAILABLE of what a store did not do."""
    try:
        yield
    except (BaseError, OSError) as error:
        logger.warning("archive unavailable", why=_first_line(error))
        raise archive_unavailable() from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
