"""Where an athlete stands in the progression graph, gathered from catalogue and log."""

from collections.abc import Mapping
from uuid import UUID

from training_service.caller import Scope
from training_service.domain.skill import (
    Practice,
    Skill,
    SkillGraph,
    graph_of,
    graph_towards,
    leading_to,
)
from training_service.errors import Reason, bad_reference, invalid_field
from training_service.storage.exercise import Catalogue, ExerciseFacts
from training_service.storage.skill import SkillRepository


class SkillSource:
    """Makes graphs for one athlete at a time: one query each, of what the graph depends on."""

    def __init__(self, skills: SkillRepository, catalogue: Catalogue) -> None:
        self._skills = skills
        self._catalogue = catalogue

    async def whole(self, scope: Scope) -> tuple[SkillGraph, Mapping[UUID, ExerciseFacts]]:
        """Returns the graph of all families, with the facts of its exercises."""
        facts = await self._catalogue.everything()
        skills = {id: of.skill for id, of in facts.items()}
        return graph_of(skills, await self._practices(scope, skills)), facts

    async def family(
        self, scope: Scope, family: str
    ) -> tuple[SkillGraph, Mapping[UUID, ExerciseFacts]]:
        """Returns the graph of a family and of all that leads to it; refuses a family without an
        exercise."""
        facts = await self._catalogue.everything()
        members = [id for id, of in facts.items() if of.family == family]
        if not members:
            raise invalid_field("family", "no exercise belongs to it")
        skills = leading_to(members, {id: of.skill for id, of in facts.items()})
        return graph_of(skills, await self._practices(scope, skills)), facts

    async def towards(
        self, scope: Scope, target_id: UUID
    ) -> tuple[SkillGraph, Mapping[UUID, ExerciseFacts]]:
        """Returns the graph of all that leads to an exercise; refuses one that does not exist."""
        facts = await self._catalogue.everything()
        if target_id not in facts:
            # Perhaps it is new: asking for it by name asks the database.
            if not await self._catalogue.facts([target_id]):
                raise bad_reference(
                    Reason.EXERCISE_NOT_FOUND, "exercise_id", "there is no such exercise"
                )
            facts = await self._catalogue.everything()
        skills = leading_to([target_id], {id: of.skill for id, of in facts.items()})
        practices = await self._practices(scope, skills)
        return graph_towards(skills[target_id], skills, practices), facts

    async def _practices(self, scope: Scope, skills: Mapping[UUID, Skill]) -> dict[UUID, Practice]:
        criteria = {id: skill.criterion for id, skill in skills.items()}
        return await self._skills.practices(scope, criteria)
