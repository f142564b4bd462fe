"""The roster of a group: what its coaches see of all athletes at once, and of whom nothing."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import (
    access_pb2,
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
from training_service.settings import Settings
from training_service.storage.database import Database
from training_service.storage.grant import Look
from training_service.storage.roster import (
    _LOADS,
    _METRICS,
    _WELLNESS,
    READ_METRICS,
    READ_WELLNESS,
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
