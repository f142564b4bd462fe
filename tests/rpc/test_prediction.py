"""PredictNextSession, over the wire."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from calisthenics.training.v1 import prediction_pb2 as pb
from calisthenics.training.v1 import session_pb2
from google.type.date_pb2 import Date

from tests.learning_population import World, replayed
from tests.support import (
    L_SIT,
    PULL_UP,
    Athlete,
    Queries,
    a_session,
    at,
    refused,
    running_service,
)
from training_service.learning.card import write_artefact

DAY = date(2026, 3, 16)
MEDIAN = pb.PREDICTION_SOURCE_MEDIAN_OF_THREE
MODEL = pb.PREDICTION_SOURCE_LINEAR_MODEL


def to_date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


def log(athlete: Athlete, days_ago: int, *reps: int, **fields: Any) -> session_pb2.Session:
    """Logs a session with these sets of pull-ups, so many days before the day."""
    sets = [session_pb2.PerformedSet(actual_reps=one, rpe=8) for one in reps]
    usual = {
        "start_time": at(f"{DAY - timedelta(days=days_ago)}T12:00:00"),
        "time_zone": "UTC",
        "exercises": [session_pb2.SessionExercise(exercise_id=PULL_UP, sets=sets)],
    }
    return athlete.log(a_session(**{**usual, **fields}))


def predicted(athlete: Athlete, **fields: Any) -> pb.NextSessionPrediction:
    usual = {"exercise_id": PULL_UP, "local_date": to_date(DAY)}
    request = pb.PredictNextSessionRequest(**{**usual, **fields})
    return athlete.predictions.PredictNextSession(request)


def test_the_median_of_three_forecasts_of_each_athlete_apart(alice: Athlete, bob: Athlete) -> None:
    for days_ago, reps in ((9, 20), (6, 5), (4, 6), (2, 12)):
        log(alice, days_ago, reps, reps)
    log(bob, 3, 30)
    assert predicted(alice) == pb.NextSessionPrediction(
        external_user_id=alice.id,
        exercise_id=PULL_UP,
        local_date=to_date(DAY),
        effective_reps=12,
        source=MEDIAN,
        session_count=4,
    )
    assert predicted(bob).effective_reps == 30


def test_what_was_never_done_is_not_forecast(alice: Athlete, bob: Athlete) -> None:
    log(bob, 3, 30)
    log(alice, 2, 8)
    found = predicted(alice, exercise_id=L_SIT)
    assert not found.HasField("effective_reps")
    assert found.source == pb.PREDICTION_SOURCE_UNSPECIFIED
    assert found.session_count == 0


def test_a_forecast_of_an_earlier_day_knows_what_was_logged_up_to_it(
    alice: Athlete, bob: Athlete
) -> None:
    log(bob, 5, 30)
    log(alice, 5, 8)
    log(alice, 1, 16)
    earlier = predicted(alice, local_date=to_date(DAY - timedelta(days=3)))
    assert (earlier.effective_reps, earlier.session_count) == (8, 1)
    assert predicted(alice).effective_reps == 12


def test_a_session_that_counts_no_more_tells_nothing(alice: Athlete, bob: Athlete) -> None:
    log(bob, 5, 30)
    log(alice, 5, 8)
    wrong = log(alice, 2, 80)
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=wrong.id, reason="no"))
    assert predicted(alice).effective_reps == 8


def test_what_is_unknown_is_not_taken_as_nothing(alice: Athlete, bob: Athlete) -> None:
    log(bob, 5, 30)
    log(alice, 5, 8)
    sets = [session_pb2.PerformedSet(completed=True), session_pb2.PerformedSet(actual_reps=3)]
    exercise = session_pb2.SessionExercise(exercise_id=PULL_UP, sets=sets)
    log(alice, 2, exercises=[exercise])
    found = predicted(alice)
    assert (found.effective_reps, found.session_count) == (8, 1)


def test_two_seconds_of_a_hold_are_one_repetition(alice: Athlete, bob: Athlete) -> None:
    log(bob, 5, 30)
    hold = session_pb2.PerformedSet(actual_hold_seconds=15)
    log(
        alice,
        2,
        exercises=[session_pb2.SessionExercise(exercise_id=L_SIT, sets=[hold, hold])],
    )
    assert predicted(alice, exercise_id=L_SIT).effective_reps == 15


def test_an_unknown_exercise_is_refused(alice: Athlete) -> None:
    with refused("EXERCISE_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
        predicted(alice, exercise_id="0190d0c0-0000-7000-8000-000000000000")
    assert refusals[0].fields == ["exercise_id"]


def test_a_day_to_come_is_refused(alice: Athlete) -> None:
    too_late = datetime.now(UTC).date() + timedelta(days=2)
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        predicted(alice, local_date=to_date(too_late))
    assert refusals[0].fields == ["local_date"]


def test_a_forecast_takes_one_round_trip_and_one_statement(
    alice: Athlete, queries: Queries
) -> None:
    for days_ago in range(1, 12):
        log(alice, days_ago, 8)
    predicted(alice)
    queries.clear()
    predicted(alice)
    assert sum(sql.startswith("BEGIN") for sql in queries.sql) == 1
    assert len(queries.data) == 1


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that is on."""
    folder = tmp_path_factory.mktemp("model")
    data = folder / "data"
    data.write_bytes(b"")
    write_artefact(folder, data, *replayed(World.SIGNAL), datetime(2026, 1, 2, tzinfo=UTC))
    return folder


def test_the_model_forecasts_for_who_has_logged_enough(database_url: str, model: Path) -> None:
    with running_service(database_url, model_directory=model) as service:
        newcomer, seasoned = Athlete(service.address), Athlete(service.address)
        for days_ago in range(30, 0, -2):
            log(seasoned, days_ago, 10, 10, 10)
        for days_ago in (4, 2):
            log(newcomer, days_ago, 10, 10, 10)
        assert predicted(newcomer).source == MEDIAN
        found = predicted(seasoned, local_date=to_date(DAY))
        assert found.source == MODEL
        # After two days of rest, as always: what was always done.
        assert found.effective_reps == pytest.approx(30, abs=2)
        for athlete in (newcomer, seasoned):
            athlete.close()


def test_a_model_that_was_changed_is_not_used(
    database_url: str, model: Path, tmp_path: Path
) -> None:
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with (tmp_path / "model.json").open("a") as changed:
        changed.write("\n")
    with running_service(database_url, model_directory=tmp_path) as service:
        athlete = Athlete(service.address)
        for days_ago in range(30, 0, -2):
            log(athlete, days_ago, 10)
        found = predicted(athlete)
        assert (found.source, found.effective_reps) == (MEDIAN, 10)
        athlete.close()
