"""What an athlete's sessions say of goals."""

from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

from training_service.caller import Scope
from training_service.domain.exercise import Criterion
from training_service.domain.goal import Evidence, Goal
from training_service.storage.exercise import Catalogue
from training_service.storage.goal import GoalRepository


async def goal_evidence(
    repository: GoalRepository,
    catalogue: Catalogue,
    scope: Scope,
    goals: Sequence[Goal],
    today: date,
) -> Mapping[UUID, Evidence]:
    """Returns what the athlete's sessions say of goals, in a single round trip for all."""
    on_paths = {step.exercise_id for goal in goals for step in goal.path}
    criteria: dict[UUID, Criterion] = {}
    if on_paths:
        facts = await catalogue.everything()
        if not on_paths <= facts.keys():
            # Perhaps one is new: asking for it by name asks the database.
            facts = await catalogue.facts(on_paths)
        criteria = {id: facts[id].skill.criterion for id in on_paths}
    return await repository.evidence(scope, goals, criteria, today)
