"""Recovery from sessions as they were stored."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from calisthenics.training.v1 import exercise_pb2, session_pb2

from training_service.domain.recovery import (
    LONGEST_WINDOW,
    MuscleRecovery,
    Muscles,
    Trained,
    muscle_recoveries,
)
from training_service.servicers.convert import exercise_uuid, optional_field
from training_service.servicers.enums import EnumNames
from training_service.servicers.session_metrics import working_sets
from training_service.storage.exercise import Catalogue, ExerciseFacts

MUSCLE = EnumNames(exercise_pb2.Muscle)
MUSCLES = [MUSCLE.name(value.number) for value in exercise_pb2.Muscle.DESCRIPTOR.values[1:]]
"""All muscles, in the order of the contract."""


async def recoveries(
    sessions: Collection[session_pb2.Session], catalogue: Catalogue, now: datetime
) -> dict[str, MuscleRecovery]:
    """Returns how far each muscle has recovered from sessions, which may be too old to matter."""
    recent = [one for one in sessions if _ended_at(one) > now - LONGEST_WINDOW]
    ids = {exercise_uuid(e.exercise_id) for session in recent for e in session.exercises}
    facts = await catalogue.facts(ids)
    return muscle_recoveries(MUSCLES, _trained(recent, facts), now)


def muscles_of(facts: ExerciseFacts) -> Muscles:
    """Returns what an exercise works."""
    return Muscles(facts.primary_muscles, facts.secondary_muscles)


def _trained(
    sessions: Iterable[session_pb2.Session], facts: Mapping[UUID, ExerciseFacts]
) -> Iterable[Trained]:
    for session in sessions:
        yield Trained(
            session_id=UUID(session.id),
            ended_at=_ended_at(session),
            session_rpe=optional_field(session, "session_rpe"),
            exercises=[
                (muscles_of(facts[exercise_uuid(one.exercise_id)]), working_sets(one))
                for one in session.exercises
            ],
        )


def _ended_at(session: session_pb2.Session) -> datetime:
    """Returns the end of a session; without a known duration its start."""
    return session.start_time.ToDatetime(UTC) + timedelta(seconds=session.duration_seconds)
