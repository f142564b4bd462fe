"""Reads how ready for training athletes seem to be."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from calisthenics.training.v1 import session_pb2

from training_service.caller import Scope
from training_service.domain import readiness as domain
from training_service.domain.metrics import completion
from training_service.domain.readiness import (
    Absence,
    Component,
    ComponentKind,
    RatedSession,
    Readiness,
)
from training_service.servicers.convert import exercise_uuid, from_date
from training_service.servicers.session_metrics import to_logged, working_sets
from training_service.storage.exercise import Catalogue
from training_service.storage.readiness import ReadinessInputs, ReadinessRepository


@dataclass(frozen=True, slots=True)
class Reading:
    """How ready an athlete seems to be on a day, and what that was made of."""

    readiness: Readiness
    inputs: ReadinessInputs
    sessions: Sequence[session_pb2.Session]
    """Those that count of the 35 days up to it, the latest first."""


class ReadinessReader:
    """Reads what readiness is made of, and reckons it."""

    def __init__(self, inputs: ReadinessRepository, catalogue: Catalogue) -> None:
        self._inputs = inputs
        self._catalogue = catalogue

    async def read(self, scope: Scope, day: date) -> Reading:
        """Returns the readiness of a day; in one round trip."""
        inputs = await self._inputs.inputs(scope, day)
        sessions = [session_pb2.Session.FromString(record) for record in inputs.records]
        shares = await self._shares_done(sessions, day)
        found = domain.readiness(_components(day, inputs, sessions, shares))
        return Reading(found, inputs, sessions)

    async def _shares_done(self, sessions: Sequence[session_pb2.Session], day: date) -> list[float]:
        """Returns how much of their plans the last sessions of a workout got done, the latest
        first: of as many as count."""
        planned = [
            session
            for session in sessions
            if session.workout_id
            and domain.is_within(domain.COMPLETION_DAYS, _local_date(session), day)
        ]
        ids = {exercise_uuid(e.exercise_id) for session in planned for e in session.exercises}
        facts = await self._catalogue.facts(ids)
        shares: list[float] = []
        for session in planned:
            await asyncio.sleep(0)  # other calls have their turn between sessions
            if (share := completion(to_logged(session, facts))) is not None:
                shares.append(share)
            if len(shares) == domain.COMPLETION_SESSIONS:
                break
        return shares


def _local_date(session: session_pb2.Session) -> date:
    return from_date(session.local_date, "session.local_date")


def _rated_sessions(sessions: Sequence[session_pb2.Session]) -> Iterator[RatedSession]:
    """Yields sessions, the latest first, with their rated sets of the exercises that it has."""
    exercise_ids = {e.exercise_id for latest in sessions[:1] for e in latest.exercises}
    for session in sessions:
        sets = [
            one
            for exercise in session.exercises
            if exercise.exercise_id in exercise_ids
            for one in domain.rated_sets(
                exercise_uuid(exercise.exercise_id), working_sets(exercise)
            )
        ]
        yield RatedSession(_local_date(session), sets)


def _components(
    day: date,
    inputs: ReadinessInputs,
    sessions: Sequence[session_pb2.Session],
    shares: Sequence[float],
) -> list[Component]:
    """Returns all components, in the order of the contract."""
    days_since = (day - inputs.last_date).days if inputs.last_date else Absence.NO_SESSION
    entry = inputs.wellness
    hooper_index = entry.ratings.hooper_index if entry else Absence.NO_WELLNESS_ENTRY
    drift = domain.rpe_drift_of(_rated_sessions(sessions), day)
    return [
        domain.component(ComponentKind.COMPLETION, domain.mean_completion(shares)),
        domain.component(ComponentKind.RPE_DRIFT, drift),
        *domain.load_components(inputs.loads),
        domain.component(ComponentKind.DAYS_SINCE_SESSION, days_since),
        domain.component(ComponentKind.WELLNESS, hooper_index),
    ]
