"""What a group sees of its athletes, over the wire: together, and on leaderboards."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import access_pb2, coaching_pb2, goal_pb2, group_pb2, session_pb2
from calisthenics.training.v1 import team_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import (
    L_SIT,
    PULL_UP,
    PUSH_UP,
    Athlete,
    Queries,
    a_goal,
    a_session,
    at,
    enter,
    expire,
    grant,
    new_group,
    patched_queries,
    refused,
    remove,
    revoke,
)
from tests.team_world import ATHLETES, GROUPS, World, worlds
from training_service.caller import Scope
from training_service.domain import team as domain
from training_service.domain.periods import ONE_WEEK, Period
from training_service.domain.team import LeaderboardMeasure
from training_service.errors import Reason, TrainingError
from training_service.servicers.convert import to_date
from training_service.settings import Settings
from training_service.storage.database import Database
from training_service.storage.erasure import erase
from training_service.storage.leaderboard import LeaderboardRepository
from training_service.storage.team import Publication, TeamRepository

ANALYTICS, LEADERBOARDS = "SHARING_ANALYTICS", "SHARING_LEADERBOARDS"
COACH, ASSISTANT = "MEMBER_ROLE_COACH", "MEMBER_ROLE_ASSISTANT"
READ_METRICS = access_pb2.GRANT_SCOPE_READ_METRICS
TOO_FEW = pb.WITHHELD_REASON_TOO_FEW_ATHLETES
FORBIDDEN = grpc.StatusCode.PERMISSION_DENIED

THIS_WEEK = Period.WEEK.start(datetime.now(UTC).date())
WEEK = THIS_WEEK - 2 * ONE_WEEK
"""The last week that is over for certain, and a day."""


def pulls(day: date, reps: int = 10, sets: int = 1, **fields: Any) -> session_pb2.Session:
    """Returns a session of pull-ups without added load, at a body mass of 80 kg."""
    done = session_pb2.PerformedSet(actual_reps=reps, rpe=8)
    exercise = session_pb2.SessionExercise(exercise_id=PULL_UP, sets=[done] * sets)
    usual = {
        "start_time": at(f"{day}T12:00:00"),
        "time_zone": "UTC",
        "body_mass_kg": 80,
        "duration_seconds": 3600,
        "session_rpe": 5,
        "exercises": [exercise],
    }
    return a_session(**{**usual, **fields})


class Team:
    """A group with athletes who share with it, since a year ago unless somebody says so."""

    def __init__(self, coach: Athlete, owner: psycopg.Connection) -> None:
        self.coach, self.owner = coach, owner
        self.group = new_group(coach)

    @property
    def id(self) -> UUID:
        return UUID(self.group.id)

    def add(self, *athletes: Athlete, sharing: Sequence[str] = (ANALYTICS,)) -> None:
        for athlete in athletes:
            enter(self.coach, self.group, athlete, sharing=sharing)
        self.backdate()

    def backdate(self, since: datetime | None = None) -> None:
        query = """
            UPDATE training.group_members SET analytics_since = %s
            WHERE group_id = %s AND analytics_since IS NOT NULL
        """
        year_ago = datetime.now(UTC) - timedelta(365)
        self.owner.execute(query, [since or year_ago, self.group.id])

    def share(self, athlete: Athlete, *sharing: str) -> None:
        request = group_pb2.UpdateMemberRequest(
            group_id=self.group.id,
            member_user_id=athlete.id,
            member=group_pb2.Member(sharing=sharing),
            update_mask={"paths": ["sharing"]},
        )
        athlete.groups.UpdateMember(request)

    def ask(self, asker: Athlete | None = None, week: date = WEEK) -> pb.GroupWeek:
        [answer] = self.weeks(asker, from_date=to_date(week), to_date=to_date(week + ONE_WEEK))
        return answer

    def weeks(self, asker: Athlete | None = None, **request: Any) -> list[pb.GroupWeek]:
        message = pb.GetGroupAnalyticsRequest(group_id=self.group.id, **request)
        return list((asker or self.coach).teams.GetGroupAnalytics(message).weeks)

    def board(self, asker: Athlete | None = None, **request: Any) -> list[tuple[int, str, float]]:
        """Returns the places of a leaderboard: rank, who, and what of."""
        entries = self.leaderboard(asker, **request).entries
        return [(one.rank, one.user_id, one.value) for one in entries]

    def leaderboard(
        self, asker: Athlete | None = None, **request: Any
    ) -> pb.GetLeaderboardResponse:
        usual = {
            "measure": pb.LEADERBOARD_MEASURE_VOLUME,
            "period": pb.LEADERBOARD_PERIOD_12_WEEKS,
        }
        message = pb.GetLeaderboardRequest(group_id=self.group.id, **{**usual, **request})
        return (asker or self.coach).teams.GetLeaderboard(message)

    def published_count(self) -> int:
        query = "SELECT count(*) FROM training.group_weeks WHERE group_id = %s"
        [(count,)] = self.owner.execute(query, [self.group.id]).fetchall()
        return int(count)


@pytest.fixture
def people(alice: Athlete) -> list[Athlete]:
    """Twelve athletes, who each log a session of 10 pull-ups in the week, the second twice as
    many, and so on."""
    athletes = [alice.as_another() for _ in range(12)]
    for number, athlete in enumerate(athletes, start=1):
        athlete.log(pulls(WEEK, sets=number))
    return athletes


@pytest.fixture
def team(bob: Athlete, owner: psycopg.Connection) -> Team:
    """A group that bob coaches."""
    return Team(bob, owner)


def assert_withheld(week: pb.GroupWeek) -> None:
    """Fails unless there is a reason and nothing else, not even a count."""
    assert week == pb.GroupWeek(
        key=week.key, start_date=to_date(WEEK), withheld_reason=pb.WITHHELD_REASON_TOO_FEW_ATHLETES
    )


def test_what_athletes_did_together_is_told(team: Team, people: list[Athlete]) -> None:
    team.add(*people[:5])
    people[4].log(pulls(WEEK + timedelta(days=6), session_rpe=None, duration_seconds=None))
    people[0].log(pulls(WEEK - timedelta(days=1)))
    people[0].log(pulls(WEEK + ONE_WEEK))
    idle = people[0].as_another()
    team.add(idle)
    week = team.ask()
    assert week.start_date == to_date(WEEK)
    assert week.key == Period.WEEK.key(WEEK)
    assert week.withheld_reason == pb.WITHHELD_REASON_UNSPECIFIED
    totals = week.totals
    assert totals.athlete_count == 6
    assert totals.active_share == 0.833
    assert totals.session_count == pb.GroupMeasure(total=6, mean_per_athlete=1)
    # 1 + 2 + 3 + 4 + 5 sets, and one more.
    assert totals.set_count == pb.GroupMeasure(total=16, mean_per_athlete=2.67)
    assert totals.reps == pb.GroupMeasure(total=160, mean_per_athlete=26.7, coverage=1)
    assert totals.hold_seconds == pb.GroupMeasure(total=0, mean_per_athlete=0)
    # 60 minutes at 5, five times; the sixth has no effort and no duration.
    assert totals.load_au == pb.GroupMeasure(total=1500, mean_per_athlete=250, coverage=0.833)
    # 160 times 0.95 of 80 kg are 12,160 kg.
    assert totals.volume_load_kg == pb.GroupMeasure(total=12_200, mean_per_athlete=2030, coverage=1)


def test_unknown_is_not_told_as_nothing(team: Team, alice: Athlete) -> None:
    athletes = [alice.as_another() for _ in range(5)]
    for athlete in athletes:
        athlete.log(pulls(WEEK, body_mass_kg=None))
    team.add(*athletes)
    assert team.ask().totals.volume_load_kg == pb.GroupMeasure(coverage=0)


def test_fewer_than_five_are_not_told_of(team: Team, people: list[Athlete]) -> None:
    team.add(*people[:4])
    team.add(*people[4:6], sharing=[LEADERBOARDS])
    assert_withheld(team.ask())
    assert team.published_count() == 0
    team.add(people[6])
    assert team.ask().totals.athlete_count == 5
    assert team.published_count() == 1


def test_a_week_that_is_not_over_is_not_told_of(team: Team, people: list[Athlete]) -> None:
    team.add(*people)
    for athlete in people:
        athlete.log(pulls(THIS_WEEK))
    weeks = team.weeks()
    assert len(weeks) == 12
    assert weeks[-1].start_date == to_date(THIS_WEEK)
    assert weeks[-1].withheld_reason == pb.WITHHELD_REASON_NOT_PUBLISHED_YET
    assert not weeks[-1].HasField("totals")
    assert all(week.totals.athlete_count == 12 for week in weeks[:-2])
    # So that a week without a session is told, too.
    assert weeks[0].totals.session_count.total == 0


def test_only_who_shared_before_the_week_began_counts(team: Team, people: list[Athlete]) -> None:
    begin = domain.begin_time(WEEK)
    team.add(*people[:6])
    team.backdate(begin)
    for athlete in people[6:9]:
        enter(team.coach, team.group, athlete, sharing=[ANALYTICS])
    assert team.ask().totals.athlete_count == 6
    late = Team(team.coach, team.owner)
    late.add(*people[:6])
    late.backdate(begin + timedelta(seconds=1))
    assert_withheld(late.ask())


def test_sharing_that_is_taken_back_and_given_again_begins_anew(
    team: Team, people: list[Athlete]
) -> None:
    team.add(*people[:6])
    for athlete in people[:2]:
        team.share(athlete)
        team.share(athlete, ANALYTICS)
    team.share(people[2], ANALYTICS, LEADERBOARDS)
    assert_withheld(team.ask())


def test_joining_leaving_and_amending_change_nothing_that_was_published(
    team: Team, people: list[Athlete]
) -> None:
    """The differencing attack: compare what is answered before and after somebody joins or
    leaves."""
    team.add(*people[:6])
    first = team.ask()
    assert first.totals.athlete_count == 6
    steps: list[Callable[[], object]] = [
        lambda: remove(people[0], team.group, people[0].id),
        lambda: remove(team.coach, team.group, people[1].id),
        lambda: team.share(people[2]),
        lambda: team.add(people[6]),
        lambda: team.add(people[0]),
        lambda: people[3].log(pulls(WEEK, sets=9)),
    ]
    for step in steps:
        step()
        assert team.ask() == first
    assert team.published_count() == 1


def test_who_withdraws_does_not_count_in_weeks_to_come(team: Team, people: list[Athlete]) -> None:
    team.add(*people[:6])
    assert team.ask(week=WEEK - ONE_WEEK).totals.athlete_count == 6
    team.share(people[0])
    assert team.ask().totals.athlete_count == 5
    assert team.ask(week=WEEK - ONE_WEEK).totals.athlete_count == 6


@pytest.mark.parametrize(
    ("one", "other"),
    [((0, 6), (0, 5)), ((0, 5), (0, 6)), ((0, 6), (1, 7)), ((0, 9), (0, 5)), ((0, 9), (3, 12))],
)
def test_groups_that_differ_by_one_to_four_do_not_both_tell(
    one: tuple[int, int],
    other: tuple[int, int],
    team: Team,
    people: list[Athlete],
    owner: psycopg.Connection,
) -> None:
    second = Team(people[0].as_another(), owner)
    team.add(*people[slice(*one)])
    second.add(*people[slice(*other)])
    first = team.ask()
    assert first.totals.athlete_count == one[1] - one[0]
    assert_withheld(second.ask())
    # Neither later, nor when the group that told is no more.
    request = group_pb2.DeleteGroupRequest(group_id=team.group.id)
    team.coach.groups.DeleteGroup(request)
    assert_withheld(second.ask())
    with refused("GROUP_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        team.ask()


def test_a_group_that_is_deleted_before_the_other_asks_is_remembered(
    team: Team, people: list[Athlete], owner: psycopg.Connection
) -> None:
    second = Team(team.coach, owner)
    team.add(*people[:6])
    second.add(*people[:5])
    assert team.ask().totals.athlete_count == 6
    team.coach.groups.DeleteGroup(group_pb2.DeleteGroupRequest(group_id=team.group.id))
    assert_withheld(second.ask())


@pytest.mark.parametrize(
    ("one", "other"), [((0, 6), (0, 6)), ((0, 6), (6, 12)), ((0, 11), (0, 6)), ((0, 6), (1, 12))]
)
def test_groups_that_differ_by_none_or_by_five_both_tell(
    one: tuple[int, int],
    other: tuple[int, int],
    team: Team,
    people: list[Athlete],
    owner: psycopg.Connection,
) -> None:
    second = Team(people[0].as_another(), owner)
    if (one, other) == ((0, 6), (1, 12)):
        team.add(*(people[0].as_another() for _ in range(4)))
    team.add(*people[slice(*one)])
    second.add(*people[slice(*other)])
    assert team.ask().HasField("totals")
    assert second.ask().HasField("totals")


def test_who_sees_most_athletes_one_by_one_is_not_told(team: Team, people: list[Athlete]) -> None:
    team.add(*people[:6])
    colleague = people[0].as_another()
    enter(team.coach, team.group, colleague, COACH)
    given = [grant(athlete, team.coach.id, READ_METRICS) for athlete in people[:2]]
    assert_withheld(team.ask())
    # Who sees one of them leaves five.
    revoke(people[0], given[0])
    assert team.ask().HasField("totals")
    assert team.ask(colleague).HasField("totals")
    # A grant to the group is one to all who lead it.
    message = coaching_pb2.Grant(group_id=team.group.id, scopes=[READ_METRICS])
    for athlete in people[2:4]:
        athlete.coaching.CreateGrant(coaching_pb2.CreateGrantRequest(grant=message))
    assert_withheld(team.ask())
    assert_withheld(team.ask(colleague))
    # What of them does not show numbers, or no more, does not count.
    other_scope = grant(people[4], colleague.id, access_pb2.GRANT_SCOPE_WRITE_WORKOUTS)
    assert other_scope.active
    expire(team.owner, grant(people[4], colleague.id, READ_METRICS))
    for athlete in people[:2]:
        grant(athlete, colleague.id, READ_METRICS)
    assert_withheld(team.ask(colleague))
    for athlete in people[4:6]:
        grant(athlete, colleague.id, READ_METRICS)
    assert team.ask(colleague).totals.athlete_count == 6


def test_who_sees_a_leaderboard_sees_those_on_it(team: Team, people: list[Athlete]) -> None:
    team.add(*people[:6])
    asking, other = people[6], people[7]
    team.add(asking, sharing=[LEADERBOARDS])
    team.add(other, sharing=[])
    for athlete in people[:2]:
        team.share(athlete, ANALYTICS, LEADERBOARDS)
    assert_withheld(team.ask())
    assert_withheld(team.ask(asking))
    assert team.ask(other).HasField("totals")


def test_an_athlete_knows_their_own_numbers(team: Team, people: list[Athlete]) -> None:
    team.add(*people[:5])
    team.add(people[5], sharing=[])
    assert team.ask(people[5]).totals.athlete_count == 5
    assert_withheld(team.ask(people[0]))


def test_grants_do_not_help_to_subtract_another_group(
    team: Team, people: list[Athlete], owner: psycopg.Connection
) -> None:
    """Both weeks have enough athletes whom nobody sees; what is left between them has not."""
    second = Team(team.coach, owner)
    team.add(*people[:11])
    second.add(*people[:6])
    assert team.ask().HasField("totals")
    assert second.ask().HasField("totals")
    grant(people[10], team.coach.id, READ_METRICS)
    assert_withheld(team.ask())
    assert_withheld(second.ask())


def test_what_is_answered_is_the_same_for_all_who_may_see_it(
    team: Team, people: list[Athlete], owner: psycopg.Connection
) -> None:
    team.add(*people[:7])
    assistant = people[0].as_another()
    enter(team.coach, team.group, assistant, ASSISTANT)
    assert team.ask(people[0]) == team.ask() == team.ask(assistant)


def test_strangers_see_no_group(team: Team, people: list[Athlete], alice: Athlete) -> None:
    team.add(*people[:6])
    for ask in (team.ask, team.leaderboard):
        with refused("GROUP_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
            ask(alice)
        assert refusals[0].fields == ["group_id"]
    assert team.published_count() == 0
    remove(team.coach, team.group, people[0].id)
    with refused("GROUP_NOT_FOUND"):
        team.ask(people[0])


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"group_id": "no id"}, "group_id"),
        ({"from_date": {"year": 2026, "month": 2, "day": 30}}, "from_date"),
        ({"to_date": {"year": 2026}}, "to_date"),
        ({"from_date": {"year": 2020, "month": 1, "day": 6}}, "from_date"),
        ({"from_date": {"year": 1, "month": 1, "day": 1}}, "from_date"),
    ],
)
def test_a_bad_question_about_weeks_is_refused(
    fields: dict[str, Any], path: str, team: Team, alice: Athlete
) -> None:
    team.add(alice)
    request = pb.GetGroupAnalyticsRequest(**{"group_id": team.group.id, **fields})
    for athlete in (alice, team.coach):
        with refused("INVALID_FIELD") as refusals:
            athlete.teams.GetGroupAnalytics(request)
        assert refusals[0].fields == [path]


def test_no_weeks_are_answered_with_none(team: Team) -> None:
    assert team.weeks(from_date=to_date(THIS_WEEK + 2 * ONE_WEEK)) == []
    assert len(team.weeks(to_date={"year": 1, "month": 1, "day": 1})) == 12


def test_two_who_ask_at_once_publish_once(team: Team, people: list[Athlete]) -> None:
    team.add(*people)
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: team.weeks(), range(6)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][-3].totals.athlete_count == 12
    query = """
        SELECT count(*) FROM training.group_week_contributors WHERE group_id = %s
        GROUP BY start_date
    """
    counts = team.owner.execute(query, [team.group.id]).fetchall()
    assert set(counts) == {(12,)}


def test_two_groups_that_ask_at_once_do_not_both_tell(
    people: list[Athlete], alice: Athlete, owner: psycopg.Connection
) -> None:
    teams = [Team(alice.as_another(), owner) for _ in range(4)]
    for number, team in enumerate(teams):
        team.add(*people[: 6 + number])
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda team: team.ask(), teams))
    assert sum(answer.HasField("totals") for answer in answers) == 1


def test_weeks_are_published_together_and_then_read_in_one_round(
    team: Team, people: list[Athlete], queries: Queries
) -> None:
    team.add(*people[:6])
    queries.clear()
    team.weeks()
    # Who asks and what there is; the sums; two locks, who withdrew, what overlaps, the weeks and
    # their contributors; what there is then; and the access record. Each of three transactions asks
    # first whether who asks was erased.
    assert len(queries.data) == 2 + 1 + 6 + 2 + 1
    assert sum("refuse_erased" in sql for sql in queries.sql) == 3
    first = team.published_count()
    assert first >= 10
    queries.clear()
    team.weeks()
    assert len(queries.data) == 2 + 1
    assert team.published_count() == first


MEMBERS = """
    INSERT INTO training.group_members
        (group_id, member_user_id, role, sharing, joined_at, analytics_since)
    SELECT %s, unnest(%s::uuid[]), 'ATHLETE', '{ANALYTICS}', '2020-01-01', '2020-01-01'
"""
GRANTS = """
    INSERT INTO training.access_grants
        (external_user_id, id, grantee_user_id, scopes, created_at)
    SELECT unnest(%s::uuid[]), gen_random_uuid(), %s, '{READ_METRICS}', now()
"""


@settings(max_examples=30)
@given(worlds, st.permutations(GROUPS))
def test_groups_are_answered_as_the_model_says(
    bob: Athlete, owner: psycopg.Connection, world: World, order: Sequence[int]
) -> None:
    """The model is the one of which the unit tests show that nobody can be told from another."""
    coach = bob.as_another()
    ids = [str(uuid4()) for _ in ATHLETES]
    owner.execute(GRANTS, [[ids[one] for one in world.seen], coach.id])
    teams = [Team(coach, owner) for _ in GROUPS]
    for group, team in enumerate(teams):
        owner.execute(MEMBERS, [team.group.id, [ids[one] for one in world.sharing[group]]])
    # Twice, for what is published of one group may withhold what is of another.
    for group in (*order, *order):
        expected = world.ask(group) or ()
        assert teams[group].ask().totals.athlete_count == len(expected)


def of_database(url: str, work: Callable[[Database], Awaitable[Any]]) -> Any:
    """Does something with the service's own means of storage."""

    async def run() -> Any:
        async with Database(Settings(), url) as database:
            return await work(database)

    return asyncio.run(run())


@pytest.mark.parametrize("sql", ["as it is", "without its conditions"])
def test_the_database_shows_nobody_who_does_not_share(
    sql: str, team: Team, people: list[Athlete], database_url: str
) -> None:
    """The repositories, called directly by the group's own coach, get no number of athletes who
    did not consent, whatever the statements ask for."""
    team.add(*people[:6], sharing=[])
    for athlete in people[:6]:
        athlete.log(pulls(WEEK))
    team.owner.execute(
        "UPDATE training.group_members SET analytics_since = %s WHERE group_id = %s",
        [datetime.now(UTC) - timedelta(365), team.group.id],
    )
    scope = Scope(UUID(team.coach.id))

    async def work(database: Database) -> tuple[list[Any], list[Any]]:
        weeks = [(WEEK, domain.begin_time(WEEK))]
        sums = await TeamRepository(database).sums(scope, team.id, weeks)
        boards: list[Any] = []
        for measure in LeaderboardMeasure:
            async with LeaderboardRepository(database).view(scope, team.id) as view:
                boards += await view.places(
                    measure,
                    domain.complete_weeks(12, THIS_WEEK),
                    10,
                    exercise_id=UUID(PULL_UP),
                    criteria={},
                )
        return sums, boards

    def weakened(statement: str) -> str:
        for sharing in ("ANALYTICS", "LEADERBOARDS"):
            condition = f"'{sharing}' = ANY (training.group_members.sharing)"
            statement = statement.replace(condition, "true")
        return statement

    with patched_queries(weakened if sql == "without its conditions" else lambda sql: sql):
        sums, boards = of_database(database_url, work)
    assert boards == []
    assert all(one.session_count == one.set_count == one.active_count == 0 for one in sums)
    assert bool(sums) == (sql == "without its conditions")


def test_who_withdraws_while_a_week_is_published_is_not_in_it(
    team: Team, people: list[Athlete], database_url: str
) -> None:
    team.add(*people[:6])
    begin = domain.begin_time(WEEK)

    async def work(database: Database) -> None:
        teams = TeamRepository(database)
        [sums] = await teams.sums(Scope(UUID(team.coach.id)), team.id, [(WEEK, begin)])
        assert len(sums.member_ids) == 6
        await asyncio.to_thread(team.share, people[0])
        asked = [Publication(WEEK, begin, sums.member_ids, b"")]
        async with teams.publishing(team.id, asked, datetime.now(UTC)) as publishing:
            await publishing.decide({one.week for one in await publishing.overlaps()})

    with pytest.raises(TrainingError) as refusal:
        of_database(database_url, work)
    assert refusal.value.reason is Reason.CONFLICT
    assert team.published_count() == 0
    assert team.ask().totals.athlete_count == 5


def test_what_an_erased_athlete_was_in_is_told_no_more(
    team: Team, people: list[Athlete], owner: psycopg.Connection, database_url: str
) -> None:
    other, second = Team(team.coach, owner), Team(team.coach, owner)
    team.add(*people[:6])
    other.add(*people[6:])
    second.add(*people[:5])
    first = team.ask()
    assert first.HasField("totals")
    before = other.ask()
    asyncio.run(erase(Settings(database_role=""), database_url, UUID(people[5].id)))
    assert_withheld(team.ask())
    assert other.ask() == before
    # Whoever kept the first answer could subtract this one from it.
    assert_withheld(second.ask())
    left = owner.execute(
        "SELECT count(*) FROM training.group_week_contributors WHERE member_user_id = %s",
        [people[5].id],
    )
    assert left.fetchone() == (0,)


# Leaderboards


def test_a_leaderboard_ranks_by_volume_and_ties_share_a_rank(
    team: Team, people: list[Athlete]
) -> None:
    for athlete in (people[1], people[5]):
        athlete.log(pulls(WEEK - ONE_WEEK, sets=9))
    twin = people[0].as_another()
    twin.log(pulls(WEEK, sets=11))
    team.add(people[0], people[1], people[5], people[10], twin, sharing=[LEADERBOARDS])
    places = team.board()
    kilograms = places[0][2] / 15
    tied = sorted([people[10].id, people[1].id, twin.id])
    assert [(rank, who) for rank, who, _ in places] == [
        (1, people[5].id),
        *((2, who) for who in tied),
        (5, people[0].id),
    ]
    assert places[-1][2] == pytest.approx(kilograms)
    assert team.board(max_entries=2) == places[:2]
    assert [len(team.board(asker)) for asker in (people[0], people[5])] == [5, 5]


def test_a_leaderboard_is_of_complete_weeks(team: Team, people: list[Athlete]) -> None:
    team.add(people[0], sharing=[LEADERBOARDS])
    people[0].log(pulls(THIS_WEEK))
    people[0].log(pulls(THIS_WEEK - 4 * ONE_WEEK - timedelta(days=1)))
    by_period = [team.leaderboard(period=period) for period in pb.LeaderboardPeriod.values()[1:]]
    values = [answer.entries[0].value for answer in by_period]
    assert values[1] == values[2] == pytest.approx(2 * values[0])
    for answer, weeks in zip(by_period, (4, 12, 52), strict=True):
        assert answer.start_date == to_date(THIS_WEEK - weeks * ONE_WEEK)
        assert answer.end_date == to_date(THIS_WEEK)


def test_nobody_stands_on_a_leaderboard_who_did_not_consent(
    team: Team, people: list[Athlete], owner: psycopg.Connection
) -> None:
    elsewhere = Team(team.coach, owner)
    elsewhere.add(*people[:6], sharing=[LEADERBOARDS])
    team.add(people[0], sharing=[LEADERBOARDS, ANALYTICS])
    team.add(people[1], sharing=[ANALYTICS])
    team.add(people[2], sharing=[])
    for athlete in people[:3]:
        grant(athlete, team.coach.id, READ_METRICS)
    for measure in pb.LeaderboardMeasure.values()[1:]:
        exercise = PULL_UP if measure == pb.LEADERBOARD_MEASURE_RELATIVE_STRENGTH else ""
        places = team.board(measure=measure, exercise_id=exercise)
        assert {who for _, who, _ in places} <= {people[0].id}
    assert [who for _, who, _ in team.board()] == [people[0].id]


def test_who_withdraws_or_leaves_stands_on_it_no_more(team: Team, people: list[Athlete]) -> None:
    team.add(*people[:3], sharing=[LEADERBOARDS])
    assert {who for _, who, _ in team.board()} == {athlete.id for athlete in people[:3]}
    team.share(people[0], ANALYTICS)
    remove(people[1], team.group, people[1].id)
    assert [who for _, who, _ in team.board()] == [people[2].id]
    with refused("PERMISSION_DENIED", FORBIDDEN):
        team.board(people[0])


def test_leaderboards_are_for_staff_and_those_on_them(team: Team, people: list[Athlete]) -> None:
    team.add(people[0], sharing=[LEADERBOARDS])
    team.add(people[1], sharing=[ANALYTICS])
    assistant = people[0].as_another()
    enter(team.coach, team.group, assistant, ASSISTANT)
    for asker in (team.coach, assistant, people[0]):
        assert [who for _, who, _ in team.board(asker)] == [people[0].id]
    with refused("PERMISSION_DENIED", FORBIDDEN) as refusals:
        team.board(people[1])
    assert "SHARING_LEADERBOARDS" in refusals[0].message


def test_a_leaderboard_of_consistency_counts_weeks_with_two_sessions(
    team: Team, people: list[Athlete]
) -> None:
    steady, once, late = people[:3]
    for weeks in range(3):
        steady.log(pulls(WEEK - weeks * ONE_WEEK + timedelta(days=6)))
    for weeks in (1, 2):
        steady.log(pulls(WEEK - weeks * ONE_WEEK))
    for athlete in (late, late):
        athlete.log(pulls(THIS_WEEK))
    team.add(steady, once, late, sharing=[LEADERBOARDS])
    measure = pb.LEADERBOARD_MEASURE_CONSISTENCY
    assert team.board(measure=measure) == [(1, steady.id, 3)]
    assert team.board(measure=measure, period=pb.LEADERBOARD_PERIOD_4_WEEKS) == [(1, steady.id, 3)]


def test_a_leaderboard_of_skills_counts_what_was_passed(team: Team, alice: Athlete) -> None:
    """Push-ups have no criterion of their own that lets 3 × 50 in two sessions not pass."""

    def push_ups(day: date) -> session_pb2.Session:
        done = session_pb2.PerformedSet(actual_reps=50)
        exercise = session_pb2.SessionExercise(exercise_id=PUSH_UP, sets=[done] * 3)
        return pulls(day, exercises=[exercise])

    new, old, begun = (alice.as_another() for _ in range(3))
    for athlete, days in ((new, (0, 1)), (old, (-90, -89)), (begun, (0,))):
        for day in days:
            athlete.log(push_ups(WEEK + timedelta(days=day)))
    for day in (2, 3):
        old.log(pulls(WEEK + timedelta(days=day), reps=50, sets=3))
    team.add(new, old, begun, sharing=[LEADERBOARDS])
    entries = team.leaderboard(measure=pb.LEADERBOARD_MEASURE_SKILL_UNLOCKS).entries
    assert {(one.rank, one.user_id, one.value, one.passed_exercise_count) for one in entries} == {
        (1, new.id, 1, 1),
        (1, old.id, 1, 2),
    }


def test_a_leaderboard_of_strength_is_reckoned_as_goals_are(team: Team, alice: Athlete) -> None:
    """5 pull-ups with 20 kg added, by somebody of 80 kg, move 0.95 × 80 + 20 = 96 kg; by Epley
    (1985) 96 × (1 + 5/30) = 112 kg could be moved once: 1.4 body masses."""
    strong, weak = alice.as_another(), alice.as_another()
    for athlete, load_kg in ((strong, 20), (weak, 5)):
        done = session_pb2.PerformedSet(actual_reps=5, load_kg=load_kg, rpe=10)
        exercise = session_pb2.SessionExercise(exercise_id=PULL_UP, sets=[done])
        athlete.log(pulls(WEEK, exercises=[exercise]))
    team.add(strong, weak, sharing=[LEADERBOARDS])
    places = team.board(measure=pb.LEADERBOARD_MEASURE_RELATIVE_STRENGTH, exercise_id=PULL_UP)
    assert [(rank, who) for rank, who, _ in places] == [(1, strong.id), (2, weak.id)]
    assert places[0][2] == pytest.approx(1.4)
    goal = a_goal(relative_strength={"exercise_id": PULL_UP, "body_mass_ratio": 3})
    for athlete, (_, _, value) in zip((strong, weak), places, strict=True):
        created = athlete.goals.CreateGoal(goal_pb2.CreateGoalRequest(goal=goal))
        assert created.current_value == pytest.approx(value)


@pytest.mark.parametrize(
    ("fields", "reason", "path"),
    [
        ({"measure": 0}, "INVALID_FIELD", "measure"),
        ({"period": 0}, "INVALID_FIELD", "period"),
        ({"max_entries": -1}, "INVALID_FIELD", "max_entries"),
        ({"time_zone": "Mars"}, "INVALID_FIELD", "time_zone"),
        ({"exercise_id": PULL_UP}, "INVALID_FIELD", "exercise_id"),
        ({"measure": 4}, "INVALID_FIELD", "exercise_id"),
        ({"measure": 4, "exercise_id": L_SIT}, "INVALID_FIELD", "exercise_id"),
        ({"measure": 4, "exercise_id": str(uuid4())}, "EXERCISE_NOT_FOUND", "exercise_id"),
    ],
)
def test_a_bad_question_about_leaderboards_is_refused(
    fields: dict[str, Any], reason: str, path: str, team: Team, alice: Athlete
) -> None:
    team.add(alice, sharing=[LEADERBOARDS])
    for asker in (team.coach, alice):
        with refused(reason) as refusals:
            team.leaderboard(asker, **fields)
        assert refusals[0].fields == [path]


def test_a_leaderboard_takes_two_statements(
    team: Team, people: list[Athlete], queries: Queries
) -> None:
    team.add(*people, sharing=[LEADERBOARDS])
    for measure in pb.LeaderboardMeasure.values()[1:4]:
        queries.clear()
        team.board(measure=measure)
        assert len(queries.data) == 2 + 1  # both, the record
