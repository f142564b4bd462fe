"""ExerciseService."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import exercise_pb2 as pb
from calisthenics.training.v1.exercise_pb2_grpc import ExerciseServiceServicer

from training_service import contract
from training_service.caller import is_administrator
from training_service.domain import paging
from training_service.domain.exercise import (
    ContractionEmphasis,
    Criterion,
    Exercise,
    ExerciseState,
    MovementKind,
    check_definition_kept,
    check_no_cycle,
    check_no_drop,
    exercise_id,
    with_ordered_neighbours,
)
from training_service.domain.session import check_counted_in_reps, check_counted_in_seconds
from training_service.errors import FieldViolation, Reason, TrainingError, bad_reference
from training_service.servicers.cache import AnswerCache
from training_service.servicers.convert import (
    optional_uuid,
    to_timestamp,
    utc_now,
    write_request,
)
from training_service.servicers.enums import EnumNames
from training_service.servicers.masks import check_etag, masked_fields, merged
from training_service.servicers.once import once
from training_service.servicers.paging import listing_digest
from training_service.storage.exercise import (
    REFRESH_SECONDS,
    Catalogue,
    CatalogueChange,
    CatalogueVersion,
    ExerciseFilter,
    ExerciseKey,
    ExerciseRepository,
    edges_of,
)
from training_service.storage.exercise_vector import ExerciseVectors

CATEGORY = EnumNames(pb.ExerciseCategory)
MOVEMENT_KIND = EnumNames(pb.MovementKind)
CONTRACTION = EnumNames(pb.ContractionEmphasis)
EQUIPMENT = EnumNames(pb.Equipment)
MUSCLE = EnumNames(pb.Muscle)
STATE = EnumNames(pb.ExerciseState)

CHANGEABLE = [
    "slug",
    "display_name",
    "aliases",
    "category",
    "family",
    "difficulty",
    "movement_kind",
    "contraction_emphasis",
    "unilateral",
    "equipment",
    "primary_muscles",
    "secondary_muscles",
    "bodyweight_fraction",
    "easier_exercise_ids",
    "harder_exercise_ids",
    "description",
    "cues",
    "image_id",
    "progression_criterion",
]

SIMILAR_RESULTS = 10
NO_VECTOR = (
    "how alike exercises are is not known here, or not of this one: training-service embed reckons "
    "it, or says what is missing"
)


class ExerciseServicer(ExerciseServiceServicer):
    """The catalogue."""

    def __init__(
        self,
        exercises: ExerciseRepository,
        catalogue: Catalogue,
        vectors: ExerciseVectors,
        version: CatalogueVersion,
    ) -> None:
        self._exercises = exercises
        self._catalogue = catalogue
        self._vectors = vectors
        self._cache = AnswerCache(version)

    async def GetExercise(  # type: ignore[override]
        self, request: pb.GetExerciseRequest, context: Any
    ) -> bytes:
        return await self._cache.answer(request, partial(self._get, request))

    async def BatchGetExercises(  # type: ignore[override]
        self, request: pb.BatchGetExercisesRequest, context: Any
    ) -> bytes:
        return await self._cache.answer(request, partial(self._batch_get, request))

    async def ListExercises(  # type: ignore[override]
        self, request: pb.ListExercisesRequest, context: Any
    ) -> bytes:
        return await self._cache.answer(request, partial(self._list, request))

    async def ListSimilarExercises(  # type: ignore[override]
        self, request: pb.ListSimilarExercisesRequest, context: Any
    ) -> bytes:
        return await self._cache.answer(request, partial(self._list_similar, request))

    async def _get(self, request: pb.GetExerciseRequest) -> pb.Exercise:
        return to_message(await self._find(request.exercise))

    async def _find(self, name: str) -> Exercise:
        found = await self._exercises.find([name])
        if not found:
            raise bad_reference(Reason.EXERCISE_NOT_FOUND, "exercise", "there is no such exercise")
        return found[0]

    async def _list_similar(
        self, request: pb.ListSimilarExercisesRequest
    ) -> pb.ListSimilarExercisesResponse:
        other = await self._find(request.exercise)
        max_age = 0.0 if is_administrator() else REFRESH_SECONDS
        similarities = await self._vectors.near(other.id, max_age_seconds=max_age)
        if similarities is None:
            raise TrainingError(Reason.SIMILARITY_UNAVAILABLE, NO_VECTOR)
        facts = await self._catalogue.facts(similarities, max_age_seconds=max_age)
        at_hand = _at_hand(request.equipment_at_hand)
        offered = [
            id
            for id in similarities
            if (of := facts.get(id)) and of.active
            if at_hand is None or at_hand.issuperset(of.equipment)
        ][: request.max_results or SIMILAR_RESULTS]
        found = {one.id: one for one in await self._exercises.find([str(id) for id in offered])}
        return pb.ListSimilarExercisesResponse(
            similar_exercises=[
                _similar(found[id], other, similarities[id]) for id in offered if id in found
            ]
        )

    async def _batch_get(
        self, request: pb.BatchGetExercisesRequest
    ) -> pb.BatchGetExercisesResponse:
        found = await self._exercises.find(request.exercises)
        by_name = {name: e for e in found for name in (str(e.id), e.slug)}
        wanted = [by_name.get(_canonical(name)) for name in request.exercises]
        missing = [f"exercises[{i}]" for i, exercise in enumerate(wanted) if exercise is None]
        if missing:
            raise TrainingError(
                Reason.EXERCISE_NOT_FOUND,
                f"{missing[0]}: there is no such exercise",
                violations=[FieldViolation(m, "there is no such exercise") for m in missing],
            )
        return pb.BatchGetExercisesResponse(exercises=[to_message(e) for e in wanted if e])

    async def _list(self, request: pb.ListExercisesRequest) -> pb.ListExercisesResponse:
        listing = listing_digest(request)
        key = paging.decode_page_token(listing, request.page_token, (int, int, str))
        limit = paging.page_limit(request.page_size)
        page = await self._exercises.list_page(_filter(request), _after(key), limit + 1)
        exercises = [to_message(exercise) for exercise, _ in page[:limit]]
        count = paging.fitting_count(exercise.ByteSize() for exercise in exercises)
        response = pb.ListExercisesResponse(exercises=exercises[:count])
        if len(page) > count:
            response.next_page_token = paging.encode_page_token(listing, page[count - 1][1])
        return response

    async def CreateExercise(self, request: pb.CreateExerciseRequest, context: Any) -> pb.Exercise:
        write = write_request(request, utc_now())

        async def work(change: CatalogueChange) -> pb.Exercise:
            new = replace(
                from_message(request.exercise),
                created_at=write.received_at,
                updated_at=write.received_at,
            )
            await _check_neighbours(change, new, "exercise")
            new = with_ordered_neighbours(new)
            await change.insert(new)
            return to_message(new)

        return await once(self._exercises.change(), write, pb.Exercise, work)

    async def UpdateExercise(self, request: pb.UpdateExerciseRequest, context: Any) -> pb.Exercise:
        fields = masked_fields(request.update_mask, CHANGEABLE)
        write = write_request(request, utc_now())

        async def work(change: CatalogueChange) -> pb.Exercise:
            before = await _lock(change, request.exercise_id)
            check_etag(request.exercise.etag, _etag(before), "exercise.etag")
            message = merged(to_message(before), request.exercise, fields)
            if "movement_kind" in fields and "contraction_emphasis" not in fields:
                message.ClearField("contraction_emphasis")  # the usual one of the new kind
            contract.check(message, "exercise")
            after = replace(
                from_message(message),
                id=before.id,
                state=before.state,
                replaced_by_id=before.replaced_by_id,
                version=before.version + 1,
                created_at=before.created_at,
                updated_at=write.received_at,
                in_use=before.in_use,
            )
            check_definition_kept(before, after)
            await _check_neighbours(change, after, "exercise")
            after = with_ordered_neighbours(after)
            await change.update(before, after)
            return to_message(after)

        return await once(self._exercises.change(), write, pb.Exercise, work)

    async def DeprecateExercise(
        self, request: pb.DeprecateExerciseRequest, context: Any
    ) -> pb.Exercise:
        write = write_request(request, utc_now())

        async def work(change: CatalogueChange) -> pb.Exercise:
            before = await _lock(change, request.exercise_id)
            check_etag(request.etag, _etag(before), "etag")
            replaced_by_id = optional_uuid(request.replaced_by_exercise_id)
            after = before
            if not _is_deprecated_for(before, replaced_by_id):
                await _check_replacement(change, replaced_by_id, before)
                after = replace(
                    before,
                    state=ExerciseState.DEPRECATED,
                    replaced_by_id=replaced_by_id,
                    version=before.version + 1,
                    updated_at=write.received_at,
                )
                await change.update(before, after)
            return to_message(after)

        return await once(self._exercises.change(), write, pb.Exercise, work)


def _canonical(name: str) -> str:
    """Returns an id or slug as it stands in an answer."""
    try:
        return str(UUID(name))
    except ValueError:
        return name.lower()


def _at_hand(given: Sequence[int]) -> set[str] | None:
    """Returns the equipment at hand; None when all is."""
    return {EQUIPMENT.name(one) for one in given} - {"NONE"} if given else None


def _similar(one: Exercise, other: Exercise, similarity: float) -> pb.SimilarExercise:
    """Returns an exercise that is like another, and in what."""
    shared = [muscle for muscle in one.primary_muscles if muscle in other.primary_muscles]
    return pb.SimilarExercise(
        exercise=to_message(one),
        similarity=similarity,
        same_family=bool(one.family) and one.family == other.family,
        same_category=one.category == other.category,
        shared_primary_muscles=map(MUSCLE.number, shared),
        difficulty_change=one.difficulty - other.difficulty,
    )


def _filter(request: pb.ListExercisesRequest) -> ExerciseFilter:
    equipment = _at_hand(request.equipment_at_hand)
    states = [STATE.name(s) for s in request.states] or [ExerciseState.ACTIVE.value]
    return ExerciseFilter(
        categories=tuple(map(CATEGORY.name, request.categories)) or None,
        muscles=tuple(map(MUSCLE.name, request.muscles)) or None,
        equipment_at_hand=None if equipment is None else tuple(sorted(equipment)),
        min_difficulty=request.min_difficulty if request.HasField("min_difficulty") else None,
        max_difficulty=request.max_difficulty if request.HasField("max_difficulty") else None,
        movement_kind=MOVEMENT_KIND.name(request.movement_kind) if request.movement_kind else None,
        states=tuple(states),
        family=request.family or None,
        query=request.query.strip().lower() or None,
    )


def _after(key: tuple[Any, ...] | None) -> ExerciseKey | None:
    """Returns a sort key from a page token, kept within what the database can compare with."""
    if key is None:
        return None
    score, difficulty, slug = key
    if not (-(2**31) < score < 2**31 and -(2**15) < difficulty < 2**15) or "\0" in slug:
        raise paging.invalid_page_token()
    return score, difficulty, slug


async def _lock(change: CatalogueChange, id: str) -> Exercise:
    await change.lock(UUID(id))
    found = await change.find([id])
    if not found:
        raise bad_reference(Reason.EXERCISE_NOT_FOUND, "exercise_id", "there is no such exercise")
    return found[UUID(id)]


def _is_deprecated_for(exercise: Exercise, replaced_by_id: UUID | None) -> bool:
    is_deprecated = exercise.state is ExerciseState.DEPRECATED
    return is_deprecated and exercise.replaced_by_id == replaced_by_id


async def _check_replacement(
    change: CatalogueChange, replaced_by_id: UUID | None, replaced: Exercise
) -> None:
    if replaced_by_id is None:
        return
    path = "replaced_by_exercise_id"
    found = (await change.find([str(replaced_by_id)])).get(replaced_by_id)
    if found is None or found.id == replaced.id:
        raise bad_reference(Reason.UNKNOWN_EXERCISE, path, "there is no such other exercise")
    if found.state is ExerciseState.DEPRECATED:
        raise bad_reference(Reason.EXERCISE_DEPRECATED, path, "is deprecated itself")


async def _check_neighbours(change: CatalogueChange, exercise: Exercise, path: str) -> None:
    """Refuses unknown neighbours, and edges that would spoil the progression graph."""
    edges, difficulty = await change.graph()
    difficulty[exercise.id] = exercise.difficulty
    _check_known(exercise.easier_ids, difficulty, f"{path}.easier_exercise_ids")
    _check_known(exercise.harder_ids, difficulty, f"{path}.harder_exercise_ids")
    kept = [edge for edge in edges if exercise.id not in edge]
    own = edges_of(exercise)
    check_no_drop(own, difficulty)
    check_no_cycle([*kept, *own])


def _check_known(ids: tuple[UUID, ...], known: Mapping[UUID, int], path: str) -> None:
    for index, id in enumerate(ids):
        if id not in known:
            raise bad_reference(
                Reason.UNKNOWN_EXERCISE, f"{path}[{index}]", "there is no such exercise"
            )


def _etag(exercise: Exercise) -> str:
    return str(exercise.version)


def from_message(message: pb.Exercise) -> Exercise:
    """Returns a new exercise; fields that only the service sets are ignored. Refuses a criterion
    in seconds of a movement and in repetitions of a hold."""
    kind = MovementKind(MOVEMENT_KIND.name(message.movement_kind))
    if message.contraction_emphasis:
        contraction = ContractionEmphasis(CONTRACTION.name(message.contraction_emphasis))
    elif kind is MovementKind.ISOMETRIC:
        contraction = ContractionEmphasis.ISOMETRIC
    else:
        contraction = ContractionEmphasis.BALANCED
    return Exercise(
        id=exercise_id(message.slug),
        slug=message.slug,
        display_name=message.display_name,
        aliases=tuple(message.aliases),
        category=CATEGORY.name(message.category),
        family=message.family,
        difficulty=message.difficulty,
        movement_kind=kind,
        contraction_emphasis=contraction,
        unilateral=message.unilateral,
        equipment=tuple(map(EQUIPMENT.name, message.equipment)),
        primary_muscles=tuple(map(MUSCLE.name, message.primary_muscles)),
        secondary_muscles=tuple(map(MUSCLE.name, message.secondary_muscles)),
        bodyweight_fraction=message.bodyweight_fraction,
        easier_ids=tuple(map(UUID, message.easier_exercise_ids)),
        harder_ids=tuple(map(UUID, message.harder_exercise_ids)),
        description=message.description,
        cues=tuple(message.cues),
        image_id=message.image_id,
        criterion=_criterion(message, kind, "exercise.progression_criterion"),
    )


def _criterion(message: pb.Exercise, kind: MovementKind, path: str) -> Criterion | None:
    if not message.HasField("progression_criterion"):
        return None
    given = message.progression_criterion
    if given.WhichOneof("volume") == "reps":
        check_counted_in_reps(kind, f"{path}.reps")
    else:
        check_counted_in_seconds(kind, f"{path}.hold_seconds")
    return Criterion(given.set_count, given.reps or given.hold_seconds, given.session_count)


def criterion_message(criterion: Criterion, kind: MovementKind) -> pb.ProgressionCriterion:
    """Returns a criterion as it is answered."""
    message = pb.ProgressionCriterion(
        set_count=criterion.set_count, session_count=criterion.session_count
    )
    if kind is MovementKind.ISOMETRIC:
        message.hold_seconds = criterion.amount
    else:
        message.reps = int(criterion.amount)
    return message


def to_message(exercise: Exercise) -> pb.Exercise:
    """Returns an exercise as it is answered."""
    return pb.Exercise(
        id=str(exercise.id),
        slug=exercise.slug,
        display_name=exercise.display_name,
        aliases=exercise.aliases,
        category=CATEGORY.number(exercise.category),
        family=exercise.family,
        difficulty=exercise.difficulty,
        movement_kind=MOVEMENT_KIND.number(exercise.movement_kind),
        contraction_emphasis=CONTRACTION.number(exercise.contraction_emphasis),
        unilateral=exercise.unilateral,
        equipment=map(EQUIPMENT.number, exercise.equipment),
        primary_muscles=map(MUSCLE.number, exercise.primary_muscles),
        secondary_muscles=map(MUSCLE.number, exercise.secondary_muscles),
        bodyweight_fraction=exercise.bodyweight_fraction,
        easier_exercise_ids=map(str, exercise.easier_ids),
        harder_exercise_ids=map(str, exercise.harder_ids),
        description=exercise.description,
        cues=exercise.cues,
        image_id=exercise.image_id,
        state=STATE.number(exercise.state),
        replaced_by_exercise_id=str(exercise.replaced_by_id or ""),
        etag=_etag(exercise),
        create_time=to_timestamp(exercise.created_at) if exercise.created_at else None,
        update_time=to_timestamp(exercise.updated_at) if exercise.updated_at else None,
        progression_criterion=(
            criterion_message(exercise.criterion, exercise.movement_kind)
            if exercise.criterion
            else None
        ),
    )
