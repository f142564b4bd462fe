"""GoalService."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

import uuid6
from calisthenics.training.v1 import goal_pb2 as pb
from calisthenics.training.v1.goal_pb2_grpc import GoalServiceServicer

from training_service import contract
from training_service.caller import Scope, athlete_scope
from training_service.domain.exercise import MovementKind
from training_service.domain.forecast import Forecast
from training_service.domain.goal import (
    Evidence,
    Goal,
    GoalKind,
    GoalStatus,
    GoalTarget,
    PathStep,
    Standing,
    current_value,
    standing,
)
from training_service.domain.session import check_counted_in_reps, check_counted_in_seconds
from training_service.domain.skill import step_weight
from training_service.errors import Reason, TrainingError, bad_reference, invalid_field
from training_service.servicers.convert import (
    exercise_uuid,
    from_date,
    to_date,
    to_timestamp,
    utc_now,
    write_request,
)
from training_service.servicers.dates import today_of
from training_service.servicers.enums import EnumNames
from training_service.servicers.goal_evidence import goal_evidence
from training_service.servicers.masks import check_etag, masked_fields, merged
from training_service.servicers.once import once
from training_service.servicers.paging import page_by_id
from training_service.servicers.skill_source import SkillSource
from training_service.storage.exercise import Catalogue, ExerciseFacts
from training_service.storage.goal import GoalChange, GoalRepository

STATUS = EnumNames(pb.GoalStatus)
WITHHELD = EnumNames(pb.ForecastWithheldReason)

CHANGEABLE = ["display_name", "deadline"]
MAX_PAGE_SIZE = 100
"""Most goals of a page: each has a line drawn through its days."""
VALUES = {
    GoalKind.REPS: "reps",
    GoalKind.HOLD: "hold_seconds",
    GoalKind.LOAD: "load_kg",
    GoalKind.RELATIVE_STRENGTH: "body_mass_ratio",
    GoalKind.FREQUENCY: "sessions_per_week",
}
"""The field of each target that says how much; a skill has none."""
WHOLE = frozenset({GoalKind.REPS, GoalKind.FREQUENCY})
"""Kinds that count in whole numbers."""


class GoalServicer(GoalServiceServicer):
    """What athletes want to reach, and how far they are."""

    def __init__(self, goals: GoalRepository, catalogue: Catalogue, skills: SkillSource) -> None:
        self._goals = goals
        self._catalogue = catalogue
        self._skills = skills

    async def CreateGoal(self, request: pb.CreateGoalRequest, context: Any) -> pb.Goal:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        today = today_of(request)
        target = _target(request.goal)
        facts = await self._facts(target)
        refusal = _refusal(request.goal, target, facts, today)
        goal = Goal(
            id=uuid6.uuid7(),
            display_name=request.goal.display_name,
            target=target,
            path=() if refusal else await self._path(scope, target),
            created_date=today,
            deadline=_deadline(request.goal),
            created_at=write.received_at,
            author_user_id=scope.author_user_id,
        )
        evidence = Evidence() if refusal else await self._evidence_of(scope, goal, today)
        if not refusal:
            await self._catalogue.freeze(facts, write.received_at)

        async def work(change: GoalChange) -> pb.Goal:
            if refusal:
                raise refusal
            based = replace(goal, base_value=_base_value(goal, evidence))
            await change.insert(based)
            return _message(scope, based, evidence, today)

        return await once(self._goals.change(scope), write, pb.Goal, work)

    async def GetGoal(self, request: pb.GetGoalRequest, context: Any) -> pb.Goal:
        scope = athlete_scope(request.external_user_id)
        today = today_of(request)
        goal = await self._goals.get(scope, UUID(request.goal_id))
        if goal is None:
            raise _goal_not_found()
        return _message(scope, goal, await self._evidence_of(scope, goal, today), today)

    async def ListGoals(self, request: pb.ListGoalsRequest, context: Any) -> pb.ListGoalsResponse:
        scope = athlete_scope(request.external_user_id)
        today = today_of(request)
        read = partial(self._goals.list_page, scope, show_abandoned=request.show_abandoned)
        page, token = await page_by_id(request, scope, read, most=MAX_PAGE_SIZE)
        evidence = await self._evidence(scope, page, today)
        response = pb.ListGoalsResponse(next_page_token=token)
        for goal in page:
            await asyncio.sleep(0)  # other calls have their turn between goals
            response.goals.append(_message(scope, goal, evidence[goal.id], today))
        return response

    async def UpdateGoal(self, request: pb.UpdateGoalRequest, context: Any) -> pb.Goal:
        scope = athlete_scope(request.external_user_id)
        fields = masked_fields(request.update_mask, CHANGEABLE)
        write = write_request(request, utc_now())
        today = today_of(request)
        evidence = await self._evidence_of_stored(scope, request.goal_id, today)

        async def work(change: GoalChange) -> pb.Goal:
            goal = await _lock(change, request.goal_id, request.goal.etag, "goal.etag")
            message = merged(_as_given(goal), request.goal, fields)
            contract.check(message, "goal")
            if "deadline" in fields:
                _check_deadline(_deadline(message), today)
            changed = replace(
                goal,
                display_name=message.display_name,
                deadline=_deadline(message),
                version=goal.version + 1,
                author_user_id=scope.author_user_id,
            )
            await change.update(changed, write.received_at)
            return _message(scope, changed, evidence, today)

        return await once(self._goals.change(scope), write, pb.Goal, work)

    async def AbandonGoal(self, request: pb.AbandonGoalRequest, context: Any) -> pb.Goal:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        today = today_of(request)
        evidence = await self._evidence_of_stored(scope, request.goal_id, today)

        async def work(change: GoalChange) -> pb.Goal:
            goal = await _lock(change, request.goal_id, request.etag, "etag")
            if standing(goal, evidence, today).status is GoalStatus.ACHIEVED:
                raise TrainingError(Reason.GOAL_ACHIEVED, "the goal is achieved")
            changed = replace(
                goal,
                abandoned_at=write.received_at,
                version=goal.version + 1,
                author_user_id=scope.author_user_id,
            )
            await change.update(changed, write.received_at)
            return _message(scope, changed, evidence, today)

        return await once(self._goals.change(scope), write, pb.Goal, work)

    async def _facts(self, target: GoalTarget) -> dict[UUID, ExerciseFacts]:
        """Returns the facts of the exercise of a target, if it has one and that exists."""
        if target.exercise_id is None:
            return {}
        return await self._catalogue.facts([target.exercise_id], max_age_seconds=0)

    async def _path(self, scope: Scope, target: GoalTarget) -> Sequence[PathStep]:
        """Returns the exercises that are still to pass for a skill: itself, when it is passed."""
        if target.kind is not GoalKind.SKILL or target.exercise_id is None:
            return ()
        graph, _ = await self._skills.towards(scope, target.exercise_id)
        skill = graph.skills[target.exercise_id]
        steps = graph.path(skill).steps
        if not steps:
            return [PathStep(skill.id, step_weight(None, skill))]
        return [PathStep(step.skill.id, step.weight) for step in steps]

    async def _evidence_of(self, scope: Scope, goal: Goal, today: date) -> Evidence:
        return (await self._evidence(scope, [goal], today))[goal.id]

    async def _evidence_of_stored(self, scope: Scope, goal_id: str, today: date) -> Evidence:
        """Returns the evidence of a goal, or none for one that does not exist.

        Comes before the transaction: one call must not hold two connections. Raises nothing, since
        a request that came before is answered as it was then.
        """
        goal = await self._goals.get(scope, UUID(goal_id))
        return await self._evidence_of(scope, goal, today) if goal else Evidence()

    async def _evidence(
        self, scope: Scope, goals: Sequence[Goal], today: date
    ) -> Mapping[UUID, Evidence]:
        return await goal_evidence(self._goals, self._catalogue, scope, goals, today)


def _target(goal: pb.Goal) -> GoalTarget:
    name = goal.WhichOneof("target")
    assert name is not None, "the contract asks for one"
    given = getattr(goal, name)
    kind = GoalKind(name.upper())
    return GoalTarget(
        kind=kind,
        exercise_id=None if kind is GoalKind.FREQUENCY else exercise_uuid(given.exercise_id),
        value=float(getattr(given, VALUES[kind])) if kind in VALUES else None,
        min_reps=given.min_reps if kind is GoalKind.LOAD else None,
    )


def _refusal(
    given: pb.Goal, target: GoalTarget, facts: Mapping[UUID, ExerciseFacts], today: date
) -> TrainingError | None:
    """Returns what speaks against a new goal; it is raised only if the request is no repetition."""
    try:
        _check_exercise(target, facts)
        _check_deadline(_deadline(given), today)
    except TrainingError as error:
        return error
    return None


def _check_exercise(target: GoalTarget, facts: Mapping[UUID, ExerciseFacts]) -> None:
    if target.exercise_id is None:
        return
    path = f"goal.{target.kind.lower()}.exercise_id"
    found = facts.get(target.exercise_id)
    if found is None:
        raise bad_reference(Reason.UNKNOWN_EXERCISE, path, "there is no such exercise")
    if not found.active:
        raise bad_reference(Reason.EXERCISE_DEPRECATED, path, "is deprecated")
    if target.movement_kind is MovementKind.DYNAMIC:
        check_counted_in_reps(found.movement_kind, path)
    elif target.movement_kind is MovementKind.ISOMETRIC:
        check_counted_in_seconds(found.movement_kind, path)


def _deadline(goal: pb.Goal) -> date | None:
    return from_date(goal.deadline, "goal.deadline") if goal.HasField("deadline") else None


def _check_deadline(deadline: date | None, today: date) -> None:
    if deadline and deadline < today:
        raise invalid_field("goal.deadline", "must not be before today")


def _base_value(goal: Goal, evidence: Evidence) -> float | None:
    """Returns what progress is counted from: the sessions of a week begin anew each Monday."""
    if goal.target.kind is GoalKind.FREQUENCY:
        return None
    return current_value(goal.target.kind, evidence, goal.created_date)


def _goal_not_found() -> TrainingError:
    return bad_reference(Reason.GOAL_NOT_FOUND, "goal_id", "there is no such goal")


async def _lock(change: GoalChange, goal_id: str, etag: str, etag_path: str) -> Goal:
    """Returns a goal that can change; refuses one that is abandoned."""
    goal = await change.lock(UUID(goal_id))
    if goal is None:
        raise _goal_not_found()
    check_etag(etag, str(goal.version), etag_path)
    if goal.abandoned_at:
        raise TrainingError(Reason.GOAL_ABANDONED, "the goal is abandoned")
    return goal


def _as_given(goal: Goal) -> pb.Goal:
    """Returns what an athlete said of a goal."""
    target = goal.target
    message = pb.Goal(display_name=goal.display_name)
    given = getattr(message, target.kind.lower())
    given.SetInParent()
    if target.exercise_id:
        given.exercise_id = str(target.exercise_id)
    if target.value is not None:
        value = int(target.value) if target.kind in WHOLE else target.value
        setattr(given, VALUES[target.kind], value)
    if target.min_reps:
        given.min_reps = target.min_reps
    if goal.deadline:
        message.deadline.CopyFrom(to_date(goal.deadline))
    return message


def _message(scope: Scope, goal: Goal, evidence: Evidence, today: date) -> pb.Goal:
    """Returns a goal as it stands on a day."""
    message = _as_given(goal)
    message.id = str(goal.id)
    message.external_user_id = str(scope.external_user_id)
    message.etag = str(goal.version)
    message.author_user_id = str(goal.author_user_id or "")
    message.create_time.CopyFrom(to_timestamp(goal.created_at))
    message.create_date.CopyFrom(to_date(goal.created_date))
    if goal.abandoned_at:
        message.abandon_time.CopyFrom(to_timestamp(goal.abandoned_at))
    message.MergeFrom(_standing(goal, standing(goal, evidence, today)))
    return message


def _standing(goal: Goal, of: Standing) -> pb.Goal:
    """Returns the fields that say how a goal stands."""
    message = pb.Goal(
        status=STATUS.number(of.status),
        base_value=goal.base_value,
        current_value=of.current_value,
        progress=of.progress,
        forecast=_forecast(of.forecast),
        week_streak=of.week_streak,
        steps=[
            pb.GoalStep(
                exercise_id=str(one.step.exercise_id),
                weight=one.step.weight,
                passed=one.is_passed,
                share=one.share,
            )
            for one in of.steps
        ],
    )
    if of.achieved:
        message.achieved.session_id = str(of.achieved.session_id)
        message.achieved.local_date.CopyFrom(to_date(of.achieved.local_date))
    return message


def _forecast(of: Forecast) -> pb.GoalForecast:
    message = pb.GoalForecast(
        point_count=of.point_count,
        withheld_reason=WITHHELD.number(of.withheld or "UNSPECIFIED"),
    )
    if of.trend:
        message.slope_per_day = of.trend.slope
        message.slope_low_per_day = of.trend.slope_low
        message.slope_high_per_day = of.trend.slope_high
    for name in ("achieve_date", "earliest_date", "latest_date"):
        if day := getattr(of, name):
            getattr(message, name).CopyFrom(to_date(day))
    return message
