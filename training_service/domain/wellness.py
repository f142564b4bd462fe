"""How an athlete feels on a day, by the questions of Hooper & Mackinnon 1995, Sports Med 20:321."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple


class Ratings(NamedTuple):
    """The answers, each from 1, the best, to 7, the worst."""

    sleep: int
    stress: int
    fatigue: int
    soreness: int

    @property
    def hooper_index(self) -> int:
        """Their sum: 4, the best, to 28, the worst. Tools that ask for mood too have another."""
        return sum(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWellness:
    """A wellness entry about to be stored. None is unknown."""

    local_date: date
    time_zone: str
    ratings: Ratings
    hrv_ms: float | None
    """RMSSD."""
    resting_heart_rate_bpm: float | None
    notes: str
    created_at: datetime
