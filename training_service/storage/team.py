"""What a group published of its athletes' weeks, and what of it each member may see.

Rows of athletes are read only in transactions that see who shares them with the group. What was
published stands in shared tables, which outlive the group: what is published next is compared with
it, whoever asks for what in which order.
"""

from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    Double,
    FromClause,
    LargeBinary,
    Select,
    TableValuedAlias,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
    union,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from training_service.caller import Scope
from training_service.domain.group import Role, Sharing
from training_service.domain.metrics import Total
from training_service.domain.periods import ONE_WEEK, Period
from training_service.domain.team import Overlap
from training_service.errors import Reason, TrainingError
from training_service.storage.database import Database, ManyTransaction, Transaction
from training_service.storage.grant import READ_METRICS, select_granted
from training_service.storage.metrics import or_zero, start_of, sums_of, totals_of
from training_service.storage.statements import Statement, parameter, prepare, prepare_command
from training_service.storage.tables import (
    TIMESTAMP,
    analytics_weeks,
    group_members,
    group_week_contributors,
    group_weeks,
    groups,
    session_metrics,
)

MEASURES = ("reps", "hold_seconds", "volume_load_kg")
"""Those of the measures of sessions that are published."""


class Asker(NamedTuple):
    """Who asks, as a member of the group."""

    role: str
    sharing: Sequence[str]
    shared_since: Sequence[datetime]
    """Of each athlete of the group who shares ANALYTICS, since when; not to be told."""


class DecidedWeek(NamedTuple):
    """A week of a group about which it was decided whether it is published."""

    week: date
    record: bytes | None
    """The numbers as they were published; None when it is withheld."""
    unseen_counts: Sequence[int]
    """How many athletes, of whom the one who asks sees no single numbers, are in it, and are left
    when it is subtracted from what another group published, or that from it."""


class WeekSums(NamedTuple):
    """What the athletes who share a week did in it together."""

    week: date
    member_ids: Sequence[UUID]
    active_count: int
    session_count: int
    set_count: int
    load_au: Total
    measures: Sequence[Total]
    """In the order of MEASURES."""


class Publication(NamedTuple):
    """A week that is to be published, if it can be beside what is."""

    week: date
    begin_time: datetime
    member_ids: Sequence[UUID]
    record: bytes


_MEMBER, _WEEK, _IN = group_members.c, group_weeks.c, group_week_contributors.c
GROUP_ID = parameter("group_id", _MEMBER.group_id)
USER_ID = parameter("user_id", _MEMBER.member_user_id)


def shares(members: FromClause, sharing: Sharing) -> ColumnElement[bool]:
    """Returns the condition that a member is an athlete who shares something with their group."""
    return and_(
        members.c.role == literal_column(f"'{Role.ATHLETE}'"),
        literal_column(f"'{sharing}'") == any_(members.c.sharing),
    )


def _array(statement: Select[Any], kind: Any) -> ColumnElement[Any]:
    return type_coerce(func.array(statement.scalar_subquery()), ARRAY(kind))


_IS_SHARED = and_(
    _MEMBER.group_id == GROUP_ID,
    shares(group_members, Sharing.ANALYTICS),
    _MEMBER.analytics_since.is_not(None),
)
_SHARED_SINCE = select(_MEMBER.analytics_since).where(_IS_SHARED)
_ASKER = group_members.alias("asker")
_GET_ASKER = prepare(
    select(_ASKER.c.role, _ASKER.c.sharing, _array(_SHARED_SINCE, TIMESTAMP)).where(
        _ASKER.c.group_id == GROUP_ID, _ASKER.c.member_user_id == USER_ID
    ),
    Asker,
)


def _are_same(one: FromClause, other: FromClause, *names: str) -> ColumnElement[bool]:
    return and_(*(one.c[name] == other.c[name] for name in names))


def _common(here: FromClause, counted: ColumnElement[Any]) -> CTE:
    """Returns the weeks of other groups that have contributors in common with some of the group's,
    with how many of them count."""
    other = group_week_contributors.alias("other")
    return (
        select(other.c.start_date, other.c.group_id, counted.label("common_count"))
        .join(here, _are_same(here, other, "start_date", "member_user_id"))
        .where(other.c.group_id != GROUP_ID)
        .group_by(other.c.start_date, other.c.group_id)
        .cte("common")
    )


def _seen() -> CTE:
    """Returns the athletes of whom the one who asks sees single numbers: their own, by a grant, or
    on a leaderboard."""
    them, asker = group_members.alias("them"), group_members.alias("beside")
    sees_leaderboards = and_(
        _are_same(asker, them, "group_id"),
        asker.c.member_user_id == USER_ID,
        or_(
            asker.c.role != literal_column(f"'{Role.ATHLETE}'"),
            shares(asker, Sharing.LEADERBOARDS),
        ),
    )
    on_leaderboards = (
        select(them.c.member_user_id)
        .join(asker, sees_leaderboards)
        .where(shares(them, Sharing.LEADERBOARDS))
    )
    return union(select(USER_ID.label("member_user_id")), select_granted(), on_leaderboards).cte(
        "seen"
    )


def _list_decided() -> Statement[DecidedWeek]:
    first, last = (bindparam(name, type_=Date) for name in ("first", "last"))
    seen = _seen()
    is_unseen = seen.c.member_user_id.is_(None)
    contributors = group_week_contributors
    here = (
        select(_IN.start_date, _IN.member_user_id, is_unseen.label("is_unseen"))
        .outerjoin(seen, _are_same(seen, contributors, "member_user_id"))
        .where(_IN.group_id == GROUP_ID, _IN.start_date >= first, _IN.start_date <= last)
        .cte("here")
    )
    own = (
        select(here.c.start_date, func.count().filter(here.c.is_unseen).label("unseen_count"))
        .group_by(here.c.start_date)
        .cte("own")
    )
    common = _common(here, func.count().filter(here.c.is_unseen))
    there = (
        select(*common.c, func.count().filter(is_unseen).label("unseen_count"))
        .join(contributors, _are_same(contributors, common, "start_date", "group_id"))
        .outerjoin(seen, _are_same(seen, contributors, "member_user_id"))
        .group_by(*common.c)
        .cte("there")
    )
    only_here = select(
        own.c.start_date, (own.c.unseen_count - there.c.common_count).label("unseen_count")
    ).join(there, _are_same(there, own, "start_date"))
    only_there = select(there.c.start_date, there.c.unseen_count - there.c.common_count)
    counts = union_all(select(*own.c), only_here, only_there).subquery("counts")
    of_week = select(counts.c.unseen_count).where(counts.c.start_date == _WEEK.start_date)
    return prepare(
        select(_WEEK.start_date, _WEEK.record, _array(of_week, BigInteger)).where(
            _WEEK.group_id == GROUP_ID, _WEEK.start_date >= first, _WEEK.start_date <= last
        ),
        DecidedWeek,
    )


_LIST_DECIDED = _list_decided()


def _given(name: str, **types: Any) -> TableValuedAlias:
    """Returns rows that are parameters: an array of each column."""
    arrays = [bindparam(f"{name}_{field}s", type_=ARRAY(kind)) for field, kind in types.items()]
    columns = [column(field, kind) for field, kind in types.items()]
    return func.unnest(*arrays).table_valued(*columns).render_derived(name=name)


def _sum_weeks() -> Statement[WeekSums]:
    """Returns the sums of weeks over those who share since before they began."""
    week = _given("week", start_date=Date(), begin_time=TIMESTAMP)
    of = session_metrics.c
    start_date = start_of(Period.WEEK, of.local_date)
    numbers: list[ColumnElement[Any]] = [
        func.count(of.session_id),
        or_zero(func.sum(of.set_count)),
        or_zero(func.sum(of.load_au)),
        func.count(of.load_au),
        *sums_of(session_metrics, MEASURES),
    ]
    # For each athlete first, and joined by equality: the planner knows nothing of the sizes.
    trained = (
        select(
            of.external_user_id,
            start_date.label("start_date"),
            *(number.label(f"number_{n}") for n, number in enumerate(numbers)),
        )
        .where(
            of.external_user_id.in_(select(_MEMBER.member_user_id).where(_IS_SHARED)),
            of.local_date >= bindparam("first", type_=Date),
            of.local_date < bindparam("end", type_=Date),
        )
        .group_by(of.external_user_id, start_date)
        .subquery("trained")
    )
    is_theirs = and_(
        trained.c.external_user_id == _MEMBER.member_user_id, _are_same(trained, week, "start_date")
    )
    shared = week.join(
        group_members, and_(_IS_SHARED, _MEMBER.analytics_since <= week.c.begin_time)
    )
    return prepare(
        select(
            week.c.start_date,
            type_coerce(func.array_agg(_MEMBER.member_user_id), ARRAY(Uuid)),
            func.count(trained.c.external_user_id),
            *(
                cast(or_zero(func.sum(trained.c[f"number_{n}"])), Double)
                for n, _ in enumerate(numbers)
            ),
        )
        .select_from(shared.outerjoin(trained, is_theirs))
        .group_by(week.c.start_date),
        _week_sums,
    )


def _week_sums(
    week: date,
    member_ids: Sequence[UUID],
    active: int,
    sessions: float,
    sets: float,
    load_au: float,
    load_known: float,
    *measured: Any,
) -> WeekSums:
    load = Total(load_au, int(load_known), int(sessions))
    return WeekSums(week, member_ids, active, int(sessions), int(sets), load, totals_of(measured))


_SUM_WEEKS = _sum_weeks()

# Keeps the group from being deleted. Not FOR SHARE: two who hold what every node of a cluster has
# by that lock each other out, until one of them is told of a deadlock.
_HOLD_GROUP = prepare_command(
    select(groups.c.id).where(groups.c.id == GROUP_ID).with_for_update(key_share=True)
)
_CANDIDATE = _given("candidate", start_date=Date(), member_user_id=Uuid())
_NEW_WEEK = _given("new_week", start_date=Date(), record=LargeBinary(), is_published=Boolean())
_WEEK_TO_LOCK = _given("lock", start_date=Date())
_LOCK_WEEKS = prepare_command(
    upsert(analytics_weeks)
    .from_select(
        ["start_date"], select(_WEEK_TO_LOCK.c.start_date).order_by(_WEEK_TO_LOCK.c.start_date)
    )
    .on_conflict_do_update(
        index_elements=["start_date"], set_={"start_date": analytics_weeks.c.start_date}
    )
)
# Keeps who shares from withdrawing, and from being erased, meanwhile.
_HOLD_SHARING: Statement[tuple[UUID, datetime]] = prepare(
    select(_MEMBER.member_user_id, _MEMBER.analytics_since)
    .where(_IS_SHARED)
    .with_for_update(key_share=True),
    lambda member_id, since: (member_id, since),
)


def _list_overlaps() -> Statement[Overlap]:
    """Returns how candidates overlap with the contributors of other groups' weeks."""
    contributors = group_week_contributors
    common = _common(_CANDIDATE, func.count())
    is_incomplete = _WEEK.record.is_(None)
    return prepare(
        select(common.c.start_date, common.c.common_count, func.count(), is_incomplete)
        .join(contributors, _are_same(contributors, common, "start_date", "group_id"))
        .join(group_weeks, _are_same(group_weeks, common, "start_date", "group_id"))
        .group_by(*common.c, is_incomplete),
        Overlap,
    )


_LIST_OVERLAPS = _list_overlaps()
_DECIDE: Statement[tuple[date, bool]] = prepare(
    upsert(group_weeks)
    .from_select(
        ["group_id", "start_date", "record", "decided_at"],
        select(
            GROUP_ID,
            _NEW_WEEK.c.start_date,
            case((_NEW_WEEK.c.is_published, _NEW_WEEK.c.record)),
            parameter("now", _WEEK.decided_at),
        ),
    )
    .on_conflict_do_nothing()
    .returning(_WEEK.start_date, _WEEK.record.is_not(None)),
    lambda week, is_published: (week, is_published),
)
_ADD_CONTRIBUTORS = prepare_command(
    upsert(group_week_contributors).from_select(
        ["group_id", "start_date", "member_user_id"],
        select(GROUP_ID, _CANDIDATE.c.start_date, _CANDIDATE.c.member_user_id),
    )
)


async def find_asker(transaction: ManyTransaction, scope: Scope, group_id: UUID) -> Asker | None:
    """Returns who asks, if they are in the group."""
    parameters = {"user_id": scope.external_user_id, "group_id": group_id}
    return await transaction.fetch_first(_GET_ASKER, parameters)


class TeamRepository:
    """Reads, and publishes, what the athletes of groups amount to together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def decided(
        self, scope: Scope, group_id: UUID, first: date, last: date
    ) -> tuple[Asker | None, list[DecidedWeek]]:
        """Returns who asks, and the weeks of two dates and between about which was decided, in no
        order."""
        parameters = {
            "user_id": scope.external_user_id,
            "grantee_user_id": scope.external_user_id,
            "scope": READ_METRICS,
            "group_id": group_id,
            "first": first,
            "last": last,
        }
        async with self._database.of_many(scope.external_user_id) as transaction:
            askers, weeks = await transaction.fetch_all((_GET_ASKER, _LIST_DECIDED), parameters)
        return (askers[0] if askers else None), weeks

    async def sums(
        self, scope: Scope, group_id: UUID, weeks: Sequence[tuple[date, datetime]]
    ) -> list[WeekSums]:
        """Returns what those who share weeks, given with when each began, did in them, in no order;
        weeks that nobody shares are left out."""
        parameters = {
            "group_id": group_id,
            "first": min(week for week, _ in weeks),
            "end": max(week for week, _ in weeks) + ONE_WEEK,
            "week_start_dates": [week for week, _ in weeks],
            "week_begin_times": [begin for _, begin in weeks],
        }
        async with self._database.of_many(scope.external_user_id) as transaction:
            await transaction.see_who_shares(group_id, Sharing.ANALYTICS)
            return await transaction.fetch(_SUM_WEEKS, parameters)

    @asynccontextmanager
    async def publishing(
        self, group_id: UUID, asked: Sequence[Publication], now: datetime
    ) -> AsyncIterator["Publishing"]:
        """Opens the publication of weeks; others who publish any of them wait until its end."""
        async with self._database.transaction(None) as transaction:
            yield Publishing(transaction, group_id, asked, now)


class Publishing:
    """One transaction that decides about weeks of a group."""

    def __init__(
        self,
        transaction: Transaction,
        group_id: UUID,
        asked: Sequence[Publication],
        now: datetime,
    ) -> None:
        self._transaction = transaction
        self._asked = sorted(asked, key=lambda one: one.week)
        self._group_id = group_id
        self._now = now

    async def overlaps(self) -> list[Overlap]:
        """Returns what the weeks have in common with those that other groups published.

        Raises CONFLICT when an athlete of one withdrew, or was erased, since it was summed.
        """
        parameters = {
            "group_id": self._group_id,
            "lock_start_dates": [one.week for one in self._asked],
            **_candidates(self._asked),
        }
        await self._transaction.execute(_HOLD_GROUP, parameters)
        await self._transaction.execute(_LOCK_WEEKS, parameters)
        held, overlaps = await self._transaction.fetch_all(
            (_HOLD_SHARING, _LIST_OVERLAPS), parameters
        )
        shared_since = dict(held)
        for one in self._asked:
            if not all(
                id in shared_since and shared_since[id] <= one.begin_time for id in one.member_ids
            ):
                raise TrainingError(
                    Reason.CONFLICT, "collided with a concurrent change", retry_after_seconds=0.1
                )
        return overlaps

    async def decide(self, may_publish: Container[date]) -> None:
        """Stores that these of the weeks are published and the others withheld; what somebody else
        decided in the meantime stays as it is."""
        parameters = {
            "group_id": self._group_id,
            "new_week_start_dates": [one.week for one in self._asked],
            "new_week_records": [one.record for one in self._asked],
            "new_week_is_publisheds": [one.week in may_publish for one in self._asked],
            "now": self._now,
        }
        decided = dict(await self._transaction.fetch(_DECIDE, parameters))
        new = [one for one in self._asked if decided.get(one.week)]
        if new:
            parameters = {"group_id": self._group_id, **_candidates(new)}
            await self._transaction.execute(_ADD_CONTRIBUTORS, parameters)


def _candidates(asked: Sequence[Publication]) -> dict[str, Any]:
    """Returns the parameters that name the athletes of weeks."""
    rows = [(one.week, id) for one in asked for id in one.member_ids]
    return {
        "candidate_start_dates": [week for week, _ in rows],
        "candidate_member_user_ids": [id for _, id in rows],
    }
