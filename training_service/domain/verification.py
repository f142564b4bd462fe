"""What is found when stored data are compared with one another."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from training_service.domain.session_chain import Link, PlacedLink, blocks_of, chain_digest


class FindingKind(StrEnum):
    """What is wrong."""

    RECORD_UNREADABLE = "RECORD_UNREADABLE"
    """A record is no message."""
    RECORD_CHANGED = "RECORD_CHANGED"
    """A session's record is not the one that was linked when it was logged."""
    COLUMN_DIFFERS = "COLUMN_DIFFERS"
    """A column does not say what the record says."""
    CHILD_ROWS_DIFFER = "CHILD_ROWS_DIFFER"
    """The rows of exercises are not those of the record."""
    TOTAL_DIFFERS = "TOTAL_DIFFERS"
    """What a session amounts to is not what is stored."""
    PERSONAL_RECORD_DIFFERS = "PERSONAL_RECORD_DIFFERS"
    """The best that an athlete did is not what is stored."""
    ARCHIVE_OBJECT_DAMAGED = "ARCHIVE_OBJECT_DAMAGED"
    """An object of the archive is missing, or not what was stored."""
    NOT_LINKED = "NOT_LINKED"
    """A session is in no chain: logged by an older server, or added by somebody else."""
    LINK_WITHOUT_SESSION = "LINK_WITHOUT_SESSION"
    """A session that was linked is not there."""
    CHAIN_BROKEN = "CHAIN_BROKEN"
    """The links of an athlete don't lead to the end of the chain."""
    HEAD_DIFFERS = "HEAD_DIFFERS"
    """A chain does not go on from where it ended when it was looked at before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    kind: FindingKind
    user_id: UUID
    table: str
    id: str = ""
    """Of what it is about: a session, a workout, an object."""
    seen: str = ""
    """What differs, by name; never what is in it."""


class ChainEnd(NamedTuple):
    """Where a chain ended when somebody looked."""

    length: int
    digest: bytes


def differing(stored: Mapping[str, Any], reckoned: Mapping[str, Any]) -> str:
    """Returns the names of what differs, empty when nothing does."""
    return ", ".join(_names(stored, reckoned))


def differing_rows(
    stored: Sequence[Mapping[str, Any]], reckoned: Sequence[Mapping[str, Any]]
) -> str:
    """The same for rows, each compared with the one in its place."""
    if len(stored) != len(reckoned):
        return "rows"
    pairs = zip(stored, reckoned, strict=True)
    return ", ".join(sorted({name for one, other in pairs for name in _names(one, other)}))


def _names(stored: Mapping[str, Any], reckoned: Mapping[str, Any]) -> Iterator[str]:
    return (name for name in reckoned if stored.get(name) != reckoned[name])


def check_chain(
    user_id: UUID,
    placed: Sequence[PlacedLink],
    end: ChainEnd | None,
    session_ids: Iterable[UUID],
    before: ChainEnd | None = None,
) -> list[Finding]:
    """Returns what is wrong with an athlete's chain; `before` is where it ended another time."""

    def found(kind: FindingKind, table: str, id: object = "", seen: str = "") -> Finding:
        return Finding(kind=kind, user_id=user_id, table=table, id=str(id), seen=seen)

    linked, there = {one.link.session_id for one in placed}, set(session_ids)
    findings = [
        *(found(FindingKind.NOT_LINKED, "sessions", id) for id in sorted(there - linked)),
        *(
            found(FindingKind.LINK_WITHOUT_SESSION, "session_links", id)
            for id in sorted(linked - there)
        ),
    ]
    blocks = blocks_of(placed)
    if blocks is None:
        return [
            *findings,
            found(FindingKind.CHAIN_BROKEN, "session_links", seen="a link is missing"),
        ]
    if not leads_to(blocks, end):
        findings.append(found(FindingKind.CHAIN_BROKEN, "session_chains", seen="another end"))
    if before and not leads_to(blocks[: before.length], before):
        findings.append(found(FindingKind.HEAD_DIFFERS, "session_chains"))
    return findings


def leads_to(blocks: Sequence[Sequence[Link]], end: ChainEnd | None) -> bool:
    """Whether some blocks are those of a chain that ends so; one without blocks has no end."""
    if end is None:
        return not blocks
    return len(blocks) == end.length and chain_digest(blocks) == end.digest
