"""Who forecasts: baselines, rules of progression, and models, all asked alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from training_service.learning.examples import FEATURES, Example
from training_service.learning.model import LinearModel, check_enough, fit_linear
from training_service.learning.rules import POLICIES

PLANNED = "double progression"
"""The rule that stands for what was planned: an export does not hold what was."""


class Forecaster(Protocol):
    """Forecasts what is done next."""

    def forecast(self, examples: Sequence[Example]) -> list[float | None]:
        """Returns effective repetitions for each example; None where it can't tell."""


class Predictor(Protocol):
    """Learns from what was done before, if it learns at all."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def fit(self, past: Sequence[Example]) -> Forecaster:
        """Returns a forecaster that knows these examples and nothing later."""


@dataclass(frozen=True, slots=True)
class LastSession:
    """The same as last time."""

    name: str = "last session"

    def fit(self, past: Sequence[Example]) -> Forecaster:  # noqa: ARG002
        """Returns itself: there is nothing to learn."""
        return self

    def forecast(self, examples: Sequence[Example]) -> list[float | None]:
        """Returns what was done in the session before."""
        return [one.last for one in examples]


@dataclass(frozen=True, slots=True)
class MedianOfThree:
    """The median of the last three sessions."""

    name: str = "median of three"

    def fit(self, past: Sequence[Example]) -> Forecaster:  # noqa: ARG002
        """Returns itself: there is nothing to learn."""
        return self

    def forecast(self, examples: Sequence[Example]) -> list[float | None]:
        """Returns the median of what was done in the last three sessions."""
        return [one.median for one in examples]


@dataclass(frozen=True, slots=True)
class RulePrescription:
    """What a rule of progression prescribes is done."""

    rule: str

    @property
    def name(self) -> str:
        """The rule's name."""
        return f"rule: {self.rule}"

    def fit(self, past: Sequence[Example]) -> Forecaster:  # noqa: ARG002
        """Returns itself: rules are not learned."""
        return self

    def forecast(self, examples: Sequence[Example]) -> list[float | None]:
        """Returns what the rule prescribed."""
        return [one.planned.get(self.rule) for one in examples]


@dataclass(frozen=True, slots=True)
class Linear:
    """The linear model with athletes' effects: what may be shipped."""

    name: str = "linear model"

    def fit(self, past: Sequence[Example]) -> LinearModel:
        """Returns the model of these examples."""
        return fit_linear(past)


@dataclass(frozen=True, slots=True)
class Trees:
    """Gradient-boosted trees, to see what a model that is not linear would add. Never shipped."""

    name: str = "boosted trees"

    def fit(self, past: Sequence[Example]) -> Forecaster:
        """Returns trees of these examples. Raises TooFewExamplesError as the model does."""
        check_enough(past)
        from sklearn.ensemble import HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits

        model = HistGradientBoostingRegressor(
            loss="absolute_error",
            max_iter=60,
            max_leaf_nodes=8,
            min_samples_leaf=40,
            early_stopping=False,
            random_state=0,
        )
        wanted, weights = [one.change for one in past], [one.scale for one in past]
        # So little data is done sooner by one thread than by several that wait for each other.
        with threadpool_limits(1):
            model.fit(_table(past), wanted, sample_weight=weights)
        return _FittedTrees(model)


@dataclass(frozen=True, slots=True)
class _FittedTrees:
    model: Any

    def forecast(self, examples: Sequence[Example]) -> list[float | None]:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            changes = self.model.predict(_table(examples))
        return [
            max(one.median + float(change) * one.scale, 0.0)
            for one, change in zip(examples, changes, strict=True)
        ]


def _table(examples: Sequence[Example]) -> Any:
    import numpy

    table = numpy.array([one.features for one in examples], dtype=float)
    return table.reshape(len(examples), len(FEATURES))


BASELINES: Sequence[Predictor] = (LastSession(), MedianOfThree(), RulePrescription(PLANNED))
"""What a model must beat: all three."""
MODEL = Linear()
PREDICTORS: Sequence[Predictor] = (
    *BASELINES,
    *(RulePrescription(name) for name in POLICIES if name != PLANNED),
    MODEL,
    Trees(),
)
