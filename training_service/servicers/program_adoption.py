"""How a programme becomes an athlete's own."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import phase_pb2, progression_pb2, schedule_pb2, workout_pb2
from calisthenics.training.v1 import program_pb2 as pb

from training_service.caller import Scope
from training_service.domain import phase_template
from training_service.errors import Reason, bad_reference, invalid_field
from training_service.servicers.convert import exercise_uuid, from_date, utc_now
from training_service.servicers.phase import (
    generated_phases,
    insert_tree,
    phase_message,
    phase_template_of,
)
from training_service.servicers.progression import insert_rule
from training_service.servicers.progression_rule import (
    LATEST_START,
    Facts,
    named_exercises,
    policy_name,
)
from training_service.servicers.schedule import new_schedule, schedule_message
from training_service.servicers.workout import insert_workout
from training_service.storage.idempotency import WriteRequest
from training_service.storage.program import ProgramChange

NEED_LOAD = ("linear", "percent_wave", "rir")
"""Policies that can't begin without a load, where they have a loading."""


def program_exercises(program: pb.Program) -> set[UUID]:
    """Returns all exercises that a programme names."""
    of_rules = {id for rule in program.rules for _, id in named_exercises(rule)}
    of_workouts = {exercise_uuid(e.exercise_id) for w in program.workouts for e in w.exercises}
    return of_rules | of_workouts


def phases_of(program: pb.Program, request: pb.AdoptProgramRequest) -> phase_template.Template:
    """Returns what phases a programme asks for, from a day on."""
    phases = program.phases
    asked: dict[str, Any] = {field.name: value for field, value in phases.ListFields()}
    return phase_template_of(
        phase_pb2.GeneratePhasesRequest(
            **asked,
            start_date=request.start_date,
            display_name=program.display_name,
            focus=program.focus,
        )
    )


def rules_of(
    program: pb.Program, request: pb.AdoptProgramRequest
) -> list[progression_pb2.ProgressionRule]:
    """Returns the rules of a programme with what the athlete begins with.

    Refuses loads and steps that the programme has no use for, a load that is missing, and a start
    that is too far ahead.
    """
    latest = utc_now().date() + LATEST_START
    if from_date(request.start_date, "start_date") > latest:
        raise invalid_field("start_date", "must be at most a year ahead")
    rules = [_copy(rule) for rule in program.rules]
    _add_loads(rules, request)
    _add_steps(rules, request)
    for rule in rules:
        rule.start_date.CopyFrom(request.start_date)
        rule.auto_apply = request.auto_apply
    return rules


def _copy(rule: progression_pb2.ProgressionRule) -> progression_pb2.ProgressionRule:
    copied = progression_pb2.ProgressionRule()
    copied.CopyFrom(rule)
    return copied


def _add_loads(
    rules: Iterable[progression_pb2.ProgressionRule], request: pb.AdoptProgramRequest
) -> None:
    loaded = {rule.exercise_id: rule for rule in rules if rule.HasField("loading")}
    given = set()
    for index, start in enumerate(request.start_loads):
        id = str(exercise_uuid(start.exercise_id))
        path = f"start_loads[{index}]"
        if id not in loaded or id in given:
            raise invalid_field(
                f"{path}.exercise_id", "must be a loaded exercise of the programme, each once"
            )
        if policy_name(loaded[id]) == "percent_wave" and not start.load_kg:
            raise invalid_field(f"{path}.load_kg", "must be above 0 for a percent wave")
        given.add(id)
        loaded[id].loading.start_load_kg = start.load_kg
    missing = [
        id for id, rule in loaded.items() if id not in given and policy_name(rule) in NEED_LOAD
    ]
    if missing:
        raise invalid_field("start_loads", f"a load is needed for {', '.join(missing)}")


def _add_steps(
    rules: Iterable[progression_pb2.ProgressionRule], request: pb.AdoptProgramRequest
) -> None:
    ladders = {rule.exercise_id: rule for rule in rules if policy_name(rule) == "ladder"}
    for index, start in enumerate(request.start_steps):
        id = str(exercise_uuid(start.exercise_id))
        path = f"start_steps[{index}]"
        if id not in ladders:
            raise invalid_field(
                f"{path}.exercise_id", "must be the first of a ladder of the programme, each once"
            )
        rule = ladders.pop(id)
        steps = list(rule.policy.ladder.steps)
        first = str(exercise_uuid(start.start_exercise_id))
        place = next((n for n, step in enumerate(steps) if step.exercise_id == first), None)
        # The last has no next one, and a ladder has two steps at least.
        if place is None or place == len(steps) - 1:
            raise invalid_field(
                f"{path}.start_exercise_id", "must be a step of the ladder before its last"
            )
        del rule.policy.ladder.steps[:place]
        rule.exercise_id = first


async def adopt(
    change: ProgramChange,
    scope: Scope,
    program: pb.Program,
    template: phase_template.Template,
    rules: Sequence[progression_pb2.ProgressionRule],
    facts: Facts,
    write: WriteRequest,
) -> pb.AdoptedProgram:
    """Stores all that a programme has. `facts` are those of all exercises."""
    _check_exercises(program, facts)
    phases = generated_phases(scope, template, write.received_at)
    await insert_tree(change.phases, phases)
    workouts = {}
    for workout in program.workouts:
        named = {exercise_uuid(e.exercise_id) for e in workout.exercises}
        of_workout = {id: facts[id] for id in named}
        stored = await insert_workout(change.workouts, scope, workout, of_workout, write)
        workouts[workout.id] = stored
    schedule = _schedule(program.schedule, workouts, phase_id=str(phases[0].id))
    new = new_schedule(schedule, write.received_at)
    stored_schedule = await change.schedules.insert(new)
    stored_rules = []
    for rule in rules:
        rule.workout_id = workouts[rule.workout_id].id
        stored_rules.append(await insert_rule(change.rules, scope, rule, facts, write))
    return pb.AdoptedProgram(
        slug=program.slug,
        workouts=workouts.values(),
        phases=[phase_message(scope, one) for one in phases],
        schedule=schedule_message(scope, stored_schedule),
        rules=stored_rules,
    )


def _check_exercises(program: pb.Program, facts: Facts) -> None:
    """Refuses a programme with an exercise that is not in the catalogue or is deprecated: the
    request names the programme alone."""
    for id in program_exercises(program):
        if id not in facts:
            raise bad_reference(Reason.UNKNOWN_EXERCISE, "slug", f"there is no exercise {id}")
        if not facts[id].active:
            words = f"has {facts[id].display_name}, which is deprecated"
            raise bad_reference(Reason.EXERCISE_DEPRECATED, "slug", words)


def _schedule(
    of: schedule_pb2.Schedule, workouts: dict[str, workout_pb2.Workout], phase_id: str
) -> schedule_pb2.Schedule:
    """Returns the schedule of a programme for an athlete's own workouts."""
    schedule = schedule_pb2.Schedule()
    schedule.CopyFrom(of)
    schedule.phase_id = phase_id
    for slot in schedule.weekly.slots:
        slot.workout_id = workouts[slot.workout_id].id
    if schedule.HasField("rotation"):
        ids = [id and workouts[id].id for id in of.rotation.workout_ids]
        schedule.rotation.workout_ids[:] = ids
    return schedule


def usual_week(program: pb.Program) -> Iterator[tuple[workout_pb2.Workout, float]]:
    """Yields the workouts of a programme, with how often each is done in a week."""
    weekly = [slot.workout_id for slot in program.schedule.weekly.slots]
    rotation = program.schedule.rotation.workout_ids
    for workout in program.workouts:
        if weekly:
            yield workout, weekly.count(workout.id)
        else:
            yield workout, list(rotation).count(workout.id) * 7 / len(rotation)
