"""How far muscles have recovered from the sessions of the last three days.

Recovery of a muscle from a session is clamp(hours since its end / window, 0, 1). The window is
48 h, or 72 h when the muscle had a set at RPE 9.5 or more, or 8 hard sets or more. Of several
sessions the one counts from which it is least. Never trained, a muscle is recovered: 1.

Training to failure slows recovery by 24 to 48 h (Morán-Navarro 2017); 80 % of lifters were within a
repetition at 48 h, slower ones need 72 h (Korak 2015). The formula is our choice.

A primary muscle has weight 1 and a secondary one 0.5. The weight enters twice: a hard set counts
so much towards the 8, and a workout's recovery is the mean of its muscles by sets times weight. A
set at RPE 9.5 lengthens the window of primary muscles only: what was at its end is what the
exercise works first of all.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import fsum
from typing import NamedTuple
from uuid import UUID

from training_service.domain.distribution import SECONDARY_WEIGHT
from training_service.domain.metrics import HARD_SET_RPE, WorkingSet

USUAL_WINDOW_HOURS = 48
LONG_WINDOW_HOURS = 72
FAILURE_RPE = 9.5
MANY_HARD_SETS = 8.0
LONGEST_WINDOW = timedelta(hours=LONG_WINDOW_HOURS)
SECONDS_PER_HOUR = 3600.0


class Muscles(NamedTuple):
    """What an exercise works."""

    primary: Sequence[str]
    secondary: Sequence[str]

    def weights(self) -> Iterable[tuple[str, float]]:
        """Yields each muscle with how much of a set counts for it."""
        yield from ((muscle, 1.0) for muscle in self.primary)
        yield from ((muscle, SECONDARY_WEIGHT) for muscle in self.secondary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A session, and the working sets of its exercises."""

    session_id: UUID
    ended_at: datetime
    session_rpe: float | None
    exercises: Sequence[tuple[Muscles, Sequence[WorkingSet]]]


class Strain(NamedTuple):
    """What a session asked of a muscle, and how far that is past."""

    session_id: UUID
    hours_since: float
    hard_set_count: float
    """Of exercises in which it is secondary, half."""
    highest_rpe: float | None
    """Of a set in which it was primary; None when none was rated."""

    @property
    def window_hours(self) -> int:
        """How long recovery takes."""
        was_failure = self.highest_rpe is not None and self.highest_rpe >= FAILURE_RPE
        is_long = was_failure or self.hard_set_count >= MANY_HARD_SETS
        return LONG_WINDOW_HOURS if is_long else USUAL_WINDOW_HOURS

    @property
    def recovery(self) -> float:
        """How far the muscle has recovered from it, 0 to 1."""
        return recovery(self.hours_since, self.window_hours)


def recovery(hours_since: float, window_hours: float) -> float:
    """Returns how far a muscle has recovered from a session, 0 to 1."""
    return min(max(hours_since / window_hours, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class MuscleRecovery:
    """How far a muscle has recovered."""

    muscle: str
    strains: Sequence[Strain] = ()
    """Of the sessions that it has not recovered from, the one of least recovery first."""

    @property
    def recovery(self) -> float:
        """0 to 1."""
        return self.strains[0].recovery if self.strains else 1.0


def muscle_recoveries(
    muscles: Iterable[str], sessions: Iterable[Trained], now: datetime
) -> dict[str, MuscleRecovery]:
    """Returns how far each of some muscles has recovered."""
    strains: dict[str, list[Strain]] = defaultdict(list)
    for session in sessions:
        for muscle, strain in _strains(session, now).items():
            if strain.recovery < 1:
                strains[muscle].append(strain)
    for found in strains.values():
        found.sort(key=lambda one: (one.recovery, one.session_id))
    return {muscle: MuscleRecovery(muscle, strains.get(muscle, ())) for muscle in muscles}


def _strains(session: Trained, now: datetime) -> dict[str, Strain]:
    """Returns what a session asked of the muscles that it worked."""
    hours_since = max((now - session.ended_at).total_seconds() / SECONDS_PER_HOUR, 0.0)
    hard_sets: dict[str, list[float]] = defaultdict(list)
    ratings: dict[str, list[float]] = defaultdict(list)
    for muscles, sets in session.exercises:
        done = [one for one in sets if one.is_done]
        if not done:
            continue
        efforts = [session.session_rpe if one.rpe is None else one.rpe for one in done]
        hard = sum(rpe is not None and rpe >= HARD_SET_RPE for rpe in efforts)
        for muscle, weight in muscles.weights():
            hard_sets[muscle].append(weight * hard)
        for muscle in muscles.primary:
            ratings[muscle] += [one.rpe for one in done if one.rpe is not None]
    return {
        muscle: Strain(
            session.session_id, hours_since, fsum(counts), max(ratings[muscle], default=None)
        )
        for muscle, counts in hard_sets.items()
    }


def mean_recovery(
    worked: Iterable[tuple[str, float]], recoveries: Mapping[str, MuscleRecovery]
) -> float | None:
    """Returns the mean recovery of muscles, each with its sets times weight; None without any."""
    given = [(muscle, sets) for muscle, sets in worked if sets > 0]
    whole = fsum(sets for _, sets in given)
    if not whole:
        return None
    return fsum(sets * recoveries[muscle].recovery for muscle, sets in given) / whole
