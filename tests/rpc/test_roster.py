"""The roster of a group: what its coaches see of all athletes at once, and of whom nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import (
    access_pb2,
    coaching_pb2,
    group_pb2,
    load_pb2,
    metrics_pb2,
    readiness_pb2,
    schedule_pb2,
    session_pb2,
)
from calisthenics.training.v1 import roster_pb2 as pb

from tests.rpc.test_load import TODAY, TUCK_PLANCHE, checkpoints, forget, log_all
from tests.rpc.test_totals import a_date, on, to_date
from tests.support import (
    L_SIT,
    PULL_UP,
    Athlete,
    Queries,
    a_schedule,
    a_wellness,
    enter,
    expire,
    grant,
    new_group,
    refused,
    remove,
    revoke,
    uses,
)
from training_service.domain.periods import Period
from training_service.domain.phase import DateRange
from training_service.servicers.roster import MAX_KEPT
from training_service.settings import Settings
from training_service.storage.database import Database
from training_service.storage.grant import Look
from training_service.storage.roster import (
    GRANT_SCOPES,
    LOAD_QUERIES,
    METRICS_QUERIES,
    READ_METRICS,
    READ_WELLNESS,
    WELLNESS_QUERIES,
    Question,
    RosterRepository,
)

METRICS = access_pb2.GRANT_SCOPE_READ_METRICS
WELLNESS = access_pb2.GRANT_SCOPE_READ_WELLNESS
BOTH = [WELLNESS, METRICS]
DONE, MISSED, SKIPPED = schedule_pb2.PlannedSessionState.values()[2:]
LOAD_FLAG, LOW_READINESS, MISSED_SESSIONS, INACTIVE = pb.RosterAttentionReason.values()[1:]


def roster(coach: Athlete, group: group_pb2.Group, **request: Any) -> pb.RosterStatus:
    return coach.rosters.GetRosterStatus(pb.GetRosterStatusRequest(group_id=group.id, **request))


def entries(coach: Athlete, group: group_pb2.Group, **request: Any) -> dict[str, pb.RosterEntry]:
    return {one.user_id: one for one in roster(coach, group, **request).entries}


def shown(coach: Athlete, group: group_pb2.Group, athlete: Athlete) -> pb.RosterEntry:
    return entries(coach, group)[athlete.id]


def ago(days: int, **fields: Any) -> session_pb2.Session:
    """Returns a session of so many days ago."""
    return on((TODAY - timedelta(days)).isoformat(), **fields)


def joined(coach: Athlete, group: group_pb2.Group, scopes: Sequence[int] = BOTH) -> Athlete:
    """Returns a new athlete of the group, to which they granted scopes."""
    athlete = coach.as_another()
    enter(coach, group, athlete, granted_scopes=scopes)
    return athlete


def a_history(random: Random, days: int, workout_id: str) -> list[session_pb2.Session]:
    """Returns sessions of so many days: some unrated, some of a workout, some with straight-arm
    holds, with a break of three weeks among them."""
    share = random.choice([0.2, 0.4, 0.6])
    pause = random.randrange(0, 40)
    found = []
    for day in range(days, -1, -1):
        if random.random() > share or pause < day <= pause + 21:
            continue
        fields: dict[str, Any] = {"duration_seconds": random.randrange(1200, 6000)}
        if random.random() < 0.7:
            fields.update(workout_id=workout_id, workout_revision=1)
        sets = [
            session_pb2.PerformedSet(
                actual_reps=random.randrange(3, 12),
                load_kg=random.choice([0, 5, 10]),
                rpe=random.choice([6, 7, 8, 9, 10]),
                target={"reps": {"min": 8, "max": 8}},
            )
            for _ in range(4)
        ]
        holds = [session_pb2.PerformedSet(actual_hold_seconds=random.randrange(5, 30))]
        fields["exercises"] = [
            session_pb2.SessionExercise(exercise_id=PULL_UP, sets=sets),
            session_pb2.SessionExercise(
                exercise_id=random.choice([L_SIT, TUCK_PLANCHE]), sets=holds
            ),
        ]
        session = ago(day, **fields)
        session.session_rpe = random.randrange(3, 10)
        if random.random() < 0.15:
            session.ClearField("session_rpe")
        found.append(session)
    return found


def make_history(random: Random, athlete: Athlete, days: int) -> None:
    """Logs, plans and rates for so many days."""
    workout = athlete.create_workout()
    log_all(athlete, a_history(random, days, workout.id))
    start = TODAY - timedelta(random.randrange(10, 60))
    schedule = athlete.schedules.CreateSchedule(
        schedule_pb2.CreateScheduleRequest(
            schedule=a_schedule(
                rotation={"workout_ids": [workout.id, *[""] * random.randrange(2)]},
                start_date=to_date(start),
                end_date=to_date(TODAY + timedelta(20)),
                missed_policy=random.choice([1, 2]),
            )
        )
    )
    athlete.schedules.ReschedulePlannedSession(
        schedule_pb2.ReschedulePlannedSessionRequest(
            schedule_id=schedule.id, number=random.choice([1, 3, 5, 7]), skip=True
        )
    )
    if random.random() < 0.7:
        ratings = {name: random.randrange(1, 8) for name in ("sleep", "stress", "fatigue")}
        athlete.readiness.LogWellness(readiness_pb2.LogWellnessRequest(entry=a_wellness(**ratings)))


def assert_is_as_single_calls_say(entry: pb.RosterEntry, athlete: Athlete) -> None:
    today = to_date(TODAY)
    status = athlete.loads.GetLoadStatus(load_pb2.GetLoadStatusRequest(local_date=today))
    assert entry.load.day == status.day
    assert entry.load.flag == status.flag
    ready = athlete.readiness.GetReadiness(readiness_pb2.GetReadinessRequest(local_date=today))
    for name in ("band", "coverage", "withheld_reason", "score"):
        assert getattr(entry.readiness, name) == getattr(ready, name)
    assert entry.readiness.HasField("score") == ready.HasField("score")
    records = athlete.metrics.ListPersonalRecords(
        metrics_pb2.ListPersonalRecordsRequest(
            from_date=to_date(Period.WEEK.start(TODAY)), to_date=to_date(TODAY + timedelta(1))
        )
    ).records
    assert entry.week_records.record_count == len(records)
    assert list(entry.week_records.records) == list(records)[:10]
    planned = athlete.schedules.ListPlannedSessions(
        schedule_pb2.ListPlannedSessionsRequest(
            from_date=to_date(TODAY - timedelta(27)), to_date=to_date(TODAY + timedelta(1))
        )
    ).planned_sessions
    states = [one.state for one in planned]
    counts = entry.adherence
    assert counts.planned_session_count == states.count(DONE) + states.count(MISSED)
    assert counts.done_session_count == states.count(DONE)
    assert counts.skipped_session_count == states.count(SKIPPED)
    if counts.planned_session_count:
        assert counts.done_share == counts.done_session_count / counts.planned_session_count
    else:
        assert not counts.HasField("done_share")
    sessions = athlete.sessions.ListSessions(
        session_pb2.ListSessionsRequest(page_size=1000)
    ).sessions
    ages = [(TODAY - a_date(one.local_date)).days for one in sessions]
    assert entry.activity.week_session_count == sum(age < 7 for age in ages)
    assert entry.activity.four_week_session_count == sum(age < 28 for age in ages)
    assert entry.activity.HasField("days_since_session") == bool(ages)
    if ages:
        assert entry.activity.days_since_session == min(ages)
        assert a_date(entry.activity.last_session_date) == TODAY - timedelta(min(ages))


@pytest.mark.parametrize("seed", range(3))
def test_a_roster_says_what_the_single_calls_say(
    seed: int, alice: Athlete, owner: psycopg.Connection
) -> None:
    random = Random(seed)
    group = new_group(alice)
    athletes = [joined(alice, group) for _ in range(8)]
    for athlete, days in zip(athletes[1:], (1, 6, 13, 40, 100, 250, 700), strict=True):
        make_history(random, athlete, days)
    before = entries(alice, group)  # the first call keeps what loads add up to
    found = entries(alice, group)
    assert found == before
    assert found.keys() == {one.id for one in athletes}
    for athlete in athletes:
        assert list(found[athlete.id].granted_scopes) == [METRICS, WELLNESS]
        assert_is_as_single_calls_say(found[athlete.id], athlete)
        forget(owner, athlete)
        assert_is_as_single_calls_say(found[athlete.id], athlete)


@pytest.fixture
def group(alice: Athlete) -> group_pb2.Group:
    """Returns a group that alice coaches."""
    return new_group(alice)


def logged(alice: Athlete, group: group_pb2.Group, scopes: Sequence[int] = BOTH) -> Athlete:
    """Returns a new athlete of the group who trained today and feels well."""
    athlete = joined(alice, group, scopes)
    athlete.log(ago(0))
    athlete.readiness.LogWellness(readiness_pb2.LogWellnessRequest(entry=a_wellness()))
    return athlete


def test_of_who_granted_nothing_there_is_the_id_alone(
    alice: Athlete, group: group_pb2.Group
) -> None:
    athlete = logged(alice, group, [access_pb2.GRANT_SCOPE_READ_SESSIONS])
    assert shown(alice, group, athlete) == pb.RosterEntry(user_id=athlete.id)
    assert uses(athlete) == []


def test_what_is_shown_is_what_was_granted(alice: Athlete, group: group_pb2.Group) -> None:
    of_metrics, of_wellness = logged(alice, group, [METRICS]), logged(alice, group, [WELLNESS])
    found = entries(alice, group)
    metrics, wellness = found[of_metrics.id], found[of_wellness.id]
    assert list(metrics.granted_scopes) == [METRICS]
    assert metrics.activity.week_session_count == 1
    assert metrics.HasField("load")
    assert metrics.week_records.record_count
    assert not metrics.HasField("readiness")
    assert list(wellness.granted_scopes) == [WELLNESS]
    for name in ("activity", "adherence", "load", "week_records"):
        assert not wellness.HasField(name)
    ready = of_wellness.readiness.GetReadiness(readiness_pb2.GetReadinessRequest())
    assert wellness.readiness.coverage == ready.coverage > 0
    assert [one.rpc for one in uses(of_metrics)] == ["GetRosterStatus"]
    assert [one.scope for one in uses(of_wellness)] == [WELLNESS]


def test_the_readiness_of_who_granted_no_metrics_is_the_same(
    alice: Athlete, group: group_pb2.Group
) -> None:
    random = Random(11)
    for days in (0, 30, 400):
        athlete = joined(alice, group, [WELLNESS])
        make_history(random, athlete, days)
        ready = athlete.readiness.GetReadiness(readiness_pb2.GetReadinessRequest())
        found = shown(alice, group, athlete).readiness
        assert (found.score, found.coverage) == (ready.score, ready.coverage)


def test_a_grant_that_does_not_hold_shows_nothing(
    alice: Athlete, group: group_pb2.Group, owner: psycopg.Connection
) -> None:
    athlete = logged(alice, group, [])
    nothing = pb.RosterEntry(user_id=athlete.id)
    expire(owner, grant(athlete, alice.id, *BOTH))
    revoke(athlete, grant(athlete, alice.id, *BOTH))
    other_coach = athlete.as_another()
    enter(other_coach, new_group(other_coach), athlete, granted_scopes=BOTH)
    assert shown(alice, group, athlete) == nothing
    granted = coaching_pb2.Grant(group_id=group.id, scopes=BOTH)
    given = athlete.coaching.CreateGrant(coaching_pb2.CreateGrantRequest(grant=granted))
    assert shown(alice, group, athlete).HasField("load")
    revoke(athlete, given)
    assert shown(alice, group, athlete) == nothing
    athlete.coaching.CreateGrant(coaching_pb2.CreateGrantRequest(grant=granted))
    remove(athlete, group, athlete.id)
    assert entries(alice, group) == {}
    # Back in the group, what was granted before holds no more.
    enter(alice, group, athlete)
    assert shown(alice, group, athlete) == nothing


def test_a_grant_to_a_coach_shows_nothing_to_another(
    alice: Athlete, bob: Athlete, group: group_pb2.Group
) -> None:
    enter(alice, group, bob, "MEMBER_ROLE_COACH")
    athlete = logged(alice, group, [])
    grant(athlete, alice.id, METRICS)
    assert shown(alice, group, athlete).HasField("load")
    assert shown(bob, group, athlete) == pb.RosterEntry(user_id=athlete.id)


def test_an_assistant_sees_what_a_coach_sees(
    alice: Athlete, bob: Athlete, group: group_pb2.Group
) -> None:
    athlete = logged(alice, group)
    enter(alice, group, bob, "MEMBER_ROLE_ASSISTANT")
    assert entries(bob, group) == entries(alice, group)
    assert {one.grantee_user_id for one in uses(athlete)} == {alice.id, bob.id}


def test_a_roster_is_for_those_who_lead_the_group(
    alice: Athlete, bob: Athlete, sibling: Athlete, group: group_pb2.Group
) -> None:
    athlete = logged(alice, group)
    new_group(bob)
    for unknown in (group, group_pb2.Group(id=str(uuid4()))):
        with refused("GROUP_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
            roster(bob, unknown)
        assert refusals[0].fields == ["group_id"]
    with refused("PERMISSION_DENIED", grpc.StatusCode.PERMISSION_DENIED):
        roster(athlete, group)
    with refused("ATHLETE_NOT_FOUND"):
        roster(bob, group, external_user_id=alice.id)
    assert uses(athlete) == []
    assert roster(sibling, group, external_user_id=alice.id) == roster(alice, group)
    assert {one.grantee_user_id for one in uses(athlete)} == {alice.id}


def test_every_athlete_finds_the_look_on_record(alice: Athlete, group: group_pb2.Group) -> None:
    athletes = [logged(alice, group) for _ in range(3)]
    roster(alice, group)
    calls = set()
    for athlete in athletes:
        by_scope = {one.scope: one for one in uses(athlete)}
        assert by_scope.keys() == set(BOTH)
        assert len(uses(athlete)) == 2
        [given] = athlete.coaching.ListGrants(coaching_pb2.ListGrantsRequest()).grants
        for use in by_scope.values():
            assert (use.grantee_user_id, use.grant_id) == (alice.id, given.id)
            assert use.rpc == "GetRosterStatus"
            calls.add(use.call_id)
    assert len(calls) == 1
    assert uses(alice) == []


def test_a_group_may_be_without_athletes(alice: Athlete, group: group_pb2.Group) -> None:
    found = roster(alice, group)
    assert (found.group_id, a_date(found.local_date)) == (group.id, TODAY)
    assert not found.entries
    assert found.note


def test_who_needs_attention_comes_first(alice: Athlete, group: group_pb2.Group) -> None:
    well, inactive, missing, tired, silent = (joined(alice, group) for _ in range(5))
    for athlete in (well, missing, tired):
        athlete.log(ago(1))
    inactive.log(ago(10))
    for athlete, done in ((missing, 1), (well, 2)):
        workout = athlete.create_workout()
        schedule = a_schedule(
            workout.id, start_date=to_date(TODAY - timedelta(3)), end_date=to_date(TODAY)
        )
        athlete.schedules.CreateSchedule(schedule_pb2.CreateScheduleRequest(schedule=schedule))
        for days in range(1, done + 1):
            athlete.log(ago(days, workout_id=workout.id, workout_revision=1))
    workout = tired.create_workout()
    few = session_pb2.PerformedSet(actual_reps=1, rpe=9, target={"reps": {"min": 8, "max": 8}})
    exercises = [session_pb2.SessionExercise(exercise_id=PULL_UP, sets=[few])]
    tired.log(ago(1, workout_id=workout.id, workout_revision=1, exercises=exercises))
    ratings = {"sleep": 7, "stress": 7, "fatigue": 7, "soreness": 7}
    tired.readiness.LogWellness(readiness_pb2.LogWellnessRequest(entry=a_wellness(**ratings)))
    found = list(roster(alice, group).entries)
    points = {one.user_id: one.attention_points for one in found}
    assert points == {inactive.id: 3, tired.id: 3, missing.id: 2, well.id: 0, silent.id: 0}
    order = [(-one.attention_points, one.user_id) for one in found]
    assert order == sorted(order)
    reasons = {
        one.user_id: [(a.reason, a.points, a.description) for a in one.attention] for one in found
    }
    assert reasons[inactive.id] == [(INACTIVE, 3, "The last session was 10 days ago.")]
    words = "1 of 3 planned sessions of the last 28 days were done."
    assert reasons[tired.id] == [(LOW_READINESS, 3, "Readiness is 14 of 100.")]
    assert reasons[missing.id] == [(MISSED_SESSIONS, 2, words)]
    assert reasons[well.id] == reasons[silent.id] == []


def test_a_day_of_the_past_is_told_as_it_was(alice: Athlete, group: group_pb2.Group) -> None:
    athlete = joined(alice, group)
    for days in (0, 30, 33):
        athlete.log(ago(days))
    request = pb.GetRosterStatusRequest(
        group_id=group.id, local_date=to_date(TODAY - timedelta(30))
    )
    [entry] = alice.rosters.GetRosterStatus(request).entries
    assert (entry.activity.days_since_session, entry.activity.week_session_count) == (0, 2)
    status = athlete.loads.GetLoadStatus(
        load_pb2.GetLoadStatusRequest(local_date=request.local_date)
    )
    assert (entry.load.day, entry.load.flag) == (status.day, status.flag)
    request.local_date.CopyFrom(to_date(TODAY - timedelta(34)))
    [entry] = alice.rosters.GetRosterStatus(request).entries
    assert entry.activity == pb.RosterActivity()
    assert not entry.HasField("load")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"local_date": to_date(TODAY + timedelta(2))}, "local_date"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"group_id": "x"}, "group_id"),
    ],
)
def test_a_bad_request_is_refused(
    fields: dict[str, Any], path: str, alice: Athlete, group: group_pb2.Group
) -> None:
    request = pb.GetRosterStatusRequest(**{"group_id": group.id, **fields})
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        alice.rosters.GetRosterStatus(request)
    assert refusals[0].fields == [path]


def test_a_roster_takes_as_many_statements_for_fifty_athletes_as_for_one(
    alice: Athlete, queries: Queries
) -> None:
    group = new_group(alice)
    sent = []
    for count in (1, 4, 45):
        for _ in range(count):
            logged(alice, group)
        queries.clear()
        found = roster(alice, group)
        assert all(one.HasField("readiness") and one.HasField("load") for one in found.entries)
        sent.append([query.partition(" VALUES ")[0] for query in queries.data])
    assert len(found.entries) == 50
    assert sent[0] == sent[1] == sent[2]
    # The members; the grants and the record of their use, by each of both scopes; by READ_METRICS
    # the grants, checkpoints, first days, loads, schedules, changes, what was done, holds, last
    # days and records; by READ_WELLNESS the grants, sessions and wellness; the audit record.
    assert len(sent[0]) == 1 + 2 * 2 + 10 + 3 + 1


def test_what_loads_add_up_to_is_kept_for_the_next_roster(
    alice: Athlete, group: group_pb2.Group, owner: psycopg.Connection
) -> None:
    athletes = [joined(alice, group) for _ in range(MAX_KEPT + 1)]
    for athlete in athletes:
        log_all(athlete, [ago(days) for days in range(200, -1, -50)])
    for kept in (MAX_KEPT, MAX_KEPT + 1):
        roster(alice, group)
        assert sum(bool(checkpoints(owner, one)) for one in athletes) == kept


def test_the_database_gives_nothing_to_who_was_granted_nothing(
    alice: Athlete, bob: Athlete, group: group_pb2.Group, database_url: str
) -> None:
    """Whatever the statements ask for, and whoever let the call in."""
    random = Random(5)
    athletes = [joined(alice, group) for _ in range(2)]
    for athlete in athletes:
        make_history(random, athlete, 150)
    roster(alice, group)
    ids = [UUID(one.id) for one in athletes]
    question = Question(
        day=TODAY,
        load_from=TODAY - timedelta(90),
        holds_from=TODAY - timedelta(40),
        exercise_ids=[UUID(TUCK_PLANCHE)],
        planned=DateRange(TODAY - timedelta(27), TODAY + timedelta(1)),
        records_from=TODAY - timedelta(200),
    )
    given = {"external_user_ids": ids, **question.of_readiness}
    queries = [
        (READ_METRICS, [(one, {**given, **question.of_metrics}) for one in METRICS_QUERIES]),
        (READ_WELLNESS, [(one, given) for one in (*WELLNESS_QUERIES, *LOAD_QUERIES)]),
    ]

    async def look(user: Athlete) -> tuple[int, int, int]:
        """Returns of how many athletes there is anything, by each way, and how many rows hold
        something."""
        async with using(database_url) as database:
            rows = 0
            async with database.of_many(UUID(user.id)) as transaction:
                for scope, asked in queries:
                    await transaction.act_by(scope)
                    found = await transaction.fetch_each(asked)
                    rows += sum(value is not None for rows in found for _, value in rows)
            by = Look(UUID(user.id), "GetRosterStatus", "a-call")
            rosters = RosterRepository(database, database)
            async with rosters.admission(by) as admission:
                await admission.admit(ids, datetime.now(UTC))
            everybody = dict.fromkeys(GRANT_SCOPES, frozenset(ids))
            async with rosters.view(by, everybody) as view:
                metrics = await view.metrics(question)
                ready = await view.readiness(metrics, question)
            return len(metrics), len(ready), rows

    assert asyncio.run(look(bob))[:3] == (0, 0, 0)
    metrics, ready, rows = asyncio.run(look(alice))
    assert (metrics, ready) == (2, 2)
    assert rows > 100
    assert {one.grantee_user_id for athlete in athletes for one in uses(athlete)} == {alice.id}


@asynccontextmanager
async def using(url: str) -> AsyncIterator[Database]:
    """Opens the database as the service does."""
    async with Database(Settings(), url) as database:
        yield database
