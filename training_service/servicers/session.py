"""SessionService."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import uuid6
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1.session_pb2_grpc import SessionServiceServicer
from google.protobuf.message import Message

from training_service import contract
from training_service.caller import Scope, athlete_scope
from training_service.domain import paging
from training_service.domain.metrics import session_metrics
from training_service.domain.ordering import check_orders
from training_service.domain.session import (
    NewSession,
    RetractionKind,
    SessionFilter,
    check_counted_in_reps,
    check_counted_in_seconds,
    check_set_count,
    local_date,
)
from training_service.errors import Reason, TrainingError, invalid_field
from training_service.servicers.convert import (
    digest,
    exercise_uuid,
    from_date,
    optional_field,
    optional_uuid,
    to_date,
    to_datetime,
    to_timestamp,
    utc_now,
    write_request,
)
from training_service.servicers.enums import EnumNames
from training_service.servicers.paging import listing_digest, uuid_of_token
from training_service.servicers.records import of_records
from training_service.servicers.references import check_exercises_known, check_volume
from training_service.servicers.session_metrics import to_logged
from training_service.storage.exercise import Catalogue, ExerciseFacts
from training_service.storage.session import (
    SessionIdentity,
    SessionKey,
    SessionRepository,
    SessionSummary,
    StoredSession,
    session_not_found,
    unknown_workout,
)
from training_service.storage.session_change import (
    START,
    ChangePlace,
    SessionChange,
    SessionChangeRepository,
    place_of_snapshot,
)
from training_service.storage.session_export import (
    ExportedSession,
    ExportPlace,
    SessionExportRepository,
)

MAX_SETS_PER_BATCH = 20_000
"""How much one call may ask of a process that serves others at the same time."""

EXPORT_MESSAGE_BYTES = 1_000_000
"""About how much one message of an export carries."""

MAX_TRANSACTION_ID = 2**63
CHANGES = listing_digest(pb.ListSessionChangesRequest())

COMPLETION = EnumNames(pb.SessionCompletion)
CHANGE_KIND = EnumNames(pb.SessionChangeKind)
STATES = {
    None: pb.SESSION_STATE_CURRENT,
    RetractionKind.SUPERSEDED.value: pb.SESSION_STATE_SUPERSEDED,
    RetractionKind.VOIDED.value: pb.SESSION_STATE_VOIDED,
}
ListSessionsRecords = of_records(pb.ListSessionsResponse.DESCRIPTOR)
ListSessionVersionsRecords = of_records(pb.ListSessionVersionsResponse.DESCRIPTOR)
ExportSessionsRecords = of_records(pb.ExportSessionsResponse.DESCRIPTOR)
SessionChangeRecord = of_records(pb.SessionChange.DESCRIPTOR)
ListSessionChangesRecords = of_records(pb.ListSessionChangesResponse.DESCRIPTOR)
BatchLogSessionsRecords = of_records(pb.BatchLogSessionsResponse.DESCRIPTOR)
BatchLogSessionsRecord = of_records(pb.BatchLogSessionsResult.DESCRIPTOR)
FILTERS: Mapping[str, Callable[[Any], Any]] = {
    **{name: partial(to_datetime, path=name) for name in ("from_time", "to_time")},
    **{name: partial(from_date, path=name) for name in ("from_date", "to_date")},
    **dict.fromkeys(("workout_id", "exercise_id"), UUID),
    **dict.fromkeys(("oldest_first", "show_retracted"), bool),
}
"""How each filter is read from its field of a request."""
OUTPUT_ONLY = contract.output_only_fields(pb.Session.DESCRIPTOR)

PATH = "session.exercises"

Revisions = Mapping[UUID, set[int]]


class SessionServicer(SessionServiceServicer):
    """Session logs."""

    def __init__(
        self,
        sessions: SessionRepository,
        exports: SessionExportRepository,
        changes: SessionChangeRepository,
        catalogue: Catalogue,
    ) -> None:
        self._sessions = sessions
        self._exports = exports
        self._changes = changes
        self._catalogue = catalogue

    async def LogSession(  # type: ignore[override]
        self, request: pb.LogSessionRequest, context: Any
    ) -> bytes:
        scope = athlete_scope(request.external_user_id)
        sent = digest("log", request.session)
        draft = _Draft(scope, request.session, request.request_id, sent, utc_now())
        new = await self._complete(draft)
        return await self._sessions.log(scope, new)

    async def AmendSession(  # type: ignore[override]
        self, request: pb.AmendSessionRequest, context: Any
    ) -> bytes:
        scope = athlete_scope(request.external_user_id)
        superseded = await self._identify(scope, request.session_id)
        sent = digest("amend", request.session_id, request.reason, request.session)
        draft = _Draft(scope, request.session, request.request_id, sent, utc_now(), superseded)
        new = await self._complete(draft)
        return await self._sessions.amend(scope, new, request.reason)

    async def BatchLogSessions(  # type: ignore[override]
        self, request: pb.BatchLogSessionsRequest, context: Any
    ) -> Message:
        scope = athlete_scope(request.external_user_id)
        now = utc_now()
        _check_batch_size(request)
        results: list[bytes | TrainingError] = []
        drafts: dict[int, _Draft] = {}
        for index, entry in enumerate(request.requests):
            await asyncio.sleep(0)  # other calls have their turn between sessions
            try:
                _check_entry(entry, scope)
                sent = digest("log", entry.session)
                drafts[index] = _Draft(scope, entry.session, entry.request_id, sent, now)
            except TrainingError as refusal:
                results.append(refusal)
            else:
                results.append(b"")
        batch = await self._complete_batch(scope, drafts, results)
        if request.atomic and any(isinstance(r, TrainingError) for r in results):
            return _batch_response(_all_refused(results))
        stored = await self._sessions.log_batch(scope, list(batch.values()), atomic=request.atomic)
        for index, outcome in zip(batch, stored, strict=True):
            results[index] = outcome
        if request.atomic and any(isinstance(r, TrainingError) for r in results):
            results = _all_refused(results)
        return _batch_response(results)

    async def GetSession(  # type: ignore[override]
        self, request: pb.GetSessionRequest, context: Any
    ) -> bytes:
        scope = athlete_scope(request.external_user_id)
        return to_record(await self._get(scope, request.session_id))

    async def ListSessions(  # type: ignore[override]
        self, request: pb.ListSessionsRequest, context: Any
    ) -> Message:
        scope = athlete_scope(request.external_user_id)
        filters = _filter(request)
        listing = listing_digest(request, scope)
        after = _after(paging.decode_page_token(listing, request.page_token, (int, str)))
        limit = paging.page_limit(request.page_size)
        rows: Sequence[StoredSession | SessionSummary]
        if request.view == pb.SESSION_VIEW_FULL:
            rows = stored = await self._sessions.list_full(scope, filters, after, limit)
            count = paging.fitting_count(len(row.record) for row in stored[:limit])
            response = ListSessionsRecords(sessions=map(to_record, stored[:count]))
        else:
            rows = found = await self._sessions.list_summaries(scope, filters, after, limit + 1)
            count = min(len(found), limit)
            response = pb.ListSessionsResponse(sessions=[_summary(scope, r) for r in found[:count]])
        if count < len(rows):
            response.next_page_token = paging.encode_page_token(listing, _key(rows[count - 1]))
        return response  # type: ignore[no-any-return]

    async def ExportSessions(  # type: ignore[override]
        self, request: pb.ExportSessionsRequest, context: Any
    ) -> AsyncIterator[Message]:
        scope = athlete_scope(request.external_user_id)
        async with aclosing(self._export(request, scope)) as messages:
            async for message in messages:
                yield message

    async def ExportAllSessions(  # type: ignore[override]
        self, request: pb.ExportAllSessionsRequest, context: Any
    ) -> AsyncIterator[Message]:
        async with aclosing(self._export(request, None)) as messages:
            async for message in messages:
                yield message

    async def _export(
        self,
        request: pb.ExportSessionsRequest | pb.ExportAllSessionsRequest,
        scope: Scope | None,
    ) -> AsyncGenerator[Message]:
        """Yields the messages of an export of one athlete or, without a scope, of all."""
        listing = listing_digest(request, scope)
        place = _export_place(paging.decode_page_token(listing, request.cursor, (str, str, str)))
        summary = pb.ExportSummary()
        ids = hashlib.sha256()
        batches = self._exports.export(scope, _filter(request), place)
        async with aclosing(batches):
            async for batch, snapshot in batches:
                for part in paging.parts(batch, EXPORT_MESSAGE_BYTES, _record_size):
                    ids.update("".join(f"{row.id}\n" for row in part).encode())
                    summary.session_count += len(part)
                    last = part[-1]
                    key = (str(last.external_user_id), str(last.id), snapshot)
                    yield ExportSessionsRecords(
                        sessions=[to_record(row) for row in part],
                        cursor=paging.encode_page_token(listing, key),
                    )
        summary.ids_sha256 = ids.hexdigest()
        if scope is None:
            changes = _change_key(place_of_snapshot(snapshot))
            summary.changes_cursor = paging.encode_page_token(CHANGES, changes)
        yield pb.ExportSessionsResponse(summary=summary)

    async def ListSessionChanges(  # type: ignore[override]
        self, request: pb.ListSessionChangesRequest, context: Any
    ) -> Message:
        # Nothing else of a request moves the place: whether it brings the sessions may vary.
        key = paging.decode_page_token(CHANGES, request.cursor, (int, int, str, str))
        after = _change_place(key) if key else START
        limit = paging.page_limit(request.page_size)
        found = await self._changes.list(after, limit + 1, with_records=request.include_sessions)
        shown = found[:limit]
        if request.include_sessions:
            shown = shown[: paging.fitting_count(len(change.record or b"") for change in shown)]
        if shown:
            after = shown[-1].place
        messages = [_change(change, with_session=request.include_sessions) for change in shown]
        return ListSessionChangesRecords(  # type: ignore[no-any-return]
            changes=[message.SerializeToString() for message in messages],
            cursor=paging.encode_page_token(CHANGES, _change_key(after)),
            has_more=len(shown) < len(found),
        )

    async def VoidSession(  # type: ignore[override]
        self, request: pb.VoidSessionRequest, context: Any
    ) -> bytes:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        session_id = UUID(request.session_id)
        return to_record(await self._sessions.void(scope, session_id, request.reason, write))

    async def ListSessionVersions(  # type: ignore[override]
        self, request: pb.ListSessionVersionsRequest, context: Any
    ) -> Message:
        scope = athlete_scope(request.external_user_id)
        named = await self._identify(scope, request.session_id)
        original_id = named.original_id or named.id
        versions = await self._sessions.list_versions(scope, original_id)
        ordered = _first_to_last(versions, original_id)
        listing = listing_digest(request, scope)
        key = paging.decode_page_token(listing, request.page_token, (int,))
        begin = max(int(key[0]), 0) if key else 0
        rest = ordered[begin : begin + paging.page_limit(request.page_size)]
        end = begin + paging.fitting_count(len(version.record) for version in rest)
        response = ListSessionVersionsRecords(sessions=map(to_record, ordered[begin:end]))
        if end < len(ordered):
            response.next_page_token = paging.encode_page_token(listing, (end,))
        return response  # type: ignore[no-any-return]

    async def _get(self, scope: Scope, session_id: str) -> StoredSession:
        stored = await self._sessions.get(scope, UUID(session_id))
        if stored is None:
            raise session_not_found()
        return stored

    async def _identify(self, scope: Scope, session_id: str) -> SessionIdentity:
        found = await self._sessions.identify(scope, UUID(session_id))
        if found is None:
            raise session_not_found()
        return found

    async def _complete(self, draft: "_Draft") -> NewSession:
        """Resolves what a session refers to, or refuses it."""
        revisions: Revisions = {}
        if draft.workout_id and not draft.message.workout_revision:
            revisions = await self._sessions.workout_revisions(draft.scope, [draft.workout_id])
        draft.resolve_workout(revisions)
        facts = await self._catalogue.facts(draft.exercise_ids)
        new = draft.finish(facts)
        await self._catalogue.freeze(facts, draft.now)
        return new

    async def _complete_batch(
        self, scope: Scope, drafts: Mapping[int, "_Draft"], results: list[bytes | TrainingError]
    ) -> dict[int, NewSession]:
        """Resolves what the sessions of a batch refer to; puts refusals among the results."""
        workout_ids = {draft.workout_id for draft in drafts.values() if draft.workout_id}
        revisions: Revisions = {}
        if workout_ids:
            revisions = await self._sessions.workout_revisions(scope, workout_ids)
        ids = {id for draft in drafts.values() for id in draft.exercise_ids}
        facts = await self._catalogue.facts(ids)
        batch: dict[int, NewSession] = {}
        for index, draft in drafts.items():
            await asyncio.sleep(0)
            try:
                draft.resolve_workout(revisions, all_known=True)
                batch[index] = draft.finish(facts)
            except TrainingError as refusal:
                results[index] = refusal
        used = {id for new in batch.values() for id, _ in new.exercises}
        await self._catalogue.freeze({id: facts[id] for id in used}, utc_now())
        return batch


class _Draft:
    """A session on its way to being stored."""

    def __init__(
        self,
        scope: Scope,
        given: pb.Session,
        request_id: str,
        request_digest: bytes,
        now: datetime,
        supersedes: SessionIdentity | None = None,
    ) -> None:
        self.scope = scope
        self.now = now
        self.request_id = optional_uuid(request_id)
        self.request_digest = request_digest
        self.supersedes = supersedes
        self.message = pb.Session()
        self.message.CopyFrom(given)
        for name in OUTPUT_ONLY:
            self.message.ClearField(name)  # type: ignore[arg-type]
        check_set_count(sum(len(e.sets) for e in given.exercises), PATH)
        self.workout_id = optional_uuid(given.workout_id)
        self.message.workout_id = str(self.workout_id or "")
        self.started_at = to_datetime(given.start_time, "session.start_time")
        # The database keeps microseconds; every view of a session should show the same start.
        self.message.start_time.FromDatetime(self.started_at)
        self.local_date = local_date(self.started_at, given.time_zone, "session.time_zone")
        self.given = given.exercises
        self.exercise_ids = [exercise_uuid(e.exercise_id) for e in given.exercises]
        check_orders([e.order for e in self.given], PATH)
        self.message.exercises.sort(key=lambda exercise: exercise.order)
        for order, exercise in enumerate(self.message.exercises, start=1):
            exercise.order = order
            exercise.exercise_id = str(exercise_uuid(exercise.exercise_id))

    def resolve_workout(self, revisions: Revisions, *, all_known: bool = False) -> None:
        """Settles which revision of the workout was followed.

        `revisions` are those that exist, for the workout of a session that names no revision, and
        with `all_known` for any workout. Otherwise a revision that is named is taken at its word:
        the database refuses it if it does not exist.
        """
        message = self.message
        if self.workout_id is None:
            message.workout_revision = 0
            return
        known = revisions.get(self.workout_id, set())
        if not message.workout_revision:
            if not known:
                raise unknown_workout(known)
            message.workout_revision = max(known)
        elif all_known and message.workout_revision not in known:
            raise unknown_workout(known)

    def finish(self, facts: Mapping[UUID, ExerciseFacts]) -> NewSession:
        """Returns the session as it is stored; refuses unknown exercises and volumes that don't
        fit them."""
        check_exercises_known(self.exercise_ids, facts, PATH)
        for index, (id, exercise) in enumerate(zip(self.exercise_ids, self.given, strict=True)):
            _check_sets(facts[id], exercise.sets, f"{PATH}[{index}].sets")
        message = self.message
        session_id = uuid6.uuid7()
        message.id = str(session_id)
        message.external_user_id = str(self.scope.external_user_id)
        message.local_date.CopyFrom(to_date(self.local_date))
        message.create_time.FromDatetime(self.now)
        message.state = pb.SESSION_STATE_CURRENT
        message.completion = message.completion or pb.SESSION_COMPLETION_COMPLETED
        original_id = None
        if self.supersedes:
            message.supersedes_session_id = str(self.supersedes.id)
            original_id = self.supersedes.original_id or self.supersedes.id
        return NewSession(
            id=session_id,
            started_at=self.started_at,
            time_zone=message.time_zone,
            local_date=self.local_date,
            duration_seconds=optional_field(message, "duration_seconds"),
            session_rpe=optional_field(message, "session_rpe"),
            body_mass_kg=optional_field(message, "body_mass_kg"),
            completion=COMPLETION.name(message.completion),
            group_external_id=message.group_external_id,
            workout_id=self.workout_id,
            workout_revision=message.workout_revision or None,
            request_id=self.request_id,
            request_digest=self.request_digest,
            exercises=tuple((exercise_uuid(e.exercise_id), len(e.sets)) for e in message.exercises),
            created_at=self.now,
            record=message.SerializeToString(),
            metrics=session_metrics(to_logged(message, facts)),
            supersedes_id=self.supersedes.id if self.supersedes else None,
            original_id=original_id,
        )


def _check_sets(facts: ExerciseFacts, sets: Iterable[pb.PerformedSet], path: str) -> None:
    for index, performed in enumerate(sets):
        if performed.HasField("actual_reps"):
            check_counted_in_reps(facts.movement_kind, f"{path}[{index}].actual_reps")
        if performed.HasField("actual_hold_seconds"):
            check_counted_in_seconds(facts.movement_kind, f"{path}[{index}].actual_hold_seconds")
        if performed.HasField("target"):
            check_volume(facts.movement_kind, performed.target, f"{path}[{index}].target")


def _check_batch_size(request: pb.BatchLogSessionsRequest) -> None:
    sets = sum(len(e.sets) for entry in request.requests for e in entry.session.exercises)
    if sets > MAX_SETS_PER_BATCH:
        raise invalid_field("requests", f"must not have more than {MAX_SETS_PER_BATCH} sets in all")


def _check_entry(entry: pb.LogSessionRequest, scope: Scope) -> None:
    """Refuses an entry of a batch that breaks the contract or is for another athlete."""
    contract.check(entry)
    if entry.external_user_id and UUID(entry.external_user_id) != scope.external_user_id:
        raise invalid_field("external_user_id", "must be empty or that of the batch")


def _all_refused(results: Sequence[bytes | TrainingError]) -> list[bytes | TrainingError]:
    """Returns the results of an all-or-nothing batch of which one was refused."""
    other = TrainingError(Reason.BATCH_REFUSED, "another session of the batch was refused")
    return [r if isinstance(r, TrainingError) else other for r in results]


def _batch_response(results: Iterable[bytes | TrainingError]) -> Message:
    return BatchLogSessionsRecords(  # type: ignore[no-any-return]
        results=[_batch_result(result).SerializeToString() for result in results]
    )


def _batch_result(result: bytes | TrainingError) -> Message:
    if isinstance(result, TrainingError):
        return pb.BatchLogSessionsResult(status=contract.to_status(result))
    return BatchLogSessionsRecord(session=result)  # type: ignore[no-any-return]


def _first_to_last(versions: Sequence[StoredSession], original_id: UUID) -> list[StoredSession]:
    """Returns the versions of a session in the order they superseded one another. The clocks of
    the machines that stored them may differ, so their times and ids don't tell."""
    by_id = {version.id: version for version in versions}
    ordered = [by_id[original_id]]
    while (successor := ordered[-1].superseded_by_id) is not None:
        ordered.append(by_id[successor])
    return ordered


def _record_size(row: ExportedSession) -> int:
    return len(row.record)


def _export_place(key: tuple[paging.KeyPart, ...] | None) -> ExportPlace | None:
    if key is None:
        return None
    return ExportPlace(uuid_of_token(key[0]), uuid_of_token(key[1]), str(key[2]))


def _change_place(key: tuple[paging.KeyPart, ...]) -> ChangePlace:
    transaction_id = int(key[0])
    if not 0 <= transaction_id < MAX_TRANSACTION_ID:
        raise paging.invalid_page_token()
    return ChangePlace(transaction_id, bool(key[1]), uuid_of_token(key[2]), uuid_of_token(key[3]))


def _change_key(place: ChangePlace) -> tuple[int | str, ...]:
    return (
        place.transaction_id,
        int(place.is_retraction),
        str(place.external_user_id),
        str(place.session_id),
    )


def _change(change: SessionChange, *, with_session: bool) -> Message:
    message: Message = SessionChangeRecord(
        kind=CHANGE_KIND.number(change.kind),
        external_user_id=str(change.place.external_user_id),
        session_id=str(change.place.session_id),
        superseded_session_id=str(change.superseded_id or ""),
        change_time=to_timestamp(change.changed_at).SerializeToString(),
        session=(change.record or b"") if with_session else b"",
    )
    return message


def _filter(
    request: pb.ListSessionsRequest | pb.ExportSessionsRequest | pb.ExportAllSessionsRequest,
) -> SessionFilter:
    """Returns the filters of a request; an export has fewer of them."""
    given = {field.name: value for field, value in request.ListFields() if field.name in FILTERS}
    return SessionFilter(**{name: FILTERS[name](value) for name, value in given.items()})


def _key(row: StoredSession | SessionSummary) -> tuple[int, str]:
    return to_timestamp(row.started_at).ToMicroseconds(), str(row.id)


def _after(key: tuple[int | str, ...] | None) -> SessionKey | None:
    if key is None:
        return None
    try:
        instant = pb.Session().start_time
        instant.FromMicroseconds(int(key[0]))
        return to_datetime(instant, "page_token"), UUID(str(key[1]))
    except (ValueError, OverflowError, TrainingError):
        raise paging.invalid_page_token() from None


def to_record(stored: StoredSession | ExportedSession) -> bytes:
    """Returns a session as it was acknowledged, with what became of it since."""
    if stored.retraction is None:
        return stored.record
    # Not appended to the record, though a parser would take the later value: a gateway that
    # transcodes as it reads does not.
    message = pb.Session.FromString(stored.record)
    _set_retraction(message, stored)
    return message.SerializeToString()


def _set_retraction(
    message: pb.Session, row: StoredSession | ExportedSession | SessionSummary
) -> None:
    if row.retraction is None:
        return
    message.state = STATES[row.retraction]
    message.superseded_by_session_id = str(row.superseded_by_id or "")
    message.retract_reason = row.retract_reason or ""
    message.retract_author_user_id = str(row.retract_author_user_id or "")
    if row.retracted_at:
        message.retract_time.FromDatetime(row.retracted_at)


def _summary(scope: Scope, row: SessionSummary) -> pb.Session:
    """Returns a session without its sets and notes."""
    message = pb.Session(
        id=str(row.id),
        external_user_id=str(scope.external_user_id),
        start_time=to_timestamp(row.started_at),
        time_zone=row.time_zone,
        local_date=to_date(row.local_date),
        duration_seconds=row.duration_seconds,
        session_rpe=row.session_rpe,
        body_mass_kg=row.body_mass_kg,
        completion=COMPLETION.number(row.completion),
        group_external_id=row.group_external_id,
        workout_id=str(row.workout_id or ""),
        workout_revision=row.workout_revision or 0,
        supersedes_session_id=str(row.supersedes_id or ""),
        create_time=to_timestamp(row.created_at),
        state=pb.SESSION_STATE_CURRENT,
        author_user_id=str(row.author_user_id or ""),
    )
    _set_retraction(message, row)
    return message
