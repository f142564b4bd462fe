"""Answers about the catalogue, kept in memory while the catalogue stays as it is."""

from collections.abc import Awaitable, Callable

from cachetools import LRUCache
from google.protobuf.message import Message

from training_service.caller import is_administrator
from training_service.storage.exercise import CatalogueVersion

CACHE_BYTES = 16 * 1024 * 1024
"""Most bytes of answers a process keeps."""

ENTRY_BYTES = 1000
"""About what an entry takes beside its answer: the request, and its place."""

VERSION_MAX_AGE_SECONDS = 1.0
"""How long after a change by another process an answer may still be the one from before."""

Key = tuple[int, str, bytes]


class AnswerCache:
    """Serialized answers by catalogue version, RPC and request.

    An administrator's calls pass it by, so that who changes the catalogue sees the change at once,
    whichever process answers.
    """

    def __init__(self, version: CatalogueVersion) -> None:
        self._version = version
        self._answers: LRUCache[Key, bytes] = LRUCache(CACHE_BYTES, _size)

    async def answer(self, request: Message, work: Callable[[], Awaitable[Message]]) -> bytes:
        """Returns the answer kept for the request, else that of `work`, which is then kept."""
        if is_administrator():
            return (await work()).SerializeToString()
        version = await self._version.current(VERSION_MAX_AGE_SECONDS)
        # With the version read first, an answer can only be newer than its key says.
        asked = request.SerializeToString(deterministic=True)
        key = (version, request.DESCRIPTOR.full_name, asked)
        kept = self._answers.get(key)
        if kept is None:
            kept = self._answers[key] = (await work()).SerializeToString()
        return kept


def _size(answer: bytes) -> int:
    return len(answer) + ENTRY_BYTES
