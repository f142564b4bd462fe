"""A linear model of what is done next, pooled over athletes, with an effect of each.

What is forecast is the change from the median of the last three sessions, as a share of it. The
part that all athletes share is a ridge regression on FEATURES; what is unknown is taken as the
mean, and an indicator says that it was unknown. An athlete's own effect on an exercise is the mean
of what the shared part missed before, shrunk by how few sessions tell: n / (n + noise / spread),
the best linear unbiased prediction of a random intercept (Robinson 1991, Statistical Science 6). It
is reckoned from the history each time, so that the model holds no person's data, and an athlete who
was not in it is forecast alike.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from statistics import fmean
from typing import Any
from uuid import UUID

from training_service.learning.examples import FEATURES, MAX_CHANGE, Example

MIN_EXAMPLES = 100
"""Fewer are not learned from (our choice)."""
RIDGE = 10.0
"""Strength of the penalty on standardized features (our choice)."""
MIN_DEVIATION = 1e-9


class TooFewExamplesError(Exception):
    """There is not enough to learn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearModel:
    """Numbers, and nothing that could be run."""

    means: Sequence[float]
    deviations: Sequence[float]
    coefficients: Sequence[float]
    """Of the features, in standard deviations, and then of the indicators of what is unknown."""
    intercept: float
    noise_over_spread: float | None
    """Variance within athletes' exercises over that between them; None: they do not differ."""

    def forecast(self, examples: Sequence[Example]) -> list[float | None]:
        """Returns effective repetitions for each example."""
        return [max(one.median + self._change(one) * one.scale, 0.0) for one in examples]

    def _change(self, one: Example) -> float:
        change = self._shared(one) + self._effect(one)
        return min(max(change, -MAX_CHANGE), MAX_CHANGE)

    def _shared(self, one: Example) -> float:
        columns = _columns(one.features, self.means, self.deviations)
        weighed = (a * b for a, b in zip(columns, self.coefficients, strict=True))
        return self.intercept + fsum(weighed)

    def _effect(self, one: Example) -> float:
        if self.noise_over_spread is None or not one.earlier:
            return 0.0
        missed = [each.change - self._shared(each) for each in one.earlier]
        return fsum(missed) / (len(missed) + self.noise_over_spread)


def _columns(
    features: Sequence[float | None], means: Sequence[float], deviations: Sequence[float]
) -> list[float]:
    known = [
        0.0 if value is None else (value - mean) / deviation
        for value, mean, deviation in zip(features, means, deviations, strict=True)
    ]
    return known + [float(value is None) for value in features]


def check_enough(examples: Sequence[Example]) -> None:
    """Raises TooFewExamplesError below MIN_EXAMPLES."""
    if len(examples) < MIN_EXAMPLES:
        raise TooFewExamplesError(f"{len(examples)} examples, and {MIN_EXAMPLES} are needed")


def fit_linear(examples: Sequence[Example]) -> LinearModel:
    """Returns the model of these examples. Raises TooFewExamplesError below MIN_EXAMPLES."""
    check_enough(examples)
    from sklearn.linear_model import Ridge

    moments = [_moments([one.features[at] for one in examples]) for at in range(len(FEATURES))]
    means, deviations = [mean for mean, _ in moments], [deviation for _, deviation in moments]
    table = [_columns(one.features, means, deviations) for one in examples]
    wanted = [one.change for one in examples]
    # A large volume that is missed by a share costs more: weighed by it, shares come near to MAE.
    ridge = Ridge(alpha=RIDGE).fit(table, wanted, sample_weight=[one.scale for one in examples])
    missed = [a - float(b) for a, b in zip(wanted, ridge.predict(table), strict=True)]
    return LinearModel(
        means=means,
        deviations=deviations,
        coefficients=[float(each) for each in ridge.coef_],
        intercept=float(ridge.intercept_),
        noise_over_spread=_noise_over_spread(examples, missed),
    )


def _moments(values: Sequence[float | None]) -> tuple[float, float]:
    known = [value for value in values if value is not None]
    if not known:
        return 0.0, 1.0
    mean = fmean(known)
    deviation = fmean((value - mean) ** 2 for value in known) ** 0.5
    return mean, deviation if deviation > MIN_DEVIATION else 1.0


def _noise_over_spread(examples: Sequence[Example], missed: Sequence[float]) -> float | None:
    """Returns the ratio of variances by the method of moments (one-way random effects)."""
    groups: Mapping[tuple[str, UUID], list[float]] = defaultdict(list)
    for one, each in zip(examples, missed, strict=True):
        groups[one.user_id, one.exercise_id].append(each)
    freedom = len(missed) - len(groups)
    if len(groups) < 2 or freedom < 1:
        return None
    means = [fmean(of) for of in groups.values()]
    within = [
        (each - mean) ** 2 for mean, of in zip(means, groups.values(), strict=True) for each in of
    ]
    noise = fsum(within) / freedom
    overall = fmean(means)
    between = fsum((mean - overall) ** 2 for mean in means) / (len(means) - 1)
    spread = between - noise * fmean(1 / len(of) for of in groups.values())
    return noise / spread if spread > MIN_DEVIATION else None


def as_json(model: LinearModel) -> dict[str, Any]:
    """Returns a model as it stands in a file."""
    return {
        "features": list(FEATURES),
        "means": list(model.means),
        "deviations": list(model.deviations),
        "coefficients": list(model.coefficients),
        "intercept": model.intercept,
        "noise_over_spread": model.noise_over_spread,
    }
