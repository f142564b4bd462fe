"""Replays history: who would have forecast best, had they known only what came before.

Time is cut into folds. Who forecasts a fold has learned from what came before it, and each forecast
sees the sessions before its own: a rolling origin, never a random split. Once more the same with
whole athletes held out: those who are forecast were not learned from. Athletes who have too few
sessions yet are reported apart.

MAE is the mean absolute error in effective repetitions, MASE the same over that of the last session
on the same forecasts (Hyndman & Koehler 2006, International Journal of Forecasting 22).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import NamedTuple
from zlib import crc32

from training_service.learning.examples import MIN_SESSIONS, Example, examples_of
from training_service.learning.folds import FOLDS, Gain, folds_of, gain_of
from training_service.learning.history import History, LearningError, Progress, catalogue_by_id
from training_service.learning.model import TooFewExamplesError
from training_service.learning.predictors import BASELINES, MODEL, PREDICTORS, Predictor
from training_service.learning.rules import replay_rules

USER_GROUPS = 3
"""Each is held out once."""
MAX_MASE = 0.95
LAST = BASELINES[0].name


class Forecast(NamedTuple):
    """What one predictor said of one example."""

    user_id: str
    error: float
    """Absolute, in effective repetitions."""
    fold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one predictor did."""

    name: str
    forecast_count: int
    mae: float
    mase: float
    gain: Gain | None = None
    """MAE of the best baseline less its own; None for the baselines."""
    fold_maes: Sequence[float | None] = ()
    """By fold, the earliest first; None where there was no forecast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Scores of all predictors on the same forecasts; none where nothing could be forecast."""

    title: str
    user_count: int
    scores: Sequence[Score]
    """The best first."""

    def score_of(self, name: str) -> Score | None:
        """Returns how a predictor did; None when it said nothing."""
        return next((one for one in self.scores if one.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What a replay showed."""

    rolling: Part
    held_out: Part
    cold_start: Part
    outcomes: Mapping[str, Mapping[str, int]]
    """How rules judged sessions."""
    is_on: bool
    """Whether the model may be used."""
    reasons: Sequence[str]
    """Why it may not; empty when it may."""
    examples: Sequence[Example]
    """Those that a model may learn from, by time."""


def prepared(history: History) -> tuple[list[Example], Mapping[str, Mapping[str, int]]]:
    """Returns the examples of a history by time, and how rules judged its sessions."""
    replayed = replay_rules(history.occasions, catalogue_by_id())
    found = list(examples_of(history.occasions, replayed.planned))
    found.sort(key=lambda one: (one.started_at, one.user_id, one.exercise_id))
    return found, replayed.outcomes


def backtest(
    history: History,
    progress: Progress = lambda _done, _of: None,
    predictors: Sequence[Predictor] = PREDICTORS,
) -> Backtest:
    """Replays a history. Raises LearningError when there is too little of it."""
    examples, outcomes = prepared(history)
    seasoned = [one for one in examples if one.sessions_before >= MIN_SESSIONS]
    if len(seasoned) < FOLDS:
        raise LearningError(
            f"Too little to replay: {len(seasoned)} sessions of an exercise by athletes who had "
            f"{MIN_SESSIONS} sessions before"
        )
    runs = _Runs(predictors, progress, total=FOLDS * (1 + USER_GROUPS))
    newcomers = [one for one in examples if one.sessions_before < MIN_SESSIONS]
    rolling, cold, held_out = runs.empty(), runs.empty(), runs.empty()
    for fold, stretch in enumerate(folds_of(seasoned)):
        past = [one for one in seasoned if one.started_at < stretch.begin]
        tested = stretch.of(seasoned)
        runs.run(past, [(tested, rolling), (stretch.of(newcomers), cold)], fold)
        for group in range(USER_GROUPS):
            others = [one for one in past if _group(one) != group]
            runs.run(others, [([o for o in tested if _group(o) == group], held_out)], fold)
    part = _part("Rolling origin", rolling)
    apart = _part("Rolling origin, athletes held out", held_out)
    reasons = _reasons(part)
    return Backtest(
        rolling=part,
        held_out=apart,
        cold_start=_part(f"Athletes with fewer than {MIN_SESSIONS} sessions", cold),
        outcomes=outcomes,
        is_on=not reasons,
        reasons=reasons,
        examples=seasoned,
    )


def _group(one: Example) -> int:
    """Returns the group in which an athlete is held out, the same on every machine."""
    return crc32(one.user_id.encode()) % USER_GROUPS


Forecasts = dict[str, list[Forecast]]


@dataclass(slots=True)
class _Runs:
    """Lets predictors learn and forecast, and keeps count."""

    predictors: Sequence[Predictor]
    progress: Progress
    total: int
    done: int = 0

    def empty(self) -> Forecasts:
        """Returns a place for forecasts."""
        return {one.name: [] for one in self.predictors}

    def run(
        self,
        past: Sequence[Example],
        tests: Sequence[tuple[Sequence[Example], Forecasts]],
        fold: int,
    ) -> None:
        """Lets all predictors learn from the past and forecast each of the tests.

        Kept is only what all had an answer for. A predictor that had too few examples to learn from
        says nothing, and is left out in the end.
        """
        said = [dict[str, list[float | None]]() for _ in tests]
        for predictor in self.predictors:
            try:
                fitted = predictor.fit(past)
            except TooFewExamplesError:
                continue
            for (examples, _), answers in zip(tests, said, strict=True):
                answers[predictor.name] = fitted.forecast(examples) if examples else []
        for (examples, into), answers in zip(tests, said, strict=True):
            _keep(examples, answers, into, fold)
        self.done += 1
        self.progress(self.done, self.total)


def _keep(
    examples: Sequence[Example],
    answers: Mapping[str, Sequence[float | None]],
    into: Forecasts,
    fold: int,
) -> None:
    for at, one in enumerate(examples):
        row = {name: values[at] for name, values in answers.items()}
        if any(value is None for value in row.values()):
            continue
        for name, value in row.items():
            into[name].append(Forecast(one.user_id, abs((value or 0.0) - one.amount), fold))


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def _part(title: str, forecasts: Forecasts) -> Part:
    # Who could not always forecast would be compared on other forecasts than the rest.
    answered = {name: of for name, of in forecasts.items() if len(of) == len(forecasts[LAST])}
    if not forecasts[LAST]:
        return Part(title=title, user_count=0, scores=())
    last_mae = _mean([one.error for one in answered[LAST]])
    scores = [_score(name, of, last_mae) for name, of in answered.items()]
    baselines = {one.name for one in BASELINES}
    best = min((one for one in scores if one.name in baselines), key=lambda one: one.mae)
    scores = [
        one if one.name in baselines else _with_gain(one, answered[one.name], answered[best.name])
        for one in scores
    ]
    return Part(
        title=title,
        user_count=len({one.user_id for one in answered[LAST]}),
        scores=sorted(scores, key=lambda one: one.mae),
    )


def _score(name: str, forecasts: Sequence[Forecast], last_mae: float) -> Score:
    mae = _mean([one.error for one in forecasts])
    folds = [[one.error for one in forecasts if one.fold == fold] for fold in range(FOLDS)]
    return Score(
        name=name,
        forecast_count=len(forecasts),
        mae=mae,
        mase=mae / last_mae if last_mae else 1.0,
        fold_maes=[_mean(errors) if errors else None for errors in folds],
    )


def _with_gain(score: Score, own: Sequence[Forecast], best: Sequence[Forecast]) -> Score:
    """Returns a score with its gain over the best baseline, and the interval of it."""
    gains: dict[str, list[float]] = {}
    for mine, theirs in zip(own, best, strict=True):
        gains.setdefault(mine.user_id, []).append(theirs.error - mine.error)
    return replace(score, gain=gain_of(gains))


def _reasons(part: Part) -> list[str]:
    """Returns why the model may not be used: it must be better than the last session by a twentieth
    and better than the best baseline beyond chance."""
    score = part.score_of(MODEL.name)
    if score is None or score.gain is None:
        return ["there is too little to learn from"]
    reasons = []
    if score.mase >= MAX_MASE:
        reasons.append(f"its MASE is {score.mase:.3f}, not below {MAX_MASE}")
    if score.gain.low <= 0:
        interval = f"{score.gain.low:.3f} to {score.gain.high:.3f}"
        reasons.append(
            f"the 95 % interval of its gain over the best baseline, {interval} effective "
            "repetitions, is not above 0"
        )
    return reasons
