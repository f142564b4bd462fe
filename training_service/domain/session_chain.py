"""The chain over an athlete's sessions: each block of it depends on all before it.

A block is what was logged in one transaction. Its digest is SHA-256 over the ids of its sessions
and the SHA-256 of their records; the chain's is SHA-256 over its own before and that of the block.
So no record can be changed, removed, added or put elsewhere without the end of the chain being
another. Who can write everything can make the chain anew as well: that is seen only by comparing
its end with one that was kept elsewhere.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import groupby
from typing import NamedTuple, Self
from uuid import UUID


class Link(NamedTuple):
    """A session in the chain."""

    session_id: UUID
    record_digest: bytes

    @classmethod
    def of(cls, session_id: UUID, record: bytes) -> Self:
        """Returns the link of a session by its record."""
        return cls(session_id, sha256(record).digest())


class PlacedLink(NamedTuple):
    """A link where it is in the chain."""

    block: int
    position: int
    link: Link


def block_digest(links: Iterable[Link]) -> bytes:
    """Returns what a block adds to the chain."""
    return sha256(b"".join(link.session_id.bytes + link.record_digest for link in links)).digest()


def chain_digest(blocks: Iterable[Sequence[Link]]) -> bytes:
    """Returns the end of a chain; nothing for one without blocks."""
    digest = b""
    for links in blocks:
        digest = sha256(digest + block_digest(links)).digest()
    return digest


def blocks_of(placed: Sequence[PlacedLink]) -> list[list[Link]] | None:
    """Returns the blocks of links in the order of their places; None when a place is missing."""
    blocks: list[list[Link]] = []
    for number, of_block in groupby(placed, key=lambda one: one.block):
        links = [*of_block]
        if number != len(blocks) + 1 or [one.position for one in links] != [
            *range(1, len(links) + 1)
        ]:
            return None
        blocks.append([one.link for one in links])
    return blocks
