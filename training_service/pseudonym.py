"""Names for users where their ids must not stand: in logs, and in what outlives an erased user.

The same user has the same pseudonym in all processes of an installation. Who has the key can tell
whether a pseudonym is that of a user they know; nobody can read the user's id from it.
"""

from hmac import digest
from uuid import UUID

BYTES = 16
"""Enough that no two users share one: as many as their ids have."""
UNKNOWN = "unknown"
"""Stands for everybody until the key is there, which is before the service reports SERVING."""


class Pseudonyms:
    """Makes pseudonyms, with the key of the installation once it is known."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key

    @property
    def is_known(self) -> bool:
        """Whether the key is there."""
        return self._key is not None

    def learn(self, key: bytes) -> None:
        """Takes the key of the installation."""
        self._key = key

    def of(self, user_id: UUID) -> str:
        """Returns the pseudonym of a user, in hexadecimal digits."""
        if self._key is None:
            return UNKNOWN
        return self.bytes_of(user_id).hex()

    def bytes_of(self, user_id: UUID) -> bytes:
        """Returns the pseudonym of a user, as bytes. The key must be known."""
        assert self._key is not None, "the key is not known"
        return digest(self._key, user_id.bytes, "sha256")[:BYTES]
