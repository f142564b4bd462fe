"""LogWellness and ListWellness, over the wire."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import readiness_pb2 as pb
from google.type.date_pb2 import Date

from tests.support import Athlete, Queries, a_wellness, forged_token, refused
from training_service.servicers import dates

RATINGS = ("sleep", "stress", "fatigue", "soreness")


def to_date(text: str) -> Date:
    day = date.fromisoformat(text)
    return Date(year=day.year, month=day.month, day=day.day)


def log(athlete: Athlete, day: str = "2026-03-16", **fields: Any) -> pb.WellnessEntry:
    """Logs an entry of a day."""
    return athlete.readiness.LogWellness(
        pb.LogWellnessRequest(entry=a_wellness(local_date=to_date(day), **fields))
    )


def listed(athlete: Athlete, **request: Any) -> list[pb.WellnessEntry]:
    return list(athlete.readiness.ListWellness(pb.ListWellnessRequest(**request)).entries)


def days(entries: list[pb.WellnessEntry]) -> list[tuple[int, int]]:
    """Returns the day of the month and the version of each entry."""
    return [(entry.local_date.day, entry.version) for entry in entries]


def test_an_entry_is_returned_as_it_was_logged(alice: Athlete, bob: Athlete) -> None:
    before = datetime.now(UTC)
    logged = log(alice, hrv_ms=62.5, resting_heart_rate_bpm=52, notes="slept late")
    assert logged.external_user_id == alice.id
    assert logged.local_date == to_date("2026-03-16")
    assert (logged.sleep, logged.stress, logged.fatigue, logged.soreness) == (3, 2, 4, 3)
    assert logged.hooper_index == 12
    assert (logged.hrv_ms, logged.resting_heart_rate_bpm) == (62.5, 52)
    assert (logged.notes, logged.time_zone) == ("slept late", "UTC")
    assert (logged.version, logged.superseded) == (1, False)
    assert before <= logged.create_time.ToDatetime(UTC) <= datetime.now(UTC)
    assert listed(alice) == [logged]
    assert listed(bob) == []


def test_what_was_not_measured_is_absent(alice: Athlete, bob: Athlete) -> None:
    entry = log(alice)
    assert not entry.HasField("hrv_ms")
    assert not entry.HasField("resting_heart_rate_bpm")
    assert entry.notes == ""
    log(bob, hrv_ms=50)
    assert listed(alice) == [entry]


def test_what_only_the_service_sets_is_ignored(alice: Athlete) -> None:
    entry = log(
        alice, external_user_id="x", hooper_index=28, version=9, superseded=True, create_time={}
    )
    assert (entry.external_user_id, entry.hooper_index) == (alice.id, 12)
    assert (entry.version, entry.superseded) == (1, False)


def test_a_second_entry_of_a_day_corrects_the_first(alice: Athlete, bob: Athlete) -> None:
    first = log(alice, sleep=7)
    of_bob = log(bob)
    second = log(alice, sleep=1)
    assert (first.version, second.version, of_bob.version) == (1, 2, 1)
    assert listed(alice) == [second]
    first.superseded = True
    assert listed(alice, show_superseded=True) == [first, second]
    assert listed(bob, show_superseded=True) == [of_bob]


def test_entries_come_oldest_first_and_can_be_limited(alice: Athlete, bob: Athlete) -> None:
    for day in ("2026-03-18", "2026-03-16", "2026-03-17", "2026-03-16", "2026-03-19"):
        log(alice, day)
    log(bob, "2026-03-17")
    assert days(listed(alice)) == [(16, 2), (17, 1), (18, 1), (19, 1)]
    limits = {"from_date": to_date("2026-03-16"), "to_date": to_date("2026-03-18")}
    assert days(listed(alice, **limits)) == [(16, 2), (17, 1)]
    assert days(listed(alice, show_superseded=True, **limits)) == [(16, 1), (16, 2), (17, 1)]


@pytest.mark.parametrize(
    ("show_superseded", "expected"),
    [
        (False, [(16, 3), (17, 1), (18, 2)]),
        (True, [(16, 1), (16, 2), (16, 3), (17, 1), (18, 1), (18, 2)]),
    ],
)
def test_entries_can_be_paged(
    alice: Athlete, bob: Athlete, show_superseded: bool, expected: list[tuple[int, int]]
) -> None:
    for day in (16, 16, 16, 17, 18, 18):
        log(alice, f"2026-03-{day}")
        log(bob, f"2026-03-{day}")
    seen = []
    request = pb.ListWellnessRequest(page_size=1, show_superseded=show_superseded)
    while True:
        response = alice.readiness.ListWellness(request)
        seen += response.entries
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
    assert days(seen) == expected
    assert {entry.external_user_id for entry in seen} == {alice.id}


def test_an_entry_that_is_corrected_between_pages_is_shown_as_corrected(alice: Athlete) -> None:
    log(alice, "2026-03-16")
    log(alice, "2026-03-17")
    request = pb.ListWellnessRequest(page_size=1)
    request.page_token = alice.readiness.ListWellness(request).next_page_token
    corrected = log(alice, "2026-03-17", sleep=1)
    assert list(alice.readiness.ListWellness(request).entries) == [corrected]


def test_a_page_fits_into_what_clients_take(alice: Athlete) -> None:
    first = date(2020, 1, 1)
    for day in range(760):
        log(alice, (first + timedelta(days=day)).isoformat(), notes="😀" * 1000)
    request = pb.ListWellnessRequest(page_size=1000)
    response = alice.readiness.ListWellness(request)
    assert response.ByteSize() < 3_100_000
    count = len(response.entries)
    assert count < 760
    request.page_token = response.next_page_token
    count += len(alice.readiness.ListWellness(request).entries)
    assert count == 760


@pytest.mark.parametrize("key", [("x", 1), ("2026-03-16", -1), ("2026-03-16", 2**31), (1, "x")])
def test_a_forged_page_token_is_refused(alice: Athlete, key: tuple[Any, ...]) -> None:
    log(alice, "2026-03-16")
    log(alice, "2026-03-17")
    token = alice.readiness.ListWellness(pb.ListWellnessRequest(page_size=1)).next_page_token
    with refused("INVALID_PAGE_TOKEN", grpc.StatusCode.INVALID_ARGUMENT):
        listed(alice, page_size=1, page_token=forged_token(token, *key))


def test_a_page_token_is_of_one_listing(alice: Athlete, bob: Athlete) -> None:
    for athlete in (alice, bob):
        log(athlete, "2026-03-16")
        log(athlete, "2026-03-17")
    token = alice.readiness.ListWellness(pb.ListWellnessRequest(page_size=1)).next_page_token
    for athlete, more in ((alice, {"show_superseded": True}), (bob, {})):
        with refused("INVALID_PAGE_TOKEN"):
            listed(athlete, page_token=token, **more)


def test_a_day_that_is_not_said_is_today_where_the_athlete_is(
    alice: Athlete, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dates, "utc_now", lambda: datetime(2026, 3, 16, 10, 30, tzinfo=UTC))
    zones = {"Pacific/Kiritimati": 17, "UTC": 16, "Pacific/Midway": 15}
    for zone, day in zones.items():
        request = pb.LogWellnessRequest(entry=a_wellness(time_zone=zone))
        logged = alice.readiness.LogWellness(request)
        assert logged.local_date == to_date(f"2026-03-{day}")
        assert logged.time_zone == zone


def test_no_day_to_come_can_be_logged(alice: Athlete, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "utc_now", lambda: datetime(2026, 3, 16, 10, 30, tzinfo=UTC))
    log(alice, "2026-03-17", time_zone="Pacific/Kiritimati")
    for day, zone in (("2026-03-17", "America/Los_Angeles"), ("2026-03-18", "Pacific/Kiritimati")):
        with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
            log(alice, day, time_zone=zone)
        assert refusals[0].fields == ["entry.local_date"]
    assert days(listed(alice)) == [(17, 1)]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        *(({name: value}, name) for name in RATINGS for value in (0, 8, -1)),
        *(({"hrv_ms": value}, "hrv_ms") for value in (0, -1, 1000.5, float("nan"))),
        *(
            ({"resting_heart_rate_bpm": value}, "resting_heart_rate_bpm")
            for value in (0, 19.9, 251, float("inf"))
        ),
        ({"notes": "x" * 1001}, "notes"),
        ({"notes": "a\0b"}, "notes"),
        ({"time_zone": ""}, "time_zone"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"local_date": Date(year=2026, month=2, day=30)}, "local_date"),
        ({"local_date": Date(year=2026)}, "local_date"),
        ({"local_date": Date(year=1, month=1, day=1)}, "local_date"),
        ({"local_date": Date(year=9999, month=12, day=31)}, "local_date"),
    ],
)
def test_bad_input_is_refused_and_nothing_stored(
    alice: Athlete, bob: Athlete, fields: dict[str, Any], path: str
) -> None:
    of_bob = log(bob)
    entry = a_wellness(**{"notes": "private", **fields})
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        alice.readiness.LogWellness(pb.LogWellnessRequest(entry=entry))
    assert refusals[0].fields == [f"entry.{path}"]
    assert "private" not in refusals[0].message
    assert listed(alice) == []
    assert listed(bob) == [of_bob]


def test_an_empty_entry_is_refused_for_each_answer_it_lacks(alice: Athlete) -> None:
    with refused("INVALID_FIELD") as refusals:
        alice.readiness.LogWellness(pb.LogWellnessRequest(entry=pb.WellnessEntry()))
    missing = ["time_zone", *RATINGS]
    assert refusals[0].fields == [f"entry.{name}" for name in missing]
    with refused("INVALID_FIELD") as refusals:
        alice.readiness.LogWellness(pb.LogWellnessRequest())
    assert refusals[0].fields == ["entry"]


@pytest.mark.parametrize("name", ["from_date", "to_date"])
def test_a_date_that_is_none_is_refused(alice: Athlete, name: str) -> None:
    with refused("INVALID_FIELD") as refusals:
        listed(alice, **{name: Date(year=2026, month=13, day=1)})
    assert refusals[0].fields == [name]


@pytest.mark.parametrize("day", [date.min, date.max])
def test_the_ends_of_the_calendar_are_no_fault(alice: Athlete, day: date) -> None:
    log(alice)
    for name in ("from_date", "to_date"):
        listed(alice, **{name: to_date(day.isoformat())})


def rows(owner: psycopg.Connection, athlete: Athlete) -> int:
    query = "SELECT count(*) FROM training.wellness_entries WHERE external_user_id = %s"
    [count] = owner.execute(query, [athlete.id]).fetchone() or [-1]
    return int(count)


def test_sending_an_entry_twice_stores_it_once(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    request = pb.LogWellnessRequest(entry=a_wellness(), request_id=str(uuid.uuid4()))
    first = alice.readiness.LogWellness(request)
    corrected = alice.readiness.LogWellness(pb.LogWellnessRequest(entry=a_wellness(sleep=1)))
    assert alice.readiness.LogWellness(request) == first
    request.external_user_id = alice.id
    assert alice.readiness.LogWellness(request) == first
    assert listed(alice) == [corrected]
    assert rows(owner, alice) == 2
    # A request_id belongs to its athlete: the same one is bob's own business.
    request.external_user_id = ""
    assert bob.readiness.LogWellness(request).external_user_id == bob.id


def test_an_entry_sent_again_tomorrow_is_still_of_the_day_it_was_stored_for(
    alice: Athlete, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = pb.LogWellnessRequest(entry=a_wellness(), request_id=str(uuid.uuid4()))
    for day in (16, 17):
        now = datetime(2026, 3, day, 12, tzinfo=UTC)
        monkeypatch.setattr(dates, "utc_now", lambda now=now: now)
        assert alice.readiness.LogWellness(request).local_date == to_date("2026-03-16")


def test_the_same_request_id_with_another_body_is_refused(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    request = pb.LogWellnessRequest(entry=a_wellness(), request_id=str(uuid.uuid4()))
    alice.readiness.LogWellness(request)
    request.entry.sleep = 1
    with refused("REQUEST_ID_REUSED") as refusals:
        alice.readiness.LogWellness(request)
    assert refusals[0].metadata == {"request_id": request.request_id}
    assert rows(owner, alice) == 1


def test_entries_of_one_day_at_the_same_moment_are_all_stored(alice: Athlete, bob: Athlete) -> None:
    """Each gets a version of its own, and the last is current."""
    writers = 12
    with ThreadPoolExecutor(writers) as pool:
        calls = [pool.submit(log, alice, sleep=1 + n % 7) for n in range(writers)]
        stored = [call.result() for call in calls]
    assert sorted(entry.version for entry in stored) == list(range(1, writers + 1))
    [current] = listed(alice)
    assert current == max(stored, key=lambda entry: entry.version)
    assert days(listed(alice, show_superseded=True)) == [(16, n + 1) for n in range(writers)]
    assert listed(bob) == []


def test_one_request_at_the_same_moment_is_stored_once(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    request = pb.LogWellnessRequest(entry=a_wellness(), request_id=str(uuid.uuid4()))
    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(alice.readiness.LogWellness, request) for _ in range(12)]
        answers = {call.result().SerializeToString() for call in calls}
    assert len(answers) == 1
    assert rows(owner, alice) == 1


def test_another_athletes_entries_do_not_exist(alice: Athlete, bob: Athlete) -> None:
    log(alice)
    for request in (
        lambda: listed(bob, external_user_id=alice.id),
        lambda: bob.readiness.LogWellness(
            pb.LogWellnessRequest(external_user_id=alice.id, entry=a_wellness())
        ),
    ):
        with refused("ATHLETE_NOT_FOUND"):
            request()
    assert len(listed(alice)) == 1


def test_listing_takes_one_statement_and_logging_two(alice: Athlete, queries: Queries) -> None:
    log(alice)
    assert len(queries.data) == 2  # the version so far, and the entry
    queries.clear()
    listed(alice)
    assert len(queries.data) == 1
