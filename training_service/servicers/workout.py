"""WorkoutService."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import uuid6
from calisthenics.training.v1 import session_pb2, set_pb2
from calisthenics.training.v1 import workout_pb2 as pb
from calisthenics.training.v1.workout_pb2_grpc import WorkoutServiceServicer

from training_service import contract
from training_service.caller import Scope, athlete_scope
from training_service.domain import paging
from training_service.domain.ordering import in_given_order
from training_service.domain.session import check_set_count
from training_service.domain.workout import NewRevision, WorkoutFilter
from training_service.errors import FieldViolation, Reason, TrainingError, bad_reference
from training_service.servicers.convert import (
    exercise_uuid,
    optional_uuid,
    to_timestamp,
    utc_now,
    uuid_or_none,
    write_request,
)
from training_service.servicers.masks import check_etag, masked_fields, merged
from training_service.servicers.once import once
from training_service.servicers.paging import listing_digest, page_by_id
from training_service.servicers.references import check_exercises_known, check_volume
from training_service.storage.exercise import Catalogue, ExerciseFacts
from training_service.storage.idempotency import WriteRequest
from training_service.storage.workout import (
    LATEST_REVISION,
    StoredRevision,
    StoredWorkout,
    WorkoutChange,
    WorkoutHead,
    WorkoutRepository,
)

CHANGEABLE = ["display_name", "description", "exercises"]
PATH = "workout.exercises"


class WorkoutServicer(WorkoutServiceServicer):
    """Workout templates and their revisions."""

    def __init__(self, workouts: WorkoutRepository, catalogue: Catalogue) -> None:
        self._workouts = workouts
        self._catalogue = catalogue

    async def CreateWorkout(self, request: pb.CreateWorkoutRequest, context: Any) -> pb.Workout:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        facts = await self._facts(request.workout.exercises, _always)

        async def work(change: WorkoutChange) -> pb.Workout:
            return await insert_workout(change, scope, request.workout, facts, write)

        return await once(self._workouts.change(scope), write, pb.Workout, work)

    async def GetWorkout(self, request: pb.GetWorkoutRequest, context: Any) -> pb.Workout:
        scope = athlete_scope(request.external_user_id)
        return to_message(await self._get(scope, UUID(request.workout_id)))

    async def ListWorkouts(
        self, request: pb.ListWorkoutsRequest, context: Any
    ) -> pb.ListWorkoutsResponse:
        scope = athlete_scope(request.external_user_id)
        filters = WorkoutFilter(
            show_deleted=request.show_deleted,
            exercise_id=optional_uuid(request.exercise_id),
            query=request.query,
        )
        read = partial(self._workouts.list_page, scope, filters)
        page, token = await page_by_id(request, scope, read, size=lambda one: len(one.record))
        return pb.ListWorkoutsResponse(workouts=map(to_message, page), next_page_token=token)

    async def UpdateWorkout(self, request: pb.UpdateWorkoutRequest, context: Any) -> pb.Workout:
        scope = athlete_scope(request.external_user_id)
        fields = masked_fields(request.update_mask, CHANGEABLE)
        write = write_request(request, utc_now())
        named = request.workout.exercises if "exercises" in fields else ()

        async def is_wanted() -> bool:
            head = await self._workouts.get(scope, UUID(request.workout_id))
            return head is not None and head.deleted_at is None

        facts = await self._facts(named, is_wanted)

        async def work(change: WorkoutChange) -> pb.Workout:
            etag = request.workout.etag
            head = await _lock(change, request.workout_id, etag, "workout.etag")
            _check_not_deleted(head)
            message = merged(pb.Workout.FromString(head.record), request.workout, fields)
            contract.check(message, "workout")
            ordered = _ordered(message)
            if "exercises" in fields:
                kept = await change.exercise_ids(head.id)
                _check_exercises(message.exercises, facts, allowed=kept)
                _check_frozen(facts)
            message.revision = head.revision + 1
            new = _new_revision(scope, message, ordered, write)
            await change.add_revision(head, new)
            return _written(scope, new, version=head.version + 1)

        return await once(self._workouts.change(scope), write, pb.Workout, work)

    async def RollbackWorkout(self, request: pb.RollbackWorkoutRequest, context: Any) -> pb.Workout:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())

        async def work(change: WorkoutChange) -> pb.Workout:
            head = await _lock(change, request.workout_id, request.etag)
            _check_not_deleted(head)
            earlier = _found(await change.get_revision(head.id, request.revision))
            message = pb.Workout.FromString(earlier.record)
            message.revision = head.revision + 1
            new = _new_revision(scope, message, list(message.exercises), write)
            await change.add_revision(head, new)
            return _written(scope, new, version=head.version + 1)

        return await once(self._workouts.change(scope), write, pb.Workout, work)

    async def DeleteWorkout(self, request: pb.DeleteWorkoutRequest, context: Any) -> pb.Workout:
        return await self._set_deleted(request, deleted=True)

    async def UndeleteWorkout(self, request: pb.UndeleteWorkoutRequest, context: Any) -> pb.Workout:
        return await self._set_deleted(request, deleted=False)

    async def ListWorkoutRevisions(
        self, request: pb.ListWorkoutRevisionsRequest, context: Any
    ) -> pb.ListWorkoutRevisionsResponse:
        scope = athlete_scope(request.external_user_id)
        listing = listing_digest(request, scope)
        key = paging.decode_page_token(listing, request.page_token, (int,))
        limit = paging.page_limit(request.page_size)
        before = _revision_of_token(int(key[0])) if key else LATEST_REVISION
        workout_id = UUID(request.workout_id)
        page = await self._workouts.list_revisions(scope, workout_id, before, limit + 1)
        if not page:
            await self._get(scope, workout_id)
        count = paging.fitting_count(len(r.record) for r in page[:limit])
        response = pb.ListWorkoutRevisionsResponse(
            revisions=[pb.Workout.FromString(r.record) for r in page[:count]]
        )
        if len(page) > count:
            last = page[count - 1].revision
            response.next_page_token = paging.encode_page_token(listing, (last,))
        return response

    async def GetWorkoutRevision(
        self, request: pb.GetWorkoutRevisionRequest, context: Any
    ) -> pb.Workout:
        scope = athlete_scope(request.external_user_id)
        stored = await self._revision(scope, UUID(request.workout_id), request.revision)
        return pb.Workout.FromString(stored.record)

    async def InstantiateWorkout(
        self, request: pb.InstantiateWorkoutRequest, context: Any
    ) -> session_pb2.Session:
        scope = athlete_scope(request.external_user_id)
        head = await self._get(scope, UUID(request.workout_id))
        _check_not_deleted(head)
        record = head.record
        if request.revision:
            record = (await self._revision(scope, head.id, request.revision)).record
        return draft_session(pb.Workout.FromString(record))

    async def _get(self, scope: Scope, workout_id: UUID) -> StoredWorkout:
        stored = await self._workouts.get(scope, workout_id)
        if stored is None:
            raise _workout_not_found()
        return stored

    async def _revision(self, scope: Scope, workout_id: UUID, revision: int) -> StoredRevision:
        stored = await self._workouts.get_revision(scope, workout_id, revision)
        if stored is None:
            await self._get(scope, workout_id)
        return _found(stored)

    async def _set_deleted(
        self, request: pb.DeleteWorkoutRequest | pb.UndeleteWorkoutRequest, *, deleted: bool
    ) -> pb.Workout:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())

        async def work(change: WorkoutChange) -> pb.Workout:
            head = await _lock(change, request.workout_id, request.etag)
            message = pb.Workout.FromString(head.record)
            current = _as_stored(message, head)
            if deleted:
                _check_not_deleted(head)
                await change.delete(head, current, write.received_at)
            else:
                _check_deleted(head)
                await change.undelete(head, current, write.received_at)
            response = _with_head(head.record, version=head.version + 1)
            if deleted:
                response.delete_time.FromDatetime(write.received_at)
            return response

        return await once(self._workouts.change(scope), write, pb.Workout, work)

    async def _facts(
        self, exercises: Sequence[pb.WorkoutExercise], is_wanted: Callable[[], Awaitable[bool]]
    ) -> dict[UUID, ExerciseFacts]:
        """Returns the facts of the exercises a request names, their definitions frozen if nothing
        speaks against the request so far; `is_wanted` says whether the rest of it is well.

        Comes before the transaction: one call must not hold two connections. Raises nothing for
        exercises that don't exist, since a request that came before is answered as it was then.
        """
        ids = [id for e in exercises if (id := uuid_or_none(e.exercise_id))]
        if not ids:
            return {}
        facts = await self._catalogue.facts(ids, max_age_seconds=0)
        if all(fact.in_use for fact in facts.values()):
            return facts
        if not _will_be_accepted(exercises, facts) or not await is_wanted():
            return facts
        await self._catalogue.freeze(facts, utc_now())
        return await self._catalogue.facts(ids)


async def insert_workout(
    change: WorkoutChange,
    scope: Scope,
    workout: pb.Workout,
    facts: Mapping[UUID, ExerciseFacts],
    write: WriteRequest,
) -> pb.Workout:
    """Stores a new workout. `facts` are those of its exercises, which must be in use already."""
    _check_exercises(workout.exercises, facts, allowed=set())
    _check_frozen(facts)
    return await insert_checked(change, scope, workout, write)


async def insert_checked(
    change: WorkoutChange, scope: Scope, workout: pb.Workout, write: WriteRequest
) -> pb.Workout:
    """Stores a new workout whose exercises need no check."""
    ordered = _ordered(workout)
    source = merged(pb.Workout(), workout, CHANGEABLE)
    source.id = str(uuid6.uuid7())
    source.revision = 1
    source.create_time.FromDatetime(write.received_at)
    new = _new_revision(scope, source, ordered, write)
    await change.insert(new)
    return _written(scope, new, version=1)


async def add_checked(
    change: WorkoutChange, scope: Scope, head: WorkoutHead, workout: pb.Workout, write: WriteRequest
) -> int:
    """Stores the content of a workout whose exercises need no check as a new revision of another,
    and returns its number."""
    source = merged(pb.Workout(), workout, CHANGEABLE)
    source.id = str(head.id)
    source.revision = head.revision + 1
    source.create_time.FromDatetime(head.created_at)
    await change.add_revision(head, _new_revision(scope, source, _ordered(workout), write))
    return source.revision


async def _always() -> bool:
    return True


def _will_be_accepted(
    exercises: Sequence[pb.WorkoutExercise], facts: Mapping[UUID, ExerciseFacts]
) -> bool:
    """Whether nothing known so far speaks against the exercises of a request."""
    try:
        _check_exercises(exercises, facts, allowed=set(facts))
    except (TrainingError, ValueError):
        return False
    return True


def _check_exercises(
    exercises: Sequence[pb.WorkoutExercise],
    facts: Mapping[UUID, ExerciseFacts],
    *,
    allowed: set[UUID],
) -> None:
    """Refuses unknown exercises, deprecated ones that are not allowed, and a volume that does not
    fit the exercise."""
    check_set_count(sum(e.sets * len(_sides(e)) for e in exercises), PATH)
    ids = [exercise_uuid(e.exercise_id) for e in exercises]
    check_exercises_known(ids, facts, PATH)
    for index, (id, exercise) in enumerate(zip(ids, exercises, strict=True)):
        path = f"{PATH}[{index}]"
        if not facts[id].active and id not in allowed:
            raise bad_reference(Reason.EXERCISE_DEPRECATED, f"{path}.exercise_id", "is deprecated")
        check_volume(facts[id].movement_kind, exercise, path)


def _check_frozen(facts: Mapping[UUID, ExerciseFacts]) -> None:
    """Refuses to store what refers to an exercise whose definition could still change."""
    if not all(fact.in_use for fact in facts.values()):
        raise TrainingError(Reason.CONFLICT, "the workout was being changed")


def _workout_not_found() -> TrainingError:
    violation = FieldViolation("workout_id", "there is no such workout")
    return TrainingError(
        Reason.WORKOUT_NOT_FOUND, "there is no such workout", violations=[violation]
    )


def _found(revision: StoredRevision | None) -> StoredRevision:
    if revision is None:
        raise bad_reference(
            Reason.WORKOUT_REVISION_NOT_FOUND, "revision", "the workout has no such revision"
        )
    return revision


async def _lock(
    change: WorkoutChange, workout_id: str, etag: str, etag_path: str = "etag"
) -> StoredWorkout:
    head = await change.lock(UUID(workout_id))
    if head is None:
        raise _workout_not_found()
    check_etag(etag, str(head.version), etag_path)
    return head


def _check_not_deleted(head: StoredWorkout) -> None:
    if head.deleted_at is not None:
        raise TrainingError(Reason.WORKOUT_DELETED, "the workout is deleted")


def _check_deleted(head: StoredWorkout) -> None:
    if head.deleted_at is None:
        raise TrainingError(Reason.WORKOUT_NOT_DELETED, "the workout is not deleted")


def _revision_of_token(number: int) -> int:
    if not 0 < number < LATEST_REVISION:
        raise paging.invalid_page_token()
    return number


def _ordered(workout: pb.Workout) -> list[pb.WorkoutExercise]:
    exercises = workout.exercises
    return in_given_order(exercises, [e.order for e in exercises], PATH)


def _new_revision(
    scope: Scope,
    source: pb.Workout,
    ordered: Sequence[pb.WorkoutExercise],
    write: WriteRequest,
) -> NewRevision:
    """Returns a revision with the content of `source`, which bears its number and the id."""
    message = pb.Workout(
        id=source.id,
        external_user_id=str(scope.external_user_id),
        display_name=source.display_name,
        description=source.description,
        exercises=ordered,
        revision=source.revision,
        create_time=source.create_time,
        revision_create_time=to_timestamp(write.received_at),
    )
    for order, exercise in enumerate(message.exercises, start=1):
        exercise.order = order
        exercise.exercise_id = str(exercise_uuid(exercise.exercise_id))
    return NewRevision(
        workout_id=UUID(source.id),
        revision=source.revision,
        display_name=source.display_name,
        exercises=tuple((exercise_uuid(e.exercise_id), e.sets) for e in ordered),
        created_at=write.received_at,
        record=message.SerializeToString(),
    )


def _as_stored(message: pb.Workout, head: StoredWorkout) -> NewRevision:
    """Returns the current revision as what its rows are made of."""
    return NewRevision(
        workout_id=head.id,
        revision=head.revision,
        display_name=message.display_name,
        exercises=tuple((exercise_uuid(e.exercise_id), e.sets) for e in message.exercises),
        created_at=head.created_at,
        record=head.record,
    )


def _with_head(record: bytes, *, version: int) -> pb.Workout:
    """Returns a revision as the current one."""
    message = pb.Workout.FromString(record)
    message.etag = str(version)
    return message


def _written(scope: Scope, new: NewRevision, *, version: int) -> pb.Workout:
    """Returns a revision that was just stored, as the current one."""
    message = _with_head(new.record, version=version)
    message.author_user_id = str(scope.author_user_id or "")
    return message


def to_message(stored: StoredWorkout) -> pb.Workout:
    """Returns a workout as it is answered."""
    message = _with_head(stored.record, version=stored.version)
    if stored.deleted_at is not None:
        message.delete_time.FromDatetime(stored.deleted_at)
    return message


def draft_session(workout: pb.Workout) -> session_pb2.Session:
    """Returns a session with a set for each prescribed one; with `per_side`, left then right."""
    draft = session_pb2.Session(
        workout_id=workout.id,
        workout_revision=workout.revision,
        external_user_id=workout.external_user_id,
    )
    for prescribed in workout.exercises:
        exercise = draft.exercises.add(
            exercise_id=prescribed.exercise_id,
            order=prescribed.order,
            superset_group=prescribed.superset_group,
        )
        for _ in range(prescribed.sets):
            for side in _sides(prescribed):
                exercise.sets.add(kind=prescribed.kind, side=side, target=_target(prescribed))
    return draft


def _sides(prescribed: pb.WorkoutExercise) -> Sequence["set_pb2.Side.ValueType"]:
    """Returns the sides that each set is done on."""
    if prescribed.per_side:
        return (set_pb2.SIDE_LEFT, set_pb2.SIDE_RIGHT)
    return (set_pb2.SIDE_UNSPECIFIED,)


def _target(prescribed: pb.WorkoutExercise) -> set_pb2.SetTarget:
    target = set_pb2.SetTarget(tempo=prescribed.tempo)
    volume = prescribed.WhichOneof("volume")
    if volume == "reps":
        target.reps.CopyFrom(prescribed.reps)
    elif volume == "hold":
        target.hold.CopyFrom(prescribed.hold)
    if prescribed.HasField("load_kg"):
        target.load_kg = prescribed.load_kg
    if prescribed.HasField("target_rpe"):
        target.rpe = prescribed.target_rpe
    if prescribed.HasField("rest_seconds"):
        target.rest_seconds = prescribed.rest_seconds
    return target
