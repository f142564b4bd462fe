"""What rules of progression would have prescribed, session by session.

An export does not hold the rules that athletes chose. So each athlete's exercise gets a rule of its
own, from its first session alone: as many sets as were done, from the least that was done in a set
up to three repetitions more, or five seconds, and the least load. It never leaves the exercise.
What was done then moves the rule, as it moves it in the service.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from statistics import fmean
from uuid import UUID

from training_service.domain.exercise import Exercise, MovementKind
from training_service.domain.progression import (
    Performance,
    beginning,
    done_sets,
    prescription,
    step,
)
from training_service.domain.progression_policy import (
    Done,
    DoubleProgression,
    LinearProgression,
    Loading,
    Policy,
    RirAutoregulation,
    Rule,
    SetTarget,
)
from training_service.domain.progression_track import EventKind, Goal, Outcome, Rung, Track
from training_service.learning.history import Occasion

POLICIES: Mapping[str, Policy] = {
    "double progression": DoubleProgression(),
    "linear": LinearProgression(),
    "reps in reserve": RirAutoregulation(target_rir=2),
}
OUTCOMES = {EventKind(outcome) for outcome in Outcome}
RANGE_REPS = 3.0
RANGE_SECONDS = 5.0


@dataclass(slots=True)
class Replayed:
    """What rules prescribed."""

    planned: dict[tuple[str, UUID], dict[str, float]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """Effective repetitions, by session and exercise, then by rule: the middle of the range."""
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """How sessions were judged, by rule."""


def replay_rules(occasions: Iterable[Occasion], catalogue: Mapping[UUID, Exercise]) -> Replayed:
    """Returns what each rule would have prescribed; nothing for an exercise's first session."""
    replayed = Replayed()
    by_exercise = sorted(occasions, key=_by_exercise)
    for (_, exercise_id), found in groupby(by_exercise, key=lambda one: _by_exercise(one)[:2]):
        chain = list(found)
        for name, policy in POLICIES.items():
            _replay(name, policy, chain, catalogue[exercise_id], replayed)
    return replayed


def _by_exercise(one: Occasion) -> tuple[str, UUID, object]:
    return one.user_id, one.exercise_id, one.started_at


def _replay(
    name: str, policy: Policy, chain: Sequence[Occasion], exercise: Exercise, into: Replayed
) -> None:
    kind = exercise.movement_kind
    first = done_sets(chain[0].sets, kind)
    amount = sum(one.amount or 0.0 for one in first)
    if not amount:
        return
    # What a repetition or second of the rule is worth: both sides of one-sided work, two seconds of
    # a hold, or the seconds of a slow lowering.
    worth = chain[0].effective_reps / amount
    rule, track = _rule(policy, chain[0], first, exercise)
    state = beginning(rule, track)
    for one in chain[1:]:
        asked = prescription(rule, state, one.day).targets
        planned = worth * sum(_middle(target) for target in asked)
        into.planned[one.session_id, one.exercise_id][name] = planned
        done = {one.exercise_id: done_sets(one.sets, kind)}
        state, events = step(rule, track, state, Performance(day=one.day, sets=done))
        into.outcomes[name].update(str(event.kind) for event in events if event.kind in OUTCOMES)


def _rule(policy: Policy, first: Occasion, sets: Done, exercise: Exercise) -> tuple[Rule, Track]:
    low = min(one.amount or 0.0 for one in sets)
    is_hold = exercise.movement_kind is MovementKind.ISOMETRIC
    width = RANGE_SECONDS if is_hold else RANGE_REPS
    goal = Goal(low, low if isinstance(policy, LinearProgression) else low + width)
    load_kg = min(one.load_kg for one in sets)
    rule = Rule(
        policy=policy,
        exercise_id=exercise.id,
        start_date=first.day,
        set_count=len(sets),
        goal=goal,
        loading=Loading(start_kg=load_kg) if load_kg else None,
        auto_apply=True,
    )
    rung = Rung(
        exercise_id=exercise.id,
        name=exercise.display_name,
        kind=exercise.movement_kind,
        goal=goal,
        harder_ids=(),
        easier_id=None,
    )
    return rule, Track(exercise.id, {exercise.id: rung})


def _middle(target: SetTarget) -> float:
    return target.low if target.high is None else fmean((target.low, target.high))
