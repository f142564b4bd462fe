"""The exercises of a progression, in their order, and where an athlete stands among them.

A track begins with the exercise of its rule. Harder ones follow it by the progression graph, or by
the rungs of a ladder; easier ones are what it falls back to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from math import ceil
from typing import NamedTuple
from uuid import UUID

from training_service.domain.exercise import Criterion, MovementKind


class Goal(NamedTuple):
    """What is aimed for in each set: repetitions of a dynamic exercise, seconds of a hold."""

    low: float
    """Less than this is a failure."""
    high: float
    """This in every set is a success."""


class TrackExercise(NamedTuple):
    """An exercise as progression sees it."""

    id: UUID
    name: str
    kind: MovementKind
    difficulty: int
    criterion: Criterion
    easier_ids: Sequence[UUID]
    is_active: bool = True


class Rung(NamedTuple):
    """An exercise of a track."""

    exercise_id: UUID
    name: str
    kind: MovementKind
    goal: Goal
    harder_ids: Sequence[UUID]
    """What may follow it: of several, the athlete chooses."""
    easier_id: UUID | None
    """What it falls back to."""


@dataclass(frozen=True, slots=True)
class Track:
    """The exercises that a progression may lead to."""

    start_id: UUID
    rungs: Mapping[UUID, Rung]

    def ids(self) -> list[UUID]:
        """Returns what the progression may get to by itself: from the first exercise on as long as
        there is one way, and back."""
        found = {self.start_id}
        waiting = [self.start_id]
        while waiting:
            rung = self.rungs[waiting.pop()]
            following = list(rung.harder_ids) if len(rung.harder_ids) == 1 else []
            if rung.easier_id:
                following.append(rung.easier_id)
            waiting += [id for id in following if id not in found]
            found.update(following)
        return sorted(found)

    def way_back(self, exercise_id: UUID) -> UUID | None:
        """Returns what leads from an exercise that is easier than the first back towards it; None
        for the first and those that come after it."""
        seen = [self.start_id]
        while (easier_id := self.rungs[seen[-1]].easier_id) and easier_id not in seen:
            if easier_id == exercise_id:
                return seen[-1]
            if easier_id not in self.rungs:
                return None
            seen.append(easier_id)
        return None


def graph_track(
    start_id: UUID,
    goal: Goal,
    exercises: Mapping[UUID, TrackExercise],
    choices: Mapping[UUID, UUID],
    sets_of_goal: int = 1,
) -> Track:
    """Returns the track through the progression graph. Deprecated exercises are left out of it.

    `goal` is that of the first exercise, for so many sets together; others have their criterion
    for `high`, and keep the proportion for `low` (our choice). `choices` says which of several an
    exercise is followed by.
    """
    share = goal.low / goal.high
    harder = successors(exercises)
    came_from = {harder_id: easier_id for easier_id, harder_id in choices.items()}
    rungs = {}
    for one in exercises.values():
        high = one.criterion.amount * sets_of_goal
        usual = Goal(max(1.0, ceil(high * share)), high)
        following = harder[one.id]
        chosen = choices.get(one.id)
        rungs[one.id] = Rung(
            exercise_id=one.id,
            name=one.name,
            kind=one.kind,
            goal=goal if one.id == start_id else usual,
            harder_ids=[chosen] if chosen in following else following,
            easier_id=came_from.get(one.id) or _nearest(one, exercises),
        )
    return Track(start_id, rungs)


def successors(exercises: Mapping[UUID, TrackExercise]) -> dict[UUID, list[UUID]]:
    """Returns what each exercise may be followed by, the easiest first."""
    found: dict[UUID, list[UUID]] = {id: [] for id in exercises}
    for one in sorted(exercises.values(), key=lambda one: (one.difficulty, one.id)):
        for easier_id in one.easier_ids if one.is_active else ():
            if easier_id in found:
                found[easier_id].append(one.id)
    return found


def _nearest(one: TrackExercise, exercises: Mapping[UUID, TrackExercise]) -> UUID | None:
    """Returns the hardest of the exercises that lead to one: the smallest step back."""
    easier = [exercises[id] for id in one.easier_ids if id in exercises]
    active = [easy for easy in easier if easy.is_active]
    return max(active, key=lambda easy: (easy.difficulty, easy.id)).id if active else None


def ladder_track(
    steps: Sequence[tuple[UUID, Goal]], exercises: Mapping[UUID, TrackExercise]
) -> Track:
    """Returns the track up a ladder that the athlete made."""
    ids = [id for id, _ in steps]
    rungs = {
        id: Rung(
            exercise_id=id,
            name=exercises[id].name,
            kind=exercises[id].kind,
            goal=goal,
            harder_ids=ids[place + 1 : place + 2],
            easier_id=ids[place - 1] if place else None,
        )
        for place, (id, goal) in enumerate(steps)
    }
    return Track(ids[0], rungs)


class Outcome(StrEnum):
    """How a session went, against what was prescribed."""

    SUCCESS = "SUCCESS"
    """All of it was done, at no more effort than allowed."""
    HOLD = "HOLD"
    """Within the range, or too hard: again."""
    FAIL = "FAIL"
    """A set was missing or below the range."""
    SKIP = "SKIP"
    """It says nothing: nothing changes."""


class Phase(StrEnum):
    """Whether training builds up or is lightened."""

    BUILD = "BUILD"
    DELOAD = "DELOAD"


class Cause(StrEnum):
    """Why something was so."""

    ALL_SETS_MET = "ALL_SETS_MET"
    WITHIN_RANGE = "WITHIN_RANGE"
    TOO_HARD = "TOO_HARD"
    """Done, at more effort than a success allows."""
    AMOUNT_UNKNOWN = "AMOUNT_UNKNOWN"
    SET_MISSING = "SET_MISSING"
    BELOW_RANGE = "BELOW_RANGE"
    NOT_DONE = "NOT_DONE"
    """The exercise was not in the session."""
    ILL = "ILL"
    TECHNIQUE = "TECHNIQUE"
    LIGHTER = "LIGHTER"
    """Done with less load than prescribed."""
    HEAVIER = "HEAVIER"
    """Done with more load than prescribed."""
    DELOAD = "DELOAD"
    LIGHT_WEEK = "LIGHT_WEEK"
    """The phase asked for less load."""
    LOW_READINESS = "LOW_READINESS"
    SUCCESSES = "SUCCESSES"
    FAILURES = "FAILURES"
    RESETS = "RESETS"
    EFFORT = "EFFORT"
    FOLLOWED = "FOLLOWED"
    """The athlete did what was proposed."""
    SEVERAL_SUCCESSORS = "SEVERAL_SUCCESSORS"
    NOTHING_TO_RAISE = "NOTHING_TO_RAISE"
    NO_BEST = "NO_BEST"
    SCHEDULE = "SCHEDULE"
    CONDITIONS = "CONDITIONS"
    """Several signs that a deload is due."""


class EventKind(StrEnum):
    """What happened."""

    SUCCESS = "SUCCESS"
    HOLD = "HOLD"
    FAIL = "FAIL"
    SKIP = "SKIP"
    LOAD_UP = "LOAD_UP"
    LOAD_DOWN = "LOAD_DOWN"
    AMOUNT_UP = "AMOUNT_UP"
    AMOUNT_DOWN = "AMOUNT_DOWN"
    TEMPO_UP = "TEMPO_UP"
    SETS_UP = "SETS_UP"
    ADVANCE = "ADVANCE"
    """On to the next exercise."""
    CHOICE = "CHOICE"
    """Several exercises may follow: the athlete chooses."""
    TOP = "TOP"
    """There is nothing that the rule could raise."""
    RESET = "RESET"
    """Back with the load after failures."""
    REGRESS = "REGRESS"
    """Back to the easier exercise."""
    EASE = "EASE"
    """A set less and a lower range, for want of an easier exercise."""
    ACCEPTED = "ACCEPTED"
    """The athlete did what was proposed, so it holds."""
    STALL = "STALL"
    DELOAD_BEGIN = "DELOAD_BEGIN"
    DELOAD_END = "DELOAD_END"


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is prescribed, apart from the rule itself."""

    exercise_id: UUID
    set_count: int
    low: float
    high: float
    aim: float
    """What to aim for, between low and high: repetitions or seconds."""
    load_kg: float = 0.0
    """Beyond the body; negative is assistance. Of a percent wave: the training maximum."""
    tempo_index: int = 0
    """Place among the tempos of the rule."""
    wave_index: int = 0
    """Place in a wave of the next session."""


class Change(NamedTuple):
    """What a rule asks for after a session."""

    kind: EventKind
    numbers: Numbers
    cause: Cause
    candidate_ids: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Where an athlete stands on a track."""

    numbers: Numbers
    proposed: Change | None = None
    """What is proposed instead, until a session follows it or speaks against it."""
    success_count: int = 0
    """Successes in a row."""
    fail_count: int = 0
    """Failures in a row."""
    reset_count: int = 0
    """How often the load was lowered without its having been lifted since."""
    reset_load_kg: float | None = None
    """The load that was lowered."""
    regress_count: int = 0
    """How often failures led back from an exercise without its having been met since."""
    regressed_from_id: UUID | None = None
    """The last exercise that they led back from."""
    cycle_fail_count: int = 0
    """Failures since the wave or cycle began."""
    cycle: int = 0
    """Of step loading, that of the last session that counted."""
    raised_cycle: int = -1
    """The last cycle of step loading that ended in a raise."""
    phase: Phase = Phase.BUILD
    deload_end: date | None = None
    """The day after the deload; of the last one when there is none now."""
    was_reactive: bool = False
    """Whether that deload was made by how the athlete was, and not by the calendar."""
    previous_exercise_id: UUID | None = None
    """What came before the exercise, for four weeks."""
    advanced_on: date | None = None
    is_at_end: bool = False
    """Whether the athlete was told that the rule can't raise anything by itself."""
    best_load_kg: float | None = None
    best_total: float = 0.0
    """Most repetitions or seconds of a session, all sets together, with that load."""
    sessions_since_best: int = 0
    evaluated_count: int = 0
    """Sessions that counted."""
