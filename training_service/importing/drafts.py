"""Makes sessions of the contract out of imported ones, and says what they can't hold."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import NAMESPACE_DNS, UUID, uuid5
from zoneinfo import ZoneInfo

from calisthenics.training.v1 import exercise_pb2, session_pb2, set_pb2

from training_service.importing.formats import (
    ImportedExercise,
    ImportedSession,
    ImportedSet,
    Source,
)
from training_service.importing.matching import Match, is_assisted

REQUEST_NAMESPACE = uuid5(NAMESPACE_DNS, "imports.training.calisthenics")

UNMATCHED = "not in the catalogue"
NO_VOLUME = "neither repetitions nor seconds"
REPS_OF_HOLD = "held, but has repetitions only"
SECONDS_OF_MOVEMENT = "counted, but has seconds only"
ASSISTANCE_UNKNOWN = "assisted, but not by how much"


@dataclass(frozen=True, slots=True)
class Omission:
    """A set that is left out of its session, and why."""

    line: int
    exercise: str
    reason: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A session ready to be logged; None when nothing of it can be."""

    imported: ImportedSession
    request: session_pb2.LogSessionRequest | None
    omissions: tuple[Omission, ...]


@dataclass(frozen=True, slots=True)
class Drafter:
    """Makes the drafts of one athlete's file."""

    external_user_id: UUID
    source: Source
    zone: ZoneInfo
    matches: Mapping[str, Match]

    def draft(self, imported: ImportedSession) -> Draft:
        """Returns a session as it can be logged, with what it must leave out."""
        omissions: list[Omission] = []
        exercises = [
            exercise
            for given in imported.exercises
            if (exercise := self._exercise(given, omissions)) is not None
        ]
        if not exercises:
            return Draft(imported, None, tuple(omissions))
        session = session_pb2.Session(
            time_zone=self.zone.key,
            duration_seconds=imported.duration_seconds,
            notes="\n\n".join(filter(None, (imported.name, imported.notes))),
            exercises=exercises,
        )
        session.start_time.FromDatetime(instant(imported.start, self.zone))
        request = session_pb2.LogSessionRequest(
            session=session, request_id=self._request_id(imported)
        )
        return Draft(imported, request, tuple(omissions))

    def _request_id(self, imported: ImportedSession) -> str:
        # Of what the file says alone. Were the zone or the matches part of it, a second run with
        # others would store every session a second time; so it is refused instead.
        parts = (str(self.external_user_id), self.source.value, imported.content())
        return str(uuid5(REQUEST_NAMESPACE, "\n".join(parts)))

    def _exercise(
        self, given: ImportedExercise, omissions: list[Omission]
    ) -> session_pb2.SessionExercise | None:
        match = self.matches.get(given.name)
        sets = []
        for one in given.sets:
            reason = UNMATCHED if match is None else _obstacle(one, given.name, match.exercise)
            if reason:
                omissions.append(Omission(one.line, given.name, reason))
            elif match is not None:
                sets.append(_performed(one, given.name, match.exercise))
        if match is None or not sets:
            return None
        return session_pb2.SessionExercise(
            exercise_id=match.exercise.id,
            sets=sets,
            superset_group=given.superset,
            notes=given.notes,
        )


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """Returns the instant, in UTC, of a local time in a zone.

    Of an hour that comes twice it is the first. One that clocks skip lies as much later as they
    skip: 02:30 becomes 03:30.
    """
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def batches(
    requests: Iterable[session_pb2.LogSessionRequest], max_sessions: int, max_sets: int
) -> Iterator[Sequence[session_pb2.LogSessionRequest]]:
    """Yields requests in batches of no more sessions and sets; a larger session comes alone."""
    batch: list[session_pb2.LogSessionRequest] = []
    total = 0
    for request in requests:
        sets = sum(len(exercise.sets) for exercise in request.session.exercises)
        if batch and (len(batch) == max_sessions or total + sets > max_sets):
            yield batch
            batch, total = [], 0
        batch.append(request)
        total += sets
    if batch:
        yield batch


def _is_held(exercise: exercise_pb2.Exercise) -> bool:
    return exercise.movement_kind == exercise_pb2.MOVEMENT_KIND_ISOMETRIC


def _obstacle(one: ImportedSet, name: str, exercise: exercise_pb2.Exercise) -> str:
    """Returns why a set can't be stored; empty when it can."""
    if one.reps is None and one.seconds is None:
        return NO_VOLUME
    if _is_held(exercise) and one.seconds is None:
        return REPS_OF_HOLD
    if not _is_held(exercise) and one.reps is None:
        return SECONDS_OF_MOVEMENT
    if is_assisted(name) and one.weight_kg is None and not is_assisted(exercise.slug):
        # Without a load it would be stored as done without help.
        return ASSISTANCE_UNKNOWN
    return ""


def _performed(
    one: ImportedSet, name: str, exercise: exercise_pb2.Exercise
) -> session_pb2.PerformedSet:
    held = _is_held(exercise)
    load = one.weight_kg
    if load is not None and is_assisted(name):
        load = -abs(load)
    performed = session_pb2.PerformedSet(
        kind=set_pb2.SET_KIND_WARM_UP if one.is_warm_up else set_pb2.SET_KIND_UNSPECIFIED,
        actual_reps=None if held else one.reps,
        actual_hold_seconds=one.seconds if held else None,
        load_kg=load,
        notes=one.notes,
    )
    if one.rpe is not None:
        performed.rpe = one.rpe
    return performed
