"""Progress of exercises, personal records and the training summary, over the wire."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from calisthenics.training.v1 import exercise_pb2, session_pb2
from calisthenics.training.v1 import metrics_pb2 as pb

from tests.rpc.test_totals import a_date, on, to_date
from tests.support import L_SIT, PULL_UP, PUSH_UP, Athlete, Queries, forged_token, refused
from training_service.domain.exercise import exercise_id

CHIN_UP = str(exercise_id("chin-up"))
REPS = pb.PERSONAL_RECORD_KIND_MOST_REPS
HOLD = pb.PERSONAL_RECORD_KIND_LONGEST_HOLD
LOAD = pb.PERSONAL_RECORD_KIND_HEAVIEST_LOAD
BEST_1RM = pb.PERSONAL_RECORD_KIND_BEST_1RM


def did(day: str, *sets: dict[str, Any], exercise: str = PULL_UP) -> session_pb2.Session:
    """Returns a session of one exercise."""
    performed = [session_pb2.PerformedSet(**one) for one in sets]
    return on(day, exercises=[session_pb2.SessionExercise(exercise_id=exercise, sets=performed)])


def reps(day: str, count: int) -> session_pb2.Session:
    return did(day, {"actual_reps": count})


def progress(athlete: Athlete, **request: Any) -> list[pb.ExerciseDay]:
    """Returns all days of an exercise, read in pages of two."""
    request = {"page_size": 2, **request}
    message = pb.GetExerciseProgressRequest(**request)
    found: list[pb.ExerciseDay] = []
    while True:
        response = athlete.metrics.GetExerciseProgress(message)
        found += response.days
        if not response.next_page_token:
            return found
        message.page_token = response.next_page_token


def records(athlete: Athlete, **request: Any) -> list[pb.PersonalRecord]:
    """Returns all records, read in pages of two."""
    message = pb.ListPersonalRecordsRequest(**{"page_size": 2, **request})
    found: list[pb.PersonalRecord] = []
    while True:
        response = athlete.metrics.ListPersonalRecords(message)
        found += response.records
        if not response.next_page_token:
            return found
        message.page_token = response.next_page_token


def most_reps(athlete: Athlete) -> tuple[float, date] | None:
    found = records(athlete, kind=REPS)
    assert len(found) <= 1
    return (found[0].reps, a_date(found[0].local_date)) if found else None


def void(athlete: Athlete, session: session_pb2.Session) -> None:
    athlete.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=session.id))


def test_progress_is_told_day_by_day(alice: Athlete, bob: Athlete) -> None:
    alice.log(did("2025-03-03", {"actual_reps": 6}, {"actual_reps": 8}))
    alice.log(did("2025-03-03", {"actual_reps": 7}))
    alice.log(did("2025-03-05", {"actual_reps": 5, "load_kg": 10, "rpe": 8}))
    alice.log(reps("2025-03-07", 9))
    alice.log(did("2025-03-07", {"actual_reps": 20}, exercise=PUSH_UP))
    bob.log(reps("2025-03-04", 30))
    first, loaded, last = progress(alice, exercise_id=PULL_UP)
    assert [a_date(day.local_date).day for day in (first, loaded, last)] == [3, 5, 7]
    assert (first.set_count, first.reps.value, first.most_reps) == (3, 21, 8)
    assert first.volume_load_kg.value == pytest.approx(21 * 0.95 * 80)
    assert not first.HasField("epley_1rm_kg")
    assert loaded.heaviest_load_kg == 10
    assert loaded.epley_1rm_kg == pytest.approx((0.95 * 80 + 10) * (1 + 7 / 30))
    assert loaded.brzycki_1rm_kg == pytest.approx((0.95 * 80 + 10) * 36 / 30)
    assert [list(day.records) for day in (first, loaded, last)] == [
        [REPS],
        [LOAD, BEST_1RM],
        [REPS],
    ]


def test_equal_is_no_record(alice: Athlete) -> None:
    for day in ("2025-03-03", "2025-03-04"):
        alice.log(reps(day, 8))
    assert [list(day.records) for day in progress(alice, exercise_id=PULL_UP)] == [[REPS], []]


def test_a_record_is_one_by_all_that_came_before(alice: Athlete) -> None:
    """Also by what a limited listing does not show."""
    alice.log(reps("2025-03-03", 10))
    alice.log(reps("2025-03-10", 9))
    [later] = progress(alice, exercise_id=PULL_UP, from_date=to_date(date(2025, 3, 5)))
    assert not later.records
    [earlier] = progress(alice, exercise_id=PULL_UP, to_date=to_date(date(2025, 3, 5)))
    assert list(earlier.records) == [REPS]


def test_a_family_is_told_exercise_by_exercise(alice: Athlete) -> None:
    alice.log(reps("2025-03-03", 8))
    alice.log(did("2025-03-03", {"actual_reps": 9}, exercise=CHIN_UP))
    alice.log(did("2025-03-04", {"actual_reps": 20}, exercise=PUSH_UP))
    found = progress(alice, family="pull-up", page_size=1)
    assert {day.exercise_id for day in found} == {PULL_UP, CHIN_UP}
    assert all(list(day.records) == [REPS] for day in found)


def test_progress_of_holds(alice: Athlete) -> None:
    alice.log(did("2025-03-03", {"actual_hold_seconds": 12.5}, exercise=L_SIT))
    [day] = progress(alice, exercise_id=L_SIT)
    assert (day.longest_hold_seconds, day.hold_seconds.value) == (12.5, 12.5)
    assert not day.HasField("most_reps")
    assert list(day.records) == [HOLD]


def test_what_is_unknown_of_the_catalogue_is_refused(alice: Athlete) -> None:
    with refused("EXERCISE_NOT_FOUND") as refusals:
        progress(alice, exercise_id=str(uuid.uuid4()))
    assert refusals[0].fields == ["exercise_id"]
    with refused("INVALID_FIELD") as refusals:
        progress(alice, family="no-such-family")
    assert refusals[0].fields == ["family"]
    with refused("INVALID_FIELD"):
        progress(alice)


def test_page_tokens_are_checked(alice: Athlete) -> None:
    for day in range(1, 5):
        alice.log(did(f"2025-03-{day:02}", {"actual_reps": day, "load_kg": day, "rpe": 8}))
    first = alice.metrics.GetExerciseProgress(
        pb.GetExerciseProgressRequest(exercise_id=PULL_UP, page_size=2)
    )
    for key in (("no date", str(uuid.uuid4())), ("2025-03-01", "no id")):
        with refused("INVALID_PAGE_TOKEN"):
            token = forged_token(first.next_page_token, *key)
            progress(alice, exercise_id=PULL_UP, page_token=token)
    listed = alice.metrics.ListPersonalRecords(pb.ListPersonalRecordsRequest(page_size=2))
    with refused("INVALID_PAGE_TOKEN"):
        token = forged_token(listed.next_page_token, "no date", str(uuid.uuid4()), "MOST_REPS")
        records(alice, page_token=token)


def test_records_are_the_best_of_each_kind(alice: Athlete, bob: Athlete) -> None:
    alice.log(reps("2025-03-03", 8))
    heavy = alice.log(did("2025-03-04", {"actual_reps": 5, "load_kg": 20, "rpe": 9}))
    alice.log(did("2025-03-05", {"actual_hold_seconds": 15}, exercise=L_SIT))
    bob.log(reps("2025-03-03", 30))
    found = records(alice)
    assert {(r.exercise_id, r.kind): getattr(r, str(r.WhichOneof("value"))) for r in found} == {
        (PULL_UP, REPS): 8,
        (PULL_UP, LOAD): 20,
        (PULL_UP, BEST_1RM): pytest.approx((0.95 * 80 + 20) * 1.2),
        (L_SIT, HOLD): 15,
    }
    days = [a_date(r.local_date) for r in found]
    assert days == sorted(days, reverse=True)
    assert {r.session_id for r in records(alice, kind=LOAD)} == {heavy.id}
    assert {r.kind for r in records(alice, exercise_id=L_SIT)} == {HOLD}
    [recent] = records(alice, from_date=to_date(date(2025, 3, 5)))
    assert recent.kind == HOLD
    assert not records(alice, to_date=to_date(date(2025, 3, 3)))


def test_assistance_makes_no_record_of_reps(alice: Athlete) -> None:
    alice.log(did("2025-03-03", {"actual_reps": 12, "load_kg": -20}, {"actual_reps": 7}))
    assert most_reps(alice) == (7, date(2025, 3, 3))


def test_what_was_not_done_makes_no_record(alice: Athlete) -> None:
    """Nor a warm-up, nor a load that did not move."""
    alice.log(
        did(
            "2025-03-03",
            {"actual_reps": 12, "completed": False},
            {"actual_reps": 11, "kind": "SET_KIND_WARM_UP"},
            {"actual_reps": 0, "load_kg": 40, "rpe": 10},
        )
    )
    assert records(alice) == []


def test_the_first_to_reach_it_holds_it(alice: Athlete) -> None:
    """Whatever the order in which they are logged."""
    alice.log(reps("2025-03-04", 8))
    assert most_reps(alice) == (8, date(2025, 3, 4))
    alice.log(reps("2025-03-05", 8))
    assert most_reps(alice) == (8, date(2025, 3, 4))
    alice.log(reps("2025-03-03", 8))
    assert most_reps(alice) == (8, date(2025, 3, 3))


def test_what_is_taken_back_holds_no_record(alice: Athlete) -> None:
    alice.log(reps("2025-03-03", 8))
    best = alice.log(reps("2025-03-04", 10))
    alice.log(reps("2025-03-05", 9))
    void(alice, best)
    assert most_reps(alice) == (9, date(2025, 3, 5))


def test_an_amendment_takes_a_record_back_and_may_make_one(alice: Athlete) -> None:
    alice.log(reps("2025-03-03", 8))
    mistaken = alice.log(reps("2025-03-04", 100))
    amendment = session_pb2.AmendSessionRequest(
        session_id=mistaken.id, session=reps("2025-03-04", 10)
    )
    alice.sessions.AmendSession(amendment)
    assert most_reps(alice) == (10, date(2025, 3, 4))


def test_with_the_last_session_the_last_record_goes(alice: Athlete) -> None:
    void(alice, alice.log(reps("2025-03-03", 8)))
    assert records(alice) == []


def test_a_batch_makes_the_records_of_its_best(alice: Athlete) -> None:
    entries = [reps(f"2025-03-{day:02}", count) for day, count in ((3, 8), (4, 12), (5, 10))]
    requests = [session_pb2.LogSessionRequest(session=entry) for entry in entries]
    alice.sessions.BatchLogSessions(session_pb2.BatchLogSessionsRequest(requests=requests))
    assert most_reps(alice) == (12, date(2025, 3, 4))


@pytest.mark.parametrize("attempt", range(3))
def test_records_taken_back_at_once_leave_the_best_of_the_rest(
    alice: Athlete, attempt: int
) -> None:
    """The next best of one is the next to go of another, while new ones come in."""
    sessions = [alice.log(reps("2025-03-03", count)) for count in range(20, 0, -1)]
    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(void, alice, session) for session in sessions[:15]]
        futures += [threads.submit(alice.log, reps("2025-03-04", 4)) for _ in range(5)]
        for future in futures:
            future.result()
    assert most_reps(alice) == (5, date(2025, 3, 3)), attempt


def test_a_summary_of_all_there_is(alice: Athlete, bob: Athlete) -> None:
    today = datetime.now(UTC).date()
    for weeks_ago in (8, 7, 6, 1, 0):
        alice.log(reps(f"{today - timedelta(weeks=weeks_ago)}", 10))
    alice.log(did(f"{today}", {"actual_reps": 30}, exercise=PUSH_UP))
    bob.log(reps(f"{today}", 10))
    summary = alice.metrics.GetTrainingSummary(pb.GetTrainingSummaryRequest())
    assert (summary.totals.session_count, summary.training_day_count) == (6, 5)
    assert a_date(summary.first_date) == today - timedelta(weeks=8)
    assert a_date(summary.last_date) == today
    assert (summary.current_week_streak, summary.longest_week_streak) == (2, 3)
    pull, push = summary.categories
    assert pull.category == exercise_pb2.EXERCISE_CATEGORY_PULL
    assert (pull.effective_reps.value, pull.set_count, pull.share) == (50, 5, 50 / 80)
    assert push.effective_reps.value == 30
    assert summary.push_share == 30 / 80
    assert sum(muscle.share for muscle in summary.muscles) == pytest.approx(1)
    assert summary.muscles[0].effective_reps == 50
    assert summary.totals.strength_effective_reps.value == 80


def test_a_summary_can_be_limited(alice: Athlete) -> None:
    for day in ("2025-03-03", "2025-03-10", "2025-03-17"):
        alice.log(reps(day, 10))
    limits = {"from_date": to_date(date(2025, 3, 4)), "to_date": to_date(date(2025, 3, 17))}
    summary = alice.metrics.GetTrainingSummary(pb.GetTrainingSummaryRequest(**limits))
    assert summary.totals.session_count == 1
    assert a_date(summary.first_date) == a_date(summary.last_date) == date(2025, 3, 10)
    assert summary.current_week_streak == 1


def test_without_a_session_the_summary_is_empty(alice: Athlete, bob: Athlete) -> None:
    bob.log(reps("2025-03-03", 10))
    summary = alice.metrics.GetTrainingSummary(pb.GetTrainingSummaryRequest())
    assert summary.totals.session_count == 0
    assert summary.totals.reps.value == 0
    assert not summary.totals.reps.HasField("coverage")
    assert not summary.HasField("first_date")
    assert not summary.HasField("push_share")
    assert not summary.categories
    assert not summary.muscles


def test_a_summary_is_one_round_trip(alice: Athlete, queries: Queries) -> None:
    alice.log(reps("2025-03-03", 10))
    queries.clear()
    alice.metrics.GetTrainingSummary(pb.GetTrainingSummaryRequest())
    assert len(queries.data) == 3
    assert sum(statement.startswith("BEGIN") for statement in queries.sql) == 1


def load_of(athlete: Athlete, session: session_pb2.Session) -> pb.SessionMetrics:
    return athlete.metrics.GetSessionMetrics(pb.GetSessionMetricsRequest(session_id=session.id))


def test_a_missing_load_is_taken_from_the_workouts_last_five_sessions(alice: Athlete) -> None:
    workout = alice.create_workout()
    other = alice.create_workout(display_name="Another")
    rated = {"workout_id": workout.id, "workout_revision": 1}
    for day, rpe in enumerate((10, 2, 9, 3, 5, 4), start=1):
        alice.log(on(f"2025-03-{day:02}", session_rpe=rpe, **rated))
    alice.log(on("2025-03-07", session_rpe=1, workout_id=other.id, workout_revision=1))
    alice.log(on("2025-03-09", session_rpe=10, **rated))
    unrated = on("2025-03-08", **rated)
    unrated.ClearField("session_rpe")
    imputed = load_of(alice, alice.log(unrated))
    assert imputed.load_au == 4 * 60  # the median of 2, 9, 3, 5 and 4; not the first, nor later
    assert imputed.load_basis == pb.LOAD_BASIS_IMPUTED


def test_without_a_workout_or_an_earlier_session_a_load_stays_unknown(
    alice: Athlete, bob: Athlete
) -> None:
    workout = alice.create_workout()
    unrated = on("2025-03-08")
    unrated.ClearField("session_rpe")
    assert not load_of(alice, alice.log(unrated)).HasField("load_au")
    unrated.workout_id = workout.id
    bob.log(on("2025-03-01"))
    found = load_of(alice, alice.log(unrated))
    assert not found.HasField("load_au")
    assert found.load_basis == pb.LOAD_BASIS_UNSPECIFIED


def test_progress_and_records_touch_no_session(
    alice: Athlete, queries: Queries, owner: psycopg.Connection
) -> None:
    alice.log(reps("2025-03-03", 10))
    queries.clear()
    progress(alice, exercise_id=PULL_UP)
    records(alice)
    assert len(queries.data) == 2
    assert "training.sessions" not in " ".join(queries.data)
