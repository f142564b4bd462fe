"""The tempo of a repetition: seconds of its four parts."""

import re
from functools import lru_cache
from typing import NamedTuple

TEMPO_X_SECONDS = 1.0
"""What "as fast as possible" (X) counts. Our choice: nobody times it."""

_SEPARATED = re.compile(
    r"(\d{1,2}|[xX])[-/](\d{1,2}|[xX])[-/](\d{1,2}|[xX])(?:[-/](\d{1,2}|[xX]))?"
)
_JOINED = re.compile(r"([\dxX])([\dxX])([\dxX])([\dxX])")


class Tempo(NamedTuple):
    """Seconds of each part of a repetition, in the order they are written in, also of movements
    that begin with the concentric part. 0 is not timed."""

    eccentric_seconds: float
    lengthened_pause_seconds: float
    concentric_seconds: float
    shortened_pause_seconds: float

    @property
    def seconds_per_rep(self) -> float:
        """How long one repetition takes."""
        return sum(self)


@lru_cache(maxsize=1024)
def parse_tempo(text: str) -> Tempo | None:
    """Returns a tempo such as "3-0-1-0", "3/0/1" or "30X0"; None for any other text.

    Without separators it has exactly four characters; with three parts the last pause is 0. The
    convention is usually credited to King and Poliquin.
    """
    match = _SEPARATED.fullmatch(text) or _JOINED.fullmatch(text)
    if match is None:
        return None
    return Tempo(*(_seconds(part) for part in match.groups()))


def _seconds(part: str | None) -> float:
    if part is None:
        return 0.0
    return TEMPO_X_SECONDS if part in "xX" else float(part)
