"""Rules of progression as messages, and as the arithmetic sees them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import progression_pb2 as pb

from training_service.domain.exercise import MovementKind
from training_service.domain.progression_policy import (
    FAIL_LIMIT,
    INCREMENT_PERCENT,
    MAX_RPE_OF_SUCCESS,
    WEEK_FACTORS,
    AmrapProgression,
    DoubleProgression,
    HoldTimeProgression,
    LinearProgression,
    Loading,
    PercentWave,
    Policy,
    RepSumProgression,
    RirAutoregulation,
    Rule,
    StepLoading,
    VariationLadder,
    WaveSet,
)
from training_service.domain.progression_track import (
    Goal,
    Track,
    TrackExercise,
    graph_track,
    ladder_track,
    successors,
)
from training_service.domain.session import check_counted_in_reps, check_counted_in_seconds
from training_service.errors import Reason, bad_reference, invalid_field
from training_service.servicers.convert import exercise_uuid, from_date, optional_field
from training_service.servicers.dates import EPOCH
from training_service.storage.exercise import ExerciseFacts

Facts = Mapping[UUID, ExerciseFacts]

LATEST_START = timedelta(days=366)
"""How far ahead a rule may begin."""
WITHOUT_GOAL = ("percent_wave", "ladder")
"""Policies that say themselves what is aimed for."""
FOR_REPS = ("linear", "rep_sum", "percent_wave", "amrap")
"""Policies that count repetitions."""


def policy_name(message: pb.ProgressionRule) -> str:
    """Returns the kind of a rule's policy."""
    return message.policy.WhichOneof("kind") or ""


def named_exercises(message: pb.ProgressionRule) -> Iterator[tuple[str, UUID]]:
    """Yields the exercises that a rule names, with the paths of their fields."""
    yield "rule.exercise_id", exercise_uuid(message.exercise_id)
    for index, step in enumerate(message.policy.ladder.steps):
        path = f"rule.policy.ladder.steps[{index}].exercise_id"
        yield path, exercise_uuid(step.exercise_id)
    for index, choice in enumerate(message.choices):
        path = f"rule.choices[{index}]"
        yield f"{path}.exercise_id", exercise_uuid(choice.exercise_id)
        yield f"{path}.harder_exercise_id", exercise_uuid(choice.harder_exercise_id)


def check_exercises(
    message: pb.ProgressionRule, facts: Facts, *, allowed: Collection[UUID] = ()
) -> None:
    """Refuses exercises that don't exist, and deprecated ones that are not allowed."""
    for path, id in named_exercises(message):
        if id not in facts:
            raise bad_reference(Reason.UNKNOWN_EXERCISE, path, "there is no such exercise")
        if not facts[id].active and id not in allowed:
            raise bad_reference(Reason.EXERCISE_DEPRECATED, path, "is deprecated")


def check_rule(message: pb.ProgressionRule, facts: Facts, today: date) -> None:
    """Refuses a rule whose parts don't fit together or don't fit its exercise."""
    kind = facts[exercise_uuid(message.exercise_id)].movement_kind
    name = policy_name(message)
    _check_goal(message, kind, name)
    _check_policy(message, kind, name)
    if name == "ladder":
        _check_ladder(message, facts)
    if message.tempos and kind is MovementKind.ISOMETRIC:
        raise invalid_field("rule.tempos", "a hold has no tempo")
    _check_choices(message, facts)
    if message.HasField("start_date"):
        start = from_date(message.start_date, "rule.start_date")
        if not EPOCH <= start <= today + LATEST_START:
            raise invalid_field("rule.start_date", "must be after 1969 and at most a year ahead")


def _check_goal(message: pb.ProgressionRule, kind: MovementKind, name: str) -> None:
    if message.HasField("goal") == (name in WITHOUT_GOAL):
        word = "is given by the policy" if name in WITHOUT_GOAL else "is needed by the policy"
        raise invalid_field("rule.goal", word)
    if message.HasField("goal"):
        _check_volume(message.goal, kind, "rule.goal")


def _check_volume(goal: pb.ProgressionGoal, kind: MovementKind, path: str) -> None:
    if goal.WhichOneof("volume") == "reps":
        check_counted_in_reps(kind, f"{path}.reps")
    else:
        check_counted_in_seconds(kind, f"{path}.hold")
    if _goal(goal).low < 1:
        least = "reps.min" if kind is MovementKind.DYNAMIC else "hold.min_seconds"
        raise invalid_field(f"{path}.{least}", "must be at least 1")


def _check_policy(message: pb.ProgressionRule, kind: MovementKind, name: str) -> None:
    path = f"rule.policy.{name}"
    if name in FOR_REPS and kind is MovementKind.ISOMETRIC:
        raise invalid_field(path, "an isometric exercise is counted in seconds")
    if name == "hold_time" and kind is MovementKind.DYNAMIC:
        raise invalid_field(path, "a dynamic exercise is counted in repetitions")
    if name in ("linear", "percent_wave") and not message.HasField("loading"):
        raise invalid_field("rule.loading", "is needed by the policy")
    if name == "linear" and message.goal.reps.min != message.goal.reps.max:
        raise invalid_field("rule.goal.reps", "must have min equal to max for the policy")
    if name == "percent_wave" and message.loading.start_load_kg <= 0:
        raise invalid_field("rule.loading.start_load_kg", "must be above 0 for the policy")


def _check_ladder(message: pb.ProgressionRule, facts: Facts) -> None:
    path = "rule.policy.ladder.steps"
    ids = [exercise_uuid(step.exercise_id) for step in message.policy.ladder.steps]
    if ids[0] != exercise_uuid(message.exercise_id):
        raise invalid_field(f"{path}[0].exercise_id", "must be the exercise of the rule")
    if len(set(ids)) < len(ids):
        raise invalid_field(path, "must have each exercise once")
    for index, (id, step) in enumerate(zip(ids, message.policy.ladder.steps, strict=True)):
        _check_volume(step.goal, facts[id].movement_kind, f"{path}[{index}].goal")


def _check_choices(message: pb.ProgressionRule, facts: Facts) -> None:
    if message.choices and policy_name(message) == "ladder":
        raise invalid_field("rule.choices", "a ladder leaves no choice")
    harder = successors(_exercises(facts)) if message.choices else {}
    for index, choice in enumerate(message.choices):
        if (
            exercise_uuid(choice.harder_exercise_id)
            not in harder[exercise_uuid(choice.exercise_id)]
        ):
            path = f"rule.choices[{index}].harder_exercise_id"
            raise invalid_field(path, "does not follow the exercise in the progression graph")


def to_rule(message: pb.ProgressionRule, start_date: date) -> Rule:
    """Returns a rule that was checked."""
    name = policy_name(message)
    goals = [step.goal for step in message.policy.ladder.steps] or [message.goal]
    return Rule(
        policy=_POLICIES[name](getattr(message.policy, name)),
        exercise_id=exercise_uuid(message.exercise_id),
        start_date=start_date,
        set_count=max(goals[0].set_count, 1),
        goal=_wave_goal(message) if name == "percent_wave" else _goal(goals[0]),
        loading=_loading(message.loading) if message.HasField("loading") else None,
        success_count=optional_field(message, "success_count"),
        fail_limit=message.fail_limit if message.HasField("fail_limit") else FAIL_LIMIT,
        max_rpe=message.max_rpe if message.HasField("max_rpe") else MAX_RPE_OF_SUCCESS,
        auto_apply=message.auto_apply,
        tempos=tuple(message.tempos),
        deload_weeks=optional_field(message, "deload_every_weeks"),
    )


def _goal(goal: pb.ProgressionGoal) -> Goal:
    if goal.WhichOneof("volume") == "hold":
        return Goal(goal.hold.min_seconds, goal.hold.max_seconds)
    return Goal(goal.reps.min, goal.reps.max)


def _wave_goal(message: pb.ProgressionRule) -> Goal:
    reps = [one.reps for each in message.policy.percent_wave.sessions for one in each.sets]
    return Goal(min(reps), max(reps))


def _loading(loading: pb.ProgressionLoading) -> Loading:
    percent = optional_field(loading, "increment_percent")
    return Loading(
        start_kg=loading.start_load_kg,
        plate_step_kg=loading.plate_step_kg,
        increment_percent=INCREMENT_PERCENT if percent is None else percent,
        max_kg=optional_field(loading, "max_load_kg"),
        is_last_resort=loading.last_resort,
    )


def _wave(wave: pb.PercentWave) -> PercentWave:
    return PercentWave(
        sessions=[
            [WaveSet(one.percent, one.reps, one.amrap) for one in session.sets]
            for session in wave.sessions
        ]
    )


_POLICIES: Mapping[str, Callable[[Any], Policy]] = {
    "double_progression": lambda _: DoubleProgression(),
    "linear": lambda _: LinearProgression(),
    "rep_sum": lambda _: RepSumProgression(),
    "rir": lambda of: RirAutoregulation(target_rir=of.target_rir),
    "step_loading": lambda of: StepLoading(week_factors=tuple(of.week_factors) or WEEK_FACTORS),
    "percent_wave": _wave,
    "amrap": lambda _: AmrapProgression(),
    "hold_time": lambda of: HoldTimeProgression(
        step_seconds=of.step_seconds,
        max_session_seconds=optional_field(of, "max_session_seconds"),
    ),
    "ladder": lambda of: VariationLadder(
        steps=[(exercise_uuid(step.exercise_id), _goal(step.goal)) for step in of.steps]
    ),
}


def to_track(message: pb.ProgressionRule, rule: Rule, facts: Facts) -> Track:
    """Returns the exercises that a rule may lead to."""
    exercises = _exercises(facts)
    if isinstance(rule.policy, VariationLadder):
        return ladder_track(rule.policy.steps, exercises)
    choices = {
        exercise_uuid(one.exercise_id): exercise_uuid(one.harder_exercise_id)
        for one in message.choices
    }
    return graph_track(rule.exercise_id, rule.goal, exercises, choices, rule.sets_of_goal)


def _exercises(facts: Facts) -> dict[UUID, TrackExercise]:
    return {
        id: TrackExercise(
            id=id,
            name=of.display_name,
            kind=of.movement_kind,
            difficulty=of.traits.difficulty,
            criterion=of.skill.criterion,
            easier_ids=of.skill.easier_ids,
            is_active=of.active,
        )
        for id, of in facts.items()
    }
