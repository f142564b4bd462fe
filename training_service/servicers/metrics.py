"""MetricsService."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, TypeVar
from uuid import UUID

from calisthenics.training.v1 import exercise_pb2, session_pb2
from calisthenics.training.v1 import metrics_pb2 as pb
from calisthenics.training.v1.metrics_pb2_grpc import MetricsServiceServicer
from google.api.httpbody_pb2 import HttpBody

from training_service.caller import athlete_scope
from training_service.charts import data as charts
from training_service.charts.render import ChartRenderer
from training_service.domain import paging
from training_service.domain.distribution import (
    ExerciseVolume,
    by_category,
    by_muscle,
    push_share,
)
from training_service.domain.metrics import LoadBasis, Total
from training_service.domain.periods import Period, change, week_streaks
from training_service.errors import Reason, bad_reference, invalid_field
from training_service.servicers.chart import (
    MAX_DAYS,
    ChartQuestion,
    ChartSource,
    chart_size,
    drawn,
)
from training_service.servicers.convert import exercise_uuid, from_date, optional_uuid, to_date
from training_service.servicers.dates import dates_of, today_of
from training_service.servicers.enums import EnumNames
from training_service.servicers.exercise_volume import exercise_volumes
from training_service.servicers.paging import date_of_token, listing_digest, uuid_of_token
from training_service.servicers.session_metrics import (
    LOAD_BASIS,
    to_logged,
    to_message,
    to_total,
)
from training_service.servicers.skill_source import SkillSource
from training_service.storage.exercise import Catalogue, ExerciseFacts
from training_service.storage.load import LoadRepository
from training_service.storage.metrics import (
    ExerciseDay,
    MetricsRepository,
    PeriodTotal,
)
from training_service.storage.personal_record import (
    COLUMNS,
    PersonalRecord,
    PersonalRecordRepository,
    RecordKind,
)
from training_service.storage.session import SessionRepository, session_not_found
from training_service.storage.tables import BESTS, EXERCISE_MEASURES, MEASURES

CATEGORY = EnumNames(exercise_pb2.ExerciseCategory)
MUSCLE = EnumNames(exercise_pb2.Muscle)
RECORD_KIND = EnumNames(pb.PersonalRecordKind)
CHART_KIND = EnumNames(pb.ChartKind)
RECORD_FIELDS = {
    RecordKind.MOST_REPS: "reps",
    RecordKind.LONGEST_HOLD: "hold_seconds",
    RecordKind.HEAVIEST_LOAD: "load_kg",
    RecordKind.BEST_1RM: "epley_1rm_kg",
}
"""The field that says how much a record is."""

ONE_YEAR = timedelta(days=365)

Aggregates = TypeVar(
    "Aggregates", pb.ListWeeklyAggregatesResponse, pb.ListMonthlyAggregatesResponse
)


class MetricsServicer(MetricsServiceServicer):
    """What logged sessions amount to."""

    def __init__(
        self,
        sessions: SessionRepository,
        metrics: MetricsRepository,
        loads: LoadRepository,
        records: PersonalRecordRepository,
        catalogue: Catalogue,
        skills: SkillSource,
        renderer: ChartRenderer,
    ) -> None:
        self._sessions = sessions
        self._metrics = metrics
        self._loads = loads
        self._records = records
        self._charts = ChartSource(metrics, catalogue, skills)
        self._renderer = renderer
        self._catalogue = catalogue

    async def GetSessionMetrics(
        self, request: pb.GetSessionMetricsRequest, context: Any
    ) -> pb.SessionMetrics:
        scope = athlete_scope(request.external_user_id)
        stored = await self._sessions.get(scope, UUID(request.session_id))
        if stored is None:
            raise session_not_found()
        session = session_pb2.Session.FromString(stored.record)
        facts = await self._catalogue.facts(exercise_uuid(e.exercise_id) for e in session.exercises)
        message = to_message(session, to_logged(session, facts))
        workout_id = optional_uuid(session.workout_id)
        if not message.HasField("load_au") and workout_id:
            load_au = await self._loads.imputed_load_au(scope, workout_id, stored.started_at)
            if load_au is not None:
                message.load_au = load_au
                message.load_basis = LOAD_BASIS.number(LoadBasis.IMPUTED)
        return message

    async def ListDailyTotals(
        self, request: pb.ListDailyTotalsRequest, context: Any
    ) -> pb.ListDailyTotalsResponse:
        scope = athlete_scope(request.external_user_id)
        first, last = dates_of(request)
        listing = listing_digest(request, scope)
        first = _page_start(listing, request.page_token, first)
        limit = paging.page_limit(request.page_size)
        found = await self._metrics.list_days(scope, first, last, limit + 1)
        response = pb.ListDailyTotalsResponse(
            days=[
                pb.DailyTotals(local_date=to_date(day.start_date), totals=_totals(day))
                for day in found[:limit]
            ]
        )
        if len(found) > limit:
            response.next_page_token = _page_token(listing, found[limit])
        return response

    async def ListWeeklyAggregates(
        self, request: pb.ListWeeklyAggregatesRequest, context: Any
    ) -> pb.ListWeeklyAggregatesResponse:
        return await self._aggregates(Period.WEEK, request, pb.ListWeeklyAggregatesResponse())

    async def ListMonthlyAggregates(
        self, request: pb.ListMonthlyAggregatesRequest, context: Any
    ) -> pb.ListMonthlyAggregatesResponse:
        return await self._aggregates(Period.MONTH, request, pb.ListMonthlyAggregatesResponse())

    async def _aggregates(self, period: Period, request: Any, response: Aggregates) -> Aggregates:
        """Fills a response with a page of weeks or months."""
        scope = athlete_scope(request.external_user_id)
        today = today_of(request)
        first, last = dates_of(request)
        listing = listing_digest(request, scope)
        first = period.start(_page_start(listing, request.page_token, first))
        limit = paging.page_limit(request.page_size)
        # One before, to compare the first with, and one after, to see whether there is more.
        found = await self._metrics.list_periods(
            scope, period, period.previous(first), min(last, today), limit + 2
        )
        before = found.pop(0) if found and found[0].start_date < first else None
        for one in found[:limit]:
            response.aggregates.append(_aggregate(period, one, before, today))
            before = one
        if len(found) > limit:
            response.next_page_token = _page_token(listing, found[limit])
        return response

    async def GetExerciseProgress(
        self, request: pb.GetExerciseProgressRequest, context: Any
    ) -> pb.ExerciseProgress:
        scope = athlete_scope(request.external_user_id)
        exercises = await self._subject(request)
        first, last = dates_of(request)
        listing = listing_digest(request, scope)
        key = paging.decode_page_token(listing, request.page_token, (str, str))
        begin = (date_of_token(key[0]), uuid_of_token(key[1])) if key else (first, UUID(int=0))
        limit = paging.page_limit(request.page_size)
        ids = [facts.id for facts in exercises]
        found = await self._metrics.list_progress(scope, ids, begin, last, limit + 1)
        response = pb.ExerciseProgress(days=map(_exercise_day, found[:limit]))
        if len(found) > limit:
            following = found[limit]
            place = (following.local_date.isoformat(), str(following.exercise_id))
            response.next_page_token = paging.encode_page_token(listing, place)
        return response

    async def _subject(self, request: Any) -> Sequence[ExerciseFacts]:
        """Returns the exercises that a request is about; refuses what the catalogue lacks."""
        if request.WhichOneof("subject") == "family":
            exercises = await self._catalogue.family(request.family)
            if not exercises:
                raise invalid_field("family", "no exercise belongs to it")
            return exercises
        found = await self._catalogue.facts([UUID(request.exercise_id)])
        if not found:
            raise bad_reference(
                Reason.EXERCISE_NOT_FOUND, "exercise_id", "there is no such exercise"
            )
        return list(found.values())

    async def ListPersonalRecords(
        self, request: pb.ListPersonalRecordsRequest, context: Any
    ) -> pb.ListPersonalRecordsResponse:
        scope = athlete_scope(request.external_user_id)
        filters: dict[str, Any] = {}
        if exercise_id := optional_uuid(request.exercise_id):
            filters["exercise_id"] = exercise_id
        if request.kind:
            filters["kind"] = RECORD_KIND.name(request.kind)
        listing = listing_digest(request, scope)
        key = paging.decode_page_token(listing, request.page_token, (str, str, str))
        after = (date_of_token(key[0]), uuid_of_token(key[1]), str(key[2])) if key else None
        limit = paging.page_limit(request.page_size)
        found = await self._records.list(scope, filters, *dates_of(request), after, limit + 1)
        response = pb.ListPersonalRecordsResponse(records=map(record_message, found[:limit]))
        if len(found) > limit:
            last = found[limit - 1]
            place = (last.local_date.isoformat(), str(last.exercise_id), last.kind)
            response.next_page_token = paging.encode_page_token(listing, place)
        return response

    async def GetTrainingSummary(
        self, request: pb.GetTrainingSummaryRequest, context: Any
    ) -> pb.TrainingSummary:
        scope = athlete_scope(request.external_user_id)
        today = today_of(request)
        first, last = dates_of(request)
        done = await self._metrics.summary(scope, first, min(last, today))
        volumes = await exercise_volumes(self._catalogue, done.exercises)
        current, longest = week_streaks(done.training_weeks, min(last, today))
        message = pb.TrainingSummary(
            totals=_totals(done.total.total),
            training_day_count=done.total.training_day_count,
            current_week_streak=current,
            longest_week_streak=longest,
            categories=_categories(volumes),
            muscles=_muscles(volumes),
            push_share=push_share(volumes),
        )
        if done.total.last_date:
            message.first_date.CopyFrom(to_date(done.total.total.start_date))
            message.last_date.CopyFrom(to_date(done.total.last_date))
        return message

    async def GetProgressChart(self, request: pb.GetProgressChartRequest, context: Any) -> HttpBody:
        scope = athlete_scope(request.external_user_id)
        today = today_of(request)
        question = ChartQuestion(
            scope=scope,
            period=_chart_period(request, today),
            today=today,
            exercises=await self._subject(request) if request.WhichOneof("subject") else (),
            measure=RecordKind(RECORD_KIND.name(request.measure)) if request.measure else None,
        )
        chart = await self._charts.kinds[CHART_KIND.name(request.kind)](question)
        return await drawn(self._renderer, chart, request, chart_size(request))


def _categories(volumes: Sequence[ExerciseVolume]) -> list[pb.CategoryShare]:
    return [
        pb.CategoryShare(
            category=CATEGORY.number(one.category),
            set_count=one.set_count,
            effective_reps=to_total(one.effective_reps),
            share=one.share,
        )
        for one in by_category(volumes)
    ]


def _muscles(volumes: Sequence[ExerciseVolume]) -> list[pb.MuscleShare]:
    return [
        pb.MuscleShare(
            muscle=MUSCLE.number(one.muscle), effective_reps=one.effective_reps, share=one.share
        )
        for one in by_muscle(volumes)
    ]


def _exercise_day(day: ExerciseDay) -> pb.ExerciseDay:
    is_record = dict(zip(BESTS, day.are_records, strict=True))
    bests: dict[str, Any] = dict(zip(BESTS, day.bests, strict=True))
    return pb.ExerciseDay(
        exercise_id=str(day.exercise_id),
        local_date=to_date(day.local_date),
        set_count=day.set_count,
        **_measures(EXERCISE_MEASURES, day.measures),
        **bests,
        records=[RECORD_KIND.number(kind) for kind, name in COLUMNS.items() if is_record[name]],
    )


def record_message(record: PersonalRecord) -> pb.PersonalRecord:
    """Returns a personal record as it is answered."""
    return pb.PersonalRecord(
        exercise_id=str(record.exercise_id),
        kind=RECORD_KIND.number(record.kind),
        local_date=to_date(record.local_date),
        session_id=str(record.session_id),
        **{RECORD_FIELDS[RecordKind(record.kind)]: record.value},
    )


def _chart_period(request: Any, today: date) -> charts.Period:
    """Returns the days that a chart is asked for; refuses none at all and too many."""
    last = min(dates_of(request)[1], today)
    if request.HasField("from_date"):
        first = from_date(request.from_date, "from_date")
    else:
        first = max(last, date.min + ONE_YEAR) - ONE_YEAR
    if not 0 <= (last - first).days < MAX_DAYS:
        raise invalid_field(
            "from_date", "must be before the end, which is at most today, by 20 years at most"
        )
    return charts.Period(first, last)


def _page_start(listing: str, page_token: str, first: date) -> date:
    """Returns the date that a page begins with."""
    key = paging.decode_page_token(listing, page_token, (str,))
    if key is None:
        return first
    return date_of_token(key[0])


def _page_token(listing: str, following: PeriodTotal) -> str:
    return paging.encode_page_token(listing, (following.start_date.isoformat(),))


def _aggregate(
    period: Period, one: PeriodTotal, before: PeriodTotal | None, today: date
) -> pb.PeriodAggregate:
    end = period.next(one.start_date)
    totals = _totals(one)
    message = pb.PeriodAggregate(
        key=period.key(one.start_date),
        start_date=to_date(one.start_date),
        end_date=to_date(end),
        totals=totals,
        partial=today < end,
    )
    if before is not None:
        message.MergeFrom(
            pb.PeriodAggregate(
                load_change=change(one.load_au, before.load_au),
                volume_load_change=_change("volume_load_kg", one, before),
                effective_reps_change=_change("effective_reps", one, before),
            )
        )
    return message


def _change(measure: str, one: PeriodTotal, before: PeriodTotal) -> float | None:
    return change(one.measure(measure), before.measure(measure))


def _totals(total: PeriodTotal) -> pb.PeriodTotals:
    return pb.PeriodTotals(
        session_count=total.session_count,
        set_count=total.set_count,
        duration_seconds=to_total(total.duration_seconds),
        load_au=to_total(total.load_au),
        **_measures(MEASURES, total.measures),
    )


def _measures(names: Sequence[str], totals: Sequence[Total]) -> dict[str, Any]:
    return {name: to_total(total) for name, total in zip(names, totals, strict=True)}
