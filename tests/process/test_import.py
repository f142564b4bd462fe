"""The import, against a running service."""

import socket
from pathlib import Path

import pytest
from calisthenics.training.v1 import exercise_pb2
from calisthenics.training.v1 import session_pb2 as pb
from click.testing import Result
from typer.testing import CliRunner

from tests.support import PULL_UP, Athlete, RunningService, running_service
from training_service.cli import app

DATA = Path(__file__).parents[1] / "data" / "importing"
HEADER = "Date,Exercise,Category,Weight (kgs),Reps,Distance,Distance Unit,Time,Comment\n"


def run(service: RunningService, athlete: Athlete, file: str | Path, *options: str) -> Result:
    """Imports a file from the test data or from elsewhere."""
    given = {
        "--address": service.address,
        "--external-user-id": athlete.id,
        "--time-zone": "Europe/Berlin",
        "--weight-unit": "kg",
    }
    arguments = [word for pair in given.items() for word in pair]
    return CliRunner().invoke(app, ["import", str(DATA / file), *arguments, *options])


def logged(athlete: Athlete) -> list[pb.Session]:
    request = pb.ListSessionsRequest(view=pb.SESSION_VIEW_FULL, oldest_first=True)
    return list(athlete.sessions.ListSessions(request).sessions)


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_dry_run_stores_nothing_and_reports(service: RunningService, alice: Athlete) -> None:
    result = run(service, alice, "strong.csv")
    assert result.exit_code == 0
    assert logged(alice) == []
    shown = words(result.stdout)
    assert "Strong: 3 sessions, 11 sets, 2024-03-26 to 2024-03-30" in shown
    assert "Pull Up (Assisted) Pull-Up slug" in shown
    assert "Muscle Uup Strict Bar Muscle-Up similar" in shown
    assert "Squat (Barbell) not found: left out" in shown
    assert "Plank 1 held, but has repetitions only 13" in shown
    assert "Pushups 1 counted, but has seconds only 14" in shown
    assert "2024-03-28 17:29 Legs not in the catalogue 8" in shown
    assert shown.endswith("Nothing was stored. With --apply, 2 sessions would be sent.")


def test_an_applied_import_is_stored_for_its_athlete_alone(
    service: RunningService, alice: Athlete, bob: Athlete
) -> None:
    result = run(service, alice, "strong.csv", "--apply")
    assert result.exit_code == 0
    assert "Stored 2 sessions." in result.stdout
    pull, push = logged(alice)
    assert pull.start_time.ToJsonString() == "2024-03-26T17:05:00Z"
    assert (pull.time_zone, pull.duration_seconds) == ("Europe/Berlin", 3900)
    assert pull.notes == "Pull, heavy\n\nGood day"
    plain, assisted, plank = pull.exercises
    assert plain.exercise_id == assisted.exercise_id == PULL_UP
    assert [(s.actual_reps, s.load_kg) for s in plain.sets] == [(5, 0), (6, 10), (4, 10.5)]
    assert [s.load_kg for s in assisted.sets] == [-20]
    assert plank.sets[0].actual_hold_seconds == 60
    assert len(push.exercises) == 2
    assert logged(bob) == []


@pytest.mark.parametrize("file", ["strong.csv", "strong_units.csv", "hevy.csv", "fitnotes.csv"])
def test_the_same_file_twice_is_stored_once(
    service: RunningService, alice: Athlete, bob: Athlete, file: str
) -> None:
    assert run(service, alice, file, "--apply").exit_code == 0
    first = logged(alice)
    again = run(service, alice, file, "--apply")
    assert again.exit_code == 0
    assert f"Stored 0 sessions; {len(first)} were there already." in words(again.stdout)
    assert logged(alice) == first != []
    # Another athlete's import of the same file is another log.
    assert run(service, bob, file, "--apply").exit_code == 0
    assert {s.id for s in logged(bob)}.isdisjoint(s.id for s in first)


def test_a_longer_export_adds_what_is_new(
    service: RunningService, alice: Athlete, tmp_path: Path
) -> None:
    file = tmp_path / "log.csv"
    rows = [f"2024-01-{day:02},Pull Up,Back,,{day},,,,\n" for day in range(1, 4)]
    file.write_text(HEADER + rows[2])
    run(service, alice, file, "--apply")
    file.write_text(HEADER + "".join(rows))
    result = run(service, alice, file, "--apply")
    assert "Stored 2 sessions; 1 were there already." in words(result.stdout)
    assert [s.exercises[0].sets[0].actual_reps for s in logged(alice)] == [1, 2, 3]


def test_more_than_a_batch_is_stored_in_several(
    service: RunningService, alice: Athlete, tmp_path: Path
) -> None:
    file = tmp_path / "log.csv"
    days = [f"20{year:02}-05-{day:02}" for year in range(10, 15) for day in range(1, 31)]
    file.write_text(HEADER + "".join(f"{day},Pull Up,Back,,5,,,,\n" for day in days))
    result = run(service, alice, file, "--apply")
    assert result.exit_code == 0
    assert "Stored 150 sessions." in result.stdout


def test_one_refused_session_is_reported_and_the_others_are_stored(
    service: RunningService, alice: Athlete, tmp_path: Path
) -> None:
    file = tmp_path / "log.csv"
    file.write_text(f"{HEADER}2024-01-01,Pull Up,Back,,5,,,,\n2024-01-02,Pull Up,Back,,99999,,,,\n")
    result = run(service, alice, file, "--apply")
    assert result.exit_code == 1
    shown = words(result.stdout)
    assert "2024-01-02 12:00 INVALID_FIELD" in shown
    assert "session.exercises[0].sets[0].actual_reps" in "".join(result.stdout.split())
    assert "Stored 1 session; 1 refused." in shown
    assert len(logged(alice)) == 1


def test_the_same_file_in_another_zone_is_refused_and_not_stored_twice(
    service: RunningService, alice: Athlete
) -> None:
    run(service, alice, "fitnotes.csv", "--apply")
    first = logged(alice)
    result = run(service, alice, "fitnotes.csv", "--apply", "--time-zone", "Asia/Tokyo")
    assert result.exit_code == 1
    assert "REQUEST_ID_REUSED" in result.stdout
    assert logged(alice) == first


def test_a_file_of_nothing_known_stores_nothing(
    service: RunningService, alice: Athlete, tmp_path: Path
) -> None:
    file = tmp_path / "log.csv"
    file.write_text(f"{HEADER}2024-01-01,Bench Press,Chest,60,5,,,,\n")
    result = run(service, alice, file, "--apply")
    assert result.exit_code == 0
    assert "2024-01-01 12:00 not in the catalogue 2" in words(result.stdout)
    assert "Stored 0 sessions." in result.stdout


@pytest.mark.parametrize("name", ["Bench Press", "Seated Row (Cable)", "Leg Press", "Deadlift"])
def test_what_the_catalogue_lacks_is_not_found_by_likeness(
    service: RunningService, alice: Athlete, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "log.csv"
    file.write_text(f"{HEADER}2024-01-01,{name},Any,60,5,,,,\n")
    assert f"{name} not found: left out" in words(run(service, alice, file).stdout)


def test_a_wrong_file_ends_with_exit_code_2_before_anything_is_stored(
    service: RunningService, alice: Athlete, tmp_path: Path
) -> None:
    file = tmp_path / "log.csv"
    file.write_text(f"{HEADER}2024-01-01,Pull Up,Back,,5,,,,\n2024-01-02,Pull Up,Back,,lots,,,,\n")
    result = run(service, alice, file, "--apply")
    assert result.exit_code == 2
    assert result.stdout == 'log.csv: line 3, column "Reps": "lots" is not a number\n'
    assert logged(alice) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--time-zone", "Mars/Olympus"),
        ("--source", "endomondo"),
        ("--external-user-id", "me"),
    ],
)
def test_a_wrong_option_ends_with_exit_code_2(
    service: RunningService, alice: Athlete, option: str, value: str
) -> None:
    result = run(service, alice, "hevy.csv", option, value)
    assert result.exit_code == 2
    assert option in result.stderr


def test_nobody_listening_ends_with_exit_code_1(service: RunningService, alice: Athlete) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        result = run(service, alice, "hevy.csv", "--address", address)
    assert result.exit_code == 1
    assert result.stdout.startswith("No service answers at ")


def test_a_service_that_wants_tokens_is_said_in_a_line(database_url: str, alice: Athlete) -> None:
    settings = {"jwt_jwks": "none.json", "jwt_issuer": "issuer", "jwt_audience": "audience"}
    with running_service(database_url, authentication="jwt", **settings) as strict:
        result = run(strict, alice, "hevy.csv", "--apply")
    assert result.exit_code == 1
    assert "refused a call: UNAUTHENTICATED, " in words(result.stdout)


def test_the_search_of_the_service_helps_with_slips(
    service: RunningService, alice: Athlete, tmp_path: Path
) -> None:
    file = tmp_path / "log.csv"
    file.write_text(f"{HEADER}2024-01-01,Hadstand Walk,Any,,5,,,,\n")
    run(service, alice, file, "--apply")
    request = exercise_pb2.GetExerciseRequest(exercise="handstand-walk")
    expected = alice.exercises.GetExercise(request).id
    [session] = logged(alice)
    assert session.exercises[0].exercise_id == expected
