"""Where rules of progression stand: a replay of the log, of which a process does only what it has
not done yet."""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import takewhile
from typing import NamedTuple
from uuid import UUID

from cachetools import LRUCache
from calisthenics.training.v1 import progression_pb2 as pb
from calisthenics.training.v1 import session_pb2

from training_service.caller import Scope
from training_service.domain.periods import ONE_DAY
from training_service.domain.phase import DateRange, Phase, day_plan
from training_service.domain.prescription import DayFactors, day_factors
from training_service.domain.progression import (
    Context,
    Event,
    Intent,
    Performance,
    beginning,
    done_sets,
    step,
)
from training_service.domain.progression_policy import Done, Rule
from training_service.domain.progression_track import State, Track
from training_service.servicers.convert import exercise_uuid, from_date, optional_uuid
from training_service.servicers.dates import EPOCH
from training_service.servicers.enums import EnumNames
from training_service.servicers.progression_rule import Facts, named_exercises, to_rule, to_track
from training_service.servicers.session_metrics import working_sets
from training_service.storage.exercise import Catalogue
from training_service.storage.phase import PhaseRepository
from training_service.storage.progression import ProgressionRepository, SessionPlace, SessionsOf

INTENT = EnumNames(session_pb2.SessionIntent)
SESSIONS_PER_TURN = 100
"""How many sessions are read before other calls have their turn."""
KEPT_SESSIONS = 50_000
"""How many sessions of rules a process remembers what came of, at about 0.6 kB each."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A rule, and what came of it session by session."""

    rule: Rule
    track: Track
    performed: Sequence[SessionPlace]
    """The sessions, in their order."""
    states: Sequence[State]
    """Before the first of them, and after each."""
    events: Sequence[Sequence[Event]]
    """Of each session."""
    phases: Sequence[Phase] = ()
    """Those that the sessions, and the day that was asked for, may be in."""

    @property
    def state(self) -> State:
        """Where the rule stands after all of them."""
        return self.states[-1]

    def until(self, count: int) -> "Standing":
        """Returns where the rule stood after the first of them."""
        return replace(
            self,
            performed=self.performed[:count],
            states=self.states[: count + 1],
            events=self.events[:count],
        )

    def before(self, day: date, session_id: UUID | None = None) -> "Standing":
        """Returns where the rule stood before a session, or else before a day."""
        ids = [one.session_id for one in self.performed]
        if session_id in ids:
            return self.until(ids.index(session_id))
        return self.until(bisect_left(self.performed, day, key=lambda one: one.local_date))

    def factors(self, day: date) -> DayFactors:
        """Returns what the phases of a day ask for."""
        return day_factors(day_plan(self.phases, day))


class _Kept(NamedTuple):
    """What a process remembers of a rule."""

    standing: Standing
    facts: Facts
    """The catalogue that it was reckoned by."""


class StandingReader:
    """Replays rules over the log.

    What came of sessions is kept in memory, and which sessions there are is asked each time: so a
    session that is amended, voided or logged late is replayed from its place on. After a change of
    phases that sessions were in, all is.
    """

    def __init__(
        self, rules: ProgressionRepository, phases: PhaseRepository, catalogue: Catalogue
    ) -> None:
        self._rules = rules
        self._phases = phases
        self._catalogue = catalogue
        self._kept: LRUCache[tuple[str, str], _Kept] = LRUCache(KEPT_SESSIONS, _size)

    async def facts(self, messages: Iterable[pb.ProgressionRule]) -> Facts:
        """Returns the facts of all exercises; asks the database for those that rules name and that
        are not known for certain."""
        ids = [id for message in messages for _, id in named_exercises(message)]
        await self._catalogue.facts(ids)
        return await self._catalogue.everything()

    async def of(
        self, scope: Scope, messages: Sequence[pb.ProgressionRule], last: date
    ) -> list[Standing]:
        """Returns where stored rules stand, by the sessions up to a day."""
        facts = await self.facts(messages)
        starts = [from_date(message.start_date, "rule.start_date") for message in messages]
        return await self._read(scope, messages, facts, starts, last)

    async def past(
        self, scope: Scope, message: pb.ProgressionRule, facts: Facts, first: date, last: date
    ) -> Standing:
        """Returns where a rule that need not be stored would stand by the sessions of some days.
        If it has no start date it begins with the first of them."""
        # The caller's own words: under an id they would be taken for what is stored.
        unnamed = pb.ProgressionRule()
        unnamed.CopyFrom(message)
        unnamed.ClearField("id")
        [standing] = await self._read(scope, [unnamed], facts, [first], last)
        return standing

    async def _read(
        self,
        scope: Scope,
        messages: Sequence[pb.ProgressionRule],
        facts: Facts,
        firsts: Sequence[date],
        last: date,
    ) -> list[Standing]:
        if not messages:
            return []
        tracks = [to_track(message, to_rule(message, EPOCH), facts) for message in messages]
        asked = [
            SessionsOf(track.ids(), optional_uuid(message.workout_id), first, last)
            for message, track, first in zip(messages, tracks, firsts, strict=True)
        ]
        days = DateRange(min(firsts), min(last, date.max - ONE_DAY) + ONE_DAY)
        places, phases = await asyncio.gather(
            self._rules.places(scope, asked), self._phases.in_range(scope, days)
        )
        known = [
            self._known(message, facts, found, phases)
            for message, found in zip(messages, places, strict=True)
        ]
        new = [
            found[len(one.performed) if one else 0 :]
            for found, one in zip(places, known, strict=True)
        ]
        sessions = await self._sessions(scope, {one.session_id for of in new for one in of})
        standings = []
        for message, track, one, rest in zip(messages, tracks, known, new, strict=True):
            standing = one or _begun(message, track, rest, phases)
            standing = await _advanced(message, replace(standing, phases=phases), rest, sessions)
            if message.id:
                self._kept[message.id, message.etag] = _Kept(standing, facts)
            standings.append(standing)
        return standings

    def _known(
        self,
        message: pb.ProgressionRule,
        facts: Facts,
        places: Sequence[SessionPlace],
        phases: Sequence[Phase],
    ) -> Standing | None:
        """Returns what is remembered of a rule and still holds."""
        kept = self._kept.get((message.id, message.etag))
        if kept is None or kept.facts is not facts or not kept.standing.performed:
            return None
        standing = kept.standing
        until = standing.performed[-1].local_date
        if _begun_by(standing.phases, until) != _begun_by(phases, until):
            return None
        pairs = zip(standing.performed, places, strict=False)
        return standing.until(sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)))

    async def _sessions(self, scope: Scope, ids: set[UUID]) -> dict[UUID, session_pb2.Session]:
        if not ids:
            return {}
        sessions = {}
        for number, (id, record) in enumerate((await self._rules.records(scope, ids)).items()):
            if number % SESSIONS_PER_TURN == 0:
                await asyncio.sleep(0)  # other calls have their turn
            sessions[id] = session_pb2.Session.FromString(record)
        return sessions


def _size(kept: _Kept) -> int:
    return len(kept.standing.states)


def _begun_by(phases: Sequence[Phase], day: date) -> list[Phase]:
    return [phase for phase in phases if phase.start_date <= day]


def _begun(
    message: pb.ProgressionRule,
    track: Track,
    places: Sequence[SessionPlace],
    phases: Sequence[Phase],
) -> Standing:
    first = places[0].local_date if places else EPOCH
    if message.HasField("start_date"):
        first = from_date(message.start_date, "rule.start_date")
    rule = to_rule(message, first)
    return Standing(rule, track, (), (beginning(rule, track),), (), phases)


async def _advanced(
    message: pb.ProgressionRule,
    standing: Standing,
    places: Sequence[SessionPlace],
    sessions: dict[UUID, session_pb2.Session],
) -> Standing:
    """Returns where more sessions lead to."""
    # One that was amended or voided since it was found is not there.
    performed = [place for place in places if place.session_id in sessions]
    states, events = [*standing.states], [*standing.events]
    for number, place in enumerate(performed, start=1):
        if number % SESSIONS_PER_TURN == 0:
            await asyncio.sleep(0)
        context = Context(factors=standing.factors(place.local_date))
        session = sessions[place.session_id]
        performance = _performance(session, message, standing.track, context)
        state, happened = step(standing.rule, standing.track, states[-1], performance)
        states.append(state)
        events.append(happened)
    return replace(
        standing, performed=[*standing.performed, *performed], states=states, events=events
    )


def _performance(
    session: session_pb2.Session, message: pb.ProgressionRule, track: Track, context: Context
) -> Performance:
    order = message.workout_order
    return Performance(
        day=from_date(session.local_date, "local_date"),
        sets=sets_of(session.exercises, track, order),
        session_id=UUID(session.id),
        intent=intent_of(session.intent),
        context=context,
    )


def intent_of(number: int) -> Intent:
    """Returns what a session was for."""
    return Intent(INTENT.name(number)) if number else Intent.NORMAL


def sets_of(
    exercises: Sequence[session_pb2.SessionExercise], track: Track, order: int
) -> dict[UUID, Done]:
    """Returns the sets of each exercise of a track. What a session has of an exercise counts
    together; where it is in the place of a rule, that alone."""
    found: dict[UUID, list[session_pb2.SessionExercise]] = {}
    for exercise in exercises:
        found.setdefault(exercise_uuid(exercise.exercise_id), []).append(exercise)
    sets = {}
    for id, of in found.items():
        if id in track.rungs:
            placed = [one for one in of if order and one.order == order] or of
            all_sets = [each for one in placed for each in working_sets(one)]
            sets[id] = done_sets(all_sets, track.rungs[id].kind)
    return sets
