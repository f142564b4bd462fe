"""Recent beside usual load, how even a week was, fitness and fatigue: from loads by calendar day.

None of it predicts an injury (Impellizzeri 2020, J Athl Train 55:893; 2021, Sports Med 51:581). A
series has a load for every calendar day, oldest first, rest days with 0; None is a day whose load
is unknown, which enters sums as 0. Loads of one series have one unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import fsum, sqrt

ACUTE_DAYS = 7
CHRONIC_DAYS = 28
FITNESS_DAYS = 42
FATIGUE_DAYS = 7
MIN_HISTORY_DAYS = 28
MIN_TRAINING_DAYS = 8
"""Below either, a ratio would be of chance (our choice)."""
MAX_UNCERTAIN_SHARE = 0.2
"""Share of unknown and imputed days above which the data are called poor (our choice)."""


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
    NO_LOAD = "NO_LOAD"
    ZERO_VARIANCE = "ZERO_VARIANCE"
    """All days alike: as even as can be."""


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


def known(loads: Sequence[float | None]) -> list[float]:
    """Returns loads with 0 for what is unknown."""
    return [load or 0.0 for load in loads]


def ratio(loads: Sequence[float | None], method: RatioMethod) -> Ratio:
    """Returns the ratio of the last day of a series that begins with the athlete's first day."""
    days = known(loads)
    acute, chronic, value = _MEANS[method](days)
    withheld = None
    if len(days) < MIN_HISTORY_DAYS or sum(d > 0 for d in days) < MIN_TRAINING_DAYS:
        withheld = Withheld.INSUFFICIENT_HISTORY
    elif not chronic:
        withheld = Withheld.NO_CHRONIC_LOAD
    return Ratio(method, acute, chronic, None if withheld else value, withheld)


_Means = tuple[float, float, float | None]


def _coupled(days: Sequence[float]) -> _Means:
    acute, chronic = fsum(days[-ACUTE_DAYS:]), fsum(days[-CHRONIC_DAYS:])
    # Sums and not means are divided: a constant load gives exactly 1.
    value = acute * (CHRONIC_DAYS / ACUTE_DAYS) / chronic if chronic else None
    return acute / ACUTE_DAYS, chronic / CHRONIC_DAYS, value


def _uncoupled(days: Sequence[float]) -> _Means:
    acute = fsum(days[-ACUTE_DAYS:])
    before = fsum(days[-CHRONIC_DAYS:]) - acute
    rest_days = CHRONIC_DAYS - ACUTE_DAYS
    value = acute * (rest_days / ACUTE_DAYS) / before if before else None
    return acute / ACUTE_DAYS, before / rest_days, value


def _exponential(days: Sequence[float]) -> _Means:
    acute, chronic = ewma(days, ACUTE_DAYS), ewma(days, CHRONIC_DAYS)
    return acute, chronic, acute / chronic if chronic else None


_MEANS = {
    RatioMethod.ROLLING_COUPLED: _coupled,
    RatioMethod.ROLLING_UNCOUPLED: _uncoupled,
    RatioMethod.EWMA: _exponential,
}


def ewma(days: Sequence[float], span_days: int) -> float:
    """Returns the exponentially weighted mean of the last day: λ = 2/(span + 1), seeded with the
    first day (Williams 2017); 0 of no day."""
    return _smoothed(days, 2 / (span_days + 1), days[0] if days else 0.0)


def fitness_and_fatigue(days: Sequence[float]) -> tuple[float, float]:
    """Returns the two of the last day: means with time constants of 42 and 7 days that begin at 0,
    known as CTL and ATL (Banister 1975; the constants are Coggan's). Yesterday's fitness less
    yesterday's fatigue is called form (TSB)."""
    return _smoothed(days, 1 / FITNESS_DAYS, 0.0), _smoothed(days, 1 / FATIGUE_DAYS, 0.0)


def _smoothed(days: Sequence[float], weight: float, seed: float) -> float:
    level = seed
    for load in days:
        # So written, a constant load stays exactly what it is.
        level += weight * (load - level)
    return level


@dataclass(frozen=True, slots=True)
class Monotony:
    """How even a week was: mean load over its standard deviation, and strain: load times monotony.

    Foster 1998, Med Sci Sports Exerc 30:1164; which standard deviation, the text does not say.
    """

    value: float | None
    strain: float | None
    withheld: Withheld | None


def monotony(week: Sequence[float | None], *, sample: bool = True) -> Monotony:
    """Returns the monotony and strain of seven days, by the sample's standard deviation or the
    population's (our choice of default: the sample's)."""
    days = known(week)
    total = fsum(days)
    if not total:
        return Monotony(None, None, Withheld.NO_LOAD)
    mean = total / len(days)
    freedom = len(days) - 1 if sample else len(days)
    deviation = sqrt(fsum((day - mean) ** 2 for day in days) / freedom)
    # The mean of equal days need not be exactly theirs.
    if len(set(days)) == 1 or not deviation:
        return Monotony(None, None, Withheld.ZERO_VARIANCE)
    return Monotony(mean / deviation, total * mean / deviation, None)


def load_cap(loads: Sequence[float | None], highest_ratio: float) -> float | None:
    """Returns the largest load of the day after the series with which the uncoupled ratio of that
    day is no higher than a value; None with too short a history. Below 0, rest would not do either.
    """
    days = known(loads)
    if len(days) < CHRONIC_DAYS - 1:
        return None
    last_six = fsum(days[-(ACUTE_DAYS - 1) :])
    before = fsum(days[-(CHRONIC_DAYS - 1) :]) - last_six
    return highest_ratio * before * ACUTE_DAYS / (CHRONIC_DAYS - ACUTE_DAYS) - last_six
