"""What an exercise is, and the rules of the progression graph."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import NAMESPACE_DNS, UUID, uuid5

from training_service.errors import Reason, TrainingError

EXERCISE_NAMESPACE = uuid5(NAMESPACE_DNS, "exercises.training.calisthenics")


NEGATIVE_SUFFIX = "-negative"
"""How the slug of an exercise ends of which only the lowering is done."""


def exercise_id(slug: str) -> UUID:
    """Returns the id an exercise gets from its slug: the same in every installation."""
    return uuid5(EXERCISE_NAMESPACE, slug)


class MovementKind(StrEnum):
    """Whether an exercise is counted in repetitions or in seconds."""

    DYNAMIC = "DYNAMIC"
    ISOMETRIC = "ISOMETRIC"


class ContractionEmphasis(StrEnum):
    """The part of the movement that does the work."""

    BALANCED = "BALANCED"
    CONCENTRIC = "CONCENTRIC"
    ECCENTRIC = "ECCENTRIC"
    ISOMETRIC = "ISOMETRIC"


class ExerciseState(StrEnum):
    """Whether an exercise may enter new workouts."""

    ACTIVE = "ACTIVE"
    DEPRECATED = "DEPRECATED"


class Criterion(NamedTuple):
    """What must be done of an exercise before harder ones come.

    Sets without assistance count; of one-sided work the weaker side.
    """

    set_count: int
    amount: float
    """The least of each set: repetitions of a dynamic exercise, seconds of an isometric one."""
    session_count: int
    """In so many sessions in a row, of those in which the exercise is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """One exercise of the catalogue.

    Categories, muscles and equipment are the names of the contract's enums without their prefix.
    `bodyweight_fraction` is the share of body mass moved, 0 to 1; `difficulty` is 1 to 20.
    """

    id: UUID
    slug: str
    display_name: str
    category: str
    difficulty: int
    movement_kind: MovementKind
    contraction_emphasis: ContractionEmphasis
    unilateral: bool
    bodyweight_fraction: float
    primary_muscles: tuple[str, ...]
    secondary_muscles: tuple[str, ...] = ()
    equipment: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    family: str = ""
    description: str = ""
    cues: tuple[str, ...] = ()
    image_id: str = ""
    easier_ids: tuple[UUID, ...] = ()
    harder_ids: tuple[UUID, ...] = ()
    state: ExerciseState = ExerciseState.ACTIVE
    replaced_by_id: UUID | None = None
    criterion: Criterion | None = None
    """None is the usual one; see `domain/skill.py`."""
    version: int = 1
    created_at: datetime | None = field(default=None, compare=False)
    updated_at: datetime | None = field(default=None, compare=False)
    in_use: bool = False


def with_ordered_neighbours(exercise: Exercise) -> Exercise:
    """Returns an exercise with each neighbour once, in the order they are read in: by id."""
    return replace(
        exercise,
        easier_ids=tuple(sorted(set(exercise.easier_ids))),
        harder_ids=tuple(sorted(set(exercise.harder_ids))),
    )


DEFINING_FIELDS = ("slug", "category", "movement_kind", "unilateral", "bodyweight_fraction")
"""What gives logged sets their meaning: frozen once a workout or session refers to the exercise."""


def check_definition_kept(before: Exercise, after: Exercise) -> None:
    """Refuses a change of what defines an exercise that is in use."""
    changed = [n for n in DEFINING_FIELDS if getattr(before, n) != getattr(after, n)]
    if before.in_use and changed:
        raise TrainingError(
            Reason.EXERCISE_IN_USE,
            f"{before.slug} is in use: {', '.join(changed)} can't change",
            metadata={"exercise_id": str(before.id), "fields": ",".join(changed)},
        )


Edge = tuple[UUID, UUID]
"""An edge of the progression graph: (easier, harder)."""


MAX_CYCLE_NAMED = 20
"""Most exercises of a cycle that an answer names."""


def check_progression(edges: Collection[Edge], difficulty: Mapping[UUID, int]) -> None:
    """Refuses a graph in which an edge goes down in difficulty or edges close a cycle."""
    check_no_drop(edges, difficulty)
    check_no_cycle(edges)


def check_no_drop(edges: Iterable[Edge], difficulty: Mapping[UUID, int]) -> None:
    """Refuses an edge that leads from a harder to an easier exercise."""
    for source, target in edges:
        if difficulty[target] < difficulty[source]:
            raise TrainingError(
                Reason.PROGRESSION_DIFFICULTY_DROP,
                "a progression must not lead to an easier exercise",
                metadata={"easier_exercise_id": str(source), "harder_exercise_id": str(target)},
            )


def check_no_cycle(edges: Iterable[Edge]) -> None:
    """Refuses edges that lead back to where they began."""
    harder: dict[UUID, list[UUID]] = defaultdict(list)
    for source, target in edges:
        harder[source].append(target)
    cycle = _find_cycle(harder)
    if cycle:
        raise TrainingError(
            Reason.PROGRESSION_CYCLE,
            "a progression must not lead back to where it began",
            metadata={"exercise_ids": ",".join(map(str, cycle[:MAX_CYCLE_NAMED]))},
        )


def _find_cycle(harder: Mapping[UUID, Sequence[UUID]]) -> list[UUID]:
    """Returns the exercises of one cycle, or none. Depth-first, without recursion."""
    done: set[UUID] = set()
    for start in harder:
        path: dict[UUID, None] = {}
        stack = [(start, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                path.popitem()
                done.add(node)
            elif node in path:
                nodes = list(path)
                return nodes[nodes.index(node) :]
            elif node not in done:
                path[node] = None
                stack.append((node, True))
                stack.extend((n, False) for n in harder.get(node, ()))
    return []
