"""Recent beside usual load, how even a week was, fitness and fatigue: from loads by calendar day.

None of it predicts an injury (Impellizzeri 2020, J Athl Train 55:893; 2021, Sports Med 51:581). A
series has a load for every calendar day, oldest first, rest days with 0. Loads of one series have
one unit.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cached_property
from itertools import accumulate
from math import fsum, sqrt
from typing import NamedTuple

ACUTE_DAYS = 7
CHRONIC_DAYS = 28
FITNESS_DAYS = 42
FATIGUE_DAYS = 7
MIN_HISTORY_DAYS = 28
MIN_TRAINING_DAYS = 8
"""Below either, a ratio would be of chance (our choice)."""
MAX_UNCERTAIN_SHARE = 0.2
"""Share of unknown and imputed days above which the data are called poor (our choice)."""


class LoadUnit(StrEnum):
    """What load is counted in."""

    SESSION_RPE = "SESSION_RPE"
    """RPE times minutes, in arbitrary units: Foster 2001, J Strength Cond Res 15:109."""
    VOLUME_LOAD = "VOLUME_LOAD"
    """Repetitions times kilograms."""
    EFFECTIVE_REPS = "EFFECTIVE_REPS"
    HARD_SETS = "HARD_SETS"


class RatioMethod(StrEnum):
    """How recent load is compared with usual load. Their numbers are not to be compared."""

    ROLLING_COUPLED = "ROLLING_COUPLED"
    """Mean of 7 days over that of 28, the 7 among them: Hulin 2014, BJSM 48:708."""
    ROLLING_UNCOUPLED = "ROLLING_UNCOUPLED"
    """Mean of 7 days over that of the 21 before: Windt & Gabbett 2019, BJSM 53:988."""
    EWMA = "EWMA"
    """Exponentially weighted means with spans of 7 and 28 days: Williams 2017, BJSM 51:209."""


class Band(StrEnum):
    """Where a ratio lies by Gabbett 2016, BJSM 50:273: drawn from coupled ratios in team sports."""

    LOW = "LOW"
    """Below 0.8."""
    USUAL = "USUAL"
    """0.8 to 1.3."""
    RAISED = "RAISED"
    """Above 1.3, to 1.5."""
    HIGH = "HIGH"
    """Above 1.5."""


class Withheld(StrEnum):
    """Why there is no number."""

    INSUFFICIENT_HISTORY = "INSUFFICIENT_HISTORY"
    NO_CHRONIC_LOAD = "NO_CHRONIC_LOAD"
    NO_PREVIOUS_LOAD = "NO_PREVIOUS_LOAD"
    """None in the period that is compared with."""
    NO_LOAD = "NO_LOAD"
    ZERO_VARIANCE = "ZERO_VARIANCE"
    """All days alike: as even as can be."""


class Deviation(StrEnum):
    """Which standard deviation; Foster 1998 does not say."""

    SAMPLE = "SAMPLE"
    POPULATION = "POPULATION"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Recent over usual load of one day, with the means it is of; or why it is withheld."""

    method: RatioMethod
    acute: float
    chronic: float
    value: float | None
    withheld: Withheld | None

    @property
    def band(self) -> Band | None:
        """Where it lies; None without a value."""
        return None if self.value is None else band_of(self.value)


def band_of(ratio: float) -> Band:
    """Returns the band of a ratio."""
    if ratio < 0.8:
        return Band.LOW
    if ratio <= 1.3:
        return Band.USUAL
    return Band.RAISED if ratio <= 1.5 else Band.HIGH


class Levels(NamedTuple):
    """How moving averages stand at the end of a day, from the athlete's first day on."""

    training_day_count: int
    """Days with a load so far."""
    ewma_acute: float
    ewma_chronic: float
    """Exponentially weighted means with spans of 7 and 28 days: λ = 2/(span + 1), seeded with the
    first day (Williams 2017)."""
    fitness: float
    fatigue: float
    """Means with time constants of 42 and 7 days that begin at 0, known as CTL and ATL (Banister
    1975; the constants are Coggan's)."""

    @property
    def form(self) -> float:
        """Fitness less fatigue: the form of the day after, known as TSB."""
        return self.fitness - self.fatigue


NO_DAY = Levels(0, 0.0, 0.0, 0.0, 0.0)
"""Before an athlete's first day."""
_ACUTE_WEIGHT = 2 / (ACUTE_DAYS + 1)
_CHRONIC_WEIGHT = 2 / (CHRONIC_DAYS + 1)


def first_levels(load: float) -> Levels:
    """Returns the levels at the end of an athlete's first day."""
    return Levels(int(load > 0), load, load, load / FITNESS_DAYS, load / FATIGUE_DAYS)


def levels_after(levels: Levels, loads: Iterable[float]) -> Levels:
    """Returns the levels at the end of the days that follow."""
    count, acute, chronic, fitness, fatigue = levels
    for load in loads:
        count += load > 0
        # So written, a constant load stays exactly what it is.
        acute += _ACUTE_WEIGHT * (load - acute)
        chronic += _CHRONIC_WEIGHT * (load - chronic)
        fitness += (load - fitness) / FITNESS_DAYS
        fatigue += (load - fatigue) / FATIGUE_DAYS
    return Levels(count, acute, chronic, fitness, fatigue)


@dataclass(frozen=True, slots=True)
class Monotony:
    """How even a week was: mean load over its standard deviation, and strain: load times monotony.

    Foster 1998, Med Sci Sports Exerc 30:1164; which standard deviation, the text does not say.
    """

    value: float | None
    strain: float | None
    withheld: Withheld | None


def monotony(week: Sequence[float], deviation: Deviation = Deviation.SAMPLE) -> Monotony:
    """Returns the monotony and strain of seven days, by the sample's standard deviation or the
    population's (our choice of default: the sample's)."""
    total = fsum(week)
    if not total:
        return Monotony(None, None, Withheld.NO_LOAD)
    mean = total / len(week)
    freedom = len(week) - (deviation is Deviation.SAMPLE)
    spread = sqrt(fsum((load - mean) ** 2 for load in week) / freedom)
    # The mean of equal days need not be exactly theirs.
    if len(set(week)) == 1 or not spread:
        return Monotony(None, None, Withheld.ZERO_VARIANCE)
    return Monotony(mean / spread, total * mean / spread, None)


class WeekChange(NamedTuple):
    """Load of seven days beside that of the seven before."""

    load: float
    previous_load: float
    change: float | None
    """0.1 is a tenth more."""
    withheld: Withheld | None


class DayLoad(NamedTuple):
    """What an athlete did on one day."""

    local_date: date
    load: float | None
    """0 on a rest day; None when there were sessions and the load of none of them is known."""
    session_count: int = 0
    imputed_count: int = 0
    """Sessions whose load was taken from earlier sessions of the same workout."""
    unknown_count: int = 0
    """Sessions whose load is not, or not wholly, known."""

    @property
    def is_uncertain(self) -> bool:
        """Whether a part of the load is unknown or imputed."""
        return bool(self.imputed_count or self.unknown_count)


@dataclass(frozen=True, slots=True)
class DayStatus:
    """What can be said of one day in the light of the days before."""

    day: DayLoad
    history_day_count: int
    """Calendar days since the first session, this day included."""
    levels: Levels
    ratios: Sequence[Ratio]
    """By each method, in the order of RatioMethod."""
    monotony: Monotony
    week: WeekChange
    form: float
    """Yesterday's fitness less yesterday's fatigue (TSB)."""
    ramp_rate: float | None
    """By how much fitness rose in seven days; None in the first week."""
    coverage: float
    """Share of the days of the chronic window whose load is wholly known."""

    @property
    def is_poor(self) -> bool:
        """Whether too many days are unknown or imputed for the numbers to mean much."""
        return 1 - self.coverage > MAX_UNCERTAIN_SHARE

    def ratio(self, method: RatioMethod) -> Ratio:
        """Returns the ratio by one method."""
        return next(ratio for ratio in self.ratios if ratio.method is method)


@dataclass(frozen=True)
class LoadHistory:
    """The days of an athlete up to one, and how averages stood before them."""

    first_date: date | None
    """Of the athlete's first session; None before any."""
    before: Levels | None
    """At the end of the day before `days`; None when these begin with the first."""
    days: Sequence[DayLoad]
    """Every calendar day, oldest first."""

    @cached_property
    def loads(self) -> list[float]:
        """The load of each day; what is unknown enters sums as 0."""
        return [day.load or 0.0 for day in self.days]

    def levels(self, skipped: int = 0) -> list[Levels]:
        """Returns the levels at the end of each day, but for some at the beginning."""
        if not self.days:
            return []
        first, *rest = self.loads
        start = first_levels(first) if self.before is None else levels_after(self.before, [first])
        start = levels_after(start, rest[:skipped])
        following = ([load] for load in rest[skipped:])
        return list(accumulate(following, levels_after, initial=start))

    def statuses(self, first: date, deviation: Deviation = Deviation.SAMPLE) -> Iterator[DayStatus]:
        """Yields what can be said of each day from a date on.

        The history must reach back from that date by as many days as the longest window, or to the
        athlete's first.
        """
        begin = max((first - self.days[0].local_date).days, 0) if self.days else 0
        # As far back as the ramp looks.
        skipped = max(begin - ACUTE_DAYS, 0)
        levels = self.levels(skipped)
        for index in range(begin, len(self.days)):
            last = index - skipped
            yield self._status(index, levels[max(last - ACUTE_DAYS, 0) : last + 1], deviation)

    def status(self, deviation: Deviation = Deviation.SAMPLE) -> DayStatus | None:
        """Returns what can be said of the last day; None before the athlete's first."""
        last = self.days[-1].local_date if self.days else date.max
        return next(self.statuses(last, deviation), None)

    def _status(self, index: int, levels: Sequence[Levels], deviation: Deviation) -> DayStatus:
        """Returns what can be said of a day, with the levels of it and of the week before."""
        day, now = self.days[index], levels[-1]
        assert self.first_date is not None
        history_days = (day.local_date - self.first_date).days + 1
        chronic = slice(max(index + 1 - CHRONIC_DAYS, 0), index + 1)
        window, days = self.loads[chronic], self.days[chronic]
        return DayStatus(
            day=day,
            history_day_count=history_days,
            levels=now,
            ratios=ratios(window, now, history_days),
            monotony=_monotony(window[-ACUTE_DAYS:], history_days, deviation),
            week=_week_change(window[-2 * ACUTE_DAYS :], history_days),
            form=self._levels_before(1, levels).form,
            ramp_rate=(
                now.fitness - self._levels_before(ACUTE_DAYS, levels).fitness
                if history_days > ACUTE_DAYS
                else None
            ),
            coverage=1 - sum(one.is_uncertain for one in days) / len(days),
        )

    def _levels_before(self, days: int, levels: Sequence[Levels]) -> Levels:
        """Returns the levels some days before the last of them."""
        if len(levels) > days:
            return levels[-1 - days]
        return self.before or NO_DAY


def ratios(window: Sequence[float], levels: Levels, history_days: int) -> list[Ratio]:
    """Returns the ratios by each method of the last of 28 days, or of as many as there are."""
    withheld = None
    if history_days < MIN_HISTORY_DAYS or levels.training_day_count < MIN_TRAINING_DAYS:
        withheld = Withheld.INSUFFICIENT_HISTORY
    exponential = levels.ewma_acute, levels.ewma_chronic
    means = {
        RatioMethod.ROLLING_COUPLED: _coupled(window),
        RatioMethod.ROLLING_UNCOUPLED: _uncoupled(window),
        RatioMethod.EWMA: (*exponential, _quotient(*exponential)),
    }
    return [_ratio(method, *means[method], withheld) for method in RatioMethod]


def _ratio(
    method: RatioMethod,
    acute: float,
    chronic: float,
    value: float | None,
    withheld: Withheld | None,
) -> Ratio:
    if withheld is None and value is None:
        withheld = Withheld.NO_CHRONIC_LOAD
    return Ratio(method, acute, chronic, None if withheld else value, withheld)


_Means = tuple[float, float, float | None]


def _coupled(days: Sequence[float]) -> _Means:
    acute, chronic = fsum(days[-ACUTE_DAYS:]), fsum(days)
    # Sums and not means are divided: a constant load gives exactly 1.
    value = _quotient(acute * (CHRONIC_DAYS / ACUTE_DAYS), chronic)
    return acute / ACUTE_DAYS, chronic / CHRONIC_DAYS, value


def _uncoupled(days: Sequence[float]) -> _Means:
    acute = fsum(days[-ACUTE_DAYS:])
    # Not a sum of its own: a constant load gives exactly 1 here too.
    before = fsum(days) - acute
    rest_days = CHRONIC_DAYS - ACUTE_DAYS
    value = _quotient(acute * (rest_days / ACUTE_DAYS), before)
    return acute / ACUTE_DAYS, before / rest_days, value


def _quotient(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _monotony(week: Sequence[float], history_days: int, deviation: Deviation) -> Monotony:
    if history_days < ACUTE_DAYS:
        return Monotony(None, None, Withheld.INSUFFICIENT_HISTORY)
    return monotony(week, deviation)


def _week_change(fortnight: Sequence[float], history_days: int) -> WeekChange:
    load, previous = fsum(fortnight[-ACUTE_DAYS:]), fsum(fortnight[:-ACUTE_DAYS])
    if history_days < 2 * ACUTE_DAYS:
        return WeekChange(load, previous, None, Withheld.INSUFFICIENT_HISTORY)
    if not previous:
        return WeekChange(load, previous, None, Withheld.NO_PREVIOUS_LOAD)
    return WeekChange(load, previous, load / previous - 1, None)


def load_cap(loads: Sequence[float], highest_ratio: float) -> float | None:
    """Returns the largest load of the day after the series with which the uncoupled ratio of that
    day is no higher than a value; None with too short a history. Below 0, rest would not do either.
    """
    if len(loads) < CHRONIC_DAYS - 1:
        return None
    last_six = fsum(loads[-(ACUTE_DAYS - 1) :])
    before = fsum(loads[-(CHRONIC_DAYS - 1) :]) - last_six
    return highest_ratio * before * ACUTE_DAYS / (CHRONIC_DAYS - ACUTE_DAYS) - last_six
