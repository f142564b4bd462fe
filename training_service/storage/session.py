"""Logged sessions: appended, never changed."""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from functools import cache
from math import inf
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import errors
from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    any_,
    bindparam,
    exists,
    insert,
    null,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from training_service.caller import Scope
from training_service.domain.quota import Quota
from training_service.domain.session import (
    NewSession,
    RetractionKind,
    SessionFilter,
    earliest_start,
    latest_start,
)
from training_service.domain.session_chain import Link
from training_service.errors import Reason, TrainingError, bad_reference
from training_service.observability.current import note_sessions_logged
from training_service.storage import metrics, session_link
from training_service.storage.archive import RECORD, Archive
from training_service.storage.author import signed, signed_record
from training_service.storage.database import Database, Parameters, Transaction
from training_service.storage.idempotency import WriteRequest, request_reused, write_log
from training_service.storage.quota import SESSIONS_OF_DAY
from training_service.storage.statements import (
    Statement,
    exercise_rows,
    own,
    parameter,
    prepare,
    prepare_command,
    written,
)
from training_service.storage.tables import (
    session_exercises,
    session_metrics,
    session_retractions,
    sessions,
    workout_revisions,
)

BATCH_ATTEMPTS = 3
"""How often a batch is tried when other writers store some of its sessions meanwhile."""


class StoredSession(NamedTuple):
    """A session as acknowledged, and what became of it since. The retraction's fields are None
    while the session is current."""

    id: UUID
    started_at: datetime
    original_id: UUID | None
    retraction: str | None
    superseded_by_id: UUID | None
    retract_reason: str | None
    retracted_at: datetime | None
    retract_author_user_id: UUID | None
    record: bytes
    """With its author."""


class SessionIdentity(NamedTuple):
    """A session, and the first version of it; None for the first itself."""

    id: UUID
    original_id: UUID | None


class SessionSummary(NamedTuple):
    """The columns of a session, and what became of it; for listings without sets."""

    id: UUID
    started_at: datetime
    retraction: str | None
    superseded_by_id: UUID | None
    retract_reason: str | None
    retracted_at: datetime | None
    retract_author_user_id: UUID | None
    time_zone: str
    local_date: date
    duration_seconds: int | None
    session_rpe: float | None
    body_mass_kg: float | None
    completion: str
    group_external_id: str
    workout_id: UUID | None
    workout_revision: int | None
    supersedes_id: UUID | None
    created_at: datetime
    author_user_id: UUID | None


SessionKey = tuple[datetime, UUID]
"""Sort key of a listing: start and id."""

RETRACTION = (
    session_retractions.c.kind,
    session_retractions.c.superseded_by_id,
    session_retractions.c.reason,
    session_retractions.c.created_at,
    session_retractions.c.author_user_id,
)
_WITH_RETRACTION = sessions.outerjoin(
    session_retractions,
    and_(
        session_retractions.c.external_user_id == sessions.c.external_user_id,
        session_retractions.c.session_id == sessions.c.id,
    ),
)
_IS_RETRACTED = exists().where(
    own(session_retractions), session_retractions.c.session_id == sessions.c.id
)
NO_RETRACTION = tuple(null().label(c.name) for c in RETRACTION)

Columns = tuple[ColumnElement[Any], ...]

_FULL: Columns = (sessions.c.id, sessions.c.started_at, sessions.c.original_id)
_SUMMARY_BEFORE: Columns = (sessions.c.id, sessions.c.started_at)
_SUMMARY_AFTER: Columns = (
    sessions.c.time_zone,
    sessions.c.local_date,
    sessions.c.duration_seconds,
    sessions.c.session_rpe,
    sessions.c.body_mass_kg,
    sessions.c.completion,
    sessions.c.group_external_id,
    sessions.c.workout_id,
    sessions.c.workout_revision,
    sessions.c.supersedes_id,
    sessions.c.created_at,
    sessions.c.author_user_id,
)
_SIGNED_RECORD = signed(sessions)

_IS_SESSION = sessions.c.id == parameter("session_id", sessions.c.id)
_STORED = (
    select(*_FULL, *RETRACTION, _SIGNED_RECORD).select_from(_WITH_RETRACTION).where(own(sessions))
)
_VALUES = attrgetter(*(c.name for c in written(sessions) if c.name != "external_user_id"))
"""What a new session says for the columns after the first."""
_GET = prepare(_STORED.where(_IS_SESSION), StoredSession)
_IDENTIFY = prepare(
    select(sessions.c.id, sessions.c.original_id).where(own(sessions), _IS_SESSION),
    SessionIdentity,
)
_LIST_VERSIONS = prepare(
    _STORED.where(
        or_(
            sessions.c.id == parameter("original_id", sessions.c.id),
            sessions.c.original_id == parameter("original_id", sessions.c.id),
        )
    ),
    StoredSession,
)


class _Answer(NamedTuple):
    request_id: UUID
    request_digest: bytes
    record: bytes


_ANSWERS = prepare(
    select(sessions.c.request_id, sessions.c.request_digest, _SIGNED_RECORD).where(
        own(sessions), sessions.c.request_id == any_(bindparam("request_ids", type_=ARRAY(Uuid)))
    ),
    _Answer,
)
_WORKOUT_REVISIONS = prepare(
    select(workout_revisions.c.workout_id, workout_revisions.c.revision).where(
        own(workout_revisions),
        workout_revisions.c.workout_id == any_(bindparam("workout_ids", type_=ARRAY(Uuid))),
    ),
    lambda workout_id, revision: (workout_id, revision),
)
_INSERT_RETRACTION = prepare_command(
    insert(session_retractions).values(
        {c.name: parameter(c.name, c) for c in written(session_retractions)}
    )
)

FILTERS: dict[str, Any] = {
    "from_time": sessions.c.started_at >= parameter("from_time", sessions.c.started_at),
    "to_time": sessions.c.started_at < parameter("to_time", sessions.c.started_at),
    # The bounds on started_at follow from those on the date: they let the index on it be used.
    "from_date": and_(
        sessions.c.local_date >= parameter("from_date", sessions.c.local_date),
        sessions.c.started_at >= parameter("from_date_start", sessions.c.started_at),
    ),
    "to_date": and_(
        sessions.c.local_date < parameter("to_date", sessions.c.local_date),
        sessions.c.started_at < parameter("to_date_start", sessions.c.started_at),
    ),
    "workout_id": sessions.c.workout_id == parameter("workout_id", sessions.c.workout_id),
    "exercise_id": exists().where(
        own(session_exercises),
        session_exercises.c.session_id == sessions.c.id,
        session_exercises.c.exercise_id
        == parameter("exercise_id", session_exercises.c.exercise_id),
    ),
}


def filter_names(filters: SessionFilter) -> frozenset[str]:
    """Returns which filters are in use."""
    return frozenset(name for name in FILTERS if getattr(filters, name) is not None)


def filter_parameters(filters: SessionFilter) -> dict[str, Any]:
    """Returns the values of the filters in use."""
    parameters = {name: getattr(filters, name) for name in filter_names(filters)}
    if filters.from_date:
        parameters["from_date_start"] = earliest_start(filters.from_date)
    if filters.to_date:
        parameters["to_date_start"] = latest_start(filters.to_date)
    return parameters


def _selection(
    before: Columns, after: Columns, filters: frozenset[str], *, show_retracted: bool
) -> Select[Any]:
    """Returns the query for an athlete's sessions, their retraction between the columns."""
    if show_retracted:
        statement = select(*before, *RETRACTION, *after).select_from(_WITH_RETRACTION)
    else:
        statement = select(*before, *NO_RETRACTION, *after).where(~_IS_RETRACTED)
    return statement.where(own(sessions), *(FILTERS[name] for name in sorted(filters)))


@cache
def _list(
    filters: frozenset[str],
    *,
    full: bool,
    oldest_first: bool,
    show_retracted: bool,
    continued: bool,
) -> Statement[Any]:
    """Returns a listing: one statement for each combination of filters in use."""
    before, after = (_FULL, (_SIGNED_RECORD,)) if full else (_SUMMARY_BEFORE, _SUMMARY_AFTER)
    statement = _selection(before, after, filters, show_retracted=show_retracted)
    if continued:
        key = tuple_(sessions.c.started_at, sessions.c.id)
        last = tuple_(
            parameter("after_start", sessions.c.started_at), parameter("after_id", sessions.c.id)
        )
        statement = statement.where(key > last if oldest_first else key < last)
    order = [sessions.c.started_at, sessions.c.id]
    statement = statement.order_by(*(order if oldest_first else [c.desc() for c in order]))
    row = StoredSession if full else SessionSummary
    return prepare(statement.limit(bindparam("limit", type_=Integer)), row)


COUNTED_RECORDS = (
    select(RECORD)
    .join(
        session_metrics,
        and_(
            session_metrics.c.external_user_id == sessions.c.external_user_id,
            session_metrics.c.session_id == sessions.c.id,
        ),
    )
    .where(own(sessions), own(session_metrics))
)
"""The records of the sessions that count, or their locators, by way of what they amount to: that is
there for no others, and by date."""


class SessionRepository:
    """Reads and appends the sessions of one athlete at a time."""

    def __init__(self, database: Database, archive: Archive) -> None:
        self._database = database
        self._archive = archive

    async def get(self, scope: Scope, session_id: UUID) -> StoredSession | None:
        """Returns a session, whatever became of it."""
        rows = await self._database.read(scope, _GET, {"session_id": session_id})
        return (await self._archive.rows(scope, rows))[0] if rows else None

    async def identify(self, scope: Scope, session_id: UUID) -> SessionIdentity | None:
        """Returns which session an id names, whatever became of it."""
        rows = await self._database.read(scope, _IDENTIFY, {"session_id": session_id})
        return rows[0] if rows else None

    async def list_versions(self, scope: Scope, original_id: UUID) -> list[StoredSession]:
        """Returns the session with this id and all that amend it, in no order."""
        rows = await self._database.read(scope, _LIST_VERSIONS, {"original_id": original_id})
        return await self._archive.rows(scope, rows)

    async def list_full(
        self, scope: Scope, filters: SessionFilter, after: SessionKey | None, limit: int
    ) -> list[StoredSession]:
        """Returns up to `limit` sessions after a sort key, whole, and one more if there is one,
        whose record nobody fetches from the archive: it only says that there is more."""
        rows = await self._list(scope, filters, after, limit + 1, full=True)
        return [*await self._archive.rows(scope, rows[:limit]), *rows[limit:]]

    async def list_summaries(
        self, scope: Scope, filters: SessionFilter, after: SessionKey | None, limit: int
    ) -> list[SessionSummary]:
        """Returns up to `limit` sessions after a sort key, without their sets and notes."""
        return await self._list(scope, filters, after, limit, full=False)

    async def _list(
        self,
        scope: Scope,
        filters: SessionFilter,
        after: SessionKey | None,
        limit: int,
        *,
        full: bool,
    ) -> list[Any]:
        parameters = filter_parameters(filters)
        statement = _list(
            filter_names(filters),
            full=full,
            oldest_first=filters.oldest_first,
            show_retracted=filters.show_retracted,
            continued=after is not None,
        )
        if after:
            parameters["after_start"], parameters["after_id"] = after
        return await self._database.read(scope, statement, {**parameters, "limit": limit})

    async def workout_revisions(
        self, scope: Scope, workout_ids: Collection[UUID]
    ) -> dict[UUID, set[int]]:
        """Returns the revisions of those of the workouts that exist, deleted ones included."""
        found: dict[UUID, set[int]] = {}
        rows = await self._database.read(
            scope, _WORKOUT_REVISIONS, {"workout_ids": list(workout_ids)}
        )
        for workout_id, revision in rows:
            found.setdefault(workout_id, set()).add(revision)
        return found

    async def log(self, scope: Scope, new: NewSession) -> bytes:
        """Appends a session in a single round trip and returns its record with the author; for a
        request_id that was stored before, what was returned then.

        Raises REQUEST_ID_REUSED, UNKNOWN_WORKOUT for a workout revision that does not exist, and
        QUOTA_EXCEEDED.
        """
        try:
            async with self._database.transaction(scope) as transaction:
                transaction.added.add(Quota.SESSIONS_A_DAY)
                await _insert(transaction, scope, [new])
                await _count(transaction, scope, [new])
        except errors.UniqueViolation:
            return await self._answer(scope, new)
        except errors.ForeignKeyViolation:
            raise await self._unknown_workout(scope, new) from None
        note_sessions_logged(1)
        return _signed(scope, new)

    async def amend(self, scope: Scope, new: NewSession, reason: str) -> bytes:
        """Appends a session that supersedes another; see `log`.

        Raises SESSION_NOT_CURRENT when the other was superseded or voided before.
        """
        try:
            async with self._database.transaction(scope) as transaction:
                transaction.added.add(Quota.SESSIONS_A_DAY)
                await _insert(transaction, scope, [new])
                superseded_id = new.supersedes_id
                assert superseded_id is not None
                retraction = _retraction(superseded_id, new.id, reason, new.created_at)
                await transaction.execute(_INSERT_RETRACTION, retraction)
                await metrics.take(transaction, [superseded_id])
                await _count(transaction, scope, [new])
        except errors.UniqueViolation:
            return await self._answer(scope, new)
        except errors.ForeignKeyViolation:
            raise await self._unknown_workout(scope, new) from None
        return _signed(scope, new)

    async def _unknown_workout(self, scope: Scope, new: NewSession) -> TrainingError:
        """Returns the refusal of a session whose workout revision the database did not find."""
        if new.workout_id is None:
            raise AssertionError("only the workout revision may be missing")
        known = await self.workout_revisions(scope, [new.workout_id])
        return unknown_workout(known.get(new.workout_id, set()))

    async def _answer(self, scope: Scope, new: NewSession) -> bytes:
        """Returns what was answered when this request came before."""
        found = await self._database.read(scope, _ANSWERS, {"request_ids": [new.request_id]})
        if not found:
            raise not_current(new.supersedes_id)
        [answer] = await self._archive.rows(scope, found)
        return _same_request(answer, new)

    async def log_batch(
        self, scope: Scope, batch: Sequence[NewSession], *, atomic: bool
    ) -> list[bytes | TrainingError]:
        """Appends sessions in one transaction; returns the record, or the refusal, of each.

        With `atomic`, nothing is stored when one is refused.
        """
        for _ in range(BATCH_ATTEMPTS):
            try:
                return await self._try_batch(scope, batch, atomic=atomic)
            except errors.UniqueViolation:
                continue
        raise TrainingError(
            Reason.CONFLICT, "sessions of this batch are being stored by another call"
        )

    async def _try_batch(
        self, scope: Scope, batch: Sequence[NewSession], *, atomic: bool
    ) -> list[bytes | TrainingError]:
        async with self._database.transaction(scope) as transaction:
            request_ids = [new.request_id for new in batch if new.request_id]
            found, room = await _answers_and_room(transaction, request_ids)
            answers = await self._archive.rows_by(transaction.fetch, found)
            known = {answer.request_id: answer for answer in answers}
            results: list[bytes | TrainingError] = []
            fresh: list[NewSession] = []
            for new in batch:
                if new.request_id not in known:
                    if len(fresh) >= room:
                        results.append(_too_many(transaction))
                        continue
                    fresh.append(new)
                    record = _signed(scope, new)
                    results.append(record)
                    if new.request_id:
                        known[new.request_id] = _Answer(new.request_id, new.request_digest, record)
                    continue
                try:
                    results.append(_same_request(known[new.request_id], new))
                except TrainingError as refusal:
                    results.append(refusal)
            if atomic and any(isinstance(r, TrainingError) for r in results):
                fresh = []
            else:
                await _insert(transaction, scope, fresh)
                await _count(transaction, scope, fresh)
        note_sessions_logged(len(fresh))
        return results

    async def void(
        self, scope: Scope, session_id: UUID, reason: str, request: WriteRequest
    ) -> StoredSession:
        """Takes a session back and returns it.

        Raises SESSION_NOT_FOUND, SESSION_NOT_CURRENT when it was superseded or voided before, and
        REQUEST_ID_REUSED.
        """
        try:
            async with self._database.transaction(scope) as transaction:
                replayed = await write_log.replay(transaction, request)
                found = await transaction.fetch(_GET, {"session_id": session_id})
                if not found:
                    raise session_not_found()
                # First of all: what can't be answered is not done.
                [stored] = await self._archive.rows_by(transaction.fetch, found)
                if replayed is not None:
                    return stored
                retraction = _retraction(session_id, None, reason, request.received_at)
                await transaction.execute(_INSERT_RETRACTION, retraction)
                await metrics.take(transaction, [session_id])
                await write_log.record(transaction, request, b"")
        except errors.UniqueViolation:
            raise not_current(session_id) from None
        return stored._replace(
            retraction=RetractionKind.VOIDED,
            retract_reason=reason,
            retracted_at=request.received_at,
            retract_author_user_id=scope.author_user_id,
        )


def not_current(session_id: UUID | None) -> TrainingError:
    """Returns the refusal to supersede or void a session that no longer counts."""
    return TrainingError(
        Reason.SESSION_NOT_CURRENT,
        "the session was superseded or voided before",
        metadata={"session_id": str(session_id)},
    )


def _signed(scope: Scope, new: NewSession) -> bytes:
    return signed_record(sessions, new.record, scope.author_user_id)


def _same_request(answer: _Answer, new: NewSession) -> bytes:
    if answer.request_digest != new.request_digest:
        raise request_reused(new.request_id)
    return answer.record


def session_not_found() -> TrainingError:
    """Returns the refusal of a session id that the athlete has no session for."""
    return bad_reference(Reason.SESSION_NOT_FOUND, "session_id", "there is no such session")


def unknown_workout(known: Collection[int]) -> TrainingError:
    """Returns the refusal of a session whose workout, of these revisions, lacks the one named."""
    path = "session.workout_revision" if known else "session.workout_id"
    return bad_reference(Reason.UNKNOWN_WORKOUT, path, "there is no such workout or revision")


def _retraction(
    session_id: UUID | None, superseded_by_id: UUID | None, reason: str, now: datetime
) -> dict[str, Any]:
    kind = RetractionKind.SUPERSEDED if superseded_by_id else RetractionKind.VOIDED
    return {
        "session_id": session_id,
        "kind": kind,
        "superseded_by_id": superseded_by_id,
        "reason": reason,
        "created_at": now,
    }


async def _answers_and_room(
    transaction: Transaction, request_ids: Sequence[UUID]
) -> tuple[Sequence[_Answer], float]:
    """Returns what was answered to requests that came before, and how many sessions may be logged
    today beside those that were; in one round trip."""
    queries: list[tuple[Statement[Any], Parameters]] = [(_ANSWERS, {"request_ids": request_ids})]
    most = transaction.quotas.limit(Quota.SESSIONS_A_DAY)
    if most is None:
        [answers] = await transaction.fetch_each(queries)
        return answers, inf
    now = datetime.now(UTC)
    queries.append((SESSIONS_OF_DAY, transaction.quotas.parameters(Quota.SESSIONS_A_DAY, now)))
    answers, [count] = await transaction.fetch_each(queries)
    return answers, most - count


def _too_many(transaction: Transaction) -> TrainingError:
    return transaction.quotas.exceeded(Quota.SESSIONS_A_DAY, datetime.now(UTC))


async def _insert(transaction: Transaction, scope: Scope, batch: Sequence[NewSession]) -> None:
    """Queues the rows of sessions; as many statements for one exercise as for a hundred."""
    athlete = scope.external_user_id
    rows = [(athlete, *_VALUES(new)) for new in batch]
    children = [row for new in batch for row in exercise_rows(athlete, new.id, new.exercises)]
    await transaction.insert(sessions, rows)
    await transaction.insert(session_exercises, children)


async def _count(transaction: Transaction, scope: Scope, batch: Sequence[NewSession]) -> None:
    """Queues what new sessions amount to.

    Last, for until the end of the transaction others of the athlete wait for the records and the
    end of the chain.
    """
    measured = [
        metrics.MeasuredSession(
            new.id,
            new.local_date,
            new.started_at,
            new.workout_id,
            new.duration_seconds,
            [exercise_id for exercise_id, _ in new.exercises],
            new.metrics,
        )
        for new in batch
    ]
    await metrics.add(transaction, scope.external_user_id, measured)
    await session_link.append(transaction, [Link.of(new.id, new.record) for new in batch])
