"""ReadinessService."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from calisthenics.training.v1 import readiness_pb2 as pb
from calisthenics.training.v1 import session_pb2
from calisthenics.training.v1.readiness_pb2_grpc import ReadinessServiceServicer

from training_service.caller import Scope, athlete_scope
from training_service.domain import paging
from training_service.domain import readiness as domain
from training_service.domain.metrics import completion
from training_service.domain.readiness import (
    Absence,
    Component,
    ComponentKind,
    RatedSession,
    Readiness,
)
from training_service.domain.wellness import NewWellness, Ratings
from training_service.servicers.convert import (
    exercise_uuid,
    from_date,
    optional_field,
    to_date,
    to_timestamp,
    utc_now,
    write_request,
)
from training_service.servicers.dates import dates_of, day_of
from training_service.servicers.enums import EnumNames
from training_service.servicers.once import once
from training_service.servicers.paging import date_of_token, listing_digest
from training_service.servicers.session_metrics import to_logged, working_sets
from training_service.storage.exercise import Catalogue
from training_service.storage.readiness import ReadinessInputs, ReadinessRepository
from training_service.storage.wellness import (
    StoredWellness,
    WellnessChange,
    WellnessPlace,
    WellnessRepository,
)

KIND = EnumNames(pb.ReadinessComponentKind)
BAND = EnumNames(pb.ReadinessBand)
ABSENCE = EnumNames(pb.ReadinessAbsenceReason)
WITHHELD = EnumNames(pb.ReadinessWithheldReason)

MAX_VERSION = 2**31 - 1


class ReadinessServicer(ReadinessServiceServicer):
    """How athletes feel, and how ready for training they seem to be."""

    def __init__(
        self, wellness: WellnessRepository, inputs: ReadinessRepository, catalogue: Catalogue
    ) -> None:
        self._wellness = wellness
        self._inputs = inputs
        self._catalogue = catalogue

    async def LogWellness(self, request: pb.LogWellnessRequest, context: Any) -> pb.WellnessEntry:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        new = NewWellness(
            local_date=day_of(request.entry, "entry.local_date", "entry.time_zone"),
            time_zone=request.entry.time_zone,
            ratings=_ratings(request.entry),
            hrv_ms=optional_field(request.entry, "hrv_ms"),
            resting_heart_rate_bpm=optional_field(request.entry, "resting_heart_rate_bpm"),
            notes=request.entry.notes,
            created_at=write.received_at,
        )

        async def work(change: WellnessChange) -> pb.WellnessEntry:
            return _entry(scope, await change.append(new))

        return await once(self._wellness.change(scope), write, pb.WellnessEntry, work)

    async def ListWellness(
        self, request: pb.ListWellnessRequest, context: Any
    ) -> pb.ListWellnessResponse:
        scope = athlete_scope(request.external_user_id)
        first, last = dates_of(request)
        listing = listing_digest(request, scope)
        key = paging.decode_page_token(listing, request.page_token, (str, int))
        begin = _place_of_token(key) if key else (first, 0)
        limit = paging.page_limit(request.page_size)
        found = await self._wellness.list(
            scope, begin, last, limit + 1, show_superseded=request.show_superseded
        )
        entries = [_entry(scope, one) for one in found[:limit]]
        count = paging.fitting_count(entry.ByteSize() for entry in entries)
        response = pb.ListWellnessResponse(entries=entries[:count])
        if count < len(found):
            following = found[count]
            place = (following.local_date.isoformat(), following.version)
            response.next_page_token = paging.encode_page_token(listing, place)
        return response

    async def GetReadiness(self, request: pb.GetReadinessRequest, context: Any) -> pb.Readiness:
        scope = athlete_scope(request.external_user_id)
        day = day_of(request)
        inputs = await self._inputs.inputs(scope, day)
        found = await readiness_of(self._catalogue, inputs, day)
        return pb.Readiness(
            external_user_id=str(scope.external_user_id),
            local_date=to_date(day),
            score=found.score,
            band=BAND.number(found.band or "UNSPECIFIED"),
            coverage=found.coverage,
            withheld_reason=WITHHELD.number(found.withheld or "UNSPECIFIED"),
            components=map(_component, found.components),
        )


async def readiness_of(catalogue: Catalogue, inputs: ReadinessInputs, day: date) -> Readiness:
    """Returns how ready an athlete seems to be on a day, by what is known of it."""
    sessions = [session_pb2.Session.FromString(record) for record in inputs.records]
    return await readiness_on(day, inputs, sessions, catalogue)


async def readiness_on(
    day: date,
    inputs: ReadinessInputs,
    sessions: Sequence[session_pb2.Session],
    catalogue: Catalogue,
) -> Readiness:
    """The same where the sessions of the inputs are read already."""
    shares = await _shares_done(sessions, day, catalogue)
    return domain.readiness(_components(day, inputs, sessions, shares))


async def _shares_done(
    sessions: Sequence[session_pb2.Session], day: date, catalogue: Catalogue
) -> list[float]:
    """Returns how much of their plans the last sessions of a workout got done, the latest first: of
    as many as count."""
    planned = [
        session
        for session in sessions
        if session.workout_id
        and domain.is_within(domain.COMPLETION_DAYS, _local_date(session), day)
    ]
    ids = {exercise_uuid(e.exercise_id) for session in planned for e in session.exercises}
    facts = await catalogue.facts(ids)
    shares: list[float] = []
    for session in planned:
        await asyncio.sleep(0)  # other calls have their turn between sessions
        if (share := completion(to_logged(session, facts))) is not None:
            shares.append(share)
        if len(shares) == domain.COMPLETION_SESSIONS:
            break
    return shares


def _local_date(session: session_pb2.Session) -> date:
    return from_date(session.local_date, "session.local_date")


def _rated_sessions(sessions: Sequence[session_pb2.Session]) -> Iterator[RatedSession]:
    """Yields sessions, the latest first, with their rated sets of the exercises that it has."""
    exercise_ids = {e.exercise_id for latest in sessions[:1] for e in latest.exercises}
    for session in sessions:
        sets = [
            one
            for exercise in session.exercises
            if exercise.exercise_id in exercise_ids
            for one in domain.rated_sets(
                exercise_uuid(exercise.exercise_id), working_sets(exercise)
            )
        ]
        yield RatedSession(_local_date(session), sets)


def _components(
    day: date,
    inputs: ReadinessInputs,
    sessions: Sequence[session_pb2.Session],
    shares: Sequence[float],
) -> list[Component]:
    """Returns all components, in the order of the contract."""
    days_since = (day - inputs.last_date).days if inputs.last_date else Absence.NO_SESSION
    entry = inputs.wellness
    hooper_index = entry.ratings.hooper_index if entry else Absence.NO_WELLNESS_ENTRY
    drift = domain.rpe_drift_of(_rated_sessions(sessions), day)
    return [
        domain.component(ComponentKind.COMPLETION, domain.mean_completion(shares)),
        domain.component(ComponentKind.RPE_DRIFT, drift),
        *domain.load_components(inputs.loads),
        domain.component(ComponentKind.DAYS_SINCE_SESSION, days_since),
        domain.component(ComponentKind.WELLNESS, hooper_index),
    ]


def _component(of: Component) -> pb.ReadinessComponent:
    return pb.ReadinessComponent(
        kind=KIND.number(of.kind),
        value=of.value,
        score=of.score,
        weight=of.weight,
        absence_reason=ABSENCE.number(of.absence or "UNSPECIFIED"),
    )


def _ratings(entry: pb.WellnessEntry) -> Ratings:
    return Ratings(entry.sleep, entry.stress, entry.fatigue, entry.soreness)


def _place_of_token(key: tuple[paging.KeyPart, ...]) -> WellnessPlace:
    version = int(key[1])
    if not 0 <= version <= MAX_VERSION:
        raise paging.invalid_page_token()
    return date_of_token(key[0]), version


def _entry(scope: Scope, stored: StoredWellness) -> pb.WellnessEntry:
    return pb.WellnessEntry(
        external_user_id=str(scope.external_user_id),
        local_date=to_date(stored.local_date),
        time_zone=stored.time_zone,
        **stored.ratings._asdict(),
        hrv_ms=stored.hrv_ms,
        resting_heart_rate_bpm=stored.resting_heart_rate_bpm,
        notes=stored.notes,
        hooper_index=stored.ratings.hooper_index,
        version=stored.version,
        create_time=to_timestamp(stored.created_at),
        superseded=stored.is_superseded,
        author_user_id=str(stored.author_user_id or ""),
    )
