"""Load of days and series over the wire; moving averages of a long history."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import load_pb2 as pb
from calisthenics.training.v1 import session_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rpc.test_rebuild import write
from tests.rpc.test_totals import a_date, on, to_date
from tests.support import (
    PULL_UP,
    Athlete,
    Queries,
    RunningService,
    a_session,
    eventually,
    refused,
    waiting_count,
)
from tests.unit.test_load import DAYS, FIVE_WEEKS, WEEKS
from training_service.domain.exercise import exercise_id

TUCK_PLANCHE = str(exercise_id("tuck-planche"))
FIRST = date(2024, 12, 2)
TODAY = datetime.now(UTC).date()
UNITS = [number for number in pb.LoadUnit.values() if number]
HISTORY, NO_CHRONIC, NO_PREVIOUS, NO_LOAD, ZERO_VARIANCE = pb.LoadWithheldReason.values()[1:]


def day(number: int, first: date = FIRST) -> date:
    """Returns a day by its number, from 1 on."""
    return first + timedelta(number - 1)


def a_load(local_date: date, load_au: float, **fields: Any) -> session_pb2.Session:
    """Returns a session of a load: rated 5."""
    return on(local_date.isoformat(), duration_seconds=round(load_au / 5 * 60), **fields)


def log_all(athlete: Athlete, sessions: Sequence[session_pb2.Session]) -> None:
    for start in range(0, len(sessions), 500):
        entries = [session_pb2.LogSessionRequest(session=s) for s in sessions[start : start + 500]]
        request = session_pb2.BatchLogSessionsRequest(requests=entries, atomic=True)
        results = athlete.sessions.BatchLogSessions(request).results
        assert all(result.HasField("session") for result in results)


def five_weeks(athlete: Athlete, first: date = FIRST) -> None:
    """Logs the golden series."""
    log_all(athlete, [a_load(day(n, first), load) for n, load in enumerate(FIVE_WEEKS, 1) if load])


def status(athlete: Athlete, local_date: date, **request: Any) -> pb.LoadStatus:
    return athlete.loads.GetLoadStatus(
        pb.GetLoadStatusRequest(local_date=to_date(local_date), **request)
    )


def series(athlete: Athlete, first: date, last: date, **request: Any) -> list[pb.LoadDay]:
    """Returns the days between two dates, both included."""
    asked = pb.ListLoadSeriesRequest(
        from_date=to_date(first),
        to_date=to_date(last + timedelta(1)),
        page_size=1000,
        **request,
    )
    return list(athlete.loads.ListLoadSeries(asked).days)


def triggers(found: pb.LoadStatus) -> dict[str, pb.LoadTrigger]:
    prefix = "LOAD_TRIGGER_KIND_"
    return {
        pb.LoadTriggerKind.Name(one.kind).removeprefix(prefix): one for one in found.flag.triggers
    }


def unchecked(found: pb.LoadStatus) -> dict[str, int]:
    prefix = "LOAD_TRIGGER_KIND_"
    return {
        pb.LoadTriggerKind.Name(one.kind).removeprefix(prefix): one.reason
        for one in found.flag.unchecked
    }


def test_the_golden_series(alice: Athlete, bob: Athlete) -> None:
    five_weeks(alice)
    bob.log(a_load(day(30), 9000))
    for number, (coupled, uncoupled, means) in DAYS.items():
        found = status(alice, day(number))
        assert a_date(found.first_date) == FIRST
        today = found.day
        assert (today.history_day_count, today.quality) == (number, pb.LOAD_QUALITY_GOOD)
        assert today.acwr.value == pytest.approx(coupled, abs=5e-7)
        assert today.uncoupled_acwr.value == pytest.approx(uncoupled, abs=5e-7)
        ewma = today.ewma_acwr
        found_means = (ewma.acute_load, ewma.chronic_load, ewma.value)
        assert found_means == pytest.approx(means, abs=5e-7)
        assert (today.acwr.coverage, ewma.coverage) == (1, 1)
    last = status(alice, day(35)).day
    methods = [one.method for one in (last.acwr, last.uncoupled_acwr, last.ewma_acwr)]
    assert methods == pb.LoadRatioMethod.values()[1:]
    bands = [one.band for one in (last.acwr, last.uncoupled_acwr, last.ewma_acwr)]
    assert bands == [pb.LOAD_BAND_RAISED, pb.LOAD_BAND_HIGH, pb.LOAD_BAND_USUAL]


def test_the_golden_weeks(alice: Athlete) -> None:
    five_weeks(alice)
    changes = [None, 0.06780, 0.06349, -0.47761, 1.37143]
    for week, (sample, population, strain, population_strain) in enumerate(WEEKS, 1):
        found = status(alice, day(7 * week)).day
        assert found.week.load == sum(FIVE_WEEKS[7 * week - 7 : 7 * week])
        change = found.week.change if found.week.HasField("change") else None
        assert change == pytest.approx(changes[week - 1], abs=5e-6)
        assert found.monotony.value == pytest.approx(sample, abs=5e-7)
        assert found.monotony.strain == pytest.approx(strain, abs=5e-4)
        assert found.monotony.deviation == pb.LOAD_DEVIATION_SAMPLE
        other = status(alice, day(7 * week), deviation=pb.LOAD_DEVIATION_POPULATION).day.monotony
        assert other.value == pytest.approx(population, abs=5e-7)
        assert other.strain == pytest.approx(population_strain, abs=5e-4)
        assert other.deviation == pb.LOAD_DEVIATION_POPULATION


def test_a_series_has_for_each_day_what_the_status_of_that_day_has(alice: Athlete) -> None:
    five_weeks(alice)
    days = series(alice, FIRST - timedelta(100), day(35))
    assert [a_date(one.local_date) for one in days] == [day(n) for n in range(1, 36)]
    assert [one.load for one in days] == FIVE_WEEKS
    assert days == [status(alice, day(n)).day for n in range(1, 36)]


def test_a_series_comes_in_pages(alice: Athlete) -> None:
    five_weeks(alice)
    whole = series(alice, FIRST, day(35))
    request = pb.ListLoadSeriesRequest(page_size=16, to_date=to_date(day(36)))
    found = []
    sizes = []
    while True:
        page = alice.loads.ListLoadSeries(request)
        assert page.unit == pb.LOAD_UNIT_SESSION_RPE
        found += page.days
        sizes.append(len(page.days))
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert sizes == [16, 16, 3]
    assert found == whole


def test_a_series_ends_today(alice: Athlete) -> None:
    alice.log(a_load(TODAY - timedelta(3), 100))
    ahead = Timestamp()
    ahead.FromDatetime(datetime.now(UTC) + timedelta(hours=23))
    logged = alice.log(a_session(start_time=ahead, time_zone="Pacific/Kiritimati"))
    assert a_date(logged.local_date) > TODAY
    days = alice.loads.ListLoadSeries(pb.ListLoadSeriesRequest()).days
    assert [one.load for one in days] == [100, 0, 0, 0]
    assert not series(alice, TODAY + timedelta(1), TODAY + timedelta(9))


def test_today_is_that_of_the_time_zone(alice: Athlete) -> None:
    alice.log(a_load(TODAY - timedelta(10), 100))
    days = [
        a_date(alice.loads.GetLoadStatus(pb.GetLoadStatusRequest(time_zone=zone)).day.local_date)
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago")  # 25 hours apart
    ]
    assert timedelta(1) <= days[0] - days[1] <= timedelta(2)


def test_without_a_session_nothing_is_said(alice: Athlete, bob: Athlete) -> None:
    bob.log(a_load(day(1), 100))
    for athlete, local_date in ((alice, day(30)), (bob, day(1) - timedelta(1))):
        found = status(athlete, local_date)
        assert not found.HasField("day")
        assert not found.HasField("flag")
        assert not found.HasField("first_date")
        assert "does not predict injury" in found.note
    assert not alice.loads.ListLoadSeries(pb.ListLoadSeriesRequest()).days


def test_what_is_withheld_says_why(alice: Athlete, bob: Athlete) -> None:
    five_weeks(alice)
    early = status(alice, day(27))
    for ratio in (early.day.acwr, early.day.uncoupled_acwr, early.day.ewma_acwr):
        assert not ratio.HasField("value")
        assert ratio.withheld_reason == HISTORY
        assert ratio.band == pb.LOAD_BAND_UNSPECIFIED
        assert ratio.acute_load > 0
    assert unchecked(early)["UNCOUPLED_RATIO"] == HISTORY
    assert status(alice, day(6)).day.monotony.withheld_reason == HISTORY
    assert status(alice, day(13)).day.week.withheld_reason == HISTORY
    late = status(alice, day(35 + 28))
    assert late.day.acwr.withheld_reason == NO_CHRONIC
    assert late.day.ewma_acwr.HasField("value")
    assert late.day.monotony.withheld_reason == NO_LOAD
    assert late.day.week.withheld_reason == NO_PREVIOUS
    log_all(bob, [a_load(day(n), 100) for n in range(1, 29)])
    even = status(bob, day(28))
    assert [r.value for r in (even.day.acwr, even.day.uncoupled_acwr, even.day.ewma_acwr)] == [
        1
    ] * 3
    assert even.day.monotony.withheld_reason == ZERO_VARIANCE
    alike = triggers(even)["MONOTONY"]
    assert not alike.HasField("value")
    assert (alike.points, alike.description) == (1, "The last 7 days were all alike.")


def test_load_can_be_counted_in_other_units(alice: Athlete) -> None:
    sets = [
        session_pb2.PerformedSet(actual_reps=10, rpe=9),
        session_pb2.PerformedSet(actual_reps=8, rpe=6),
    ]
    exercises = [session_pb2.SessionExercise(exercise_id=PULL_UP, sets=sets)]
    alice.log(a_load(FIRST, 300, exercises=exercises, body_mass_kg=80))
    loads = {unit: status(alice, FIRST, unit=unit).day.load for unit in UNITS}
    assert loads == pytest.approx(
        {
            pb.LOAD_UNIT_SESSION_RPE: 300,
            pb.LOAD_UNIT_VOLUME_LOAD: 18 * 0.95 * 80,
            pb.LOAD_UNIT_EFFECTIVE_REPS: 18,
            pb.LOAD_UNIT_HARD_SETS: 1,
        }
    )
    assert [status(alice, FIRST, unit=unit).unit for unit in UNITS] == UNITS


def unrated(local_date: date, **fields: Any) -> session_pb2.Session:
    session = on(local_date.isoformat(), **fields)
    session.ClearField("session_rpe")
    return session


def test_a_load_that_is_not_known_makes_the_data_poor(alice: Athlete) -> None:
    five_weeks(alice)
    alice.log(unrated(day(35)))
    [known_in_part] = series(alice, day(35), day(35))
    assert not known_in_part.HasField("load")
    assert (known_in_part.session_count, known_in_part.unknown_session_count) == (1, 1)
    assert known_in_part.acwr.value == pytest.approx(DAYS[35][0], abs=5e-7)
    assert known_in_part.acwr.coverage == pytest.approx(27 / 28)
    for number in range(30, 35):
        alice.log(unrated(day(number)))
    assert status(alice, day(35)).day.quality == pb.LOAD_QUALITY_LOW
    partly = status(alice, day(34)).day
    assert (partly.load, partly.session_count, partly.unknown_session_count) == (300, 2, 1)


def test_a_missing_load_is_taken_from_earlier_sessions_of_the_workout(
    alice: Athlete, bob: Athlete
) -> None:
    workout = alice.create_workout()
    of_workout = {"workout_id": workout.id, "workout_revision": 1}
    for number, load in enumerate((900, 100, 200, 300, 400, 500), 1):
        alice.log(a_load(day(number), load, **of_workout))
    alice.log(a_load(day(7), 5000))
    alice.log(unrated(day(9), **of_workout))
    found = status(alice, day(9)).day
    assert (found.load, found.imputed_session_count, found.unknown_session_count) == (300, 1, 0)
    assert found.acwr.coverage == pytest.approx(8 / 9)
    # One more before it: the last five are now 200 to 500 and this.
    late = alice.log(a_load(day(8), 450, **of_workout))
    assert status(alice, day(9)).day.load == 400
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=late.id))
    assert status(alice, day(9)).day.load == 300
    assert bob.create_workout(display_name="another").id != workout.id


def test_a_pattern_out_of_the_ordinary_is_flagged_with_its_reasons(alice: Athlete) -> None:
    five_weeks(alice)
    found = status(alice, day(35))
    flag = triggers(found)
    assert flag.keys() == {"UNCOUPLED_RATIO", "WEEKLY_CHANGE"}
    assert (found.flag.points, found.flag.level) == (4, pb.LOAD_FLAG_LEVEL_HIGH)
    ratio = flag["UNCOUPLED_RATIO"]
    assert (ratio.points, ratio.threshold) == (2, 1.5)
    assert ratio.value == found.day.uncoupled_acwr.value
    assert "1.51 times that of the 21 days before" in ratio.description
    assert flag["WEEKLY_CHANGE"].description.startswith("Load of the last 7 days was 137% more")
    assert unchecked(found) == {"STRAIN": HISTORY, "STRAIGHT_ARM_HOLD": NO_LOAD}
    usual = status(alice, day(28))
    assert (usual.flag.points, usual.flag.level) == (0, pb.LOAD_FLAG_LEVEL_USUAL)
    assert not usual.flag.triggers


@pytest.mark.parametrize(
    ("days_off", "load", "points"), [(14, 601, 1), (14, 600, 0), (13, 601, 0), (400, 601, 1)]
)
def test_much_at_once_after_a_break_is_flagged(
    alice: Athlete, days_off: int, load: float, points: int
) -> None:
    """Four weeks of 1,200 AU before it, with more in the weeks before those."""
    trained = [n for n in range(29, 57) if n % 7 in (1, 3, 5)]
    log_all(alice, [a_load(day(n), 400) for n in trained])
    log_all(alice, [a_load(day(n), 2000) for n in range(1, 27)])
    returned = day(trained[-1] + days_off + 1)
    alice.log(a_load(returned, load))
    for later in (0, 6):
        flag = triggers(status(alice, returned + timedelta(later)))
        assert ("RETURN_AFTER_BREAK" in flag) == bool(points)
    if points:
        assert flag["RETURN_AFTER_BREAK"].value == pytest.approx(load / 1200)
    assert "RETURN_AFTER_BREAK" not in triggers(status(alice, returned + timedelta(7)))


@pytest.mark.parametrize(("seconds", "points"), [(53, 1), (52, 0)])
def test_much_longer_straight_arm_holds_are_flagged(
    alice: Athlete, seconds: float, points: int
) -> None:
    def holding(local_date: date, *holds: float) -> session_pb2.Session:
        sets = [session_pb2.PerformedSet(actual_hold_seconds=one) for one in holds]
        exercise = session_pb2.SessionExercise(exercise_id=TUCK_PLANCHE, sets=sets)
        return a_load(local_date, 100, exercises=[exercise])

    alice.log(holding(day(1), 300))  # too long ago
    alice.log(holding(day(3), 20, 20))
    alice.log(holding(day(10), 30))
    alice.log(holding(day(32), seconds - 10, 10))
    for number in (32, 38):
        flag = triggers(status(alice, day(number)))
        assert ("STRAIGHT_ARM_HOLD" in flag) == bool(points)
    if points:
        assert flag["STRAIGHT_ARM_HOLD"].value == seconds
        assert flag["STRAIGHT_ARM_HOLD"].threshold == 52
    assert unchecked(status(alice, day(39)))["STRAIGHT_ARM_HOLD"] == NO_LOAD
    assert unchecked(status(alice, day(2)))["STRAIGHT_ARM_HOLD"] == NO_PREVIOUS


def test_a_late_session_changes_its_day_and_what_looks_back_on_it(alice: Athlete) -> None:
    """Back-dated, amended, voided: the days before stay, rolling windows end after 28 days."""
    five_weeks(alice)
    span = FIRST, day(120)
    before = series(alice, *span)
    late = alice.log(a_load(day(10), 250))
    after = series(alice, *span)
    assert after[:9] == before[:9]
    assert after[9].load == FIVE_WEEKS[9] + 250
    rolling = [(one.acwr.value, one.uncoupled_acwr.value, one.week.load) for one in after]
    assert rolling[10 + 28 :] == [
        (one.acwr.value, one.uncoupled_acwr.value, one.week.load) for one in before[10 + 28 :]
    ]
    assert all(a.fitness > b.fitness for a, b in zip(after[9:], before[9:], strict=True))
    request = session_pb2.AmendSessionRequest(session_id=late.id, session=a_load(day(20), 250))
    amended = alice.sessions.AmendSession(request)
    moved = series(alice, *span)
    assert moved[:19] == before[:19]
    assert moved[19].load == FIVE_WEEKS[19] + 250
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=amended.id))
    assert series(alice, *span) == before


def forget(owner: psycopg.Connection, athlete: Athlete) -> None:
    """Takes an athlete's checkpoints away, as if nobody had asked yet."""
    own = "DELETE FROM training.load_checkpoints WHERE external_user_id = %s"
    owner.execute(own, [athlete.id])


def checkpoints(owner: psycopg.Connection, athlete: Athlete) -> list[Any]:
    query = """
        SELECT unit, local_date, training_day_count, ewma_acute, ewma_chronic, fitness, fatigue
        FROM training.load_checkpoints WHERE external_user_id = %s ORDER BY 1, 2
    """
    return owner.execute(query, [athlete.id]).fetchall()


def two_years(athlete: Athlete) -> None:
    log_all(
        athlete,
        [
            a_load(FIRST - timedelta(730) + timedelta(n), 100 + n % 37 * 10)
            for n in range(0, 730, 3)
        ],
    )


def numbers(one: pb.LoadDay) -> list[float]:
    return [
        one.acwr.value,
        one.ewma_acwr.acute_load,
        one.ewma_acwr.chronic_load,
        one.fitness,
        one.fatigue,
        one.form,
        one.training_day_count,
    ]


def test_how_averages_stood_at_the_ends_of_months_is_kept(
    alice: Athlete, owner: psycopg.Connection, queries: Queries
) -> None:
    two_years(alice)
    assert checkpoints(owner, alice) == []
    fresh = status(alice, day(1))
    kept = checkpoints(owner, alice)
    assert {unit for unit, *_ in kept} == {"SESSION_RPE"}
    dates = [local_date for _, local_date, *_ in kept]
    assert dates[0] == date(2022, 12, 31)
    assert dates[-1] <= TODAY - timedelta(91) < (dates[-1] + timedelta(32)).replace(day=1)
    assert len(dates) == len(set(dates))
    assert all((one + timedelta(1)).day == 1 for one in dates)
    queries.clear()
    again = status(alice, day(1))
    assert numbers(again.day) == pytest.approx(numbers(fresh.day), rel=1e-12)
    assert checkpoints(owner, alice) == kept
    # One moment, one round trip; the first asked once more, and stored.
    assert len(queries.data) == 4
    assert sum(sql.startswith("BEGIN") and "REPEATABLE" in sql for sql in queries.sql) == 1


HISTORIES = st.lists(
    st.tuples(
        st.sampled_from(["log", "log", "amend", "void"]),
        st.integers(0, 9),
        st.integers(0, 300),
        st.integers(0, 900),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=20)
@given(writes=HISTORIES)
def test_whatever_is_written_and_read_between_the_answer_is_that_from_scratch(
    service: RunningService, owner: psycopg.Connection, writes: Any
) -> None:
    """Sessions of a year ago, in any order, with readers who keep checkpoints in between."""
    athlete = Athlete(service.address)
    begin = TODAY - timedelta(460)
    last = begin + timedelta(330)
    current: list[str] = []
    write(athlete, current, "log", 0, a_load(begin, 100))
    for kind, place, offset, load, is_read in writes:
        write(athlete, current, kind, place, a_load(begin + timedelta(offset), load))
        if is_read:
            for unit in UNITS[:2]:
                status(athlete, last, unit=unit)
    for unit in UNITS[:2]:
        # Of days late enough for checkpoints to be used.
        kept = series(athlete, last - timedelta(20), last, unit=unit)
        forget(owner, athlete)
        scratch = series(athlete, last - timedelta(20), last, unit=unit)
        assert len(kept) == len(scratch)
        for one, other in zip(kept, scratch, strict=True):
            assert numbers(one) == pytest.approx(numbers(other), rel=1e-9, abs=1e-9)
    athlete.close()


def test_a_checkpoint_is_not_made_while_an_old_session_is_being_written(
    alice: Athlete, owner: psycopg.Connection, database_url: str
) -> None:
    """Who keeps checkpoints waits for the writer, and then sees what was written."""
    two_years(alice)
    with psycopg.connect(database_url) as writer:
        claim = "INSERT INTO training.load_histories VALUES (%s) ON CONFLICT DO NOTHING"
        writer.execute(claim, [alice.id])
        lock = "SELECT FROM training.load_histories WHERE external_user_id = %s FOR UPDATE"
        writer.execute(lock, [alice.id])
        asked = alice.loads.GetLoadStatus.future(
            pb.GetLoadStatusRequest(local_date=to_date(day(1)))
        )
        eventually(lambda: waiting_count(owner) == 1)
        writer.execute(
            "UPDATE training.session_metrics SET load_au = 5000 WHERE external_user_id = %s"
            " AND local_date = (SELECT min(local_date) FROM training.session_metrics"
            " WHERE external_user_id = %s)",
            [alice.id, alice.id],
        )
        writer.commit()
    assert asked.result().day.fitness > 0
    _, first, *levels = checkpoints(owner, alice)[0]
    with_it = next(one for one in series(alice, first, first) if a_date(one.local_date) == first)
    assert levels[3] == pytest.approx(with_it.fitness)
    forget(owner, alice)
    [scratch] = series(alice, first, first)
    assert levels[3] == pytest.approx(scratch.fitness)


def test_who_may_not_keep_checkpoints_is_answered_all_the_same(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    two_years(alice)
    owner.execute("REVOKE INSERT ON training.load_checkpoints FROM training_app")
    try:
        found = status(alice, day(1))
    finally:
        owner.execute("GRANT INSERT ON training.load_checkpoints TO training_app")
    assert found.day.fitness > 0
    assert checkpoints(owner, alice) == []


def test_a_long_history_takes_as_many_statements_as_a_short_one(
    alice: Athlete, bob: Athlete, queries: Queries
) -> None:
    two_years(alice)
    five_weeks(bob, TODAY - timedelta(40))
    sent = []
    for athlete in (alice, bob):
        status(athlete, TODAY)
        queries.clear()
        athlete.loads.GetLoadStatus(pb.GetLoadStatusRequest())
        sent.append(queries.data)
    assert sent[0] == sent[1]
    assert len(sent[0]) == 4


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (pb.GetLoadStatusRequest(local_date=to_date(TODAY + timedelta(3))), "local_date"),
        (pb.GetLoadStatusRequest(local_date=to_date(date(1969, 1, 1))), "local_date"),
        (pb.GetLoadStatusRequest(local_date={"year": 2025}), "local_date"),
        (pb.GetLoadStatusRequest(time_zone="Mars/Olympus"), "time_zone"),
        (pb.GetLoadStatusRequest(unit=9), "unit"),
        (pb.GetLoadStatusRequest(deviation=9), "deviation"),
        (pb.ListLoadSeriesRequest(from_date={"year": 2025}), "from_date"),
        (pb.ListLoadSeriesRequest(time_zone="Mars/Olympus"), "time_zone"),
        (pb.ListLoadSeriesRequest(page_size=-1), "page_size"),
    ],
)
def test_bad_input_is_refused(alice: Athlete, request_: Any, path: str) -> None:
    is_status = isinstance(request_, pb.GetLoadStatusRequest)
    call = alice.loads.GetLoadStatus if is_status else alice.loads.ListLoadSeries
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        call(request_)
    assert path in refusals[0].fields


def test_a_page_token_is_of_its_listing(alice: Athlete, bob: Athlete) -> None:
    for athlete in (alice, bob):
        five_weeks(athlete)
    token = alice.loads.ListLoadSeries(pb.ListLoadSeriesRequest(page_size=5)).next_page_token
    other = pb.ListLoadSeriesRequest(page_size=5, page_token=token, unit=pb.LOAD_UNIT_HARD_SETS)
    with refused("INVALID_PAGE_TOKEN"):
        alice.loads.ListLoadSeries(other)
    with refused("INVALID_PAGE_TOKEN"):
        bob.loads.ListLoadSeries(pb.ListLoadSeriesRequest(page_size=5, page_token=token))
