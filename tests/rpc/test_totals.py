"""Daily totals, weekly and monthly aggregates, over the wire."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from calisthenics.training.v1 import metrics_pb2 as pb
from calisthenics.training.v1 import session_pb2
from google.type.date_pb2 import Date
from psycopg import sql

from tests.support import PULL_UP, Athlete, Queries, a_session, at, refused

Aggregates = list[pb.PeriodAggregate]


def to_date(value: date) -> Date:
    return Date(year=value.year, month=value.month, day=value.day)


def a_date(message: Date) -> date:
    return date(message.year, message.month, message.day)


def on(day: str, **fields: Any) -> session_pb2.Session:
    """Returns a session of 10 pull-ups at noon, of an hour and rated 5."""
    usual = {
        "start_time": at(f"{day}T12:00:00"),
        "time_zone": "UTC",
        "duration_seconds": 3600,
        "session_rpe": 5,
        "body_mass_kg": 80,
        "exercises": [
            session_pb2.SessionExercise(
                exercise_id=PULL_UP, sets=[session_pb2.PerformedSet(actual_reps=10)]
            )
        ],
    }
    return a_session(**{**usual, **fields})


def days(athlete: Athlete, **request: Any) -> dict[date, pb.PeriodTotals]:
    response = athlete.metrics.ListDailyTotals(pb.ListDailyTotalsRequest(**request))
    return {a_date(day.local_date): day.totals for day in response.days}


def weeks(athlete: Athlete, **request: Any) -> Aggregates:
    request = {"page_size": 1000, **request}
    response = athlete.metrics.ListWeeklyAggregates(pb.ListWeeklyAggregatesRequest(**request))
    return list(response.aggregates)


def months(athlete: Athlete, **request: Any) -> Aggregates:
    response = athlete.metrics.ListMonthlyAggregates(pb.ListMonthlyAggregatesRequest(**request))
    return list(response.aggregates)


def keys(aggregates: Iterable[pb.PeriodAggregate]) -> list[str]:
    return [one.key for one in aggregates]


def test_a_day_is_the_sum_of_its_sessions(alice: Athlete, bob: Athlete) -> None:
    alice.log(on("2025-03-03"))
    alice.log(on("2025-03-03", session_rpe=7))
    alice.log(on("2025-03-05"))
    bob.log(on("2025-03-03"))
    found = days(alice)
    assert list(found) == [date(2025, 3, 3), date(2025, 3, 5)]
    first = found[date(2025, 3, 3)]
    assert (first.session_count, first.set_count) == (2, 2)
    assert first.duration_seconds.value == 7200
    assert first.load_au.value == 12 * 60
    assert first.reps.value == 20
    assert first.volume_load_kg.value == pytest.approx(20 * 0.95 * 80)
    assert first.strength_effective_reps.value == 20
    assert first.skill_effective_reps.value == 0
    assert days(bob)[date(2025, 3, 3)].session_count == 1


def test_a_sum_says_how_much_of_it_is_known(alice: Athlete) -> None:
    bare = on("2025-03-03")
    for name in ("body_mass_kg", "session_rpe", "duration_seconds"):
        bare.ClearField(name)  # type: ignore[arg-type]
    alice.log(bare)
    [unknown] = days(alice).values()
    assert not unknown.load_au.HasField("value")
    assert not unknown.volume_load_kg.HasField("value")
    assert (unknown.load_au.coverage, unknown.volume_load_kg.coverage) == (0, 0)
    alice.log(on("2025-03-03"))
    [half] = days(alice).values()
    assert (half.load_au.value, half.load_au.coverage) == (300, 0.5)
    assert (half.duration_seconds.value, half.duration_seconds.coverage) == (3600, 0.5)
    assert half.volume_load_kg.coverage == 0.5


def test_an_amendment_moves_what_it_corrects(alice: Athlete) -> None:
    logged = alice.log(on("2025-03-03"))
    request = session_pb2.AmendSessionRequest(session_id=logged.id, session=on("2025-03-04"))
    alice.sessions.AmendSession(request)
    assert list(days(alice)) == [date(2025, 3, 4)]


def test_what_is_voided_counts_no_more(alice: Athlete) -> None:
    alice.log(on("2025-03-03"))
    second = alice.log(on("2025-03-03", session_rpe=7))
    void = session_pb2.VoidSessionRequest(session_id=second.id)
    alice.sessions.VoidSession(void)
    assert days(alice)[date(2025, 3, 3)].load_au.value == 300


def test_sending_a_session_twice_counts_it_once(alice: Athlete) -> None:
    for _ in range(2):
        alice.log(on("2025-03-03"), request_id=alice.id)
    assert days(alice)[date(2025, 3, 3)].session_count == 1


def test_a_batch_counts_each_of_its_sessions(alice: Athlete) -> None:
    entries = [on(f"2025-03-{day:02}") for day in (3, 3, 4)]
    requests = [session_pb2.LogSessionRequest(session=entry) for entry in entries]
    alice.sessions.BatchLogSessions(session_pb2.BatchLogSessionsRequest(requests=requests))
    assert [day.session_count for day in days(alice).values()] == [2, 1]


def test_days_can_be_limited_and_paged(alice: Athlete) -> None:
    for day in range(1, 8):
        alice.log(on(f"2025-03-{day:02}"))
    limited = days(alice, from_date=to_date(date(2025, 3, 3)), to_date=to_date(date(2025, 3, 6)))
    assert [day.day for day in limited] == [3, 4, 5]
    seen = []
    request = pb.ListDailyTotalsRequest(page_size=3)
    while True:
        response = alice.metrics.ListDailyTotals(request)
        seen += [day.local_date.day for day in response.days]
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
    assert seen == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("start", "zone", "day", "week"),
    [
        ("2025-01-05T23:30:00-05:00", "America/New_York", date(2025, 1, 5), "2025-W01"),
        ("2025-03-09T23:30:00-04:00", "America/New_York", date(2025, 3, 9), "2025-W10"),
        ("2025-11-02T23:30:00-05:00", "America/New_York", date(2025, 11, 2), "2025-W44"),
        ("2024-12-30T08:00:00+01:00", "Europe/Berlin", date(2024, 12, 30), "2025-W01"),
        ("2021-01-01T12:00:00+00:00", "UTC", date(2021, 1, 1), "2020-W53"),
        ("2025-06-01T00:30:00+14:00", "Pacific/Kiritimati", date(2025, 6, 1), "2025-W22"),
    ],
    ids=["evening", "23 hours", "25 hours", "next year's week", "week 53", "far east"],
)
def test_a_session_belongs_to_its_local_date(
    alice: Athlete, start: str, zone: str, day: date, week: str
) -> None:
    alice.log(on("2025-01-01", start_time=at(start), time_zone=zone))
    assert list(days(alice)) == [day]
    assert keys(weeks(alice))[0] == week


def test_travel_does_not_move_a_day(alice: Athlete) -> None:
    """Two sessions at one instant, on two dates."""
    instant = at("2025-03-03T23:30:00")
    for zone in ("UTC", "Asia/Tokyo"):
        alice.log(on("2025-03-03", start_time=instant, time_zone=zone))
    assert list(days(alice)) == [date(2025, 3, 3), date(2025, 3, 4)]


def test_weeks_are_dense_from_the_first_on(alice: Athlete) -> None:
    alice.log(on("2025-03-05"))
    alice.log(on("2025-03-20", session_rpe=7))
    until = to_date(date(2025, 4, 1))
    found = weeks(alice, to_date=until)
    assert keys(found) == ["2025-W10", "2025-W11", "2025-W12", "2025-W13", "2025-W14"]
    assert [one.totals.load_au.value for one in found] == [300, 0, 420, 0, 0]
    assert a_date(found[0].start_date) == date(2025, 3, 3)
    assert a_date(found[0].end_date) == date(2025, 3, 10)
    assert not found[1].totals.load_au.HasField("coverage")
    changes = [one.load_change if one.HasField("load_change") else None for one in found]
    assert changes == [None, -1, None, -1, None]
    assert not any(one.partial for one in found)


def test_a_week_is_compared_with_the_one_before_the_page(alice: Athlete) -> None:
    alice.log(on("2025-03-05"))
    alice.log(on("2025-03-12", session_rpe=10))
    alice.log(on("2025-03-19"))
    whole = weeks(alice, to_date=to_date(date(2025, 3, 20)))
    assert [one.load_change for one in whole] == [0, 1, -0.5]
    assert [one.volume_load_change for one in whole] == [0, 0, 0]
    [cut] = weeks(alice, from_date=to_date(date(2025, 3, 13)), to_date=to_date(date(2025, 3, 17)))
    assert (cut.key, cut.load_change) == ("2025-W11", 1)
    paged: Aggregates = []
    request = pb.ListWeeklyAggregatesRequest(page_size=1, to_date=to_date(date(2025, 3, 20)))
    while True:
        response = alice.metrics.ListWeeklyAggregates(request)
        paged += response.aggregates
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
    assert paged == whole


def test_the_running_week_is_partial_and_the_last(alice: Athlete) -> None:
    today = datetime.now(UTC)
    alice.log(on(f"{today - timedelta(days=7):%Y-%m-%d}"))
    found = weeks(alice)
    assert [one.partial for one in found] == [False, True]
    assert a_date(found[-1].start_date) <= today.date() < a_date(found[-1].end_date)
    assert months(alice)[-1].partial


def test_months_are_those_of_the_calendar(alice: Athlete) -> None:
    for day in ("2024-12-31", "2025-01-01", "2025-03-31"):
        alice.log(on(day))
    found = months(alice, to_date=to_date(date(2025, 4, 1)))
    assert keys(found) == ["2024-12", "2025-01", "2025-02", "2025-03"]
    assert [one.totals.session_count for one in found] == [1, 1, 0, 1]
    assert a_date(found[2].end_date) == date(2025, 3, 1)


def test_without_a_session_there_is_no_week(alice: Athlete, bob: Athlete) -> None:
    bob.log(on("2025-03-05"))
    assert weeks(alice) == months(alice) == []
    assert days(alice) == {}


def test_an_unknown_time_zone_is_refused(alice: Athlete) -> None:
    with refused("INVALID_FIELD") as refusals:
        weeks(alice, time_zone="Mars/Olympus")
    assert refusals[0].fields == ["time_zone"]


@pytest.mark.parametrize("day", [date.min, date.max, date(1970, 1, 1)])
def test_the_ends_of_the_calendar_are_no_fault(alice: Athlete, day: date) -> None:
    alice.log(on("2025-03-05"))
    for name in ("from_date", "to_date"):
        limits = {name: to_date(day)}
        weeks(alice, **limits)
        months(alice, **limits)
        days(alice, **limits)


def test_ten_years_of_weeks_touch_no_session(
    alice: Athlete, queries: Queries, owner: psycopg.Connection
) -> None:
    alice.log(on("2015-03-05"))
    queries.clear()
    found = weeks(alice, to_date=to_date(date(2025, 3, 5)))
    assert len(found) == 523
    [statement] = queries.data
    tables = tables_read(owner, statement, ["2015-03-02", "2025-03-04", alice.id, 1000])
    assert tables == {"session_metrics"}


def tables_read(owner: psycopg.Connection, statement: str, values: list[Any]) -> set[str]:
    """Returns the tables in the plan of a statement; of shards, whose they are."""
    prepared = f"PREPARE planned AS {statement}"
    arguments = sql.SQL(", ").join(map(sql.Literal, values))
    explain = sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE planned ({})").format(arguments)
    owner.execute(prepared)
    try:
        [(plan,)] = owner.execute(explain).fetchall()
    finally:
        owner.execute("DEALLOCATE planned")
    return set(re.findall(r"'Relation Name': '(\w+?)(?:_\d+)?'", str(plan)))


def test_an_amended_session_counts_as_if_it_had_been_logged_so(
    alice: Athlete, bob: Athlete
) -> None:
    wrong = on("2025-03-03", session_rpe=9, body_mass_kg=60)
    right = on("2025-03-04", duration_seconds=1800)
    logged = alice.log(wrong)
    alice.sessions.AmendSession(
        session_pb2.AmendSessionRequest(session_id=logged.id, session=right)
    )
    bob.log(right)
    assert days(alice) == days(bob)
    assert weeks(alice) == weeks(bob)
