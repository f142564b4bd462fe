"""What the measurements should come to, as ratios between numbers of one run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.load import Sample, ratio

Results = Mapping[str, Mapping[str, Sample]]
"""By case and target."""

BATCH = 100
"""Sessions of the batch that is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A ratio that should not go above, or not below, a bound."""

    name: str
    cases: tuple[str, ...]
    """What must have been measured."""
    ratio: Callable[[Results], float]
    at_most: float | None = None
    at_least: float | None = None

    @property
    def bound(self) -> str:
        """The bound in words."""
        return f"≤ {self.at_most}" if self.at_least is None else f"≥ {self.at_least}"

    def is_met(self, ratio: float) -> bool:
        """Whether a ratio keeps the bound."""
        return (self.at_most is None or ratio <= self.at_most) and (
            self.at_least is None or ratio >= self.at_least
        )


def _cpu(case: str, above: str, below: str) -> Callable[[Results], float]:
    return lambda r: ratio(r[case][above].total_cpu_us, r[case][below].total_cpu_us)


def _rate(case: str, above: str, below: str) -> Callable[[Results], float]:
    return lambda r: r[case][above].requests_per_second / r[case][below].requests_per_second


def _beside(case: str, floor: str, at_most: float) -> Goal:
    name = f"{case}, CPU beside the {floor}"
    return Goal(name=name, cases=(case,), ratio=_cpu(case, "service", floor), at_most=at_most)


def _page_of_a_thousand(results: Results) -> float:
    large, small = results["ListSessions(1,000)"], results["ListSessions(20)"]
    return ratio(large["service"].total_cpu_us, small["service"].total_cpu_us)


def _batched(results: Results) -> float:
    batch, single = results["BatchLogSessions(100)"], results["LogSession"]
    sessions_per_second = batch["service"].requests_per_second * BATCH
    return sessions_per_second / single["service"].requests_per_second


GOALS = [
    _beside("GetSession", "handwritten floor", 1.25),
    _beside("ListSessions(20)", "handwritten floor", 1.15),
    _beside("LogSession", "handwritten floor", 1.5),
    _beside("GetExercise", "stack floor", 1.3),
    _beside("ListExercises(50)", "stack floor", 1.3),
    Goal(
        name="ListSessions, CPU of 1,000 beside 20",
        cases=("ListSessions(1,000)", "ListSessions(20)"),
        ratio=_page_of_a_thousand,
        at_most=12,
    ),
    Goal(
        name="ExportSessions, rate beside COPY",
        cases=("ExportSessions",),
        ratio=_rate("ExportSessions", "service", "COPY"),
        at_least=0.5,
    ),
    Goal(
        name="BatchLogSessions, sessions a second beside single calls",
        cases=("BatchLogSessions(100)", "LogSession"),
        ratio=_batched,
        at_least=8,
    ),
    *(
        Goal(
            name=f"{case}, rate of two workers beside one",
            cases=(f"{case}, scaling",),
            ratio=_rate(f"{case}, scaling", "2 workers", "one worker"),
            at_least=1.7,
        )
        for case in ("GetSession", "GetExercise")
    ),
]


def ratios(results: Results) -> dict[Goal, float]:
    """Returns what the measurements come to, of goals all of whose cases were measured."""
    return {goal: goal.ratio(results) for goal in GOALS if set(goal.cases) <= set(results)}
