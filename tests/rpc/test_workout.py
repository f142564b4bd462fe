"""WorkoutService over a real channel."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import exercise_pb2, session_pb2
from calisthenics.training.v1 import workout_pb2 as pb
from calisthenics.training.v1.set_pb2 import (
    SET_KIND_AMRAP,
    SET_KIND_WARM_UP,
    SIDE_LEFT,
    SIDE_RIGHT,
    SIDE_UNSPECIFIED,
    SetTarget,
)

from tests.support import (
    L_SIT,
    PISTOL_SQUAT,
    PULL_UP,
    PUSH_UP,
    Athlete,
    a_session,
    a_workout,
    at,
    eventually,
    forged_token,
    refused,
    waiting_count,
)

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
ABORTED = grpc.StatusCode.ABORTED
EXISTS = grpc.StatusCode.ALREADY_EXISTS

NOBODY = str(uuid.UUID(int=0))


def an_id() -> str:
    return str(uuid.uuid4())


def pull_ups(**fields: Any) -> pb.WorkoutExercise:
    return pb.WorkoutExercise(**{"exercise_id": PULL_UP, "sets": 3, **fields})


def create(athlete: Athlete, workout: pb.Workout, **request: Any) -> pb.Workout:
    return athlete.workouts.CreateWorkout(pb.CreateWorkoutRequest(workout=workout, **request))


def get(athlete: Athlete, workout_id: str) -> pb.Workout:
    return athlete.workouts.GetWorkout(pb.GetWorkoutRequest(workout_id=workout_id))


def update(athlete: Athlete, workout_id: str, *mask: str, **fields: Any) -> pb.Workout:
    request_id = fields.pop("request_id", "")
    return athlete.workouts.UpdateWorkout(
        pb.UpdateWorkoutRequest(
            workout_id=workout_id,
            workout=pb.Workout(**fields),
            update_mask={"paths": mask},
            request_id=request_id,
        )
    )


def delete(athlete: Athlete, workout_id: str, **fields: Any) -> pb.Workout:
    return athlete.workouts.DeleteWorkout(pb.DeleteWorkoutRequest(workout_id=workout_id, **fields))


def undelete(athlete: Athlete, workout_id: str, **fields: Any) -> pb.Workout:
    return athlete.workouts.UndeleteWorkout(
        pb.UndeleteWorkoutRequest(workout_id=workout_id, **fields)
    )


def roll_back(athlete: Athlete, workout_id: str, revision: int, **fields: Any) -> pb.Workout:
    return athlete.workouts.RollbackWorkout(
        pb.RollbackWorkoutRequest(workout_id=workout_id, revision=revision, **fields)
    )


def revision(athlete: Athlete, workout_id: str, number: int) -> pb.Workout:
    return athlete.workouts.GetWorkoutRevision(
        pb.GetWorkoutRevisionRequest(workout_id=workout_id, revision=number)
    )


def revisions(athlete: Athlete, workout_id: str, **fields: Any) -> pb.ListWorkoutRevisionsResponse:
    return athlete.workouts.ListWorkoutRevisions(
        pb.ListWorkoutRevisionsRequest(workout_id=workout_id, **fields)
    )


def instantiate(athlete: Athlete, workout_id: str, **fields: Any) -> session_pb2.Session:
    return athlete.workouts.InstantiateWorkout(
        pb.InstantiateWorkoutRequest(workout_id=workout_id, **fields)
    )


def list_page(athlete: Athlete, **fields: Any) -> pb.ListWorkoutsResponse:
    return athlete.workouts.ListWorkouts(pb.ListWorkoutsRequest(**fields))


def listed(athlete: Athlete, **fields: Any) -> list[str]:
    """Returns the ids of all pages of a listing."""
    ids: list[str] = []
    token = ""
    while True:
        page = list_page(athlete, page_token=token, **fields)
        ids += [w.id for w in page.workouts]
        token = page.next_page_token
        if not token:
            return ids


def count(owner: psycopg.Connection, table: str, athlete: Athlete) -> int:
    query = f"SELECT count(*) FROM training.{table} WHERE external_user_id = %s"
    [found] = owner.execute(query, [athlete.id]).fetchone() or [-1]
    return int(found)


def exercise_rows(owner: psycopg.Connection, workout_id: str) -> list[tuple[int, str, int]]:
    query = (
        "SELECT position, exercise_id::text, set_count FROM training.workout_exercises "
        "WHERE workout_id = %s ORDER BY position"
    )
    return list(owner.execute(query, [workout_id]))


@contextmanager
def held_back(owner: psycopg.Connection, workout_id: str, calls: int) -> Iterator[None]:
    """Keeps the calls that the block makes from changing a workout until all of them want to."""
    query = "SELECT external_user_id FROM training.workouts WHERE id = %s"
    [(athlete,)] = owner.execute(query, [workout_id])
    with owner.transaction():
        owner.execute(f"{query} AND external_user_id = %s FOR UPDATE", [workout_id, athlete])
        yield
        eventually(lambda: waiting_count(owner) == calls)


@pytest.fixture
def retire(admin: Athlete) -> Callable[[str], None]:
    """Deprecates an exercise."""

    def deprecate(exercise_id: str) -> None:
        admin.exercises.DeprecateExercise(
            exercise_pb2.DeprecateExerciseRequest(exercise_id=exercise_id)
        )

    return deprecate


@pytest.fixture
def own_exercise(admin: Athlete) -> str:
    """The id of a dynamic exercise that no other test uses."""
    exercise = exercise_pb2.Exercise(
        slug=f"exercise-{uuid.uuid4().hex}",
        display_name="An exercise of this test",
        category=exercise_pb2.EXERCISE_CATEGORY_PULL,
        difficulty=5,
        movement_kind=exercise_pb2.MOVEMENT_KIND_DYNAMIC,
        primary_muscles=[exercise_pb2.MUSCLE_LATS],
    )
    return str(
        admin.exercises.CreateExercise(exercise_pb2.CreateExerciseRequest(exercise=exercise)).id
    )


# Creating


def test_a_created_workout_comes_back_as_acknowledged(alice: Athlete, bob: Athlete) -> None:
    created = alice.create_workout()
    assert created.external_user_id == alice.id
    assert uuid.UUID(created.id).version == 7
    assert created.revision == 1
    assert created.etag
    assert created.create_time == created.revision_create_time
    assert not created.HasField("delete_time")
    assert get(alice, created.id) == created
    with refused("WORKOUT_NOT_FOUND", NOT_FOUND) as refusals:
        get(bob, created.id)
    assert refusals[0].fields == ["workout_id"]


def test_every_field_of_a_workout_comes_back(alice: Athlete) -> None:
    first = pb.WorkoutExercise(
        exercise_id=PISTOL_SQUAT,
        order=1,
        sets=5,
        reps={"min": 3, "max": 5},
        rest_seconds=0,
        load_kg=-7.5,
        tempo="30X0",
        target_rpe=0,
        per_side=True,
        superset_group="A",
        kind=SET_KIND_AMRAP,
        notes="Heels down.\nSlowly. 🦵",
    )
    second = pb.WorkoutExercise(
        exercise_id=L_SIT, order=2, sets=1, hold={"min_seconds": 7.5, "max_seconds": 30}
    )
    given = pb.Workout(
        display_name="Łegs & core", description="Two\nlines", exercises=[first, second]
    )
    # A new field of the contract must be added here.
    named = {f.name for f, _ in first.ListFields()} | {f.name for f, _ in second.ListFields()}
    assert named == {f.name for f in pb.WorkoutExercise.DESCRIPTOR.fields}
    created = create(alice, given)
    expected = pb.Workout()
    expected.CopyFrom(given)
    for name in ("id", "external_user_id", "revision", "etag"):
        setattr(expected, name, getattr(created, name))
    expected.create_time.CopyFrom(created.create_time)
    expected.revision_create_time.CopyFrom(created.revision_create_time)
    assert created == expected
    assert get(alice, created.id) == expected


def test_what_is_not_prescribed_stays_absent(alice: Athlete) -> None:
    created = create(alice, a_workout(exercises=[pull_ups()]))
    [exercise] = get(alice, created.id).exercises
    assert exercise == pull_ups(order=1)
    assert exercise.WhichOneof("volume") is None


def test_an_empty_workout_is_allowed(alice: Athlete, owner: psycopg.Connection) -> None:
    created = create(alice, pb.Workout(display_name="Rest"))
    assert list(get(alice, created.id).exercises) == []
    assert exercise_rows(owner, created.id) == []


def test_the_same_exercise_may_stand_in_a_workout_twice(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    created = create(alice, a_workout(exercises=[pull_ups(sets=1), pull_ups(sets=2)]))
    assert exercise_rows(owner, created.id) == [(1, PULL_UP, 1), (2, PULL_UP, 2)]


def test_what_only_the_service_sets_is_ignored(alice: Athlete, bob: Athlete) -> None:
    given = a_workout(
        id=NOBODY,
        external_user_id=bob.id,
        revision=7,
        etag="99",
        create_time=at("2001-01-01T00:00:00"),
        revision_create_time=at("2001-01-01T00:00:00"),
        delete_time=at("2001-01-01T00:00:00"),
    )
    created = create(alice, given)
    plain = alice.create_workout()
    assert created.id != NOBODY
    assert (created.external_user_id, created.revision, created.etag) == (alice.id, 1, plain.etag)
    assert created.create_time.seconds > at("2020-01-01T00:00:00").seconds
    assert created.revision_create_time == created.create_time
    assert not created.HasField("delete_time")
    assert listed(bob) == []


def test_without_order_numbers_the_order_is_that_of_the_list(alice: Athlete) -> None:
    created = create(alice, a_workout(exercises=[pull_ups(notes="a"), pull_ups(notes="b")]))
    assert [(e.order, e.notes) for e in created.exercises] == [(1, "a"), (2, "b")]


def test_order_numbers_decide_the_order_and_are_returned_without_gaps(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    exercises = [
        pull_ups(order=30, sets=3),
        pull_ups(order=7, sets=1),
        pull_ups(order=12, sets=2),
    ]
    created = create(alice, a_workout(exercises=exercises))
    assert [(e.order, e.sets) for e in created.exercises] == [(1, 1), (2, 2), (3, 3)]
    assert exercise_rows(owner, created.id) == [(n, PULL_UP, n) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("orders", "field"),
    [
        ([1, 0, 2], "workout.exercises[1].order"),
        ([0, 0, 2], "workout.exercises[0].order"),
        ([2, 1, 2], "workout.exercises[2].order"),
        ([1, 2, -1], "workout.exercises[2].order"),
        ([1, 2, 1001], "workout.exercises[2].order"),
    ],
)
def test_order_numbers_given_for_some_or_twice_are_refused(
    alice: Athlete, owner: psycopg.Connection, orders: list[int], field: str
) -> None:
    with refused("INVALID_FIELD", INVALID) as refusals:
        create(alice, a_workout(exercises=[pull_ups(order=n) for n in orders]))
    assert refusals[0].fields == [field]
    assert count(owner, "workouts", alice) == 0


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"display_name": ""}, "workout.display_name"),
        ({"display_name": "x" * 121}, "workout.display_name"),
        ({"display_name": "two\nlines"}, "workout.display_name"),
        ({"description": "x" * 4001}, "workout.description"),
        ({"description": "a\0b"}, "workout.description"),
        ({"etag": "x" * 65}, "workout.etag"),
        ({"exercises": [pull_ups()] * 101}, "workout.exercises"),
        ({"exercises": [pull_ups(exercise_id="")]}, "workout.exercises[0].exercise_id"),
        ({"exercises": [pull_ups(exercise_id="pull-up")]}, "workout.exercises[0].exercise_id"),
        ({"exercises": [pull_ups(), pull_ups(sets=0)]}, "workout.exercises[1].sets"),
        ({"exercises": [pull_ups(sets=51)]}, "workout.exercises[0].sets"),
        ({"exercises": [pull_ups(reps={"min": 8, "max": 5})]}, "workout.exercises[0].reps"),
        ({"exercises": [pull_ups(reps={"min": -1, "max": 5})]}, "workout.exercises[0].reps.min"),
        ({"exercises": [pull_ups(reps={})]}, "workout.exercises[0].reps.max"),
        (
            {"exercises": [pull_ups(hold={"min_seconds": 9, "max_seconds": 8})]},
            "workout.exercises[0].hold",
        ),
        ({"exercises": [pull_ups(rest_seconds=7201)]}, "workout.exercises[0].rest_seconds"),
        ({"exercises": [pull_ups(load_kg=float("nan"))]}, "workout.exercises[0].load_kg"),
        ({"exercises": [pull_ups(load_kg=float("inf"))]}, "workout.exercises[0].load_kg"),
        ({"exercises": [pull_ups(load_kg=-500.5)]}, "workout.exercises[0].load_kg"),
        ({"exercises": [pull_ups(tempo="30X")]}, "workout.exercises[0].tempo"),
        ({"exercises": [pull_ups(tempo="3010\n")]}, "workout.exercises[0].tempo"),
        ({"exercises": [pull_ups(target_rpe=10.5)]}, "workout.exercises[0].target_rpe"),
        ({"exercises": [pull_ups(superset_group="x" * 33)]}, "workout.exercises[0].superset_group"),
        ({"exercises": [pull_ups(kind=99)]}, "workout.exercises[0].kind"),
        ({"exercises": [pull_ups(notes="\0")]}, "workout.exercises[0].notes"),
    ],
)
def test_a_workout_that_breaks_a_rule_is_refused_with_the_field(
    alice: Athlete, owner: psycopg.Connection, fields: dict[str, Any], path: str
) -> None:
    with refused("INVALID_FIELD", INVALID) as refusals:
        create(alice, a_workout(**fields))
    assert refusals[0].fields == [path]
    assert count(owner, "workouts", alice) == 0


@pytest.mark.parametrize("tempo", ["3010", "30x0", "3-0-X-0", "3/0/1/0", "10-0-1", "x-x-x-x"])
def test_a_tempo_may_be_written_in_several_ways(alice: Athlete, tempo: str) -> None:
    created = create(alice, a_workout(exercises=[pull_ups(tempo=tempo)]))
    assert get(alice, created.id).exercises[0].tempo == tempo


def test_a_request_without_a_workout_is_refused(alice: Athlete) -> None:
    with refused("INVALID_FIELD", INVALID) as refusals:
        alice.workouts.CreateWorkout(pb.CreateWorkoutRequest())
    assert refusals[0].fields == ["workout"]


def test_unknown_exercises_are_all_named_and_nothing_is_stored(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    exercises = [pull_ups(exercise_id=NOBODY), pull_ups(), pull_ups(exercise_id=an_id())]
    with refused("UNKNOWN_EXERCISE", INVALID) as refusals:
        create(alice, a_workout(exercises=exercises))
    assert refusals[0].fields == [
        "workout.exercises[0].exercise_id",
        "workout.exercises[2].exercise_id",
    ]
    assert count(owner, "workouts", alice) == 0


def test_an_unknown_exercise_is_named_by_its_place_in_the_request(alice: Athlete) -> None:
    exercises = [pull_ups(order=2, exercise_id=NOBODY), pull_ups(order=1)]
    with refused("UNKNOWN_EXERCISE") as refusals:
        create(alice, a_workout(exercises=exercises))
    assert refusals[0].fields == ["workout.exercises[0].exercise_id"]


def test_a_wrong_volume_is_named_by_its_place_in_the_request(alice: Athlete) -> None:
    hold = {"min_seconds": 5, "max_seconds": 5}
    with refused("INVALID_FIELD") as refusals:
        create(alice, a_workout(exercises=[pull_ups(order=2, hold=hold), pull_ups(order=1)]))
    assert refusals[0].fields == ["workout.exercises[0].hold"]


def test_a_deprecated_exercise_can_not_enter_a_workout(
    alice: Athlete,
    owner: psycopg.Connection,
    own_exercise: str,
    retire: Callable[[str], None],
) -> None:
    retire(own_exercise)
    with refused("EXERCISE_DEPRECATED", PRECONDITION) as refusals:
        create(alice, a_workout(exercises=[pull_ups(), pull_ups(exercise_id=own_exercise)]))
    assert refusals[0].fields == ["workout.exercises[1].exercise_id"]
    assert count(owner, "workouts", alice) == 0


@pytest.mark.parametrize(
    ("exercise", "path"),
    [
        (
            pb.WorkoutExercise(exercise_id=L_SIT, sets=1, reps={"min": 1, "max": 2}),
            "workout.exercises[1].reps",
        ),
        (
            pb.WorkoutExercise(
                exercise_id=PULL_UP, sets=1, hold={"min_seconds": 1, "max_seconds": 2}
            ),
            "workout.exercises[1].hold",
        ),
    ],
)
def test_repetitions_are_for_dynamic_exercises_and_holds_for_isometric_ones(
    alice: Athlete, owner: psycopg.Connection, exercise: pb.WorkoutExercise, path: str
) -> None:
    with refused("INVALID_FIELD", INVALID) as refusals:
        create(alice, a_workout(exercises=[pull_ups(), exercise]))
    assert refusals[0].fields == [path]
    created = alice.create_workout()
    with refused("INVALID_FIELD", INVALID) as refusals:
        update(alice, created.id, "exercises", exercises=[pull_ups(), exercise])
    assert refusals[0].fields == [path]
    assert get(alice, created.id) == created
    assert count(owner, "workouts", alice) == 1


# Reading


@pytest.mark.parametrize(
    "call",
    [
        lambda athlete, id: get(athlete, id),
        lambda athlete, id: update(athlete, id, "description", description="x"),
        lambda athlete, id: delete(athlete, id),
        lambda athlete, id: undelete(athlete, id),
        lambda athlete, id: roll_back(athlete, id, 1),
        lambda athlete, id: revisions(athlete, id),
        lambda athlete, id: revision(athlete, id, 1),
        lambda athlete, id: instantiate(athlete, id),
    ],
    ids=[
        "get",
        "update",
        "delete",
        "undelete",
        "rollback",
        "list revisions",
        "get revision",
        "instantiate",
    ],
)
def test_a_workout_that_is_missing_or_anothers_is_not_found(
    alice: Athlete, bob: Athlete, call: Callable[[Athlete, str], Any]
) -> None:
    created = alice.create_workout()
    answers = []
    for athlete, id in ((alice, NOBODY), (bob, created.id)):
        with refused("WORKOUT_NOT_FOUND", NOT_FOUND) as refusals:
            call(athlete, id)
        answers.append((refusals[0].message, refusals[0].fields, refusals[0].metadata))
    # Nothing in the answer tells which of the two it was.
    assert answers == [("there is no such workout", ["workout_id"], {})] * 2
    with refused("INVALID_FIELD", INVALID) as refusals:
        call(alice, "not-an-id")
    assert refusals[0].fields == ["workout_id"]
    assert get(alice, created.id) == created


def test_workouts_are_listed_newest_first(alice: Athlete, bob: Athlete) -> None:
    created = [alice.create_workout(display_name=f"Day {n}") for n in range(4)]
    # Changing a workout does not move it.
    created[0] = update(alice, created[0].id, "description", description="changed")
    page = list_page(alice)
    assert list(page.workouts) == created[::-1]
    assert page.next_page_token == ""
    assert listed(bob) == []


@pytest.mark.parametrize("page_size", [1, 2, 3, 6, 7])
def test_the_pages_together_show_every_workout_once(alice: Athlete, page_size: int) -> None:
    created = [alice.create_workout().id for _ in range(6)]
    assert listed(alice, page_size=page_size) == created[::-1]


def test_a_page_holds_fifty_workouts_unless_asked_otherwise(alice: Athlete) -> None:
    created = [create(alice, pb.Workout(display_name="x")).id for _ in range(51)]
    page = list_page(alice)
    assert [w.id for w in page.workouts] == created[:0:-1]
    assert page.next_page_token
    assert [w.id for w in list_page(alice, page_size=5000).workouts] == created[::-1]


def test_pages_stay_in_step_while_workouts_arrive(alice: Athlete) -> None:
    created = [alice.create_workout().id for _ in range(4)]
    first = list_page(alice, page_size=2)
    newer = alice.create_workout().id
    second = list_page(alice, page_size=2, page_token=first.next_page_token)
    shown = [w.id for page in (first, second) for w in page.workouts]
    assert shown == created[::-1]
    assert second.next_page_token == ""
    assert listed(alice) == [newer, *created[::-1]]


def test_deleted_workouts_are_listed_on_request(alice: Athlete, bob: Athlete) -> None:
    kept, gone = alice.create_workout(), alice.create_workout()
    deleted = delete(alice, gone.id)
    assert list(list_page(alice).workouts) == [kept]
    assert list(list_page(alice, show_deleted=True).workouts) == [deleted, kept]
    assert listed(bob, show_deleted=True) == []


def test_workouts_can_be_found_by_exercise(alice: Athlete, bob: Athlete) -> None:
    push = create(alice, a_workout(exercises=[pb.WorkoutExercise(exercise_id=PUSH_UP, sets=1)]))
    both = create(
        alice,
        a_workout(exercises=[pull_ups(), pull_ups(exercise_id=PUSH_UP), pull_ups()]),
    )
    assert listed(alice, exercise_id=PUSH_UP) == [both.id, push.id]
    assert listed(alice, exercise_id=PULL_UP) == [both.id]
    assert listed(alice, exercise_id=NOBODY) == []
    assert listed(bob, exercise_id=PUSH_UP) == []
    # The filter looks at what the workout is, not at what it was.
    update(alice, both.id, "exercises", exercises=[pull_ups()])
    assert listed(alice, exercise_id=PUSH_UP) == [push.id]


def test_deleted_workouts_are_not_found_by_exercise(alice: Athlete) -> None:
    """As the contract says: the rows that list a workout's exercises go with it."""
    created = alice.create_workout()
    delete(alice, created.id)
    assert listed(alice, exercise_id=PULL_UP, show_deleted=True) == []
    assert listed(alice, show_deleted=True) == [created.id]


@pytest.mark.parametrize(
    ("name", "query", "found"),
    [
        ("Pull Day A", "pull day", True),
        ("Pull Day A", "DAY a", True),
        ("Pull Day A", "l D", True),
        ("Pull Day A", "push", False),
        ("Übung für Grüße", "üBUNG FÜR", True),
        ("ŚRODA", "środa", True),
        # What other searches take for patterns is meant literally.
        ("50% off_day", "0% o", True),
        ("50% off_day", "5%day", False),
        ("50% off_day", "off.day", False),
        ("offxday", "off_day", False),
        (r"back\slash", r"K\S", True),
        ("it's", "T'S", True),
    ],
)
def test_workouts_can_be_found_by_a_part_of_their_name_in_any_case(
    alice: Athlete, bob: Athlete, name: str, query: str, found: bool
) -> None:
    created = alice.create_workout(display_name=name)
    alice.create_workout(display_name="zzz")
    assert listed(alice, query=query) == ([created.id] if found else [])
    assert listed(bob, query=query) == []


def test_filters_are_combined_and_paged(alice: Athlete) -> None:
    wanted = [alice.create_workout(display_name=f"Pull {n}").id for n in range(3)]
    alice.create_workout(display_name="Push")
    create(alice, pb.Workout(display_name="Pull without exercises"))
    filters = {"query": "pull", "exercise_id": L_SIT, "page_size": 1}
    assert listed(alice, **filters) == wanted[::-1]


def test_a_name_is_found_as_it_is_now(alice: Athlete) -> None:
    created = alice.create_workout(display_name="Before")
    update(alice, created.id, "display_name", display_name="After")
    assert listed(alice, query="before") == []
    assert listed(alice, query="after") == [created.id]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x" * 1001}, "page_token"),
        ({"exercise_id": "pull-up"}, "exercise_id"),
        ({"query": "x" * 101}, "query"),
        ({"query": "\0"}, "query"),
        ({"external_user_id": "alice"}, "external_user_id"),
    ],
)
def test_a_listing_that_breaks_a_rule_is_refused_with_the_field(
    alice: Athlete, fields: dict[str, Any], path: str
) -> None:
    with refused("INVALID_FIELD", INVALID) as refusals:
        list_page(alice, **fields)
    assert refusals[0].fields == [path]


def test_a_page_token_is_good_for_its_listing_alone(alice: Athlete, bob: Athlete) -> None:
    mine = [alice.create_workout().id for _ in range(3)]
    yours = bob.create_workout().id
    token = list_page(alice, page_size=1).next_page_token
    others: list[dict[str, Any]] = [
        {"show_deleted": True},
        {"query": "pull"},
        {"exercise_id": PULL_UP},
    ]
    for changed in others:
        with refused("INVALID_PAGE_TOKEN", INVALID):
            list_page(alice, page_token=token, **changed)
    with refused("INVALID_PAGE_TOKEN", INVALID):
        revisions(alice, mine[0], page_token=token)
    # The size of the page may change from one to the next.
    assert [w.id for w in list_page(alice, page_size=9, page_token=token).workouts] == mine[1::-1]
    # Naming oneself makes no difference, being somebody else does.
    named = list_page(alice, page_token=token, external_user_id=alice.id.upper())
    assert [w.id for w in named.workouts] == mine[1::-1]
    with refused("INVALID_PAGE_TOKEN", INVALID):
        list_page(bob, page_token=token)
    assert [w.id for w in list_page(bob).workouts] == [yours]


def test_tampered_page_tokens_are_refused(alice: Athlete) -> None:
    ids = [alice.create_workout().id for _ in range(2)]
    token = list_page(alice, page_size=1).next_page_token
    # The forgery itself works: a token made this way from the right key is accepted.
    page = list_page(alice, page_size=1, page_token=forged_token(token, ids[1]))
    assert [w.id for w in page.workouts] == [ids[0]]
    for bad in (
        "x",
        token[:-4],
        token + "AAAA",
        token.swapcase(),
        forged_token(token),
        forged_token(token, 7),
        forged_token(token, "not-an-id"),
        forged_token(token, "\0"),
        forged_token(token, ids[0], ids[1]),
    ):
        with refused("INVALID_PAGE_TOKEN", INVALID):
            list_page(alice, page_size=1, page_token=bad)


# Updating


def test_an_update_changes_what_the_mask_names_and_nothing_else(
    alice: Athlete, bob: Athlete
) -> None:
    created = alice.create_workout(description="as it was")
    updated = update(
        alice,
        created.id,
        "display_name",
        display_name="New name",
        description="ignored",
        exercises=[pull_ups()],
    )
    expected = pb.Workout()
    expected.CopyFrom(created)
    expected.display_name = "New name"
    expected.revision = 2
    expected.etag = updated.etag
    expected.revision_create_time.CopyFrom(updated.revision_create_time)
    assert updated == expected
    assert updated.etag != created.etag
    assert get(alice, created.id) == updated
    with refused("WORKOUT_NOT_FOUND", NOT_FOUND):
        get(bob, created.id)


def test_an_update_of_everything_takes_absent_fields_for_empty(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    created = alice.create_workout(description="as it was")
    updated = update(alice, created.id, "*", display_name="Bare")
    assert (updated.display_name, updated.description) == ("Bare", "")
    assert list(updated.exercises) == []
    assert exercise_rows(owner, created.id) == []


def test_an_update_of_exercises_replaces_them_all(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    created = alice.create_workout()
    updated = update(
        alice,
        created.id,
        "exercises",
        exercises=[pull_ups(order=9, sets=1), pull_ups(exercise_id=PUSH_UP, order=4, sets=2)],
    )
    assert [(e.order, e.exercise_id) for e in updated.exercises] == [(1, PUSH_UP), (2, PULL_UP)]
    assert exercise_rows(owner, created.id) == [(1, PUSH_UP, 2), (2, PULL_UP, 1)]


def test_each_update_makes_a_revision_and_leaves_the_earlier_ones_as_they_were(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    created = alice.create_workout()
    records: dict[int, bytes] = {}
    answers: dict[int, bytes] = {}
    stored = "SELECT revision, record FROM training.workout_revisions WHERE workout_id = %s"
    for number in (2, 3, 4):
        updated = update(alice, created.id, "description", description=f"revision {number}")
        assert updated.revision == number
        assert updated.create_time == created.create_time
        now = dict(owner.execute(stored, [created.id]).fetchall())
        assert sorted(now) == list(range(1, number + 1))
        assert {n: now[n] for n in records} == records
        records = now
        read = {n: revision(alice, created.id, n).SerializeToString() for n in now}
        assert {n: read[n] for n in answers} == answers
        answers = read
    assert revision(alice, created.id, 1).description == ""
    assert revision(alice, created.id, 3).description == "revision 3"


def test_an_update_without_a_change_makes_a_revision_all_the_same(alice: Athlete) -> None:
    created = alice.create_workout()
    assert update(alice, created.id, "description").revision == 2


@pytest.mark.parametrize(
    "mask",
    [
        [],
        [""],
        ["name"],
        ["id"],
        ["etag"],
        ["revision"],
        ["exercises.sets"],
        ["display_name", "delete_time"],
        ["*", "display_name"],
    ],
)
def test_a_mask_that_names_nothing_or_what_can_not_change_is_refused(
    alice: Athlete, mask: list[str]
) -> None:
    created = alice.create_workout()
    with refused("INVALID_UPDATE_MASK", INVALID) as refusals:
        update(alice, created.id, *mask, display_name="x")
    assert refusals[0].fields == ["update_mask"]
    assert get(alice, created.id) == created


@pytest.mark.parametrize(
    ("mask", "fields", "path"),
    [
        ("display_name", {}, "workout.display_name"),
        ("*", {"description": "no name"}, "workout.display_name"),
        ("description", {"description": "x" * 4001}, "workout.description"),
        (
            "exercises",
            {"exercises": [pull_ups(), pull_ups(sets=0)]},
            "workout.exercises[1].sets",
        ),
        (
            "exercises",
            {"exercises": [pull_ups(exercise_id="pull-up")]},
            "workout.exercises[0].exercise_id",
        ),
        (
            "exercises",
            {"exercises": [pull_ups(order=1), pull_ups(order=1)]},
            "workout.exercises[1].order",
        ),
    ],
)
def test_the_result_of_an_update_must_keep_the_rules(
    alice: Athlete, mask: str, fields: dict[str, Any], path: str
) -> None:
    created = alice.create_workout()
    with refused("INVALID_FIELD", INVALID) as refusals:
        update(alice, created.id, mask, **fields)
    assert refusals[0].fields == [path]
    assert get(alice, created.id) == created


def test_fields_outside_the_mask_are_not_looked_at(alice: Athlete) -> None:
    created = alice.create_workout()
    updated = update(
        alice,
        created.id,
        "description",
        display_name="x" * 500,
        description="fine",
        exercises=[pull_ups(exercise_id="rubbish"), pull_ups(exercise_id=NOBODY, sets=-1)],
    )
    assert (updated.display_name, updated.description) == (created.display_name, "fine")


def test_an_update_to_an_unknown_exercise_is_refused(alice: Athlete) -> None:
    created = alice.create_workout()
    with refused("UNKNOWN_EXERCISE", INVALID) as refusals:
        update(
            alice,
            created.id,
            "exercises",
            exercises=[pull_ups(), pull_ups(exercise_id=NOBODY)],
        )
    assert refusals[0].fields == ["workout.exercises[1].exercise_id"]
    assert get(alice, created.id) == created


def test_a_deprecated_exercise_may_stay_but_not_come_in(
    alice: Athlete, own_exercise: str, retire: Callable[[str], None]
) -> None:
    with_it = create(alice, a_workout(exercises=[pull_ups(exercise_id=own_exercise)]))
    without = alice.create_workout()
    retire(own_exercise)
    kept = update(
        alice,
        with_it.id,
        "exercises",
        exercises=[pull_ups(), pull_ups(exercise_id=own_exercise, sets=9)],
    )
    assert kept.revision == 2
    with refused("EXERCISE_DEPRECATED", PRECONDITION) as refusals:
        update(
            alice,
            without.id,
            "exercises",
            exercises=[pull_ups(), pull_ups(exercise_id=own_exercise)],
        )
    assert refusals[0].fields == ["workout.exercises[1].exercise_id"]
    # Once out, it does not come back by an update, but a rollback restores what was.
    update(alice, with_it.id, "exercises", exercises=[])
    with refused("EXERCISE_DEPRECATED", PRECONDITION):
        update(alice, with_it.id, "exercises", exercises=[pull_ups(exercise_id=own_exercise)])
    assert [e.exercise_id for e in roll_back(alice, with_it.id, 1).exercises] == [own_exercise]


def test_a_workout_with_an_exercise_deprecated_since_can_be_renamed(
    alice: Athlete, own_exercise: str, retire: Callable[[str], None]
) -> None:
    created = create(alice, a_workout(exercises=[pull_ups(exercise_id=own_exercise)]))
    retire(own_exercise)
    assert update(alice, created.id, "display_name", display_name="Renamed").revision == 2


@pytest.mark.parametrize(
    ("path", "write"),
    [
        (
            "workout.etag",
            lambda who, id, etag: update(who, id, "description", description="x", etag=etag),
        ),
        ("etag", lambda who, id, etag: delete(who, id, etag=etag)),
        ("etag", lambda who, id, etag: roll_back(who, id, 1, etag=etag)),
    ],
    ids=["update", "delete", "rollback"],
)
def test_a_write_with_an_etag_is_done_only_if_it_is_current(
    alice: Athlete, path: str, write: Callable[[Athlete, str, str], pb.Workout]
) -> None:
    created = alice.create_workout()
    current = update(alice, created.id, "description", description="since")
    for stale in (created.etag, "unheard-of"):
        with refused("ETAG_MISMATCH", ABORTED) as refusals:
            write(alice, created.id, stale)
        assert refusals[0].fields == [path]
    assert get(alice, created.id) == current
    assert write(alice, created.id, current.etag).etag not in (created.etag, current.etag)


def test_undeleting_with_an_etag_is_done_only_if_it_is_current(alice: Athlete) -> None:
    created = alice.create_workout()
    deleted = delete(alice, created.id)
    with refused("ETAG_MISMATCH", ABORTED) as refusals:
        undelete(alice, created.id, etag=created.etag)
    assert refusals[0].fields == ["etag"]
    assert get(alice, created.id) == deleted
    assert undelete(alice, created.id, etag=deleted.etag).etag not in (created.etag, deleted.etag)


def test_of_two_concurrent_updates_with_one_etag_exactly_one_wins(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    created = alice.create_workout()
    requests = [
        pb.UpdateWorkoutRequest(
            workout_id=created.id,
            workout=pb.Workout(display_name=name, etag=created.etag),
            update_mask={"paths": ["display_name"]},
        )
        for name in ("One", "Two")
    ]
    with held_back(owner, created.id, calls=2):
        calls = [alice.workouts.UpdateWorkout.future(request) for request in requests]
    won = [c for c in calls if c.exception() is None]
    lost = [c for c in calls if c.exception() is not None]
    assert (len(won), len(lost)) == (1, 1)
    with refused("ETAG_MISMATCH", ABORTED):
        lost[0].result()
    assert get(alice, created.id) == won[0].result()
    assert count(owner, "workout_revisions", alice) == 2


def test_concurrent_updates_without_an_etag_make_a_revision_each(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    created = alice.create_workout()
    requests = [
        pb.UpdateWorkoutRequest(
            workout_id=created.id,
            workout=pb.Workout(**{field: "changed"}),
            update_mask={"paths": [field]},
        )
        for field in ("display_name", "description")
    ]
    with held_back(owner, created.id, calls=2):
        calls = [alice.workouts.UpdateWorkout.future(request) for request in requests]
    assert sorted(c.result().revision for c in calls) == [2, 3]
    # Neither change was lost to the other.
    current = get(alice, created.id)
    assert (current.display_name, current.description) == ("changed", "changed")


# Deleting and undeleting


def test_a_deleted_workout_stays_readable_with_its_revisions(alice: Athlete, bob: Athlete) -> None:
    created = alice.create_workout()
    updated = update(alice, created.id, "description", description="second")
    before = revisions(alice, created.id)
    deleted = delete(alice, created.id)
    expected = pb.Workout()
    expected.CopyFrom(updated)
    expected.etag = deleted.etag
    expected.delete_time.CopyFrom(deleted.delete_time)
    assert deleted == expected
    assert deleted.HasField("delete_time")
    assert get(alice, created.id) == deleted
    assert revisions(alice, created.id) == before
    assert revision(alice, created.id, 1) == before.revisions[1]
    with refused("WORKOUT_NOT_FOUND", NOT_FOUND):
        revisions(bob, created.id)


def test_undeleting_brings_a_workout_back_as_it_was(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    created = alice.create_workout()
    rows = exercise_rows(owner, created.id)
    assert rows == [(1, PULL_UP, 4), (2, L_SIT, 3)]
    delete(alice, created.id)
    assert exercise_rows(owner, created.id) == []
    restored = undelete(alice, created.id)
    assert exercise_rows(owner, created.id) == rows
    expected = pb.Workout()
    expected.CopyFrom(created)
    expected.etag = restored.etag
    assert restored == expected
    assert get(alice, created.id) == restored
    assert listed(alice) == listed(alice, exercise_id=L_SIT) == [created.id]
    assert listed(bob) == []


def test_a_session_logged_before_the_deletion_is_still_there(alice: Athlete) -> None:
    created = alice.create_workout()
    logged = alice.log(a_session(workout_id=created.id))
    delete(alice, created.id)
    read = alice.sessions.GetSession(session_pb2.GetSessionRequest(session_id=logged.id))
    assert read == logged
    page = alice.sessions.ListSessions(session_pb2.ListSessionsRequest(workout_id=created.id))
    assert [s.id for s in page.sessions] == [logged.id]


@pytest.mark.parametrize(
    "call",
    [
        lambda athlete, id: update(athlete, id, "description", description="x"),
        lambda athlete, id: delete(athlete, id),
        lambda athlete, id: roll_back(athlete, id, 1),
        lambda athlete, id: instantiate(athlete, id),
        lambda athlete, id: instantiate(athlete, id, revision=1),
    ],
    ids=["update", "delete", "rollback", "instantiate", "instantiate a revision"],
)
def test_a_deleted_workout_must_be_undeleted_first(
    alice: Athlete, call: Callable[[Athlete, str], Any]
) -> None:
    created = alice.create_workout()
    deleted = delete(alice, created.id)
    with refused("WORKOUT_DELETED", PRECONDITION):
        call(alice, created.id)
    assert get(alice, created.id) == deleted
    undelete(alice, created.id)
    call(alice, created.id)


def test_a_workout_that_is_not_deleted_can_not_be_undeleted(alice: Athlete) -> None:
    created = alice.create_workout()
    with refused("WORKOUT_NOT_DELETED", PRECONDITION):
        undelete(alice, created.id)
    assert get(alice, created.id) == created


def test_a_workout_can_be_deleted_and_undeleted_again(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    created = alice.create_workout()
    etags = {created.etag}
    for _ in range(2):
        etags |= {delete(alice, created.id).etag, undelete(alice, created.id).etag}
    assert len(etags) == 5
    assert len(exercise_rows(owner, created.id)) == 2
    assert count(owner, "workout_revisions", alice) == 1


def test_of_two_concurrent_deletions_exactly_one_wins(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    created = alice.create_workout()
    request = pb.DeleteWorkoutRequest(workout_id=created.id)
    with held_back(owner, created.id, calls=2):
        calls = [alice.workouts.DeleteWorkout.future(request) for _ in range(2)]
    won = [c for c in calls if c.exception() is None]
    lost = [c for c in calls if c.exception() is not None]
    assert (len(won), len(lost)) == (1, 1)
    with refused("WORKOUT_DELETED", PRECONDITION):
        lost[0].result()
    assert get(alice, created.id) == won[0].result()


# Revisions


def test_a_rollback_stores_an_earlier_content_as_a_new_revision(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    created = alice.create_workout(description="first")
    second = update(alice, created.id, "*", display_name="Second", exercises=[pull_ups()])
    rolled_back = roll_back(alice, created.id, 1)
    expected = pb.Workout()
    expected.CopyFrom(created)
    expected.revision = 3
    expected.etag = rolled_back.etag
    expected.revision_create_time.CopyFrom(rolled_back.revision_create_time)
    assert rolled_back == expected
    assert rolled_back.etag not in (created.etag, second.etag)
    assert get(alice, created.id) == rolled_back
    assert exercise_rows(owner, created.id) == [(1, PULL_UP, 4), (2, L_SIT, 3)]
    assert listed(alice, query=created.display_name) == [created.id]
    with refused("WORKOUT_NOT_FOUND", NOT_FOUND):
        revision(bob, created.id, 3)


def test_a_rollback_to_the_current_revision_is_a_new_revision_too(alice: Athlete) -> None:
    created = alice.create_workout()
    assert roll_back(alice, created.id, 1).revision == 2


@pytest.mark.parametrize(
    "call",
    [revision, roll_back, lambda athlete, id, n: instantiate(athlete, id, revision=n)],
    ids=["get", "rollback", "instantiate"],
)
@pytest.mark.parametrize("number", [2, 2**31 - 1])
def test_a_revision_that_does_not_exist_is_not_found(
    alice: Athlete, call: Callable[[Athlete, str, int], Any], number: int
) -> None:
    created = alice.create_workout()
    with refused("WORKOUT_REVISION_NOT_FOUND", NOT_FOUND) as refusals:
        call(alice, created.id, number)
    assert refusals[0].fields == ["revision"]
    assert get(alice, created.id) == created


@pytest.mark.parametrize("call", [revision, roll_back])
@pytest.mark.parametrize("number", [0, -1])
def test_revisions_are_counted_from_one(
    alice: Athlete, call: Callable[[Athlete, str, int], Any], number: int
) -> None:
    created = alice.create_workout()
    with refused("INVALID_FIELD", INVALID) as refusals:
        call(alice, created.id, number)
    assert refusals[0].fields == ["revision"]


def test_revisions_are_listed_newest_first(alice: Athlete, bob: Athlete) -> None:
    created = alice.create_workout()
    update(alice, created.id, "description", description="second")
    alice.create_workout()
    found = list(revisions(alice, created.id).revisions)
    assert [w.revision for w in found] == [2, 1]
    assert found == [revision(alice, created.id, n) for n in (2, 1)]
    assert [w.description for w in found] == ["second", ""]
    with refused("WORKOUT_NOT_FOUND", NOT_FOUND):
        revisions(bob, created.id)


def test_only_the_workout_itself_bears_an_etag(alice: Athlete) -> None:
    created = alice.create_workout()
    update(alice, created.id, "description", description="second")
    assert revision(alice, created.id, 1).etag == ""
    assert get(alice, created.id).etag != ""


@pytest.mark.parametrize("page_size", [1, 2, 5, 6])
def test_the_pages_together_show_every_revision_once(alice: Athlete, page_size: int) -> None:
    created = alice.create_workout()
    for _ in range(4):
        update(alice, created.id, "description")
    shown: list[int] = []
    token = ""
    while True:
        page = revisions(alice, created.id, page_size=page_size, page_token=token)
        assert 0 < len(page.revisions) <= page_size
        shown += [w.revision for w in page.revisions]
        token = page.next_page_token
        if not token:
            break
        # A revision that comes between pages does not shift what follows.
        update(alice, created.id, "description")
    assert shown == [5, 4, 3, 2, 1]


def test_a_page_token_of_revisions_is_good_for_its_workout_alone(alice: Athlete) -> None:
    first, second = alice.create_workout(), alice.create_workout()
    for workout in (first, second):
        update(alice, workout.id, "description")
    token = revisions(alice, first.id, page_size=1).next_page_token
    with refused("INVALID_PAGE_TOKEN", INVALID):
        revisions(alice, second.id, page_token=token)
    with refused("INVALID_PAGE_TOKEN", INVALID):
        list_page(alice, page_token=token)
    with refused("INVALID_FIELD", INVALID) as refusals:
        revisions(alice, first.id, page_size=-1)
    assert refusals[0].fields == ["page_size"]


@pytest.mark.parametrize("key", [["2"], [True], [None], [2, 2], [], [2.0]])
def test_tampered_page_tokens_of_revisions_are_refused(alice: Athlete, key: list[object]) -> None:
    created = alice.create_workout()
    update(alice, created.id, "description")
    token = revisions(alice, created.id, page_size=1).next_page_token
    page = revisions(alice, created.id, page_token=forged_token(token, 2))
    assert [w.revision for w in page.revisions] == [1]
    with refused("INVALID_PAGE_TOKEN", INVALID):
        revisions(alice, created.id, page_token=forged_token(token, *key))


@pytest.mark.parametrize("number", [2**80, 2**31, 0, -(2**40), -(2**80)])
def test_a_forged_page_token_beyond_any_revision_is_refused(alice: Athlete, number: int) -> None:
    created = alice.create_workout()
    update(alice, created.id, "description")
    token = revisions(alice, created.id, page_size=1).next_page_token
    with refused("INVALID_PAGE_TOKEN", INVALID):
        revisions(alice, created.id, page_token=forged_token(token, number))


# Instantiating


def test_a_draft_has_a_set_for_each_prescribed_one_and_its_target(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    dynamic = pull_ups(
        sets=2,
        reps={"min": 5, "max": 8},
        rest_seconds=120,
        load_kg=-10,
        tempo="30X0",
        target_rpe=8.5,
        superset_group="A",
        kind=SET_KIND_WARM_UP,
    )
    isometric = pb.WorkoutExercise(
        exercise_id=L_SIT, sets=1, hold={"min_seconds": 10, "max_seconds": 20}
    )
    bare = pull_ups(exercise_id=PUSH_UP, sets=1)
    created = create(alice, a_workout(exercises=[dynamic, isometric, bare]))
    target = SetTarget(
        reps={"min": 5, "max": 8}, rest_seconds=120, load_kg=-10, tempo="30X0", rpe=8.5
    )
    hold = SetTarget(hold={"min_seconds": 10, "max_seconds": 20})
    draft = session_pb2.Session(
        workout_id=created.id,
        workout_revision=1,
        external_user_id=alice.id,
        exercises=[
            session_pb2.SessionExercise(
                exercise_id=PULL_UP,
                order=1,
                superset_group="A",
                sets=[session_pb2.PerformedSet(kind=SET_KIND_WARM_UP, target=target)] * 2,
            ),
            session_pb2.SessionExercise(
                exercise_id=L_SIT, order=2, sets=[session_pb2.PerformedSet(target=hold)]
            ),
            session_pb2.SessionExercise(
                exercise_id=PUSH_UP, order=3, sets=[session_pb2.PerformedSet(target=SetTarget())]
            ),
        ],
    )
    assert instantiate(alice, created.id) == draft
    assert count(owner, "sessions", alice) == 0
    with refused("WORKOUT_NOT_FOUND", NOT_FOUND):
        instantiate(bob, created.id)


def test_sets_of_each_side_come_in_pairs(alice: Athlete) -> None:
    exercises = [pull_ups(exercise_id=PISTOL_SQUAT, sets=2, per_side=True), pull_ups(sets=1)]
    created = create(alice, a_workout(exercises=exercises))
    draft = instantiate(alice, created.id)
    assert [[s.side for s in e.sets] for e in draft.exercises] == [
        [SIDE_LEFT, SIDE_RIGHT, SIDE_LEFT, SIDE_RIGHT],
        [SIDE_UNSPECIFIED],
    ]


def test_the_largest_draft_can_be_logged(alice: Athlete) -> None:
    exercises = [pull_ups(exercise_id=PISTOL_SQUAT, sets=50, per_side=True)] * 20
    draft = instantiate(alice, create(alice, a_workout(exercises=exercises)).id)
    draft.start_time.CopyFrom(at("2026-03-02T17:00:00"))
    draft.time_zone = "UTC"
    assert [len(e.sets) for e in alice.log(draft).exercises] == [100] * 20


def test_a_workout_with_more_sets_than_a_session_may_have_is_refused(alice: Athlete) -> None:
    largest = [pull_ups(exercise_id=PISTOL_SQUAT, sets=50, per_side=True)] * 20
    for more in ([*largest, pull_ups(sets=1)], [pull_ups(sets=50)] * 41):
        with refused("INVALID_FIELD", INVALID) as refusals:
            create(alice, a_workout(exercises=more))
        assert refusals[0].fields == ["workout.exercises"]


def test_a_page_of_large_workouts_stays_within_what_clients_take(
    alice: Athlete, bob: Athlete
) -> None:
    large = [pull_ups(notes="ä" * 4000)] * 100  # about 0.8 MB
    made = [create(alice, a_workout(exercises=large)).id for _ in range(6)]
    for revision in range(5):
        update(alice, made[0], "description", description=str(revision))
    found: list[str] = []
    token = ""
    while not found or token:
        page = alice.workouts.ListWorkouts(pb.ListWorkoutsRequest(page_token=token))
        assert page.ByteSize() < 4_000_000
        found += [w.id for w in page.workouts]
        token = page.next_page_token
    assert found == made[::-1]
    first = revisions(alice, made[0])
    rest = revisions(alice, made[0], page_token=first.next_page_token)
    assert [w.revision for w in (*first.revisions, *rest.revisions)] == [6, 5, 4, 3, 2, 1]
    assert not bob.workouts.ListWorkouts(pb.ListWorkoutsRequest()).workouts


def test_a_chosen_revision_can_be_instantiated(alice: Athlete) -> None:
    created = alice.create_workout()
    update(alice, created.id, "exercises", exercises=[pull_ups(sets=1)])
    for chosen, number, sets in ((0, 2, [1]), (1, 1, [4, 3]), (2, 2, [1])):
        draft = instantiate(alice, created.id, revision=chosen)
        assert draft.workout_revision == number
        assert [len(e.sets) for e in draft.exercises] == sets
    with refused("INVALID_FIELD", INVALID) as refusals:
        instantiate(alice, created.id, revision=-1)
    assert refusals[0].fields == ["revision"]


def test_a_draft_needs_only_its_start_to_be_logged(alice: Athlete) -> None:
    created = alice.create_workout()
    draft = instantiate(alice, created.id)
    draft.start_time.CopyFrom(at("2026-03-02T17:00:00"))
    draft.time_zone = "Europe/Berlin"
    logged = alice.log(draft)
    assert list(logged.exercises) == list(draft.exercises)
    assert (logged.workout_id, logged.workout_revision) == (created.id, 1)


def test_an_empty_workout_makes_an_empty_draft(alice: Athlete) -> None:
    created = create(alice, pb.Workout(display_name="Rest"))
    assert list(instantiate(alice, created.id).exercises) == []


# Sending again

WRITES: dict[str, Callable[[Athlete, str, str, str], pb.Workout]] = {
    "create": lambda athlete, id, text, key: create(
        athlete, a_workout(description=text), request_id=key
    ),
    "update": lambda athlete, id, text, key: update(
        athlete, id, "description", description=text, request_id=key
    ),
    "rollback": lambda athlete, id, text, key: roll_back(
        athlete, id, {"this": 1, "that": 2}[text], request_id=key
    ),
    "delete": lambda athlete, id, text, key: delete(
        athlete, id, etag={"this": "", "that": "x"}[text], request_id=key
    ),
    "undelete": lambda athlete, id, text, key: undelete(
        athlete, id, etag={"this": "", "that": "x"}[text], request_id=key
    ),
}


@pytest.fixture
def target(alice: Athlete, request: pytest.FixtureRequest) -> pb.Workout:
    """A workout that the write under test can change."""
    created = alice.create_workout()
    if request.node.callspec.params["name"] == "undelete":
        return delete(alice, created.id)
    return update(alice, created.id, "description", description="second")


@pytest.mark.parametrize("name", WRITES)
def test_a_write_sent_again_returns_the_first_answer(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, target: pb.Workout, name: str
) -> None:
    key = an_id()
    first = WRITES[name](alice, target.id, "this", key)
    stored = count(owner, "workouts", alice), count(owner, "workout_revisions", alice)
    assert WRITES[name](alice, target.id, "this", key) == first
    assert get(alice, first.id) == first
    assert (count(owner, "workouts", alice), count(owner, "workout_revisions", alice)) == stored
    # The first answer, also when the workout has moved on.
    if name == "delete":
        undelete(alice, first.id)
    else:
        update(alice, first.id, "display_name", display_name="since")
    assert WRITES[name](alice, target.id, "this", key) == first
    # Request ids are an athlete's own.
    with refused("WORKOUT_NOT_FOUND", NOT_FOUND):
        update(bob, target.id, "description", request_id=key)


@pytest.mark.parametrize("name", WRITES)
def test_a_request_id_can_not_be_used_for_something_else(
    alice: Athlete, target: pb.Workout, name: str
) -> None:
    key = an_id()
    WRITES[name](alice, target.id, "this", key)
    before = get(alice, target.id)
    with refused("REQUEST_ID_REUSED", EXISTS) as refusals:
        WRITES[name](alice, target.id, "that", key)
    assert refusals[0].metadata == {"request_id": key}
    other = "update" if name != "update" else "create"
    with refused("REQUEST_ID_REUSED", EXISTS):
        WRITES[other](alice, target.id, "this", key)
    assert get(alice, target.id) == before


@pytest.mark.parametrize("name", WRITES)
def test_a_request_id_must_be_a_uuid(alice: Athlete, target: pb.Workout, name: str) -> None:
    with refused("INVALID_FIELD", INVALID) as refusals:
        WRITES[name](alice, target.id, "this", "not-a-uuid")
    assert refusals[0].fields == ["request_id"]


@pytest.mark.parametrize("name", ["update", "rollback", "delete", "undelete"])
def test_a_refused_write_leaves_its_request_id_free(
    alice: Athlete, target: pb.Workout, name: str
) -> None:
    key = an_id()
    with refused("WORKOUT_NOT_FOUND", NOT_FOUND):
        WRITES[name](alice, NOBODY, "this", key)
    assert WRITES[name](alice, target.id, "this", key).id == target.id


def test_a_refused_creation_leaves_its_request_id_free(alice: Athlete) -> None:
    key = an_id()
    with refused("UNKNOWN_EXERCISE", INVALID):
        create(alice, a_workout(exercises=[pull_ups(exercise_id=NOBODY)]), request_id=key)
    assert create(alice, a_workout(), request_id=key).revision == 1


def test_a_creation_sent_again_is_answered_although_the_exercise_was_deprecated(
    alice: Athlete, own_exercise: str, retire: Callable[[str], None]
) -> None:
    key = an_id()
    workout = a_workout(exercises=[pull_ups(exercise_id=own_exercise)])
    first = create(alice, workout, request_id=key)
    retire(own_exercise)
    assert create(alice, workout, request_id=key) == first


# Acting for an athlete


def test_a_sibling_service_can_act_for_an_athlete(alice: Athlete, sibling: Athlete) -> None:
    created = create(sibling, a_workout(), external_user_id=alice.id)
    assert created.external_user_id == alice.id
    assert get(alice, created.id) == created
    assert listed(sibling, external_user_id=alice.id) == [created.id]
    assert listed(sibling) == []
    with refused("WORKOUT_NOT_FOUND", NOT_FOUND):
        get(sibling, created.id)
    draft = instantiate(sibling, created.id, external_user_id=alice.id)
    assert draft.external_user_id == alice.id
    deleted = delete(sibling, created.id, external_user_id=alice.id)
    assert get(alice, created.id) == deleted


def test_an_athlete_can_name_themselves(alice: Athlete) -> None:
    created = create(alice, a_workout(), external_user_id=alice.id)
    assert listed(alice) == listed(alice, external_user_id=alice.id.upper()) == [created.id]


@pytest.mark.parametrize(
    "call",
    [
        lambda bob, whom, id: create(bob, a_workout(), external_user_id=whom),
        lambda bob, whom, id: bob.workouts.GetWorkout(
            pb.GetWorkoutRequest(workout_id=id, external_user_id=whom)
        ),
        lambda bob, whom, id: list_page(bob, external_user_id=whom),
        lambda bob, whom, id: bob.workouts.UpdateWorkout(
            pb.UpdateWorkoutRequest(
                workout_id=id, external_user_id=whom, update_mask={"paths": ["description"]}
            )
        ),
        lambda bob, whom, id: delete(bob, id, external_user_id=whom),
        lambda bob, whom, id: undelete(bob, id, external_user_id=whom),
        lambda bob, whom, id: roll_back(bob, id, 1, external_user_id=whom),
        lambda bob, whom, id: revisions(bob, id, external_user_id=whom),
        lambda bob, whom, id: bob.workouts.GetWorkoutRevision(
            pb.GetWorkoutRevisionRequest(workout_id=id, revision=1, external_user_id=whom)
        ),
        lambda bob, whom, id: instantiate(bob, id, external_user_id=whom),
    ],
    ids=[m.name for m in pb.DESCRIPTOR.services_by_name["WorkoutService"].methods],
)
def test_another_athlete_is_answered_like_one_who_does_not_exist(
    alice: Athlete, bob: Athlete, call: Callable[[Athlete, str, str], Any]
) -> None:
    created = alice.create_workout()
    answers = []
    for whom in (alice.id, an_id()):
        with refused("ATHLETE_NOT_FOUND", NOT_FOUND) as refusals:
            call(bob, whom, created.id)
        answers.append((refusals[0].message, refusals[0].fields, refusals[0].metadata))
    assert answers[0] == answers[1]
    assert get(alice, created.id) == created
    assert listed(alice) == [created.id]
