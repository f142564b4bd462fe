"""RecommendationService."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import recommendation_pb2 as pb
from calisthenics.training.v1 import session_pb2, set_pb2, workout_pb2
from calisthenics.training.v1.recommendation_pb2_grpc import RecommendationServiceServicer
from google.api.httpbody_pb2 import HttpBody

from training_service.caller import Scope, athlete_scope
from training_service.charts.data import BodyMap, MuscleState
from training_service.charts.render import ChartRenderer
from training_service.domain import recommendation as domain
from training_service.domain.goal import Goal, GoalKind, GoalStatus, standing
from training_service.domain.load import Withheld
from training_service.domain.phase import day_plan
from training_service.domain.program import workout_statistics
from training_service.domain.progression import on_day
from training_service.domain.progression_track import Phase
from training_service.domain.recovery import SECONDS_PER_HOUR, MuscleRecovery
from training_service.domain.skill import graph_of
from training_service.errors import Reason, bad_reference
from training_service.servicers.chart import chart_size, drawn
from training_service.servicers.convert import exercise_uuid, optional_uuid, utc_now
from training_service.servicers.dates import today_of
from training_service.servicers.goal_evidence import goal_evidence
from training_service.servicers.load import WITHHELD as LOAD_WITHHELD
from training_service.servicers.planned_exercise import planned_exercises
from training_service.servicers.program import PROGRAMS
from training_service.servicers.progression_answer import rule_message
from training_service.servicers.progression_standing import StandingReader
from training_service.servicers.readiness import BAND, readiness_on
from training_service.servicers.recommendation_answer import (
    EQUIPMENT,
    exclusion_message,
    exercise_message,
    recovery_message,
    workout_message,
)
from training_service.servicers.recovery import MUSCLES, muscles_of, recoveries
from training_service.servicers.rule_book import RuleBook
from training_service.storage.exercise import Catalogue, ExerciseFacts
from training_service.storage.exercise_vector import ExerciseVectors
from training_service.storage.goal import GoalRepository
from training_service.storage.metrics import ExerciseTotal
from training_service.storage.progression import StoredRule
from training_service.storage.recommendation import (
    LastDone,
    RecommendationRepository,
    WorkoutInputs,
)

DEFAULT_RESULTS = 10
NOTHING = "NONE"
"""Equipment that is nothing but the floor."""
NOTE = (
    "The cap keeps recent load within 1.5 times usual load. It describes your load pattern; it "
    "does not predict injury, and a score is a heuristic. You decide."
)

Facts = Mapping[UUID, ExerciseFacts]


class RecommendationServicer(RecommendationServiceServicer):
    """What athletes might do today, and why."""

    def __init__(
        self,
        inputs: RecommendationRepository,
        goals: GoalRepository,
        standings: StandingReader,
        catalogue: Catalogue,
        vectors: ExerciseVectors,
        renderer: ChartRenderer,
    ) -> None:
        self._inputs = inputs
        self._goals = goals
        self._standings = standings
        self._catalogue = catalogue
        self._vectors = vectors
        self._renderer = renderer

    async def GetRecoveryStatus(
        self, request: pb.GetRecoveryStatusRequest, context: Any
    ) -> pb.RecoveryStatus:
        scope = athlete_scope(request.external_user_id)
        now = utc_now()
        found, hours_since = await self._recovery(scope, now)
        return pb.RecoveryStatus(
            external_user_id=str(scope.external_user_id),
            muscles=[recovery_message(found[one], hours_since.get(one)) for one in MUSCLES],
        )

    async def GetRecoveryChart(self, request: pb.GetRecoveryChartRequest, context: Any) -> HttpBody:
        scope = athlete_scope(request.external_user_id)
        size = chart_size(request)
        found, _ = await self._recovery(scope, utc_now())
        chart = BodyMap(
            muscles=tuple(MuscleState(name=one, recovery=found[one].recovery) for one in MUSCLES)
        )
        return await drawn(self._renderer, chart, request, size)

    async def RecommendWorkouts(
        self, request: pb.RecommendWorkoutsRequest, context: Any
    ) -> pb.RecommendWorkoutsResponse:
        scope = athlete_scope(request.external_user_id)
        now, today = utc_now(), today_of(request)
        inputs = await self._inputs.for_workouts(scope, now, today)
        facts = await self._catalogue.everything()
        sessions = await _parsed(inputs.readiness.records)
        readiness = await readiness_on(today, inputs.readiness, sessions, self._catalogue)
        recent = await _parsed(inputs.recent_records)
        athlete = domain.Athlete(
            today=today,
            recoveries=await recoveries(recent, self._catalogue, now),
            goals=await self._active_goals(scope, inputs.goals, today),
            sets=_pattern_sets(inputs.done, facts),
            band=readiness.band,
        )
        given = _given(inputs)
        workouts = await self._workouts(given, inputs.histories)
        filters = domain.Filters(
            equipment=_at_hand(request.equipment_at_hand),
            resting=await self._resting(
                scope, inputs.rules, [message for _, message in given], today
            ),
            is_deload_week=day_plan(inputs.phases, today).is_deload,
            own_by_exercises={
                tuple(one.exercise_ids): one.id for one in workouts if not one.program_slug
            },
        )
        excluded = [(one, filters.exclusion(one)) for one in workouts]
        caps = domain.load_caps(inputs.readiness.loads)
        withheld = caps if isinstance(caps, Withheld) else None
        known_caps = [] if isinstance(caps, Withheld) else caps
        cap = known_caps[0] if known_caps else None
        ranked = domain.recommend_workouts([one for one, why in excluded if not why], athlete)
        return pb.RecommendWorkoutsResponse(
            recommendations=[
                workout_message(one, cap)
                for one in ranked[: request.max_results or DEFAULT_RESULTS]
            ],
            excluded=[
                exclusion_message(why)
                for _, why in sorted(excluded, key=lambda pair: pair[0].id)
                if why
            ],
            load_caps=[pb.LoadCap(**one._asdict()) for one in known_caps],
            load_cap_withheld_reason=LOAD_WITHHELD.number(withheld or "UNSPECIFIED"),
            rest_suggested=cap is not None and cap.left_au <= 0,
            readiness_band=BAND.number(readiness.band or "UNSPECIFIED"),
            deload_week=filters.is_deload_week,
            note=NOTE,
        )

    async def RecommendExercises(
        self, request: pb.RecommendExercisesRequest, context: Any
    ) -> pb.RecommendExercisesResponse:
        scope = athlete_scope(request.external_user_id)
        now, today = utc_now(), today_of(request)
        swapped_id = optional_uuid(request.swapped_exercise_id)
        if swapped_id and not await self._catalogue.facts([swapped_id]):
            raise bad_reference(
                Reason.EXERCISE_NOT_FOUND, "swapped_exercise_id", "there is no such exercise"
            )
        facts = await self._catalogue.everything()
        skills = {id: of.skill for id, of in facts.items()}
        criteria = {id: skill.criterion for id, skill in skills.items()}
        inputs = await self._inputs.for_exercises(scope, now, today, criteria)
        sessions = await _parsed(inputs.records)
        athlete = domain.Athlete(
            today=today,
            recoveries=await recoveries(sessions, self._catalogue, now),
            goals=await self._active_goals(scope, inputs.goals, today),
            sets=_pattern_sets(inputs.done, facts),
        )
        known = {id: _exercise(of) for id, of in facts.items()}
        exercises = domain.Exercises(
            athlete=athlete,
            graph=graph_of(skills, inputs.practices),
            known=known,
            done_ids=frozenset(one.exercise_id for one in inputs.done if one.set_count),
            equipment=_at_hand(request.equipment_at_hand),
            similarities=await self._vectors.near(swapped_id) if swapped_id else None,
        )
        found = [
            exercises.additions(),
            exercises.progressions(),
            exercises.swaps(known[swapped_id]) if swapped_id else [],
        ]
        most = request.max_results or DEFAULT_RESULTS
        return pb.RecommendExercisesResponse(
            recommendations=[exercise_message(one) for of_kind in found for one in of_kind[:most]]
        )

    async def _recovery(
        self, scope: Scope, now: datetime
    ) -> tuple[dict[str, MuscleRecovery], dict[str, float]]:
        """Returns how far muscles have recovered, and the hours since each was last worked."""
        inputs = await self._inputs.recovery(scope, now)
        sessions = await _parsed(inputs.records)
        found = await recoveries(sessions, self._catalogue, now)
        facts = await self._catalogue.facts(one.exercise_id for one in inputs.last_done)
        return found, _hours_since(inputs.last_done, facts, now)

    async def _active_goals(
        self, scope: Scope, goals: Sequence[Goal], today: date
    ) -> list[domain.GoalRef]:
        """Returns the goals with a way to them that are neither achieved nor abandoned."""
        with_way = [goal for goal in goals if goal.target.kind is not GoalKind.FREQUENCY]
        evidence = await goal_evidence(self._goals, self._catalogue, scope, with_way, today)
        active = {GoalStatus.ACTIVE, GoalStatus.OVERDUE}
        return [
            domain.GoalRef(goal.id, goal.display_name, _on_the_way(goal))
            for goal in with_way
            if standing(goal, evidence[goal.id], today).status in active
        ]

    async def _resting(
        self,
        scope: Scope,
        rules: Sequence[StoredRule],
        workouts: Sequence[workout_pb2.Workout],
        today: date,
    ) -> dict[UUID, frozenset[UUID]]:
        """Returns the exercises of workouts whose rule of progression is in a deload today: the
        rule that a planned session would go by."""
        book = RuleBook(map(rule_message, rules))
        used = book.of_all(workouts)
        standings = await self._standings.of(scope, used, today)
        resting = {
            rule.id
            for rule, one in zip(used, standings, strict=True)
            if on_day(one.rule, one.state, today).state.phase is Phase.DELOAD
        }
        if not resting:
            return {}
        return {
            UUID(workout.id): frozenset(
                exercise_uuid(exercise.exercise_id)
                for exercise in workout.exercises
                if (rule := book.of(workout.id, exercise)) and rule.id in resting
            )
            for workout in workouts
        }

    async def _workouts(
        self,
        given: Sequence[tuple[str, workout_pb2.Workout]],
        histories: Mapping[UUID, domain.WorkoutHistory],
    ) -> list[domain.Workout]:
        """Returns workouts, each given with the programme that it is of."""
        named = {exercise_uuid(e.exercise_id) for _, one in given for e in one.exercises}
        facts = await self._catalogue.facts(named)
        workouts = []
        for slug, message in given:
            await asyncio.sleep(0)  # other calls have their turn between workouts
            # The database may have another catalogue than a programme.
            if all(exercise_uuid(e.exercise_id) in facts for e in message.exercises):
                history = histories.get(UUID(message.id))
                workouts.append(_workout(message, slug, facts, history))
        return workouts


def _given(inputs: WorkoutInputs) -> list[tuple[str, workout_pb2.Workout]]:
    """Returns the athlete's workouts and those of the built-in programmes, with their programme."""
    own = [("", workout_pb2.Workout.FromString(one.record)) for one in inputs.workouts]
    return [*own, *((slug, one) for slug, of in PROGRAMS.items() for one in of.workouts)]


async def _parsed(records: Collection[bytes]) -> list[session_pb2.Session]:
    sessions = []
    for record in records:
        await asyncio.sleep(0)  # other calls have their turn between sessions
        sessions.append(session_pb2.Session.FromString(record))
    return sessions


def _hours_since(done: Iterable[LastDone], facts: Facts, now: datetime) -> dict[str, float]:
    """Returns the hours since each muscle was last worked; of those that were."""
    found: dict[str, float] = {}
    for exercise_id, ended_at in done:
        hours = max((now - ended_at).total_seconds() / SECONDS_PER_HOUR, 0.0)
        for muscle, _ in muscles_of(facts[exercise_id]).weights():
            found[muscle] = min(hours, found.get(muscle, hours))
    return found


def _at_hand(given: Sequence[int]) -> frozenset[str] | None:
    """Returns the equipment at hand; None when all is."""
    if not given:
        return None
    return frozenset(map(EQUIPMENT.name, given)) - {NOTHING}


def _on_the_way(goal: Goal) -> frozenset[UUID]:
    """Returns the exercises along the way to a goal."""
    own = {goal.target.exercise_id} if goal.target.exercise_id else set()
    return frozenset({*own, *(step.exercise_id for step in goal.path)})


def _pattern_sets(done: Iterable[ExerciseTotal], facts: Facts) -> dict[domain.Pattern, float]:
    return domain.pattern_sets((_exercise(facts[one.exercise_id]), one.set_count) for one in done)


def _exercise(facts: ExerciseFacts) -> domain.Exercise:
    return domain.Exercise(
        id=facts.id,
        slug=facts.skill.slug,
        name=facts.display_name,
        family=facts.family,
        category=facts.traits.category,
        difficulty=facts.traits.difficulty,
        movement_kind=facts.movement_kind,
        muscles=muscles_of(facts),
        equipment=frozenset(facts.equipment),
    )


def _workout(
    message: workout_pb2.Workout,
    program_slug: str,
    facts: Facts,
    history: domain.WorkoutHistory | None,
) -> domain.Workout:
    ids = [exercise_uuid(one.exercise_id) for one in message.exercises]
    return domain.Workout(
        id=UUID(message.id),
        revision=message.revision,
        name=message.display_name,
        program_slug=program_slug,
        statistics=workout_statistics(planned_exercises(message.exercises, facts), None),
        exercise_ids=[
            id
            for id, one in zip(ids, message.exercises, strict=True)
            if one.kind != set_pb2.SET_KIND_WARM_UP
        ],
        equipment=frozenset(item for id in ids for item in facts[id].equipment),
        history=history,
    )
