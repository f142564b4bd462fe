"""TeamService."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import team_pb2 as pb
from calisthenics.training.v1.team_pb2_grpc import TeamServiceServicer

from training_service.caller import Scope, athlete_scope
from training_service.domain import team as domain
from training_service.domain.exercise import Criterion
from training_service.domain.group import MAX_PLACES
from training_service.domain.metrics import Total
from training_service.domain.paging import DEFAULT_PAGE_SIZE
from training_service.domain.periods import Period
from training_service.domain.session import check_counted_in_reps
from training_service.domain.team import LeaderboardMeasure
from training_service.errors import Reason, bad_reference, invalid_field
from training_service.servicers.convert import from_date, optional_uuid, to_date, utc_now
from training_service.servicers.dates import EPOCH, dates_of, today_of
from training_service.servicers.enums import EnumNames
from training_service.servicers.group import group_not_found
from training_service.storage.exercise import Catalogue
from training_service.storage.leaderboard import LeaderboardRepository, Place
from training_service.storage.team import DecidedWeek, Publication, TeamRepository, WeekSums

MEASURE = EnumNames(pb.LeaderboardMeasure)
WEEKS = {
    pb.LEADERBOARD_PERIOD_4_WEEKS: 4,
    pb.LEADERBOARD_PERIOD_12_WEEKS: 12,
    pb.LEADERBOARD_PERIOD_52_WEEKS: 52,
}


class TeamServicer(TeamServiceServicer):
    """What a group sees of its athletes."""

    def __init__(
        self, teams: TeamRepository, leaderboards: LeaderboardRepository, catalogue: Catalogue
    ) -> None:
        self._teams = teams
        self._leaderboards = leaderboards
        self._catalogue = catalogue

    async def GetGroupAnalytics(
        self, request: pb.GetGroupAnalyticsRequest, context: Any
    ) -> pb.GetGroupAnalyticsResponse:
        scope = athlete_scope(request.external_user_id)
        group_id = UUID(request.group_id)
        now = utc_now()
        weeks = _asked_weeks(request, now)
        decided, shared_since = await self._decided(scope, group_id, weeks)
        due = domain.due_weeks(weeks, decided, shared_since, now)
        if due:
            await self._publish(scope, group_id, due, now)
            decided, _ = await self._decided(scope, group_id, weeks)
        return pb.GetGroupAnalyticsResponse(
            weeks=[_week(week, decided.get(week), now) for week in weeks]
        )

    async def _decided(
        self, scope: Scope, group_id: UUID, weeks: Sequence[date]
    ) -> tuple[Mapping[date, DecidedWeek], Sequence[datetime]]:
        """Returns the weeks about which was decided, and since when athletes share; refuses those
        who are not in the group."""
        first, last = (weeks[0], weeks[-1]) if weeks else (date.max, date.min)
        asker, found = await self._teams.decided(scope, group_id, first, last)
        if asker is None:
            raise group_not_found()
        return {one.week: one for one in found}, asker.shared_since

    async def _publish(
        self, scope: Scope, group_id: UUID, weeks: Sequence[date], now: datetime
    ) -> None:
        begins = [(week, domain.begin_time(week)) for week in weeks]
        asked = [_publication(one) for one in await self._teams.sums(scope, group_id, begins)]
        if not asked:
            # All withdrew meanwhile.
            return
        async with self._teams.publishing(group_id, asked, now) as publishing:
            overlaps = defaultdict(list)
            for overlap in await publishing.overlaps():
                overlaps[overlap.week].append(overlap)
            await publishing.decide(
                {
                    one.week
                    for one in asked
                    if domain.may_publish(len(one.member_ids), overlaps[one.week])
                }
            )

    async def GetLeaderboard(
        self, request: pb.GetLeaderboardRequest, context: Any
    ) -> pb.GetLeaderboardResponse:
        scope = athlete_scope(request.external_user_id)
        measure = LeaderboardMeasure(MEASURE.name(request.measure))
        start, end = domain.complete_weeks(WEEKS[request.period], today_of(request))
        exercise_id = await self._exercise_id(request, measure)
        criteria = await self._criteria(measure)
        async with self._leaderboards.view(scope, UUID(request.group_id)) as view:
            asker = await view.asker()
            if asker is None:
                raise group_not_found()
            domain.check_sees_leaderboards(asker.role, asker.sharing)
            places = await view.places(
                measure,
                (start, end),
                min(request.max_entries or DEFAULT_PAGE_SIZE, MAX_PLACES),
                exercise_id=exercise_id,
                criteria=criteria,
            )
        return pb.GetLeaderboardResponse(
            start_date=to_date(start), end_date=to_date(end), entries=map(_entry, places)
        )

    async def _exercise_id(
        self, request: pb.GetLeaderboardRequest, measure: LeaderboardMeasure
    ) -> UUID | None:
        id = optional_uuid(request.exercise_id)
        if measure is not LeaderboardMeasure.RELATIVE_STRENGTH:
            if id:
                raise invalid_field("exercise_id", "is for LEADERBOARD_MEASURE_RELATIVE_STRENGTH")
            return None
        if id is None:
            raise invalid_field("exercise_id", "is needed for this measure")
        facts = (await self._catalogue.facts([id])).get(id)
        if facts is None:
            raise bad_reference(
                Reason.EXERCISE_NOT_FOUND, "exercise_id", "there is no such exercise"
            )
        check_counted_in_reps(facts.movement_kind, "exercise_id")
        return id

    async def _criteria(self, measure: LeaderboardMeasure) -> Mapping[UUID, Criterion]:
        if measure is not LeaderboardMeasure.SKILL_UNLOCKS:
            return {}
        return {id: of.skill.criterion for id, of in (await self._catalogue.everything()).items()}


def _asked_weeks(request: pb.GetGroupAnalyticsRequest, now: datetime) -> list[date]:
    has_first = request.HasField("from_date")
    first = from_date(request.from_date, "from_date") if has_first else None
    _, last = dates_of(request)
    return domain.asked_weeks(first, max(last, EPOCH), now.date())


def _publication(sums: WeekSums) -> Publication:
    return Publication(
        week=sums.week,
        begin_time=domain.begin_time(sums.week),
        member_ids=sums.member_ids,
        record=_totals(sums).SerializeToString(),
    )


def _totals(sums: WeekSums) -> pb.GroupTotals:
    athlete_count = len(sums.member_ids)

    def measure(total: Total) -> pb.GroupMeasure:
        return pb.GroupMeasure(**domain.measure(total, athlete_count)._asdict())

    def count(value: int) -> pb.GroupMeasure:
        return measure(Total(value, 0, 0))

    reps, hold_seconds, volume_load_kg = map(measure, sums.measures)
    return pb.GroupTotals(
        athlete_count=athlete_count,
        active_share=domain.rounded(sums.active_count / athlete_count),
        session_count=count(sums.session_count),
        set_count=count(sums.set_count),
        reps=reps,
        hold_seconds=hold_seconds,
        volume_load_kg=volume_load_kg,
        load_au=measure(sums.load_au),
    )


def _week(week: date, decided: DecidedWeek | None, now: datetime) -> pb.GroupWeek:
    message = pb.GroupWeek(key=Period.WEEK.key(week), start_date=to_date(week))
    if now < domain.publish_time(week):
        message.withheld_reason = pb.WITHHELD_REASON_NOT_PUBLISHED_YET
    elif decided and decided.record is not None and domain.may_show(decided.unseen_counts):
        message.totals.ParseFromString(decided.record)
    else:
        message.withheld_reason = pb.WITHHELD_REASON_TOO_FEW_ATHLETES
    return message


def _entry(place: Place) -> pb.LeaderboardEntry:
    return pb.LeaderboardEntry(
        rank=place.rank,
        user_id=str(place.user_id),
        value=place.value,
        passed_exercise_count=place.passed_exercise_count,
    )
