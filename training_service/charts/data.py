"""What charts show, as plain values: no protobuf, no SQL, nothing of Altair.

Dates are days of the athlete's calendar and weeks are ISO weeks, named by their Monday. None is
unknown and never drawn as 0; a day or week that is not there had no training.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

CATEGORIES = ("SKILL", "PUSH", "PULL", "LEGS", "CORE")
"""Exercise categories in the order in which they are stacked."""
MAX_SERIES = 10
"""Most exercises in one chart: more could not be told apart."""
MIN_WIDTH, MIN_HEIGHT = 400, 300
"""Pixels; on less, titles and legends leave no room for the data."""
MAX_SIDE = 2000
WEEK = timedelta(days=7)


class Theme(StrEnum):
    """The background a chart is made for."""

    LIGHT = "LIGHT"
    DARK = "DARK"


class ChartFormat(StrEnum):
    """What a chart is delivered as."""

    SVG = "SVG"
    PNG = "PNG"
    VEGA_LITE = "VEGA_LITE"
    """The specification itself, as UTF-8 JSON."""


class ProgressMeasure(StrEnum):
    """What is compared from session to session."""

    MOST_REPS = "MOST_REPS"
    """Repetitions in one set."""
    LONGEST_HOLD = "LONGEST_HOLD"
    """Seconds."""
    HEAVIEST_LOAD = "HEAVIEST_LOAD"
    """Kilograms beyond the body; negative is assistance."""
    ONE_REP_MAX = "ONE_REP_MAX"
    """Kilograms, estimated, with the body's share."""


class CalendarMeasure(StrEnum):
    """What colours a day of the calendar."""

    SETS = "SETS"
    LOAD = "LOAD"
    """Session load in AU."""


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height of the whole picture in pixels. Raises ValueError beyond the limits."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if not (MIN_WIDTH <= self.width <= MAX_SIDE and MIN_HEIGHT <= self.height <= MAX_SIDE):
            raise ValueError(f"a chart can't be {self.width} × {self.height} pixels")


@dataclass(frozen=True, slots=True)
class Period:
    """The days a chart covers, both ends included. Raises ValueError when it ends too soon."""

    since: date
    through: date

    def __post_init__(self) -> None:
        if self.through < self.since:
            raise ValueError("the period ends before it begins")

    def __contains__(self, day: date) -> bool:
        return self.since <= day <= self.through

    def __str__(self) -> str:
        return f"{self.since} to {self.through}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryVolume:
    """Volume of one category in one week."""

    monday: date
    category: str
    """One of CATEGORIES."""
    effective_reps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WeeklyVolume:
    """Chart: effective repetitions per ISO week by category."""

    period: Period
    volumes: tuple[CategoryVolume, ...]
    """At most one for each week and category."""
    today: date
    """Its week is shown as not over yet."""
    coverage: float | None = None
    """Share of the sets whose volume was known, 0 to 1; None says nothing about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLoad:
    """Load of a day with training, in AU."""

    day: date
    load_au: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekLoad:
    """Mean load per day of a week, rest days included, in AU."""

    monday: date
    mean_daily_load_au: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOverTime:
    """Chart: load of each day and its weekly mean."""

    period: Period
    days: tuple[DayLoad, ...]
    """At most one for each day."""
    weeks: tuple[WeekLoad, ...]
    """At most one for each week; weeks without training are given too, with 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBest:
    """The best of one session, in the unit of the measure."""

    day: date
    value: float
    is_record: bool = False
    """Whether it was better than all before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExerciseSeries:
    """An exercise and its bests."""

    name: str
    bests: tuple[SessionBest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExerciseProgress:
    """Chart: best per session of the exercises of a family, or of one.

    Names must differ. Raises ValueError for more than MAX_SERIES exercises.
    """

    period: Period
    measure: ProgressMeasure
    series: tuple[ExerciseSeries, ...]

    def __post_init__(self) -> None:
        if len(self.series) > MAX_SERIES:
            raise ValueError(f"a chart can't show more than {MAX_SERIES} exercises")


@dataclass(frozen=True, slots=True, kw_only=True)
class MuscleVolume:
    """Effective repetitions of the exercises that a muscle had part in."""

    name: str
    primary_effective_reps: float
    secondary_effective_reps: float

    @property
    def effective_reps(self) -> float:
        """Primary and secondary together."""
        return self.primary_effective_reps + self.secondary_effective_reps


@dataclass(frozen=True, slots=True, kw_only=True)
class MuscleDistribution:
    """Chart: effective repetitions per muscle and their share of all muscles' sum."""

    period: Period
    muscles: tuple[MuscleVolume, ...]
    coverage: float | None = None
    """As in WeeklyVolume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTotal:
    """Sets or load in AU of a day with training."""

    day: date
    amount: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCalendar:
    """Chart: each day of the period by how much was done.

    Days before the first log are left blank, those after it without training are rest days.
    """

    period: Period
    measure: CalendarMeasure
    days: tuple[DayTotal, ...]
    first_log: date | None
    """Day of the athlete's first session ever; None without any."""


class SkillState(StrEnum):
    """Where the athlete stands in an exercise."""

    PASSED = "PASSED"
    RECOMMENDED = "RECOMMENDED"
    AVAILABLE = "AVAILABLE"
    LATER = "LATER"


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillNode:
    """An exercise of a progression family."""

    name: str
    difficulty: int
    """1 to 20."""
    state: SkillState
    share: float
    """Share of its criterion that is met, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyGraph:
    """Chart: the progressions of a family, with where the athlete stands.

    Raises ValueError for an edge that leads to an easier exercise.
    """

    family: str
    nodes: tuple[SkillNode, ...]
    """The easier ones first; of equal difficulty, what leads to others before those."""
    edges: tuple[tuple[int, int], ...]
    """Indexes of two nodes, the easier one first."""
    position: int | None
    """Index of the hardest exercise that is passed."""

    def __post_init__(self) -> None:
        if any(easier >= harder for easier, harder in self.edges):
            raise ValueError("an edge must lead from an earlier to a later exercise")


@dataclass(frozen=True, slots=True, kw_only=True)
class MuscleState:
    """A muscle and how far it has recovered."""

    name: str
    """As in the contract without prefix: "FRONT_DELTS"."""
    recovery: float
    """0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyMap:
    """Chart: a body from the front and from behind, its muscles by how far they have recovered."""

    muscles: tuple[MuscleState, ...]


Chart = (
    WeeklyVolume
    | LoadOverTime
    | ExerciseProgress
    | MuscleDistribution
    | TrainingCalendar
    | FamilyGraph
    | BodyMap
)


def monday_of(day: date) -> date:
    """Returns the first day of its ISO week."""
    return day - timedelta(days=day.weekday())


def week_name(day: date) -> str:
    """Returns its ISO week, such as 2025-W03."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def mean(values: Iterable[float]) -> float | None:
    """Returns the mean, None of nothing."""
    given = list(values)
    return sum(given) / len(given) if given else None
