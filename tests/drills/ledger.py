"""What callers were told, compared with what the database holds."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Stored(NamedTuple):
    """A session as the database holds it."""

    session_id: str
    payload: str
    """Which write it came from, by what it says itself and not by its request_id."""


class Attempt(NamedTuple):
    """One try of a call that did not succeed; times in seconds, of the monotonic clock."""

    started: float
    ended: float
    why: str


@dataclass
class Ledger:
    """What became of every call. Times in seconds, of the monotonic clock."""

    acknowledged: dict[str, set[str]] = field(default_factory=dict)
    """By payload, the ids of the session that callers were told."""
    failed: list[str] = field(default_factory=list)
    """Why calls were given up for good."""
    repeated: list[Attempt] = field(default_factory=list)
    reads: int = 0
    successes: dict[str, list[float]] = field(default_factory=dict)
    """By caller, when each successful call ended."""
    slowest_seconds: float = 0.0

    def note_success(self, caller: str, began: float, ended: float) -> None:
        """Writes down a call that succeeded, with all its tries."""
        self.successes.setdefault(caller, []).append(ended)
        self.slowest_seconds = max(self.slowest_seconds, ended - began)

    def acknowledge(self, payload: str, session_id: str) -> None:
        """Writes down that a write was acknowledged."""
        self.acknowledged.setdefault(payload, set()).add(session_id)

    def lost(self, stored: Collection[Stored]) -> list[str]:
        """Returns the acknowledged ids that the database does not hold for what was sent."""
        held = {(row.payload, row.session_id) for row in stored}
        return [
            session_id
            for payload, told in self.acknowledged.items()
            for session_id in told
            if (payload, session_id) not in held
        ]

    @staticmethod
    def duplicated(stored: Iterable[Stored]) -> list[str]:
        """Returns the payloads that the database holds more than once, each for every copy."""
        copies = Counter(row.payload for row in stored)
        return [payload for payload, count in copies.items() for _ in range(count - 1)]

    def cut(self, since: float) -> list[Attempt]:
        """Returns the tries that were under way at an instant and did not succeed."""
        return [a for a in self.repeated if a.started < since < a.ended]

    def first_success_after(self, instant: float) -> float | None:
        """Returns the seconds until any caller had an answer, None if nobody had one."""
        return min(self._recoveries(instant), default=None)

    def all_succeeded_after(self, instant: float) -> float | None:
        """Returns the seconds until every caller had an answer, None if somebody had none."""
        recoveries = self._recoveries(instant)
        return max(recoveries, default=None) if len(recoveries) == len(self.successes) else None

    def _recoveries(self, instant: float) -> list[float]:
        first = (
            next((end for end in ends if end > instant), None) for ends in self.successes.values()
        )
        return [end - instant for end in first if end is not None]


@dataclass(frozen=True)
class Result:
    """How a drill went."""

    name: str
    fault: str
    skipped: str = ""
    under_way: int = 0
    acknowledged: int = 0
    reads: int = 0
    lost: int = 0
    duplicated: int = 0
    failed: int = 0
    repeated: dict[str, int] = field(default_factory=dict)
    """By why, the tries that did not succeed; their calls went on."""
    fault_seconds: float = 0.0
    first_recovery_seconds: float | None = None
    full_recovery_seconds: float | None = None
    slowest_seconds: float = 0.0
    findings: tuple[str, ...] = ()
    """What was not as it should be, in words."""

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, doubled or given up, and all callers were served again."""
        troubles = self.lost + self.duplicated + self.failed + len(self.findings)
        return bool(self.skipped) or not troubles
