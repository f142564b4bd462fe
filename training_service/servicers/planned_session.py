"""What planned sessions ask for: workouts with the numbers of progression rules, and with what
phases do to both."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from uuid import UUID

from calisthenics.training.v1 import prescription_pb2, set_pb2, workout_pb2
from calisthenics.training.v1 import schedule_pb2 as pb

from training_service.caller import Scope
from training_service.domain.periods import ONE_DAY
from training_service.domain.phase import DateRange, Phase, day_plan
from training_service.domain.prescription import (
    DayFactors,
    day_factors,
    prescribed_load_kg,
    prescribed_sets,
)
from training_service.domain.progression import Context, prescription, sessions_ahead
from training_service.domain.progression_track import Phase as ProgressionPhase
from training_service.domain.progression_track import State
from training_service.domain.progression_words import outlook, reason
from training_service.domain.schedule import PlannedSession, PlannedState, planned_sessions
from training_service.servicers.convert import to_date
from training_service.servicers.enums import EnumNames
from training_service.servicers.progression_answer import (
    last_counted,
    phase_reasons,
    proposal_message,
    rule_message,
    set_messages,
)
from training_service.servicers.progression_standing import Standing, StandingReader
from training_service.servicers.rule_book import RuleBook
from training_service.storage.phase import PhaseRepository
from training_service.storage.progression import ProgressionRepository, StoredRule
from training_service.storage.schedule import (
    Planned,
    ScheduleRepository,
    StoredChange,
    StoredSchedule,
)
from training_service.storage.workout import WorkoutRepository

STATE = EnumNames(pb.PlannedSessionState)


class _Maker:
    """Makes the answers for planned sessions. They must be given in the order of their days: a wave
    takes turns over those that are still to come."""

    def __init__(
        self,
        workouts: Mapping[UUID, workout_pb2.Workout],
        phases: Sequence[Phase],
        rules: RuleBook,
        standings: Mapping[str, Standing],
        changes: Iterable[StoredChange],
    ) -> None:
        self._workouts = workouts
        self._phases = phases
        self._rules = rules
        self._standings = standings
        self._authors: dict[tuple[UUID | None, int], UUID | None] = {
            (one.schedule_id, one.number): one.author_user_id for one in changes
        }
        self._ahead: Counter[str] = Counter()

    def message(self, schedule_id: UUID | None, one: PlannedSession) -> pb.PlannedSession:
        """Returns a planned session as it is answered."""
        message = pb.PlannedSession(
            schedule_id=str(schedule_id or ""),
            number=one.number,
            workout_id=str(one.workout_id),
            due_date=to_date(one.due_date),
            local_date=to_date(one.local_date),
            state=STATE.number(one.state),
            session_id=str(one.session_id or ""),
            author_user_id=str(self._authors.get((schedule_id, one.number)) or ""),
        )
        workout = self._workouts.get(one.workout_id)
        if workout:
            factors = day_factors(day_plan(self._phases, one.local_date))
            message.workout_revision = workout.revision
            message.exercises.extend(
                self._exercise(workout.id, exercise, one, factors) for exercise in workout.exercises
            )
            message.reasons.extend(phase_reasons(factors))
        return message

    def _exercise(
        self,
        workout_id: str,
        exercise: workout_pb2.WorkoutExercise,
        one: PlannedSession,
        factors: DayFactors,
    ) -> pb.PrescribedExercise:
        message = pb.PrescribedExercise(
            exercise=exercise, workout_sets=exercise.sets, workout_exercise_id=exercise.exercise_id
        )
        if exercise.HasField("load_kg"):
            message.workout_load_kg = exercise.load_kg
        rule = self._rules.of(workout_id, exercise)
        if rule:
            message.progression_rule_id = rule.id
            standing = self._standing(rule.id, one)
            _add_progression(message, standing, self._state(rule.id, standing, one), one, factors)
        elif exercise.kind != set_pb2.SET_KIND_WARM_UP:
            _add_factors(message.exercise, factors)
        return message

    def _standing(self, rule_id: str, one: PlannedSession) -> Standing:
        """Returns where a rule stood when the session was due, or stands for one to come."""
        standing = self._standings[rule_id]
        if one.state is PlannedState.PLANNED:
            return standing
        return standing.before(one.local_date, one.session_id)

    def _state(self, rule_id: str, standing: Standing, one: PlannedSession) -> State:
        if one.state is not PlannedState.PLANNED:
            return standing.state
        count = self._ahead[rule_id]
        self._ahead[rule_id] += 1
        return sessions_ahead(standing.rule, standing.state, count)


class PlannedSessionReader:
    """Reads what is planned, with what it asks for."""

    def __init__(
        self,
        schedules: ScheduleRepository,
        phases: PhaseRepository,
        workouts: WorkoutRepository,
        rules: ProgressionRepository,
        standings: StandingReader,
    ) -> None:
        self._schedules = schedules
        self._phases = phases
        self._workouts = workouts
        self._rules = rules
        self._standings = standings

    async def read(self, scope: Scope, dates: DateRange, today: date) -> list[pb.PlannedSession]:
        """Returns the planned sessions of a range, by day."""
        # Sessions that are still to come before the range take their turns of a wave.
        since = DateRange(min(today, dates.start_date), dates.end_date)
        planned, stored = await asyncio.gather(
            self._schedules.planned(scope, since), self._rules.list_all(scope)
        )
        found = [
            pair for pair in sessions_until_end(planned, today, dates) if _is_needed(pair[1], dates)
        ]
        found.sort(key=lambda pair: (pair[1].local_date, str(pair[0].id), pair[1].number))
        messages = await self._messages(
            scope, [(schedule.id, one) for schedule, one in found], dates, stored, planned.changes
        )
        return [
            message
            for message, (_, one) in zip(messages, found, strict=True)
            if dates.start_date <= one.local_date
        ]

    async def unscheduled(
        self, scope: Scope, workout_id: UUID, day: date
    ) -> pb.PlannedSession | None:
        """Returns a workout as if it were planned for a day, of no schedule; None when there is no
        such workout."""
        one = PlannedSession(
            number=0,
            slot=0,
            workout_id=workout_id,
            due_date=day,
            local_date=day,
            state=PlannedState.PLANNED,
        )
        stored = await self._rules.list_all(scope)
        [message] = await self._messages(
            scope, [(None, one)], DateRange(day, day + ONE_DAY), stored, ()
        )
        return message if message.workout_revision else None

    async def _messages(
        self,
        scope: Scope,
        found: Sequence[tuple[UUID | None, PlannedSession]],
        dates: DateRange,
        stored: Iterable[StoredRule],
        changes: Iterable[StoredChange],
    ) -> list[pb.PlannedSession]:
        """Returns planned sessions as they are answered, in the order of their days."""
        workouts, phases = await asyncio.gather(
            self._current(scope, {one.workout_id for _, one in found}),
            self._phases.in_range(scope, dates),
        )
        rules = RuleBook(map(rule_message, stored))
        used = rules.of_all(workouts.values())
        standings = await self._standings.of(scope, used, date.max)
        maker = _Maker(
            workouts,
            phases,
            rules,
            dict(zip((rule.id for rule in used), standings, strict=True)),
            changes,
        )
        return [maker.message(schedule_id, one) for schedule_id, one in found]

    async def _current(self, scope: Scope, ids: set[UUID]) -> dict[UUID, workout_pb2.Workout]:
        stored = await self._workouts.list_named(scope, ids)
        return {id: workout_pb2.Workout.FromString(one.record) for id, one in stored.items()}


def sessions_until_end(
    planned: Planned, today: date, dates: DateRange
) -> Iterator[tuple[StoredSchedule, PlannedSession]]:
    """Yields the planned sessions up to the end of a range. A session that stands for one of a
    schedule stands for none of another."""
    done = list(planned.done)
    last = dates.end_date - timedelta(1)
    for schedule in planned.schedules:
        changes = {
            one.number: one.change for one in planned.changes if one.schedule_id == schedule.id
        }
        found = planned_sessions(schedule.plan, changes, done, today, last)
        used = {one.session_id for one in found}
        done = [one for one in done if one.session_id not in used]
        for one in found:
            if one.local_date <= last:
                yield schedule, one


def _is_needed(one: PlannedSession, dates: DateRange) -> bool:
    return dates.start_date <= one.local_date or one.state is PlannedState.PLANNED


def _add_factors(exercise: workout_pb2.WorkoutExercise, factors: DayFactors) -> None:
    exercise.sets = prescribed_sets(exercise.sets, factors)
    if exercise.HasField("load_kg"):
        exercise.load_kg = prescribed_load_kg(exercise.load_kg, factors)


def _add_progression(
    message: pb.PrescribedExercise,
    standing: Standing,
    state: State,
    one: PlannedSession,
    factors: DayFactors,
) -> None:
    rule, track = standing.rule, standing.track
    found = prescription(rule, state, one.local_date, Context(factors=factors))
    message.sets.extend(set_messages(found.targets, state.numbers, rule, track))
    message.exercise.exercise_id = str(state.numbers.exercise_id)
    _summarize(message.exercise, [each.target for each in message.sets])
    proposal = proposal_message(standing, found)
    if proposal:
        message.proposal.CopyFrom(proposal)
    message.reasons.extend(_reasons(standing, found.state))


def _summarize(exercise: workout_pb2.WorkoutExercise, targets: Sequence[set_pb2.SetTarget]) -> None:
    """Writes what the sets have in common, or the widest of it, into the exercise of a workout."""
    exercise.sets = len(targets)
    exercise.tempo = targets[0].tempo
    if targets[0].WhichOneof("volume") == "hold":
        exercise.hold.min_seconds = min(one.hold.min_seconds for one in targets)
        exercise.hold.max_seconds = max(one.hold.max_seconds for one in targets)
    else:
        exercise.reps.min = min(one.reps.min for one in targets)
        exercise.reps.max = max(one.reps.max for one in targets)
    exercise.ClearField("load_kg")
    loads_kg = [one.load_kg for one in targets if one.HasField("load_kg")]
    if loads_kg:
        exercise.load_kg = max(loads_kg)


def _reasons(standing: Standing, state: State) -> list[prescription_pb2.PrescriptionReason]:
    """Returns what the last session that counted led to, and what comes next."""
    words = outlook(state, standing.rule)
    if state.phase is ProgressionPhase.DELOAD:
        kind = prescription_pb2.PRESCRIPTION_REASON_KIND_PROGRESSION_DELOAD
        return [prescription_pb2.PrescriptionReason(kind=kind, description=words)]
    events = last_counted(standing.events)
    described = [reason(event, standing.rule, standing.track) for event in events]
    kind = prescription_pb2.PRESCRIPTION_REASON_KIND_PROGRESSION
    return [
        prescription_pb2.PrescriptionReason(kind=kind, description=one)
        for one in (*described, words)
    ]
