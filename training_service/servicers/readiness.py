"""ReadinessService."""

from typing import Any

from calisthenics.training.v1 import readiness_pb2 as pb
from calisthenics.training.v1.readiness_pb2_grpc import ReadinessServiceServicer

from training_service.caller import Scope, athlete_scope
from training_service.domain import paging
from training_service.domain.readiness import Component
from training_service.domain.wellness import NewWellness, Ratings
from training_service.servicers.convert import (
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
from training_service.servicers.readiness_reader import ReadinessReader
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

    def __init__(self, wellness: WellnessRepository, readiness: ReadinessReader) -> None:
        self._wellness = wellness
        self._readiness = readiness

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
        found = (await self._readiness.read(scope, day)).readiness
        return pb.Readiness(
            external_user_id=str(scope.external_user_id),
            local_date=to_date(day),
            score=found.score,
            band=BAND.number(found.band or "UNSPECIFIED"),
            coverage=found.coverage,
            withheld_reason=WITHHELD.number(found.withheld or "UNSPECIFIED"),
            components=map(_component, found.components),
        )


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
