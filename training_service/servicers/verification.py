"""Compares stored data with one another: records with columns, rows and totals, and the chain."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import session_pb2, workout_pb2
from google.protobuf.message import DecodeError

from training_service.domain.metrics import FORMULA_VERSION
from training_service.domain.session_chain import Link
from training_service.domain.verification import (
    ChainEnd,
    Finding,
    FindingKind,
    check_chain,
    differing,
    differing_rows,
)
from training_service.errors import TrainingError
from training_service.servicers.convert import (
    from_date,
    optional_field,
    optional_uuid,
    to_datetime,
)
from training_service.servicers.rebuild import measured
from training_service.servicers.session import COMPLETION
from training_service.storage.archiving import Archiving
from training_service.storage.exercise import Catalogue
from training_service.storage.metrics import MeasuredSession, exercise_row_dicts, session_row_dict
from training_service.storage.rebuild import Record
from training_service.storage.verification import SessionFacts, Snapshot, VerificationRepository

_FROM_MESSAGE = [name for name in Record._fields if name != "record"]
Rows = Mapping[UUID, Sequence[Mapping[str, Any]]]


class Verifier:
    """Looks at one athlete at a time, and changes nothing."""

    def __init__(
        self, repository: VerificationRepository, archiving: Archiving, catalogue: Catalogue
    ) -> None:
        self._repository = repository
        self._archiving = archiving
        self._catalogue = catalogue

    async def athletes(self, sample: int | None) -> list[UUID]:
        """Returns whose data there are: of all, or of some by chance."""
        return await self._repository.athletes(sample)

    async def verify(
        self, user_id: UUID, before: ChainEnd | None = None
    ) -> tuple[list[Finding], ChainEnd | None]:
        """Returns what is wrong with an athlete's data, and where the chain ends. `before` is where
        it ended another time."""
        findings, unreadable = await self._archived(user_id)
        async with self._repository.snapshot(user_id) as snapshot:
            links, ends = await snapshot.chain()
            check = _Check(user_id, {one.link.session_id: one.link for one in links})
            async for batch in snapshot.batches(unreadable):
                await self._sessions(check, snapshot, batch)
            workouts, rows = await snapshot.workouts()
            for workout in workouts:
                check.workout(workout, rows.get(workout.id, []))
            stored, expected = await snapshot.personal_records()
        for one in sorted(stored ^ expected):
            check.add(
                FindingKind.PERSONAL_RECORD_DIFFERS, "personal_records", one.exercise_id, one.kind
            )
        end = ends[0] if ends else None
        findings += check.findings
        findings += check_chain(user_id, links, end, check.session_ids, before)
        return _each_once(findings), end

    async def _archived(self, user_id: UUID) -> tuple[list[Finding], frozenset[UUID]]:
        """Returns what is wrong with an athlete's objects, and which of them can't be read."""
        findings, unreadable = [], set()
        async for one in self._archiving.checksums(user_id):
            if one.found_sha256 == one.expected_sha256:
                continue
            id = UUID(PurePosixPath(one.key).stem)
            unreadable.add(id)
            findings.append(
                Finding(
                    kind=FindingKind.ARCHIVE_OBJECT_DAMAGED,
                    user_id=user_id,
                    table="archive_objects",
                    id=str(id),
                    seen="missing" if one.found_sha256 is None else "another checksum",
                )
            )
        return findings, frozenset(unreadable)

    async def _sessions(
        self, check: "_Check", snapshot: Snapshot, batch: Sequence[SessionFacts]
    ) -> None:
        children = await snapshot.children([one.id for one in batch])
        for facts in batch:
            await asyncio.sleep(0)
            message = check.session(facts)
            if message is None:
                continue
            said = check.columns(facts, message)
            if said is None:
                continue
            check.exercises(facts.id, message, children["session_exercises"])
            amounts = None
            if facts.is_current:
                record = Record(**{name: said[name] for name in _FROM_MESSAGE}, record=facts.record)
                try:
                    amounts = await measured(self._catalogue, record)
                except (TrainingError, KeyError, ValueError):
                    check.add(FindingKind.RECORD_UNREADABLE, "sessions", facts.id, "exercises")
                    continue
            check.totals(facts.id, amounts, children)


class _Check:
    """What was seen of one athlete so far."""

    def __init__(self, user_id: UUID, links: Mapping[UUID, Link]) -> None:
        self._user_id = user_id
        self._links = links
        self.session_ids: list[UUID] = []
        self.findings: list[Finding] = []

    def add(self, kind: FindingKind, table: str, id: UUID, seen: str = "") -> None:
        """Notes that something is wrong."""
        self.findings.append(
            Finding(kind=kind, user_id=self._user_id, table=table, id=str(id), seen=seen)
        )

    def session(self, facts: SessionFacts) -> session_pb2.Session | None:
        """Returns the message of a session whose record can be had and read."""
        self.session_ids.append(facts.id)
        if not facts.record:
            return None  # its object is among the findings
        link = self._links.get(facts.id)
        if link and Link.of(facts.id, facts.record) != link:
            self.add(FindingKind.RECORD_CHANGED, "sessions", facts.id)
        try:
            return session_pb2.Session.FromString(facts.record)
        except DecodeError:
            self.add(FindingKind.RECORD_UNREADABLE, "sessions", facts.id)
            return None

    def columns(self, facts: SessionFacts, message: session_pb2.Session) -> dict[str, Any] | None:
        """Compares the columns of a session with its message; returns what they should say, None
        where the message says nothing."""
        try:
            said = _columns(message)
        except (TrainingError, ValueError, KeyError, OverflowError):
            self.add(FindingKind.RECORD_UNREADABLE, "sessions", facts.id)
            return None
        stored = {**facts._asdict(), "external_user_id": self._user_id}
        names = differing(stored, said)
        if names:
            self.add(FindingKind.COLUMN_DIFFERS, "sessions", facts.id, names)
        return said

    def exercises(self, session_id: UUID, message: session_pb2.Session, rows: Rows) -> None:
        """Compares the rows of a session's exercises with its message."""
        stored = [
            (row["position"], row["exercise_id"], row["set_count"])
            for row in rows.get(session_id, [])
        ]
        said = [
            (number, _uuid_or_none(one.exercise_id), len(one.sets))
            for number, one in enumerate(message.exercises, start=1)
        ]
        if stored != said:
            self.add(FindingKind.CHILD_ROWS_DIFFER, "session_exercises", session_id)

    def totals(
        self, session_id: UUID, amounts: MeasuredSession | None, children: Mapping[str, Rows]
    ) -> None:
        """Compares what a session amounts to with what is stored; nothing for one that does not
        count."""
        [*stored] = children["session_metrics"].get(session_id, [])
        if stored and stored[0]["formula_version"] != FORMULA_VERSION:
            return  # rebuild-metrics is due; nothing is wrong
        expected = {
            "session_metrics": [session_row_dict(self._user_id, amounts)] if amounts else [],
            "exercise_metrics": exercise_row_dicts(self._user_id, amounts) if amounts else [],
        }
        for table, wanted in expected.items():
            found = children[table].get(session_id, [])
            names = differing_rows(found, wanted)
            if names:
                self.add(FindingKind.TOTAL_DIFFERS, table, session_id, names)

    def workout(self, facts: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Compares a workout's row and the rows of its exercises with its current revision."""
        try:
            message = workout_pb2.Workout.FromString(facts.record or b"\xff")
        except DecodeError:
            self.add(FindingKind.RECORD_UNREADABLE, "workout_revisions", facts.id)
            return
        said = {
            "id": facts.id if message.id == str(facts.id) else None,
            "revision": message.revision,
            "display_name": message.display_name,
        }
        names = differing(facts._asdict(), said)
        if names:
            self.add(FindingKind.COLUMN_DIFFERS, "workouts", facts.id, names)
        stored = [(row["position"], row["exercise_id"], row["set_count"]) for row in rows]
        wanted = [
            (number, _uuid_or_none(one.exercise_id), one.sets)
            for number, one in enumerate(message.exercises, start=1)
        ]
        if stored != ([] if facts.is_deleted else wanted):
            self.add(FindingKind.CHILD_ROWS_DIFFER, "workout_exercises", facts.id)


def _columns(message: session_pb2.Session) -> dict[str, Any]:
    """Returns what the columns of a session should say by its message."""
    return {
        "external_user_id": _uuid_or_none(message.external_user_id),
        "id": _uuid_or_none(message.id),
        "started_at": to_datetime(message.start_time, "start_time"),
        "time_zone": message.time_zone,
        "local_date": from_date(message.local_date, "local_date"),
        "duration_seconds": optional_field(message, "duration_seconds"),
        "session_rpe": optional_field(message, "session_rpe"),
        "body_mass_kg": optional_field(message, "body_mass_kg"),
        "completion": COMPLETION.name(message.completion),
        "group_external_id": message.group_external_id,
        "workout_id": optional_uuid(message.workout_id),
        "workout_revision": message.workout_revision or None,
        "supersedes_id": optional_uuid(message.supersedes_session_id),
        "created_at": to_datetime(message.create_time, "create_time"),
    }


def _uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _each_once(findings: Sequence[Finding]) -> list[Finding]:
    return list(dict.fromkeys(findings))
