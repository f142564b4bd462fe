"""SkillService."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import exercise_pb2
from calisthenics.training.v1 import skill_pb2 as pb
from calisthenics.training.v1.skill_pb2_grpc import SkillServiceServicer

from training_service.caller import athlete_scope
from training_service.domain import paging
from training_service.domain.exercise import MovementKind
from training_service.domain.skill import (
    Skill,
    SkillGraph,
    Unlock,
    distance,
    missing_amount,
    missing_sessions,
)
from training_service.servicers.convert import to_date
from training_service.servicers.enums import EnumNames
from training_service.servicers.exercise import criterion_message
from training_service.servicers.paging import listing_digest
from training_service.servicers.skill_source import SkillSource
from training_service.storage.exercise import ExerciseFacts

CATEGORY = EnumNames(exercise_pb2.ExerciseCategory)
EQUIPMENT = EnumNames(exercise_pb2.Equipment)
STATE = EnumNames(pb.SkillState)

Facts = Mapping[UUID, ExerciseFacts]


class SkillServicer(SkillServiceServicer):
    """Where an athlete stands in the progression graph, and what comes next."""

    def __init__(self, source: SkillSource) -> None:
        self._source = source

    async def GetProgressionGraph(
        self, request: pb.GetProgressionGraphRequest, context: Any
    ) -> pb.ProgressionGraph:
        scope = athlete_scope(request.external_user_id)
        if request.family:
            graph, facts = await self._source.family(scope, request.family)
        else:
            graph, facts = await self._source.whole(scope)
        shown = _of_family(request.family, graph, facts) if request.family else graph.skills
        ordered = sorted(shown.values(), key=lambda one: (one.difficulty, one.slug))
        return pb.ProgressionGraph(
            skills=[_skill(one, graph, facts) for one in ordered],
            edges=[
                pb.SkillEdge(easier_exercise_id=str(easier.id), harder_exercise_id=str(one.id))
                for one in ordered
                for easier in graph.easier[one.id]
                if easier.id in shown
            ],
        )

    async def ListUnlocks(
        self, request: pb.ListUnlocksRequest, context: Any
    ) -> pb.ListUnlocksResponse:
        scope = athlete_scope(request.external_user_id)
        listing = listing_digest(request, scope)
        after = paging.decode_page_token(listing, request.page_token, (int, int, int, str))
        limit = paging.page_limit(request.page_size)
        graph, facts = await self._source.whole(scope)
        found = [
            unlock
            for unlock in graph.unlocks()
            if _is_asked_for(facts[unlock.skill.id], request)
            and (after is None or unlock.place > after)
        ]
        response = pb.ListUnlocksResponse(
            unlocks=[_unlock(unlock, graph, facts) for unlock in found[:limit]]
        )
        if len(found) > limit:
            response.next_page_token = paging.encode_page_token(listing, found[limit - 1].place)
        return response

    async def GetSkillPath(self, request: pb.GetSkillPathRequest, context: Any) -> pb.SkillPath:
        scope = athlete_scope(request.external_user_id)
        target_id = UUID(request.exercise_id)
        graph, facts = await self._source.towards(scope, target_id)
        path = graph.path(graph.skills[target_id])
        return pb.SkillPath(
            exercise_id=str(target_id),
            already_passed=not path.steps,
            start_exercise_id=str(path.start.id) if path.start and path.steps else "",
            steps=[
                pb.SkillStep(skill=_skill(step.skill, graph, facts), weight=step.weight)
                for step in path.steps
            ],
            total_weight=path.total_weight,
            share=graph.share_done(path),
        )


def _of_family(family: str, graph: SkillGraph, facts: Facts) -> dict[UUID, Skill]:
    """Returns the exercises of a family, and those of others that lead to them directly."""
    members = [skill for id, skill in graph.skills.items() if facts[id].family == family]
    leading = [easier for skill in members for easier in graph.easier[skill.id]]
    return {skill.id: skill for skill in (*members, *leading)}


def _is_asked_for(facts: ExerciseFacts, request: pb.ListUnlocksRequest) -> bool:
    categories = map(CATEGORY.name, request.categories)
    at_hand = map(EQUIPMENT.name, request.equipment_at_hand)
    return (
        (not request.family or facts.family == request.family)
        and (not request.categories or facts.traits.category in categories)
        and (not request.equipment_at_hand or set(facts.equipment) <= set(at_hand))
    )


def _skill(skill: Skill, graph: SkillGraph, facts: Facts) -> pb.Skill:
    of = facts[skill.id]
    practice = graph.practices.get(skill.id)
    message = pb.Skill(
        exercise_id=str(skill.id),
        slug=skill.slug,
        display_name=of.display_name,
        family=of.family,
        category=CATEGORY.number(of.traits.category),
        difficulty=skill.difficulty,
        criterion=criterion_message(skill.criterion, of.movement_kind),
        state=STATE.number(graph.state(skill)),
        share=graph.share(skill),
    )
    if practice:
        message.best_sets.extend(practice.best_sets)
        message.last_sets.extend(practice.last_sets)
        message.session_run = practice.session_run
        message.session_count = practice.session_count
        message.last_date.CopyFrom(to_date(practice.last_date))
        if practice.passed_date:
            message.passed_date.CopyFrom(to_date(practice.passed_date))
    return message


def _unlock(unlock: Unlock, graph: SkillGraph, facts: Facts) -> pb.Unlock:
    skill = unlock.work_on
    of = facts[skill.id]
    practice = graph.practices.get(skill.id)
    message = pb.Unlock(
        skill=_skill(unlock.skill, graph, facts),
        work_on=_skill(skill, graph, facts),
        share=unlock.share,
        distance=distance(of.display_name, of.movement_kind, skill.criterion, practice),
        missing_session_count=missing_sessions(skill.criterion, practice),
    )
    missing = missing_amount(skill.criterion, practice)
    if of.movement_kind is MovementKind.ISOMETRIC:
        message.missing_hold_seconds = missing
    else:
        message.missing_reps = missing
    return message
