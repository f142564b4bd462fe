"""What the command `verify` does: all athletes in turn, a report, and the ends of chains."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from training_service.archive.store import open_store
from training_service.domain.verification import ChainEnd, Finding
from training_service.errors import unless_erased
from training_service.servicers.verification import Verifier
from training_service.settings import Settings
from training_service.storage.archive import Archive
from training_service.storage.archiving import Archiving
from training_service.storage.database import Database
from training_service.storage.exercise import Catalogue, CatalogueVersion
from training_service.storage.verification import VerificationRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be looked at."""

    user_id: UUID | None = None
    """One athlete alone."""
    sample: int | None = None
    """So many athletes, by chance."""
    heads: Mapping[str, ChainEnd] = field(default_factory=dict)
    """Where chains ended another time, by pseudonym."""


@dataclass(slots=True)
class Report:
    """What was seen."""

    athlete_count: int = 0
    findings: list[Finding] = field(default_factory=list)
    heads: dict[str, ChainEnd] = field(default_factory=dict)
    """Where chains end, by pseudonym."""
    names: dict[UUID, str] = field(default_factory=dict)
    """Pseudonyms of the athletes of findings."""

    def to_json(self, *, show_ids: bool) -> str:
        """Returns the report for a machine."""
        found = [
            {
                "kind": one.kind,
                "athlete": str(one.user_id) if show_ids else self.names[one.user_id],
                "table": one.table,
                "id": one.id,
                "seen": one.seen,
            }
            for one in self.findings
        ]
        return json.dumps({"athletes": self.athlete_count, "findings": found}, indent=2) + "\n"


async def verify(
    settings: Settings, url: str, order: Order, progress: Callable[[int, int], None]
) -> Report:
    """Compares what is stored of athletes. Must run as the owner of the schema; writes nothing."""
    async with Database(settings, url) as database:
        store = open_store(settings)
        pseudonyms = await database.pseudonyms()
        verifier = Verifier(
            VerificationRepository(database, Archive(database, store)),
            Archiving(database, store, pseudonyms),
            Catalogue(database, CatalogueVersion(database)),
        )
        athletes = [order.user_id] if order.user_id else await verifier.athletes(order.sample)
        report = Report()
        for user_id in athletes:
            name = pseudonyms.of(user_id)
            with unless_erased():
                findings, end = await verifier.verify(user_id, order.heads.get(name))
                report.findings += findings
                if end:
                    report.heads[name] = end
                if findings:
                    report.names[user_id] = name
            report.athlete_count += 1
            progress(report.athlete_count, len(athletes))
        return report


def read_heads(file: Path) -> dict[str, ChainEnd]:
    """Returns where chains ended by a file that `write_heads` wrote; nothing without the file.

    Raises ValueError for a file that is none.
    """
    if not file.exists():
        return {}
    try:
        said: Mapping[str, Any] = json.loads(file.read_text())
        return {
            name: ChainEnd(int(one["length"]), bytes.fromhex(one["digest"]))
            for name, one in said.items()
        }
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError(f"{file} does not hold the ends of chains") from None


def write_heads(file: Path, heads: Mapping[str, ChainEnd]) -> None:
    """Writes where chains end."""
    said = {
        n: {"length": one.length, "digest": one.digest.hex()} for n, one in sorted(heads.items())
    }
    file.write_text(json.dumps(said, indent=1) + "\n")


def lines(report: Report, *, show_ids: bool) -> Sequence[str]:
    """Returns each finding in words."""
    return [
        " ".join(
            part
            for part in (
                one.kind,
                str(one.user_id) if show_ids else report.names[one.user_id],
                one.table,
                one.id,
                f"({one.seen})" if one.seen else "",
            )
            if part
        )
        for one in report.findings
    ]
