"""SessionService over a real channel; batches have a file of their own."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import exercise_pb2, workout_pb2
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1.set_pb2 import SET_KIND_AMRAP, SIDE_LEFT, SetTarget
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from tests.support import (
    L_SIT,
    PULL_UP,
    PUSH_UP,
    Athlete,
    a_session,
    at,
    eventually,
    forged_token,
    refused,
)

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
EXISTS = grpc.StatusCode.ALREADY_EXISTS

NOBODY = str(uuid.UUID(int=0))
TABLES = ("sessions", "session_exercises", "session_retractions")

OUTPUT_ONLY = {
    "id",
    "external_user_id",
    "local_date",
    "create_time",
    "supersedes_session_id",
    "state",
    "superseded_by_session_id",
    "retract_time",
    "retract_reason",
    "author_user_id",
    "retract_author_user_id",
}


def an_id() -> str:
    return str(uuid.uuid4())


def bare(start: str = "2026-03-02T17:00:00", **fields: Any) -> pb.Session:
    """Returns a session with nothing but what every session has."""
    return pb.Session(**{"start_time": at(start), "time_zone": "UTC", **fields})


def one_exercise(*sets: pb.PerformedSet, **fields: Any) -> pb.SessionExercise:
    return pb.SessionExercise(**{"exercise_id": PULL_UP, "sets": sets, **fields})


def get(athlete: Athlete, session_id: str) -> pb.Session:
    return athlete.sessions.GetSession(pb.GetSessionRequest(session_id=session_id))


def amend(
    athlete: Athlete, session_id: str, session: pb.Session | None = None, **fields: Any
) -> pb.Session:
    return athlete.sessions.AmendSession(
        pb.AmendSessionRequest(session_id=session_id, session=session or a_session(), **fields)
    )


def void(athlete: Athlete, session_id: str, **fields: Any) -> pb.Session:
    return athlete.sessions.VoidSession(pb.VoidSessionRequest(session_id=session_id, **fields))


def versions(athlete: Athlete, session_id: str) -> list[pb.Session]:
    request = pb.ListSessionVersionsRequest(session_id=session_id)
    return list(athlete.sessions.ListSessionVersions(request).sessions)


def list_page(athlete: Athlete, **fields: Any) -> pb.ListSessionsResponse:
    return athlete.sessions.ListSessions(pb.ListSessionsRequest(**fields))


def listed(athlete: Athlete, **fields: Any) -> list[str]:
    """Returns the ids of all pages of a listing."""
    ids: list[str] = []
    token = ""
    while True:
        page = list_page(athlete, page_token=token, **fields)
        ids += [s.id for s in page.sessions]
        token = page.next_page_token
        if not token:
            return ids


def rows(owner: psycopg.Connection, athlete: Athlete) -> tuple[int, ...]:
    """Returns how many sessions, exercises of sessions and retractions of an athlete are stored."""
    counts = ", ".join(
        f"(SELECT count(*) FROM training.{t} WHERE external_user_id = %(id)s)" for t in TABLES
    )
    return owner.execute(f"SELECT {counts}", {"id": athlete.id}).fetchone() or ()


@contextmanager
def held_back(owner: psycopg.Connection, table: str, calls: int) -> Iterator[None]:
    """Keeps the calls that the block makes from writing until all of them want to."""
    waiting = (
        "SELECT count(*) FROM pg_locks "
        f"WHERE NOT granted AND relation = 'training.{table}'::regclass"
    )
    with owner.transaction():
        owner.execute(f"LOCK TABLE training.{table} IN EXCLUSIVE MODE")
        yield
        eventually(lambda: owner.execute(waiting).fetchone() == (calls,))


@pytest.fixture
def retired_exercise(admin: Athlete) -> str:
    """The id of a deprecated dynamic exercise that no other test uses."""
    exercise = exercise_pb2.Exercise(
        slug=f"exercise-{uuid.uuid4().hex}",
        display_name="An exercise of this test",
        category=exercise_pb2.EXERCISE_CATEGORY_PULL,
        difficulty=5,
        movement_kind=exercise_pb2.MOVEMENT_KIND_DYNAMIC,
        primary_muscles=[exercise_pb2.MUSCLE_LATS],
    )
    created = admin.exercises.CreateExercise(exercise_pb2.CreateExerciseRequest(exercise=exercise))
    admin.exercises.DeprecateExercise(exercise_pb2.DeprecateExerciseRequest(exercise_id=created.id))
    return str(created.id)


# Logging


def test_a_logged_session_comes_back_as_acknowledged(alice: Athlete, bob: Athlete) -> None:
    logged = alice.log()
    assert alice.sessions.GetSession(pb.GetSessionRequest(session_id=logged.id)) == logged
    with refused("SESSION_NOT_FOUND") as refusals:
        bob.sessions.GetSession(pb.GetSessionRequest(session_id=logged.id))
    assert refusals[0].fields == ["session_id"]


def test_every_field_of_a_session_comes_back(alice: Athlete) -> None:
    workout = alice.create_workout()
    target = SetTarget(
        reps={"min": 5, "max": 8}, load_kg=-2.5, tempo="3-0-X-0", rpe=0, rest_seconds=0
    )
    hold = SetTarget(hold={"min_seconds": 0.5, "max_seconds": 9})
    with_rpe = pb.PerformedSet(
        kind=SET_KIND_AMRAP,
        side=SIDE_LEFT,
        completed=False,
        target=target,
        actual_reps=0,
        load_kg=0,
        rpe=0,
        tempo="30X0",
        rest_seconds=0,
        notes="Grip gave way.\nTwice. 💪",
        video_id="videos/1",
        form={"movement": "FORM_MOVEMENT_PULL_UP", "counted_reps": 1, "valid_reps": 1},
    )
    with_rir = pb.PerformedSet(actual_hold_seconds=0, rir=0, target=hold)
    first = pb.SessionExercise(
        exercise_id=PULL_UP, order=1, sets=[with_rpe], superset_group="A", notes="Łokcie"
    )
    second = pb.SessionExercise(exercise_id=L_SIT, order=2, sets=[with_rir])
    given = pb.Session(
        start_time=at("2026-03-02T17:00:00.123456"),
        time_zone="Europe/Berlin",
        duration_seconds=3300,
        session_rpe=7.5,
        body_mass_kg=74.9,
        notes="Good\nday",
        workout_id=workout.id,
        workout_revision=1,
        completion=pb.SESSION_COMPLETION_PARTIAL,
        group_external_id="team-7",
        exercises=[first, second],
        intent=pb.SESSION_INTENT_TECHNIQUE,
    )
    # A new field of the contract must be added here.
    for messages, left_out in (
        ([given], OUTPUT_ONLY),
        ([first], set()),
        ([with_rpe, with_rir], set()),
        ([target, hold], set()),
    ):
        named = {f.name for m in messages for f, _ in m.ListFields()}
        assert named == {f.name for f in messages[0].DESCRIPTOR.fields} - left_out
    logged = alice.log(given)
    read = get(alice, logged.id)
    assert read == logged
    assert uuid.UUID(read.id).version == 7
    assert read.external_user_id == alice.id
    assert read.local_date == Date(year=2026, month=3, day=2)
    assert read.state == pb.SESSION_STATE_CURRENT
    assert read.create_time.seconds > at("2020-01-01T00:00:00").seconds
    for name in OUTPUT_ONLY:
        read.ClearField(name)
    assert read == given


def test_what_is_unknown_stays_unknown(alice: Athlete, owner: psycopg.Connection) -> None:
    logged = alice.log(bare(exercises=[one_exercise(pb.PerformedSet())]))
    [stored_set] = get(alice, logged.id).exercises[0].sets
    assert stored_set == pb.PerformedSet()
    for view in (pb.SESSION_VIEW_BASIC, pb.SESSION_VIEW_FULL):
        [session] = list_page(alice, view=view).sessions
        present = {f.name for f, _ in session.ListFields()} - {"exercises"}
        assert present == {
            "id",
            "external_user_id",
            "start_time",
            "time_zone",
            "local_date",
            "completion",
            "create_time",
            "state",
        }
    stored = owner.execute(
        "SELECT duration_seconds, session_rpe, body_mass_kg, workout_id, workout_revision "
        "FROM training.sessions WHERE id = %s",
        [logged.id],
    ).fetchone()
    assert stored == (None, None, None, None, None)


def test_zero_is_not_unknown(alice: Athlete) -> None:
    zeros = pb.PerformedSet(actual_reps=0, load_kg=0, rest_seconds=0, rpe=0, completed=False)
    logged = alice.log(bare(duration_seconds=0, session_rpe=0, exercises=[one_exercise(zeros)]))
    assert get(alice, logged.id).exercises[0].sets[0] == zeros
    assert zeros.HasField("actual_reps")
    for view in (pb.SESSION_VIEW_BASIC, pb.SESSION_VIEW_FULL):
        [session] = list_page(alice, view=view).sessions
        assert session.HasField("duration_seconds")
        assert session.HasField("session_rpe")
        assert not session.HasField("body_mass_kg")
        assert (session.duration_seconds, session.session_rpe) == (0, 0)


def test_a_session_without_workout_or_exercises_is_allowed(alice: Athlete) -> None:
    logged = alice.log(bare())
    assert (logged.workout_id, logged.workout_revision) == ("", 0)
    assert list(logged.exercises) == []
    assert get(alice, logged.id) == logged


def test_a_revision_without_a_workout_means_nothing(alice: Athlete) -> None:
    assert alice.log(bare(workout_revision=3)).workout_revision == 0


def test_a_session_is_complete_unless_it_says_otherwise(alice: Athlete) -> None:
    assert alice.log(bare()).completion == pb.SESSION_COMPLETION_COMPLETED
    partial = alice.log(bare(completion=pb.SESSION_COMPLETION_PARTIAL))
    assert partial.completion == pb.SESSION_COMPLETION_PARTIAL
    [basic, _] = list_page(alice).sessions
    assert basic.completion == pb.SESSION_COMPLETION_PARTIAL


def test_what_only_the_service_sets_is_ignored(alice: Athlete, bob: Athlete) -> None:
    given = bare(
        id=NOBODY,
        external_user_id=bob.id,
        local_date=Date(year=2001, month=2, day=3),
        create_time=at("2001-01-01T00:00:00"),
        supersedes_session_id=NOBODY,
        state=pb.SESSION_STATE_VOIDED,
        superseded_by_session_id=NOBODY,
        retract_time=at("2001-01-01T00:00:00"),
        retract_reason="none",
        author_user_id=bob.id,
        retract_author_user_id=bob.id,
    )
    assert {f.name for f, _ in given.ListFields()} >= OUTPUT_ONLY
    logged = alice.log(given)
    assert get(alice, logged.id) == logged
    expected = bare(
        id=logged.id,
        external_user_id=alice.id,
        local_date=Date(year=2026, month=3, day=2),
        create_time=logged.create_time,
        state=pb.SESSION_STATE_CURRENT,
        completion=pb.SESSION_COMPLETION_COMPLETED,
    )
    assert logged == expected
    assert logged.id != NOBODY
    assert logged.create_time.seconds > at("2020-01-01T00:00:00").seconds
    assert listed(bob) == []


def test_order_numbers_decide_the_order_and_are_returned_without_gaps(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    exercises = [
        one_exercise(order=9, notes="second"),
        one_exercise(pb.PerformedSet(), order=4, notes="first", exercise_id=L_SIT),
    ]
    logged = alice.log(bare(exercises=exercises))
    assert [(e.order, e.notes) for e in logged.exercises] == [(1, "first"), (2, "second")]
    stored = owner.execute(
        "SELECT position, exercise_id::text, set_count FROM training.session_exercises "
        "WHERE session_id = %s ORDER BY position",
        [logged.id],
    ).fetchall()
    assert stored == [(1, L_SIT, 1), (2, PULL_UP, 0)]


@pytest.mark.parametrize(
    ("orders", "field"),
    [
        ([1, 0], "session.exercises[1].order"),
        ([0, 1], "session.exercises[0].order"),
        ([3, 3], "session.exercises[1].order"),
        ([1, -1], "session.exercises[1].order"),
        ([1, 1001], "session.exercises[1].order"),
    ],
)
def test_order_numbers_given_for_some_or_twice_are_refused(
    alice: Athlete, owner: psycopg.Connection, orders: list[int], field: str
) -> None:
    with refused("INVALID_FIELD", INVALID) as refusals:
        alice.log(bare(exercises=[one_exercise(order=n) for n in orders]))
    assert refusals[0].fields == [field]
    assert rows(owner, alice) == (0, 0, 0)


def a_set(**fields: Any) -> dict[str, Any]:
    return {"exercises": [one_exercise(pb.PerformedSet(), pb.PerformedSet(**fields))]}


SET = "session.exercises[0].sets[1]"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"start_time": None}, "session.start_time"),
        ({"start_time": Timestamp(seconds=-1)}, "session.start_time"),
        ({"start_time": Timestamp(seconds=2**62)}, "session.start_time"),
        ({"start_time": Timestamp(seconds=10**9, nanos=-1)}, "session.start_time"),
        ({"start_time": Timestamp(seconds=10**9, nanos=10**9)}, "session.start_time"),
        ({"time_zone": ""}, "session.time_zone"),
        ({"time_zone": "x" * 65}, "session.time_zone"),
        ({"time_zone": "../etc/passwd"}, "session.time_zone"),
        ({"time_zone": "/etc/localtime"}, "session.time_zone"),
        ({"time_zone": "localtime"}, "session.time_zone"),
        ({"time_zone": "posix/Europe/Berlin"}, "session.time_zone"),
        ({"time_zone": "europe/berlin"}, "session.time_zone"),
        ({"time_zone": "Europe"}, "session.time_zone"),
        ({"time_zone": "+01:00"}, "session.time_zone"),
        ({"time_zone": "Mars/Olympus_Mons"}, "session.time_zone"),
        ({"time_zone": "Europe/Berlin\0"}, "session.time_zone"),
        ({"duration_seconds": -1}, "session.duration_seconds"),
        ({"duration_seconds": 172801}, "session.duration_seconds"),
        ({"session_rpe": 10.1}, "session.session_rpe"),
        ({"session_rpe": -0.1}, "session.session_rpe"),
        ({"session_rpe": float("nan")}, "session.session_rpe"),
        ({"body_mass_kg": 0}, "session.body_mass_kg"),
        ({"body_mass_kg": float("inf")}, "session.body_mass_kg"),
        ({"notes": "x" * 4001}, "session.notes"),
        ({"notes": "\0"}, "session.notes"),
        ({"workout_id": "leg day"}, "session.workout_id"),
        ({"workout_id": NOBODY, "workout_revision": -1}, "session.workout_revision"),
        ({"completion": 9}, "session.completion"),
        ({"group_external_id": "x" * 129}, "session.group_external_id"),
        ({"group_external_id": "\n"}, "session.group_external_id"),
        ({"exercises": [one_exercise()] * 101}, "session.exercises"),
        (
            {"exercises": [one_exercise(*[pb.PerformedSet()] * 101)]},
            "session.exercises[0].sets",
        ),
        (
            {"exercises": [one_exercise(), one_exercise(exercise_id="pull-up")]},
            "session.exercises[1].exercise_id",
        ),
        ({"exercises": [one_exercise(exercise_id="")]}, "session.exercises[0].exercise_id"),
        (
            {"exercises": [one_exercise(superset_group="x" * 33)]},
            "session.exercises[0].superset_group",
        ),
        ({"exercises": [one_exercise(notes="\0")]}, "session.exercises[0].notes"),
        (a_set(kind=99), f"{SET}.kind"),
        (a_set(side=3), f"{SET}.side"),
        (a_set(actual_reps=-1), f"{SET}.actual_reps"),
        (a_set(actual_reps=10001), f"{SET}.actual_reps"),
        (a_set(actual_hold_seconds=-1), f"{SET}.actual_hold_seconds"),
        (a_set(load_kg=float("nan")), f"{SET}.load_kg"),
        (a_set(load_kg=1000.5), f"{SET}.load_kg"),
        (a_set(rpe=11), f"{SET}.rpe"),
        (a_set(rir=-1), f"{SET}.rir"),
        (a_set(tempo="fast"), f"{SET}.tempo"),
        (a_set(rest_seconds=7201), f"{SET}.rest_seconds"),
        (a_set(notes="x" * 1001), f"{SET}.notes"),
        (a_set(video_id="x" * 129), f"{SET}.video_id"),
        (a_set(target={"reps": {"min": 3, "max": 2}}), f"{SET}.target.reps"),
        (a_set(target={"rpe": 11}), f"{SET}.target.rpe"),
    ],
)
def test_a_session_that_breaks_a_rule_is_refused_with_the_field(
    alice: Athlete, owner: psycopg.Connection, fields: dict[str, Any], path: str
) -> None:
    current = alice.log(bare())
    with refused("INVALID_FIELD", INVALID) as refusals:
        alice.log(bare(**fields))
    assert refusals[0].fields == [path]
    with refused("INVALID_FIELD", INVALID) as refusals:
        amend(alice, current.id, bare(**fields))
    assert refusals[0].fields == [path]
    assert rows(owner, alice) == (1, 0, 0)


def test_a_request_without_a_session_is_refused(alice: Athlete) -> None:
    with refused("INVALID_FIELD", INVALID) as refusals:
        alice.sessions.LogSession(pb.LogSessionRequest())
    assert refusals[0].fields == ["session"]


@pytest.mark.parametrize(
    ("exercise_id", "fields"),
    [(L_SIT, {"actual_reps": 5}), (PULL_UP, {"actual_hold_seconds": 5})],
)
def test_repetitions_are_for_dynamic_exercises_and_holds_for_isometric_ones(
    alice: Athlete, owner: psycopg.Connection, exercise_id: str, fields: dict[str, Any]
) -> None:
    wrong = one_exercise(pb.PerformedSet(), pb.PerformedSet(**fields), exercise_id=exercise_id)
    with refused("INVALID_FIELD", INVALID) as refusals:
        alice.log(bare(exercises=[one_exercise(), wrong]))
    [name] = fields
    assert refusals[0].fields == [f"session.exercises[1].sets[1].{name}"]
    assert rows(owner, alice) == (0, 0, 0)


@pytest.mark.parametrize(
    ("exercise_id", "target", "field"),
    [
        (L_SIT, {"reps": {"min": 5, "max": 8}}, "reps"),
        (PULL_UP, {"hold": {"min_seconds": 5, "max_seconds": 8}}, "hold"),
    ],
)
def test_a_target_fits_its_exercise_too(
    alice: Athlete, exercise_id: str, target: dict[str, Any], field: str
) -> None:
    wrong = one_exercise(pb.PerformedSet(target=target), exercise_id=exercise_id)
    with refused("INVALID_FIELD", INVALID) as refusals:
        alice.log(bare(exercises=[wrong]))
    assert refusals[0].fields == [f"session.exercises[0].sets[0].target.{field}"]


def test_unknown_exercises_are_all_named_and_nothing_is_stored(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    exercises = [
        one_exercise(exercise_id=NOBODY),
        one_exercise(),
        one_exercise(exercise_id=an_id()),
    ]
    with refused("UNKNOWN_EXERCISE", INVALID) as refusals:
        alice.log(bare(exercises=exercises))
    assert refusals[0].fields == [
        "session.exercises[0].exercise_id",
        "session.exercises[2].exercise_id",
    ]
    assert rows(owner, alice) == (0, 0, 0)


def test_an_unknown_exercise_is_named_by_its_place_in_the_request(alice: Athlete) -> None:
    exercises = [one_exercise(order=2, exercise_id=NOBODY), one_exercise(order=1)]
    with refused("UNKNOWN_EXERCISE") as refusals:
        alice.log(bare(exercises=exercises))
    assert refusals[0].fields == ["session.exercises[0].exercise_id"]


def test_a_wrong_volume_is_named_by_its_place_in_the_request(alice: Athlete) -> None:
    held = pb.PerformedSet(actual_hold_seconds=5)
    with refused("INVALID_FIELD") as refusals:
        alice.log(bare(exercises=[one_exercise(held, order=2), one_exercise(order=1)]))
    assert refusals[0].fields == ["session.exercises[0].sets[0].actual_hold_seconds"]


def test_a_deprecated_exercise_can_be_logged(alice: Athlete, retired_exercise: str) -> None:
    logged = alice.log(bare(exercises=[one_exercise(exercise_id=retired_exercise)]))
    assert listed(alice, exercise_id=retired_exercise) == [logged.id]


# Times and dates


def test_a_session_can_be_dated_back_to_1970(alice: Athlete) -> None:
    first = alice.log(bare("1970-01-01T00:00:00"))
    assert first.local_date == Date(year=1970, month=1, day=1)
    west = alice.log(bare("1970-01-01T00:00:00", time_zone="America/New_York"))
    assert west.local_date == Date(year=1969, month=12, day=31)
    recent = alice.log()
    assert listed(alice) == [recent.id, west.id, first.id]
    assert get(alice, first.id) == first


def test_a_session_can_start_up_to_a_day_ahead(alice: Athlete, owner: psycopg.Connection) -> None:
    now = datetime.now(UTC)
    alice.log(bare((now + timedelta(hours=23)).isoformat()))
    with refused("INVALID_FIELD", INVALID) as refusals:
        alice.log(bare((now + timedelta(hours=25)).isoformat()))
    assert refusals[0].fields == ["session.start_time"]
    assert rows(owner, alice) == (1, 0, 0)


@pytest.mark.parametrize(
    ("start", "zone", "day"),
    [
        ("2025-01-05T23:30:00-05:00", "America/New_York", (2025, 1, 5)),
        ("2025-01-06T00:30:00-05:00", "America/New_York", (2025, 1, 6)),
        # The last hour of the day on which the clock goes back, and the first of the next.
        ("2025-11-02T23:30:00-05:00", "America/New_York", (2025, 11, 2)),
        ("2025-11-02T00:30:00-04:00", "America/New_York", (2025, 11, 2)),
        # The night before the clock goes forward, and the one after.
        ("2025-03-29T23:30:00+01:00", "Europe/Berlin", (2025, 3, 29)),
        ("2025-03-31T00:30:00+02:00", "Europe/Berlin", (2025, 3, 31)),
        ("2025-01-01T00:30:00+14:00", "Pacific/Kiritimati", (2025, 1, 1)),
        ("2024-12-31T23:30:00-12:00", "Etc/GMT+12", (2024, 12, 31)),
        ("2024-02-29T23:59:59+05:45", "Asia/Kathmandu", (2024, 2, 29)),
        ("2025-01-05T23:30:00+00:00", "UTC", (2025, 1, 5)),
    ],
)
def test_the_local_date_is_that_of_the_athletes_clock(
    alice: Athlete, start: str, zone: str, day: tuple[int, int, int]
) -> None:
    year, month, day_of_month = day
    expected = Date(year=year, month=month, day=day_of_month)
    logged = alice.log(bare(start, time_zone=zone))
    assert logged.local_date == expected
    assert list_page(alice).sessions[0].local_date == expected


# Workouts


def test_a_session_follows_the_current_revision_unless_it_names_one(alice: Athlete) -> None:
    workout = alice.create_workout()
    first = alice.log(bare(workout_id=workout.id))
    alice.workouts.UpdateWorkout(
        workout_pb2.UpdateWorkoutRequest(
            workout_id=workout.id,
            workout=workout_pb2.Workout(display_name="New"),
            update_mask={"paths": ["display_name"]},
        )
    )
    second = alice.log(bare(workout_id=workout.id))
    third = alice.log(bare(workout_id=workout.id, workout_revision=1))
    assert [s.workout_revision for s in (first, second, third)] == [1, 2, 1]
    assert get(alice, first.id) == first


def test_a_deleted_workout_can_still_have_been_followed(alice: Athlete) -> None:
    workout = alice.create_workout()
    alice.workouts.DeleteWorkout(workout_pb2.DeleteWorkoutRequest(workout_id=workout.id))
    assert alice.log(bare(workout_id=workout.id)).workout_revision == 1
    assert alice.log(bare(workout_id=workout.id, workout_revision=1)).workout_revision == 1


@pytest.mark.parametrize("revision", [0, 1])
def test_an_unknown_or_anothers_workout_refuses_the_whole_session(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, revision: int
) -> None:
    others = alice.create_workout()
    current = bob.log(bare())
    messages = []
    for workout_id in (NOBODY, others.id):
        session = a_session(workout_id=workout_id, workout_revision=revision)
        with refused("UNKNOWN_WORKOUT", INVALID) as refusals:
            bob.log(session)
        messages.append(refusals[0].message)
        with refused("UNKNOWN_WORKOUT", INVALID):
            amend(bob, current.id, session)
    # Nothing in the answer tells which of the two it was.
    assert messages[0] == messages[1]
    assert rows(owner, bob) == (1, 0, 0)
    assert get(bob, current.id) == current


@pytest.mark.parametrize("revision", [2, 2**31 - 1])
def test_an_unknown_revision_refuses_the_whole_session(
    alice: Athlete, owner: psycopg.Connection, revision: int
) -> None:
    workout = alice.create_workout()
    with refused("UNKNOWN_WORKOUT", INVALID):
        alice.log(a_session(workout_id=workout.id, workout_revision=revision))
    assert rows(owner, alice) == (0, 0, 0)


def test_an_unknown_workout_without_a_revision_is_named_by_its_field(alice: Athlete) -> None:
    with refused("UNKNOWN_WORKOUT") as refusals:
        alice.log(bare(workout_id=NOBODY))
    assert refusals[0].fields == ["session.workout_id"]


def test_an_unknown_revision_is_named_by_its_field(alice: Athlete) -> None:
    workout = alice.create_workout()
    with refused("UNKNOWN_WORKOUT") as refusals:
        alice.log(bare(workout_id=workout.id, workout_revision=2))
    assert refusals[0].fields == ["session.workout_revision"]


# Listing


def test_sessions_are_listed_by_start_newest_first_or_oldest_first(
    alice: Athlete, bob: Athlete
) -> None:
    days = {day: alice.log(bare(f"2026-01-0{day}T10:00:00")).id for day in (3, 1, 2)}
    assert listed(alice) == [days[3], days[2], days[1]]
    assert listed(alice, oldest_first=True) == [days[1], days[2], days[3]]
    assert listed(bob) == []


def test_sessions_that_start_together_keep_one_order(alice: Athlete) -> None:
    ids = sorted(alice.log(bare()).id for _ in range(5))
    for page_size in (1, 2, 5):
        assert listed(alice, page_size=page_size, oldest_first=True) == ids
        assert listed(alice, page_size=page_size) == ids[::-1]


def test_a_basic_view_is_the_full_one_without_exercises_and_notes(alice: Athlete) -> None:
    workout = alice.create_workout()
    full = alice.log(
        a_session(
            start_time=at("2026-03-02T17:00:00.123456"),
            notes="Remarks",
            workout_id=workout.id,
            completion=pb.SESSION_COMPLETION_PARTIAL,
            group_external_id="team-7",
        )
    )
    amended = amend(alice, full.id, a_session(notes="More remarks"), reason="typo")
    shown = list_page(alice, view=pb.SESSION_VIEW_FULL, show_retracted=True)
    assert list(shown.sessions) == [get(alice, full.id), amended]
    assert all(s.exercises and s.notes for s in shown.sessions)
    for session in shown.sessions:
        session.ClearField("exercises")
        session.ClearField("notes")
    basic = list_page(alice, view=pb.SESSION_VIEW_BASIC, show_retracted=True)
    assert basic.sessions == shown.sessions
    assert list_page(alice, show_retracted=True) == basic


def test_both_views_know_the_same_start(alice: Athlete) -> None:
    start = Timestamp(seconds=1_700_000_000, nanos=123_456_789)
    logged = alice.log(bare(start_time=start))
    [basic] = list_page(alice).sessions
    [full] = list_page(alice, view=pb.SESSION_VIEW_FULL).sessions
    assert basic.start_time == full.start_time == logged.start_time


def test_both_views_write_ids_alike(alice: Athlete) -> None:
    workout = alice.create_workout()
    logged = alice.log(bare(workout_id=workout.id.upper()))
    [basic] = list_page(alice).sessions
    [full] = list_page(alice, view=pb.SESSION_VIEW_FULL).sessions
    assert basic.workout_id == full.workout_id == logged.workout_id


@pytest.mark.parametrize("view", [pb.SESSION_VIEW_BASIC, pb.SESSION_VIEW_FULL])
def test_retracted_sessions_are_listed_on_request_with_their_state(
    alice: Athlete, bob: Athlete, view: "pb.SessionView.ValueType"
) -> None:
    kept = alice.log(bare("2026-01-04T10:00:00"))
    voided = alice.log(bare("2026-01-03T10:00:00"))
    wrong = alice.log(bare("2026-01-02T10:00:00"))
    void(alice, voided.id, reason="Not mine")
    right = amend(alice, wrong.id, bare("2026-01-01T10:00:00"), reason="The day before")
    assert listed(alice, view=view) == [kept.id, right.id]
    shown = list(list_page(alice, view=view, show_retracted=True).sessions)
    assert [(s.id, s.state, s.superseded_by_session_id, s.retract_reason) for s in shown] == [
        (kept.id, pb.SESSION_STATE_CURRENT, "", ""),
        (voided.id, pb.SESSION_STATE_VOIDED, "", "Not mine"),
        (wrong.id, pb.SESSION_STATE_SUPERSEDED, right.id, "The day before"),
        (right.id, pb.SESSION_STATE_CURRENT, "", ""),
    ]
    assert [s.HasField("retract_time") for s in shown] == [False, True, True, False]
    assert shown[3].supersedes_session_id == wrong.id
    assert listed(bob, show_retracted=True) == []


def test_a_range_of_instants_includes_its_beginning_and_not_its_end(alice: Athlete) -> None:
    early = alice.log(bare("2026-01-01T09:59:59.999999"))
    first = alice.log(bare("2026-01-01T10:00:00"))
    last = alice.log(bare("2026-01-01T10:59:59.999999"))
    late = alice.log(bare("2026-01-01T11:00:00"))
    begin, end = at("2026-01-01T10:00:00"), at("2026-01-01T11:00:00")
    assert listed(alice, from_time=begin, to_time=end) == [last.id, first.id]
    assert listed(alice, from_time=begin) == [late.id, last.id, first.id]
    assert listed(alice, to_time=end) == [last.id, first.id, early.id]
    assert listed(alice, from_time=end, to_time=begin) == []
    assert listed(alice, from_time=begin, to_time=begin) == []


def test_a_range_of_dates_goes_by_each_sessions_own_clock(alice: Athlete) -> None:
    # Later than the next one, and yet of the day before.
    new_york = alice.log(bare("2025-01-05T23:30:00-05:00", time_zone="America/New_York"))
    berlin = alice.log(bare("2025-01-06T00:30:00+01:00", time_zone="Europe/Berlin"))
    # The first moment of a date anywhere, and the last.
    kiritimati = alice.log(bare("2025-01-06T00:00:00+14:00", time_zone="Pacific/Kiritimati"))
    baker = alice.log(bare("2025-01-06T23:59:59-12:00", time_zone="Etc/GMT+12"))
    next_day = alice.log(bare("2025-01-07T00:00:00", time_zone="UTC"))
    sixth, seventh = Date(year=2025, month=1, day=6), Date(year=2025, month=1, day=7)
    assert listed(alice, from_date=sixth, to_date=seventh) == [baker.id, berlin.id, kiritimati.id]
    assert listed(alice, to_date=sixth) == [new_york.id]
    assert listed(alice, from_date=seventh) == [next_day.id]
    assert listed(alice, from_date=seventh, to_date=sixth) == []
    assert listed(alice, from_date=sixth, to_date=sixth) == []


def test_sessions_can_be_found_by_workout_and_exercise(alice: Athlete, bob: Athlete) -> None:
    workout = alice.create_workout()
    followed = alice.log(bare("2026-01-01T10:00:00", workout_id=workout.id))
    both = alice.log(a_session(workout_id=workout.id, start_time=at("2026-01-02T10:00:00")))
    free = alice.log(a_session(start_time=at("2026-01-03T10:00:00")))
    assert listed(alice, workout_id=workout.id) == [both.id, followed.id]
    assert listed(alice, exercise_id=PULL_UP) == [free.id, both.id]
    assert listed(alice, exercise_id=PULL_UP, workout_id=workout.id) == [both.id]
    assert listed(alice, exercise_id=PULL_UP, page_size=1) == [free.id, both.id]
    assert listed(alice, exercise_id=PULL_UP, from_time=free.start_time) == [free.id]
    assert listed(alice, exercise_id=PUSH_UP) == []
    assert listed(alice, workout_id=NOBODY) == []
    assert listed(bob, workout_id=workout.id) == listed(bob, exercise_id=PULL_UP) == []


def test_a_workout_is_found_in_any_revision(alice: Athlete) -> None:
    workout = alice.create_workout()
    first = alice.log(bare("2026-01-01T10:00:00", workout_id=workout.id))
    alice.workouts.RollbackWorkout(
        workout_pb2.RollbackWorkoutRequest(workout_id=workout.id, revision=1)
    )
    second = alice.log(bare("2026-01-02T10:00:00", workout_id=workout.id))
    assert (first.workout_revision, second.workout_revision) == (1, 2)
    assert listed(alice, workout_id=workout.id) == [second.id, first.id]


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("view", [pb.SESSION_VIEW_BASIC, pb.SESSION_VIEW_FULL])
@pytest.mark.parametrize("page_size", [1, 2, 5, 6])
def test_the_pages_together_show_every_session_once(
    alice: Athlete, bob: Athlete, page_size: int, view: int, oldest_first: bool
) -> None:
    starts = ["2026-01-01T10:00:00", "2026-01-02T10:00:00", "2026-01-02T10:00:00"]
    logged = [alice.log(bare(start)) for start in [*starts, "1970-01-01T00:00:00", starts[0]]]
    bob.log()
    ids = [s.id for s in sorted(logged, key=lambda s: (s.start_time.seconds, s.id))]
    shown = listed(alice, page_size=page_size, view=view, oldest_first=oldest_first)
    assert shown == (ids if oldest_first else ids[::-1])


@pytest.mark.parametrize("oldest_first", [False, True])
def test_pages_stay_in_step_while_sessions_arrive(alice: Athlete, oldest_first: bool) -> None:
    there = [alice.log(bare(f"2026-01-{day:02}T10:00:00")).id for day in range(1, 7)]
    shown: list[str] = []
    token = ""
    for day in range(1, 7, 2):
        page = list_page(alice, page_size=2, page_token=token, oldest_first=oldest_first)
        shown += [s.id for s in page.sessions]
        token = page.next_page_token
        # Before, among and after those already shown; one at the very start of one of them.
        alice.log(bare(f"2026-01-{day:02}T09:00:00"))
        alice.log(bare(f"2026-01-{day:02}T10:00:00"))
        alice.log(bare("2025-01-01T10:00:00"))
        alice.log(bare("2026-02-01T10:00:00"))
    while token:
        page = list_page(alice, page_size=2, page_token=token, oldest_first=oldest_first)
        shown += [s.id for s in page.sessions]
        token = page.next_page_token
    assert len(shown) == len(set(shown))
    assert [id for id in shown if id in there] == (there if oldest_first else there[::-1])


def log_many(athlete: Athlete, number: int) -> list[str]:
    """Logs sessions a minute apart and returns their ids, oldest first."""
    start = at("2026-01-01T00:00:00").seconds
    entries = [
        pb.LogSessionRequest(session=bare(start_time=Timestamp(seconds=start + 60 * n)))
        for n in range(number)
    ]
    ids: list[str] = []
    for first in range(0, number, 500):
        batch = pb.BatchLogSessionsRequest(requests=entries[first : first + 500])
        ids += [r.session.id for r in athlete.sessions.BatchLogSessions(batch).results]
    return ids


def test_a_page_holds_up_to_a_thousand_sessions(alice: Athlete) -> None:
    ids = log_many(alice, 1001)
    assert len(set(ids)) == 1001
    for view in (pb.SESSION_VIEW_BASIC, pb.SESSION_VIEW_FULL):
        for asked, held in ((1000, 1000), (1001, 1000), (2**31 - 1, 1000), (0, 50), (1, 1)):
            page = list_page(alice, page_size=asked, oldest_first=True, view=view)
            assert [s.id for s in page.sessions] == ids[:held]
            assert page.next_page_token
    page = list_page(alice, page_size=1000, oldest_first=True)
    rest = list_page(alice, page_size=1000, oldest_first=True, page_token=page.next_page_token)
    assert [s.id for s in rest.sessions] == ids[1000:]
    assert rest.next_page_token == ""


def test_a_page_stays_within_three_megabytes(alice: Athlete) -> None:
    heavy = [one_exercise(*[pb.PerformedSet(notes="x" * 1000)] * 50)] * 20
    ids = [alice.log(bare(exercises=heavy)).id for _ in range(4)]
    size = get(alice, ids[0]).ByteSize()
    assert 1_000_000 < size < 1_500_000
    page = list_page(alice, view=pb.SESSION_VIEW_FULL)
    assert len(page.sessions) == 2
    assert page.ByteSize() <= 3_000_000
    assert page.next_page_token
    assert sorted(listed(alice, view=pb.SESSION_VIEW_FULL)) == sorted(ids)
    # Without their sets all of them fit.
    assert len(list_page(alice).sessions) == 4


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x" * 1001}, "page_token"),
        ({"workout_id": "pull-day"}, "workout_id"),
        ({"exercise_id": "pull-up"}, "exercise_id"),
        ({"external_user_id": "alice"}, "external_user_id"),
        ({"view": 9}, "view"),
        ({"from_time": Timestamp(seconds=2**62)}, "from_time"),
        ({"from_time": Timestamp(seconds=0, nanos=-1)}, "from_time"),
        ({"to_time": Timestamp(seconds=-(2**62))}, "to_time"),
        ({"to_time": Timestamp(seconds=0, nanos=10**9)}, "to_time"),
        ({"from_date": Date()}, "from_date"),
        ({"from_date": Date(year=2025)}, "from_date"),
        ({"from_date": Date(year=2025, month=2, day=29)}, "from_date"),
        ({"from_date": Date(month=1, day=1)}, "from_date"),
        ({"to_date": Date(year=2025, month=13, day=1)}, "to_date"),
        ({"to_date": Date(year=10000, month=1, day=1)}, "to_date"),
        ({"to_date": Date(year=2025, month=1, day=-1)}, "to_date"),
        ({"to_date": Date(year=2**31 - 1, month=1, day=1)}, "to_date"),
    ],
)
def test_a_listing_that_breaks_a_rule_is_refused_with_the_field(
    alice: Athlete, fields: dict[str, Any], path: str
) -> None:
    with refused("INVALID_FIELD", INVALID) as refusals:
        list_page(alice, **fields)
    assert refusals[0].fields == [path]


def test_a_range_may_reach_as_far_as_instants_do(alice: Athlete) -> None:
    logged = alice.log()
    ends = {"from_time": at("0001-01-01T00:00:00"), "to_time": at("9999-12-31T23:59:59")}
    assert listed(alice, **ends) == [logged.id]


def test_a_range_may_reach_as_far_as_dates_do(alice: Athlete) -> None:
    logged = alice.log()
    ends = {
        "from_date": Date(year=1, month=1, day=1),
        "to_date": Date(year=9999, month=12, day=31),
    }
    assert listed(alice, **ends) == [logged.id]


def test_a_page_token_is_good_for_its_listing_alone(alice: Athlete, bob: Athlete) -> None:
    ids = [alice.log(bare(f"2026-01-0{day}T10:00:00")).id for day in (1, 2, 3)]
    yours = bob.log(bare("2026-01-01T00:00:00")).id
    token = list_page(alice, page_size=1).next_page_token
    others: list[dict[str, Any]] = [
        {"from_time": at("2020-01-01T00:00:00")},
        {"to_time": at("2030-01-01T00:00:00")},
        {"from_date": Date(year=2020, month=1, day=1)},
        {"to_date": Date(year=2030, month=1, day=1)},
        {"workout_id": NOBODY},
        {"exercise_id": PULL_UP},
        {"oldest_first": True},
        {"view": pb.SESSION_VIEW_FULL},
        {"show_retracted": True},
    ]
    fields = {f.name for f in pb.ListSessionsRequest.DESCRIPTOR.fields}
    kept = {"page_size", "page_token", "external_user_id"}
    assert {name for other in others for name in other} == fields - kept
    for changed in others:
        with refused("INVALID_PAGE_TOKEN", INVALID):
            list_page(alice, page_token=token, **changed)
    # The size of the page may change from one to the next.
    page = list_page(alice, page_size=9, page_token=token)
    assert [s.id for s in page.sessions] == ids[1::-1]
    # Naming oneself makes no difference, being somebody else does.
    named = list_page(alice, page_token=token, external_user_id=alice.id)
    assert [s.id for s in named.sessions] == ids[1::-1]
    with refused("INVALID_PAGE_TOKEN", INVALID):
        list_page(bob, page_token=token)
    assert [s.id for s in list_page(bob).sessions] == [yours]


def test_tampered_page_tokens_are_refused(alice: Athlete) -> None:
    first, second = (alice.log(bare(f"2026-01-0{day}T10:00:00")) for day in (1, 2))
    token = list_page(alice, page_size=1).next_page_token
    start = second.start_time.ToMicroseconds()
    # The forgery itself works: a token made this way from the right key is accepted.
    page = list_page(alice, page_size=1, page_token=forged_token(token, start, second.id))
    assert [s.id for s in page.sessions] == [first.id]
    for bad in (
        "x",
        token[:-4],
        token + "AAAA",
        token.swapcase(),
        forged_token(token),
        forged_token(token, start),
        forged_token(token, str(start), second.id),
        forged_token(token, float(start), second.id),
        forged_token(token, True, second.id),
        forged_token(token, start, "not-an-id"),
        forged_token(token, start, "\0"),
        forged_token(token, start, None),
        forged_token(token, start, second.id, 1),
        forged_token(token, 2**62, second.id),
        forged_token(token, -(2**62), second.id),
        forged_token(token, 2**80, second.id),
        forged_token(token, -(2**80), second.id),
    ):
        with refused("INVALID_PAGE_TOKEN", INVALID):
            list_page(alice, page_size=1, page_token=bad)


# Amending


def test_an_amendment_supersedes_the_session(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    wrong = alice.log(a_session(duration_seconds=60))
    right = amend(alice, wrong.id, a_session(duration_seconds=3600), reason="Wrong unit")
    assert right.id != wrong.id
    assert right.supersedes_session_id == wrong.id
    assert (right.state, right.duration_seconds) == (pb.SESSION_STATE_CURRENT, 3600)
    assert get(alice, right.id) == right
    superseded = get(alice, wrong.id)
    expected = pb.Session()
    expected.CopyFrom(wrong)
    expected.state = pb.SESSION_STATE_SUPERSEDED
    expected.superseded_by_session_id = right.id
    expected.retract_reason = "Wrong unit"
    expected.retract_time.CopyFrom(right.create_time)
    assert superseded == expected
    assert listed(alice) == [right.id]
    assert rows(owner, alice) == (2, 4, 1)
    for session in (wrong, right):
        with refused("SESSION_NOT_FOUND", NOT_FOUND):
            get(bob, session.id)


def test_an_amendment_replaces_the_whole_session(alice: Athlete) -> None:
    wrong = alice.log(a_session(notes="Remarks", group_external_id="team-7"))
    right = amend(alice, wrong.id, bare("2020-01-01T00:00:00", time_zone="Asia/Tokyo"))
    expected = bare(
        "2020-01-01T00:00:00",
        time_zone="Asia/Tokyo",
        id=right.id,
        external_user_id=alice.id,
        local_date=Date(year=2020, month=1, day=1),
        create_time=right.create_time,
        state=pb.SESSION_STATE_CURRENT,
        completion=pb.SESSION_COMPLETION_COMPLETED,
        supersedes_session_id=wrong.id,
    )
    assert right == expected
    assert get(alice, wrong.id).retract_reason == ""


def test_all_versions_are_listed_first_to_last_whichever_is_named(
    alice: Athlete, bob: Athlete
) -> None:
    first = alice.log(bare())
    alice.log(bare())
    second = amend(alice, first.id, bare("1980-01-01T00:00:00"))
    third = amend(alice, second.id, bare("2020-01-01T00:00:00"))
    ids = [first.id, second.id, third.id]
    for named in ids:
        found = versions(alice, named)
        assert found == [get(alice, id) for id in ids]
        with refused("SESSION_NOT_FOUND", NOT_FOUND) as refusals:
            versions(bob, named)
        assert refusals[0].fields == ["session_id"]
    assert [v.state for v in versions(alice, first.id)] == [
        pb.SESSION_STATE_SUPERSEDED,
        pb.SESSION_STATE_SUPERSEDED,
        pb.SESSION_STATE_CURRENT,
    ]
    void(alice, third.id)
    assert [v.state for v in versions(alice, first.id)] == [
        pb.SESSION_STATE_SUPERSEDED,
        pb.SESSION_STATE_SUPERSEDED,
        pb.SESSION_STATE_VOIDED,
    ]


def test_a_session_never_amended_is_its_only_version(alice: Athlete) -> None:
    logged = alice.log()
    alice.log()
    assert versions(alice, logged.id) == [logged]


def test_versions_come_first_to_last_although_clocks_differ(
    alice: Athlete, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = alice.log()
    # The amendment is stored by a machine whose clock is behind.
    late = uuid.UUID("00000000-0000-7000-8000-" + uuid.uuid4().hex[:12])
    monkeypatch.setattr("training_service.servicers.session.uuid6.uuid7", lambda: late)
    second = amend(alice, first.id)
    assert [v.id for v in versions(alice, second.id)] == [first.id, second.id]


RETRACT: dict[str, Callable[..., pb.Session]] = {"amend": amend, "void": void}


@pytest.mark.parametrize("again", RETRACT)
@pytest.mark.parametrize("before", RETRACT)
def test_only_the_current_version_can_be_amended_or_voided(
    alice: Athlete, owner: psycopg.Connection, before: str, again: str
) -> None:
    logged = alice.log()
    RETRACT[before](alice, logged.id)
    stored = rows(owner, alice)
    retracted = get(alice, logged.id)
    for request_id in ("", an_id()):
        with refused("SESSION_NOT_CURRENT", PRECONDITION) as refusals:
            RETRACT[again](alice, logged.id, reason="Once more", request_id=request_id)
        assert refusals[0].metadata == {"session_id": logged.id}
    assert rows(owner, alice) == stored
    assert get(alice, logged.id) == retracted


@pytest.mark.parametrize("name", RETRACT)
def test_a_session_that_is_missing_or_anothers_can_not_be_retracted(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, name: str
) -> None:
    logged = alice.log()
    for session_id in (NOBODY, logged.id):
        with refused("SESSION_NOT_FOUND", NOT_FOUND) as refusals:
            RETRACT[name](bob, session_id)
        assert refusals[0].fields == ["session_id"]
    with refused("INVALID_FIELD", INVALID) as refusals:
        RETRACT[name](bob, "not-an-id")
    assert refusals[0].fields == ["session_id"]
    assert rows(owner, bob) == (0, 0, 0)
    assert get(alice, logged.id) == logged


@pytest.mark.parametrize("name", RETRACT)
@pytest.mark.parametrize("reason", ["x" * 1001, "\0"])
def test_a_reason_that_breaks_a_rule_is_refused(alice: Athlete, name: str, reason: str) -> None:
    logged = alice.log()
    with refused("INVALID_FIELD", INVALID) as refusals:
        RETRACT[name](alice, logged.id, reason=reason)
    assert refusals[0].fields == ["reason"]
    assert get(alice, logged.id) == logged


def test_an_amendment_to_an_unknown_exercise_changes_nothing(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    logged = alice.log(bare())
    with refused("UNKNOWN_EXERCISE", INVALID) as refusals:
        amend(alice, logged.id, bare(exercises=[one_exercise(exercise_id=NOBODY)]))
    assert refusals[0].fields == ["session.exercises[0].exercise_id"]
    assert rows(owner, alice) == (1, 0, 0)
    assert get(alice, logged.id) == logged


def test_a_missing_session_is_not_found(alice: Athlete) -> None:
    for call in (get, versions):
        with refused("SESSION_NOT_FOUND", NOT_FOUND) as refusals:
            call(alice, NOBODY)
        assert refusals[0].fields == ["session_id"]
        with refused("INVALID_FIELD", INVALID) as refusals:
            call(alice, "not-an-id")
        assert refusals[0].fields == ["session_id"]


# Voiding


def test_a_voided_session_stays_readable(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    logged = alice.log()
    voided = void(alice, logged.id, reason="Someone else's")
    expected = pb.Session()
    expected.CopyFrom(logged)
    expected.state = pb.SESSION_STATE_VOIDED
    expected.retract_reason = "Someone else's"
    expected.retract_time.CopyFrom(voided.retract_time)
    assert voided == expected
    assert voided.HasField("retract_time")
    assert get(alice, logged.id) == voided
    assert versions(alice, logged.id) == [voided]
    assert listed(alice) == []
    assert rows(owner, alice) == (1, 2, 1)
    with refused("SESSION_NOT_FOUND", NOT_FOUND):
        get(bob, logged.id)


# At the same time


@pytest.mark.parametrize("names", [("amend", "amend"), ("amend", "void"), ("void", "void")])
def test_of_two_concurrent_retractions_exactly_one_wins(
    alice: Athlete, owner: psycopg.Connection, names: tuple[str, str]
) -> None:
    logged = alice.log(bare())
    start = {
        "amend": lambda n: alice.sessions.AmendSession.future(
            pb.AmendSessionRequest(session_id=logged.id, session=bare(notes=f"call {n}"))
        ),
        "void": lambda n: alice.sessions.VoidSession.future(
            pb.VoidSessionRequest(session_id=logged.id, reason=f"call {n}")
        ),
    }
    with held_back(owner, "session_retractions", calls=2):
        calls = [start[name](n) for n, name in enumerate(names)]
    won = [c for c in calls if c.exception() is None]
    lost = [c for c in calls if c.exception() is not None]
    assert (len(won), len(lost)) == (1, 1)
    with refused("SESSION_NOT_CURRENT", PRECONDITION):
        lost[0].result()
    found = versions(alice, logged.id)
    assert found[-1] == won[0].result()
    assert sum(v.state == pb.SESSION_STATE_CURRENT for v in found) <= 1
    # What the loser would have stored is not there.
    assert rows(owner, alice) == (len(found), 0, 1)


# Sending again

WRITES: dict[str, Callable[[Athlete, str, str, str], pb.Session]] = {
    "log": lambda athlete, id, text, key: athlete.log(bare(notes=text), request_id=key),
    "amend": lambda athlete, id, text, key: amend(athlete, id, bare(notes=text), request_id=key),
    "void": lambda athlete, id, text, key: void(athlete, id, reason=text, request_id=key),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_sent_again_returns_the_first_answer(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, name: str
) -> None:
    key = an_id()
    logged = alice.log(bare())
    first = WRITES[name](alice, logged.id, "this", key)
    stored = rows(owner, alice)
    assert WRITES[name](alice, logged.id, "this", key) == first
    assert rows(owner, alice) == stored
    assert get(alice, first.id) == first
    # Request ids are an athlete's own.
    own = bob.log(bare())
    assert WRITES[name](bob, own.id, "this", key) != first


@pytest.mark.parametrize("name", ["log", "amend"])
def test_the_first_answer_does_not_change_with_the_session(alice: Athlete, name: str) -> None:
    key = an_id()
    logged = alice.log(bare())
    first = WRITES[name](alice, logged.id, "this", key)
    void(alice, first.id)
    assert WRITES[name](alice, logged.id, "this", key) == first
    assert get(alice, first.id).state == pb.SESSION_STATE_VOIDED


def test_a_session_sent_again_follows_the_revision_that_was_current_then(alice: Athlete) -> None:
    key = an_id()
    workout = alice.create_workout()
    first = alice.log(bare(workout_id=workout.id), request_id=key)
    alice.workouts.RollbackWorkout(
        workout_pb2.RollbackWorkoutRequest(workout_id=workout.id, revision=1)
    )
    assert alice.log(bare(workout_id=workout.id), request_id=key) == first
    assert first.workout_revision == 1


@pytest.mark.parametrize("name", WRITES)
def test_a_request_id_can_not_be_used_for_something_else(
    alice: Athlete, owner: psycopg.Connection, name: str
) -> None:
    key = an_id()
    logged, other = alice.log(bare()), alice.log(bare())
    WRITES[name](alice, logged.id, "this", key)
    stored = rows(owner, alice)
    with refused("REQUEST_ID_REUSED", EXISTS) as refusals:
        WRITES[name](alice, logged.id, "that", key)
    assert refusals[0].metadata == {"request_id": key}
    if name != "log":
        with refused("REQUEST_ID_REUSED", EXISTS):
            WRITES[name](alice, other.id, "this", key)
    assert rows(owner, alice) == stored
    assert get(alice, other.id) == other


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("log", "amend"),
        ("amend", "log"),
    ],
)
def test_a_request_id_of_a_log_can_not_be_used_for_an_amendment(
    alice: Athlete, owner: psycopg.Connection, before: str, after: str
) -> None:
    key = an_id()
    logged, other = alice.log(bare()), alice.log(bare())
    WRITES[before](alice, logged.id, "this", key)
    stored = rows(owner, alice)
    with refused("REQUEST_ID_REUSED", EXISTS):
        WRITES[after](alice, other.id, "this", key)
    assert rows(owner, alice) == stored


def test_logs_and_other_writes_have_request_ids_of_their_own(alice: Athlete) -> None:
    """As the contract says of REQUEST_ID_REUSED."""
    key = an_id()
    logged = alice.log(bare(), request_id=key)
    voided = WRITES["void"](alice, logged.id, "this", key)
    assert voided.state == pb.SESSION_STATE_VOIDED
    assert alice.log(bare(), request_id=key) == logged
    assert WRITES["void"](alice, logged.id, "this", key) == voided


@pytest.mark.parametrize("name", WRITES)
def test_a_request_id_must_be_a_uuid(alice: Athlete, name: str) -> None:
    logged = alice.log(bare())
    with refused("INVALID_FIELD", INVALID) as refusals:
        WRITES[name](alice, logged.id, "this", "not-a-uuid")
    assert refusals[0].fields == ["request_id"]


def test_a_refused_log_leaves_its_request_id_free(alice: Athlete) -> None:
    key = an_id()
    with refused("UNKNOWN_EXERCISE", INVALID):
        alice.log(bare(exercises=[one_exercise(exercise_id=NOBODY)]), request_id=key)
    with refused("UNKNOWN_WORKOUT", INVALID):
        alice.log(bare(workout_id=NOBODY, workout_revision=1), request_id=key)
    assert alice.log(bare(), request_id=key).state == pb.SESSION_STATE_CURRENT


@pytest.mark.parametrize(
    "name",
    [
        "amend",
        "void",
    ],
)
def test_a_retraction_of_a_missing_session_leaves_its_request_id_free(
    alice: Athlete, name: str
) -> None:
    key = an_id()
    logged = alice.log(bare())
    with refused("SESSION_NOT_FOUND", NOT_FOUND):
        WRITES[name](alice, NOBODY, "this", key)
    assert WRITES[name](alice, logged.id, "this", key).id


@pytest.mark.parametrize("name", ["amend", "void"])
def test_a_retraction_of_a_session_not_current_leaves_its_request_id_free(
    alice: Athlete, name: str
) -> None:
    key = an_id()
    logged, other = alice.log(bare()), alice.log(bare())
    void(alice, logged.id)
    with refused("SESSION_NOT_CURRENT", PRECONDITION):
        WRITES[name](alice, logged.id, "this", key)
    assert WRITES[name](alice, other.id, "this", key).id


# Acting for an athlete


def test_a_sibling_service_can_act_for_an_athlete(
    alice: Athlete, bob: Athlete, sibling: Athlete
) -> None:
    workout = alice.create_workout()
    logged = sibling.log(bare(workout_id=workout.id), external_user_id=alice.id)
    assert logged.external_user_id == alice.id
    assert get(alice, logged.id) == logged
    assert listed(sibling, external_user_id=alice.id) == [logged.id]
    right = amend(sibling, logged.id, bare(), external_user_id=alice.id)
    request = pb.ListSessionVersionsRequest(session_id=logged.id, external_user_id=alice.id)
    shown = sibling.sessions.ListSessionVersions(request).sessions
    assert list(shown) == versions(alice, logged.id)
    assert [v.id for v in shown] == [logged.id, right.id]
    voided = void(sibling, right.id, external_user_id=alice.id)
    assert get(alice, right.id) == voided
    # It acts for the one it names: not for itself, and not for another.
    for whom in ("", bob.id):
        assert listed(sibling, external_user_id=whom, show_retracted=True) == []
        with refused("SESSION_NOT_FOUND", NOT_FOUND):
            sibling.sessions.GetSession(
                pb.GetSessionRequest(session_id=logged.id, external_user_id=whom)
            )
        with refused("UNKNOWN_WORKOUT", INVALID):
            sibling.log(bare(workout_id=workout.id), external_user_id=whom)


def test_an_athlete_can_name_themselves(alice: Athlete) -> None:
    logged = alice.log(bare(), external_user_id=alice.id)
    assert listed(alice, external_user_id=alice.id.upper()) == [logged.id]
    assert get(alice, logged.id) == logged


@pytest.mark.parametrize(
    "call",
    [
        lambda bob, whom, id: bob.log(bare(), external_user_id=whom),
        lambda bob, whom, id: bob.sessions.BatchLogSessions(
            pb.BatchLogSessionsRequest(
                external_user_id=whom, requests=[pb.LogSessionRequest(session=bare())]
            )
        ),
        lambda bob, whom, id: bob.sessions.GetSession(
            pb.GetSessionRequest(session_id=id, external_user_id=whom)
        ),
        lambda bob, whom, id: list_page(bob, external_user_id=whom),
        lambda bob, whom, id: list(
            bob.sessions.ExportSessions(pb.ExportSessionsRequest(external_user_id=whom))
        ),
        lambda bob, whom, id: amend(bob, id, external_user_id=whom),
        lambda bob, whom, id: void(bob, id, external_user_id=whom),
        lambda bob, whom, id: bob.sessions.ListSessionVersions(
            pb.ListSessionVersionsRequest(session_id=id, external_user_id=whom)
        ),
    ],
    ids=[
        m.name
        for m in pb.DESCRIPTOR.services_by_name["SessionService"].methods
        if "external_user_id" in m.input_type.fields_by_name
    ],
)
def test_another_athlete_is_answered_like_one_who_does_not_exist(
    alice: Athlete,
    bob: Athlete,
    owner: psycopg.Connection,
    call: Callable[[Athlete, str, str], Any],
) -> None:
    logged = alice.log()
    answers = []
    for whom in (alice.id, an_id()):
        with refused("ATHLETE_NOT_FOUND", NOT_FOUND) as refusals:
            call(bob, whom, logged.id)
        answers.append((refusals[0].message, refusals[0].fields, refusals[0].metadata))
    assert answers[0] == answers[1]
    assert get(alice, logged.id) == logged
    assert rows(owner, alice) == (1, 2, 0)
    assert rows(owner, bob) == (0, 0, 0)


def test_versions_are_paged(alice: Athlete, bob: Athlete) -> None:
    logged = alice.log(bare())
    made = [logged.id]
    for _ in range(4):
        made.append(amend(alice, made[-1]).id)
    found: list[str] = []
    request = pb.ListSessionVersionsRequest(session_id=made[2], page_size=2)
    while not found or request.page_token:
        page = alice.sessions.ListSessionVersions(request)
        assert len(page.sessions) <= 2
        found += [s.id for s in page.sessions]
        request.page_token = page.next_page_token
    assert found == made
    with refused("SESSION_NOT_FOUND", NOT_FOUND):
        bob.sessions.ListSessionVersions(pb.ListSessionVersionsRequest(session_id=made[0]))


def test_a_page_of_large_versions_stays_within_what_clients_take(alice: Athlete) -> None:
    sets = [pb.PerformedSet(notes="n" * 1000)] * 100
    large = bare(exercises=[pb.SessionExercise(exercise_id=PULL_UP, sets=sets)] * 15)  # 1.5 MB
    logged = alice.log(large)
    request = pb.AmendSessionRequest(session_id=logged.id, session=large)
    amended = alice.sessions.AmendSession(request)
    listing = pb.ListSessionVersionsRequest(session_id=logged.id)
    first = alice.sessions.ListSessionVersions(listing)
    listing.page_token = first.next_page_token
    rest = alice.sessions.ListSessionVersions(listing)
    assert [[s.id for s in page.sessions] for page in (first, rest)] == [[logged.id], [amended.id]]
    assert not rest.next_page_token
