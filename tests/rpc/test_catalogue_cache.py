"""Answers about the catalogue: from memory, and never of a catalogue that has changed since."""

import uuid
from collections.abc import Callable, Iterator

import pytest
from calisthenics.training.v1 import exercise_pb2 as pb
from google.protobuf.field_mask_pb2 import FieldMask

from tests.rpc.test_exercise import create, unique
from tests.support import (
    Athlete,
    Queries,
    RunningService,
    eventually,
    refused,
    running_service,
)


@pytest.fixture
def elsewhere(database_url: str) -> Iterator[RunningService]:
    """Another process's service on the same database, as far as memory goes."""
    with running_service(database_url) as running:
        yield running


@pytest.fixture
def admin_elsewhere(elsewhere: RunningService) -> Iterator[Athlete]:
    athlete = Athlete(elsewhere.address, roles="admin")
    yield athlete
    athlete.close()


@pytest.fixture
def exercise_id(admin: Athlete) -> str:
    """An exercise that no other test knows."""
    return create(admin, display_name="Kept").id


def rename(admin: Athlete, exercise_id: str) -> str:
    """Gives an exercise another name and returns that."""
    request = pb.UpdateExerciseRequest(
        exercise_id=exercise_id,
        exercise=pb.Exercise(display_name=f"Renamed {uuid.uuid4().hex[:6]}"),
        update_mask=FieldMask(paths=["display_name"]),
    )
    return admin.exercises.UpdateExercise(request).display_name


def got(athlete: Athlete, exercise_id: str) -> str:
    return athlete.exercises.GetExercise(pb.GetExerciseRequest(exercise=exercise_id)).display_name


def got_in_batch(athlete: Athlete, exercise_id: str) -> str:
    request = pb.BatchGetExercisesRequest(exercises=[exercise_id])
    return athlete.exercises.BatchGetExercises(request).exercises[0].display_name


def listed(athlete: Athlete, exercise_id: str) -> str:
    request = pb.ListExercisesRequest(page_size=1000)
    found = athlete.exercises.ListExercises(request).exercises
    return next(e.display_name for e in found if e.id == exercise_id)


every_read = pytest.mark.parametrize("read", [got, got_in_batch, listed])
Read = Callable[[Athlete, str], str]


@every_read
def test_an_answer_is_kept(
    alice: Athlete, bob: Athlete, exercise_id: str, queries: Queries, read: Read
) -> None:
    assert read(alice, exercise_id) == "Kept"
    queries.clear()
    for _ in range(20):
        assert read(bob, exercise_id) == "Kept"
    # Only the version is asked for, once a second.
    assert len(queries.data) < 20
    assert all("catalogue_state" in sql for sql in queries.data)


@every_read
def test_a_change_shows_at_once_in_the_process_that_made_it(
    alice: Athlete, admin: Athlete, exercise_id: str, read: Read
) -> None:
    for _ in range(3):
        read(alice, exercise_id)
        name = rename(admin, exercise_id)
        assert read(alice, exercise_id) == name


@every_read
def test_a_change_shows_soon_in_other_processes(
    alice: Athlete, admin: Athlete, admin_elsewhere: Athlete, exercise_id: str, read: Read
) -> None:
    read(alice, exercise_id)
    name = rename(admin_elsewhere, exercise_id)
    assert read(admin, exercise_id) == name  # at once to who may have made it
    eventually(lambda: read(alice, exercise_id) == name)


def test_what_does_not_exist_is_not_remembered_as_missing(alice: Athlete, admin: Athlete) -> None:
    slug = unique()
    with refused("EXERCISE_NOT_FOUND"):
        got(alice, slug)
    create(admin, slug=slug, display_name="Late")
    assert got(alice, slug) == "Late"
