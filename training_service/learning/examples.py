"""What was known before a session, and what was done in it.

An example looks at nothing later than the session before it. Readiness' parts that an export
holds are among the features: days of rest, drift of RPE, recent over usual volume. An export lacks
wellness, phases and what was prescribed; `MISSING_FROM_EXPORT` says so in every report.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from math import log1p
from statistics import fmean, median
from uuid import UUID

from training_service.learning.history import Occasion

MEDIAN_SESSIONS = 3
TREND_SESSIONS = 6
RPE_BASELINE_SESSIONS = 5
RECENT_DAYS = 7
USUAL_DAYS = 28
SHORT_REST_DAYS = 1
MAX_REST_DAYS = 14
"""Longer rests are taken alike (our choice)."""
MIN_SESSIONS = 8
"""Fewer sessions of an athlete are neither learned from nor forecast by a model."""
EFFECT_SESSIONS = 20
"""How many examples before it an athlete's own deviation is looked for in (our choice)."""
MISSING_FROM_EXPORT = ("wellness", "training phase", "prescribed sets", "session completion")

FEATURES = (
    "last_change",
    "usual_change",
    "trend",
    "rest_days",
    "rested_a_day_at_most",
    "change_after_like_rest",
    "days_since_any_session",
    "last_rpe",
    "rpe_drift",
    "recent_over_usual_volume",
)
"""In the order of a model's coefficients. Volumes are shares of the median of the last three."""
SHORT_REST = FEATURES.index("rested_a_day_at_most")
MAX_CHANGE = 1.0
"""More than the whole is not believed, neither of what was done nor of a forecast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An exercise in a session, before and after it."""

    user_id: str
    exercise_id: UUID
    started_at: datetime
    amount: float
    """Effective repetitions that were done."""
    last: float
    """Those of the session before."""
    median: float
    """Of the last three sessions, or of as many as there were."""
    features: Sequence[float | None]
    """By FEATURES; None is unknown."""
    sessions_before: int
    """Sessions of the athlete, with any exercise."""
    planned: Mapping[str, float] = field(default_factory=dict)
    """What rules of progression prescribed, by the rule's name."""
    earlier: Sequence["Example"] = field(default=(), compare=False)
    """Examples of the same athlete and exercise before this one, the newest last. Not compared:
    each has those before it too, and a comparison would go down all of these ways."""

    @property
    def scale(self) -> float:
        """What shares are taken of, in effective repetitions; never 0."""
        return max(self.median, 1.0)

    @property
    def change(self) -> float:
        """What was done beyond the median, as a share; at most the whole."""
        return min(max((self.amount - self.median) / self.scale, -MAX_CHANGE), MAX_CHANGE)


@dataclass(slots=True)
class _Athlete:
    """What is known of an athlete up to a session."""

    session_ids: set[str] = field(default_factory=set)
    days: deque[date] = field(default_factory=lambda: deque(maxlen=2))
    volumes: deque[tuple[date, float]] = field(default_factory=deque)
    """Effective repetitions of the last 28 days."""
    first_day: date | None = None
    occasions: dict[UUID, list[Occasion]] = field(default_factory=lambda: defaultdict(list))
    examples: dict[UUID, deque[Example]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=EFFECT_SESSIONS))
    )


def examples_of(
    occasions: Iterable[Occasion],
    planned: Mapping[tuple[str, UUID], Mapping[str, float]] | None = None,
) -> Iterator[Example]:
    """Yields an example for each occasion that has one of its exercise before it.

    Occasions come by athlete and then by start. `planned` says what rules prescribed, by session
    and exercise.
    """
    athlete, user_id = _Athlete(), ""
    for session in sessions_of(occasions):
        if session[0].user_id != user_id:
            athlete, user_id = _Athlete(), session[0].user_id
        for one in session:
            if athlete.occasions[one.exercise_id]:
                known = (planned or {}).get((one.session_id, one.exercise_id), {})
                example = _example(one, athlete, known)
                athlete.examples[one.exercise_id].append(example)
                yield example
        _remember(athlete, session)


def upcoming_example(occasions: Sequence[Occasion], exercise_id: UUID, day: date) -> Example | None:
    """Returns the example of a session that is still to come; None for an exercise never done.

    Occasions are of one athlete, by start. What will be done is not known: `amount` is 0.
    """
    known = [one for one in occasions if one.exercise_id == exercise_id]
    if not known:
        return None
    upcoming = replace(known[-1], session_id="", day=day, sets=(), effective_reps=0.0, rpe=None)
    *_, last = examples_of([*occasions, upcoming])
    return last


def sessions_of(occasions: Iterable[Occasion]) -> Iterator[list[Occasion]]:
    """Yields the occasions of each session; they come by athlete and then by start."""
    session: list[Occasion] = []
    for one in occasions:
        if session and one.session_id != session[0].session_id:
            yield session
            session = []
        session.append(one)
    if session:
        yield session


def _remember(athlete: _Athlete, session: Sequence[Occasion]) -> None:
    day = session[0].day
    athlete.session_ids.add(session[0].session_id)
    athlete.first_day = athlete.first_day or day
    athlete.days.append(day)
    for one in session:
        athlete.volumes.append((one.day, one.effective_reps))
        athlete.occasions[one.exercise_id].append(one)
    while athlete.volumes[0][0] <= day - timedelta(days=USUAL_DAYS):
        athlete.volumes.popleft()


def _example(one: Occasion, athlete: _Athlete, planned: Mapping[str, float]) -> Example:
    past = athlete.occasions[one.exercise_id]
    amounts = [each.effective_reps for each in past]
    middle = median(amounts[-MEDIAN_SESSIONS:])
    scale = max(middle, 1.0)
    recent = amounts[-TREND_SESSIONS:]
    rest_days = (one.day - past[-1].day).days
    features = (
        (amounts[-1] - middle) / scale,
        (fmean(amounts[-EFFECT_SESSIONS:]) - middle) / scale,
        (recent[-1] - recent[0]) / (len(recent) - 1) / scale if len(recent) > 1 else None,
        log1p(min(max(rest_days, 0), MAX_REST_DAYS)),
        float(rest_days <= SHORT_REST_DAYS),
        _change_after_like_rest(athlete.examples[one.exercise_id], rest_days),
        log1p(min(max((one.day - athlete.days[-1]).days, 0), MAX_REST_DAYS)),
        past[-1].rpe,
        _rpe_drift(past),
        _recent_over_usual(athlete, one.day),
    )
    return Example(
        user_id=one.user_id,
        exercise_id=one.exercise_id,
        started_at=one.started_at,
        amount=one.effective_reps,
        last=amounts[-1],
        median=middle,
        features=features,
        sessions_before=len(athlete.session_ids),
        planned=planned,
        earlier=tuple(athlete.examples[one.exercise_id]),
    )


def _rpe_drift(past: Sequence[Occasion]) -> float | None:
    """Returns how much harder the last session was rated than those before it."""
    before = [one.rpe for one in past[-1 - RPE_BASELINE_SESSIONS : -1] if one.rpe is not None]
    last = past[-1].rpe
    return None if last is None or not before else last - median(before)


def _change_after_like_rest(earlier: Iterable[Example], rest_days: int) -> float | None:
    """Returns what the athlete's own change was after rests that were as short, or as long, as a
    mean of shares: some need a day more than others."""
    is_short = float(rest_days <= SHORT_REST_DAYS)
    alike = [each.change for each in earlier if each.features[SHORT_REST] == is_short]
    return fmean(alike) if alike else None


def _recent_over_usual(athlete: _Athlete, day: date) -> float | None:
    """Returns the volume of the 7 days before a day over the weekly mean of 28, both of all
    exercises; None before 28 days have passed."""
    begin = day - timedelta(days=USUAL_DAYS)
    if athlete.first_day is None or athlete.first_day > begin:
        return None
    usual = sum(amount for at, amount in athlete.volumes if at >= begin)
    recent_begin = day - timedelta(days=RECENT_DAYS)
    recent = sum(amount for at, amount in athlete.volumes if at >= recent_begin)
    return recent / (usual * RECENT_DAYS / USUAL_DAYS) if usual else None
