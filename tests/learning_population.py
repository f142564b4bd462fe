"""Made-up athletes of whom it is known what their next session depends on.

`python -m tests.learning_population signal FILE.parquet` writes their logs as an export writes
them; without arguments it writes docs/backtest.svg and the numbers in docs/backtest.md anew.

Four worlds. In the first two it is asked how much an athlete does:

- *plan*: everybody does what they planned, and raises it now and then; a session in eight is cut
  short by chance. Nothing tells which. The median of the last three is the best there is.
- *signal*: two athletes in three respond to rest: after a day or less they do a third less, and
  less still after a session that they rated hard. The others do not respond. One athlete in four
  rates nothing. In the last third of the time all respond half as much: the truth drifts.

In the others, which workout an athlete does:

- *rested*: one whose muscles have rested for two days, of these one that evens push and pull, of
  these the one that is longest ago; now and then any. Two athletes in three do a third less of a
  workout whose muscles have not rested; the others do as much as ever. One athlete in four rates
  nothing, of one session in twenty it is not known how much was done, and in the last third of the
  time athletes respond half as much and train on more days.
- *routine*: the same workouts in the same order, now and then another, whatever has rested; in the
  last third of the time each has another order. Nobody responds to anything.
"""

import re
import sys
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from random import Random

from calisthenics.training.v1 import session_pb2 as pb
from google.type import date_pb2

from training_service.domain.exercise import exercise_id
from training_service.exporting.formats import ParquetFile
from training_service.learning.backtest import Backtest, backtest
from training_service.learning.choices import CATALOGUE, Choices, replay_choices
from training_service.learning.history import History, read_history
from training_service.learning.report import choices_markdown, draw, markdown

DOCUMENT = Path(__file__).parents[1] / "docs" / "backtest.md"
PICTURE = DOCUMENT.with_suffix(".svg")

START = date(2025, 1, 6)
EXERCISES = ("pull-up", "push-up")
SETS = 3
SHORT_CHANCE = 0.125
RAISE_CHANCE = 0.06
TIRED_SHARE = 0.34
HARD_SHARE = 0.04
"""What a point of RPE above the usual takes from the next session after a short rest."""
USUAL_RPE = 8.0
NOISE = 0.06
DRIFT_AFTER = 0.67
DRIFT_SHARE = 0.5
NEWCOMER_SESSIONS = 6
NEWCOMERS_IN = 8
"""Every so many-th athlete has few sessions only."""


WORKOUTS = (
    ("push-up", "pike-push-up"),
    ("parallel-bar-dip", "push-up"),
    ("parallel-bar-dip", "diamond-push-up"),
    ("pull-up", "horizontal-row"),
    ("chin-up", "horizontal-row"),
    ("bodyweight-squat", "reverse-lunge"),
)
WHIM_CHANCE = 0.15
UNKNOWN_CHANCE = 0.05
RESTED_DAYS = 2
REPS = 8


class World(StrEnum):
    """What the athletes' sessions depend on."""

    PLAN = "plan"
    SIGNAL = "signal"
    RESTED = "rested"
    ROUTINE = "routine"


AMOUNTS = (World.PLAN, World.SIGNAL)
"""Worlds in which it is asked how much is done."""
CHOICES = (World.RESTED, World.ROUTINE)
"""Worlds in which it is asked which workout is done."""


def write(
    file: Path, world: World, *, athletes: int = 24, sessions: int = 40, seed: int = 1
) -> None:
    """Writes the logs of a population."""
    with ParquetFile(file) as opened:
        for number in range(athletes):
            chance = Random(f"{world}-{seed}-{number}")
            few = number % NEWCOMERS_IN == NEWCOMERS_IN - 1
            count = NEWCOMER_SESSIONS if few else sessions
            begin = START + timedelta(days=2 * (sessions - count))
            make = _chooser if world in CHOICES else _athlete
            opened.write(list(make(world, chance, number, begin, count, sessions)))


def _id(chance: Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _athlete(
    world: World, chance: Random, number: int, begin: date, count: int, sessions: int
) -> Iterator[pb.Session]:
    user_id = _id(chance)
    levels = {slug: chance.randint(6, 12) for slug in EXERCISES}
    responds, rates = number % 3 != 0, number % 4 != 0
    day, rest, rpe = begin, 3, USUAL_RPE
    for _ in range(count):
        elapsed = (day - START).days / (2 * sessions)
        strength = DRIFT_SHARE if elapsed > DRIFT_AFTER else 1.0
        loss = strength * _loss(rest, rpe) if responds else 0.0
        rated = round(2 * min(max(chance.gauss(USUAL_RPE, 1.0), 5.0), 10.0)) / 2
        exercises = []
        for slug in EXERCISES:
            if chance.random() < RAISE_CHANCE and levels[slug] < 20:
                levels[slug] += 1
            reps = (
                _planned(chance, levels[slug])
                if world is World.PLAN
                else _signalled(chance, levels[slug], loss)
            )
            exercises.append(_exercise(slug, reps, rated if rates else None))
        yield _session(user_id, chance, day, exercises)
        rest, rpe = chance.choice((1, 1, 2, 3, 4)), rated
        day += timedelta(days=rest)


def _chooser(
    world: World, chance: Random, number: int, begin: date, count: int, sessions: int
) -> Iterator[pb.Session]:
    user_id = _id(chance)
    responds, rates = world is World.RESTED and number % 3 != 0, number % 4 != 0
    orders = [chance.sample(range(len(WORKOUTS)), len(WORKOUTS)) for _ in range(2)]
    worked: dict[str, date] = {}
    done: list[tuple[date, int]] = []
    day = begin
    for _ in range(count):
        is_late = (day - START).days / (2 * sessions) > DRIFT_AFTER
        if chance.random() < WHIM_CHANCE:
            workout = chance.randrange(len(WORKOUTS))
        elif world is World.RESTED:
            workout = _rested_choice(worked, done, day)
        else:
            order = orders[is_late]
            workout = order[(order.index(done[-1][1]) + 1) % len(order)] if done else order[0]
        is_tired = not _has_rested(workout, worked, day)
        loss = TIRED_SHARE * (DRIFT_SHARE if is_late else 1.0) if responds and is_tired else 0.0
        sets = [
            max(round(REPS * (1 - loss) * (1 + chance.gauss(0, NOISE))), 1) for _ in range(SETS)
        ]
        rpe = USUAL_RPE if rates else None
        exercises = [_exercise(slug, sets, rpe) for slug in WORKOUTS[workout]]
        if chance.random() < UNKNOWN_CHANCE:
            exercises = [_unknown(slug) for slug in WORKOUTS[workout]]
        yield _session(user_id, chance, day, exercises)
        worked.update(dict.fromkeys(_muscles(workout), day))
        done.append((day, workout))
        day += timedelta(days=chance.choice((1, 1, 2) if is_late else (1, 2, 3)))


def _muscles(workout: int) -> set[str]:
    return {
        muscle
        for slug in WORKOUTS[workout]
        for muscle in CATALOGUE[exercise_id(slug)].primary_muscles
    }


def _has_rested(workout: int, worked: dict[str, date], day: date) -> bool:
    return all(
        (day - worked[muscle]).days >= RESTED_DAYS
        for muscle in _muscles(workout)
        if muscle in worked
    )


def _rested_choice(worked: dict[str, date], done: list[tuple[date, int]], day: date) -> int:
    """Returns the workout of an athlete who goes by what has rested."""
    recent = [workout for at, workout in done if (day - at).days < 14]
    more_push = sum(workout < 3 for workout in recent) - sum(3 <= each < 5 for each in recent)
    last = {workout: at for at, workout in done}

    def wish(workout: int) -> tuple[bool, int, date]:
        pushes = (workout < 3) - (3 <= workout < 5)
        return (
            not _has_rested(workout, worked, day),
            abs(more_push + pushes),
            last.get(workout, START - timedelta(days=workout + 1)),
        )

    return min(range(len(WORKOUTS)), key=wish)


def _loss(rest_days: int, rpe: float) -> float:
    """Returns what is missing after a rest, as a share."""
    return TIRED_SHARE + HARD_SHARE * (rpe - USUAL_RPE) if rest_days <= 1 else 0.0


def _planned(chance: Random, level: int) -> list[int]:
    if chance.random() < SHORT_CHANCE:
        return [level] * chance.randint(1, SETS - 1)
    return [level] * SETS


def _signalled(chance: Random, level: int, loss: float) -> list[int]:
    return [max(round(level * (1 - loss) * (1 + chance.gauss(0, NOISE))), 1) for _ in range(SETS)]


def _exercise(slug: str, reps: list[int], rpe: float | None) -> pb.SessionExercise:
    sets = [pb.PerformedSet(actual_reps=one, rpe=rpe) for one in reps]
    return pb.SessionExercise(exercise_id=str(exercise_id(slug)), sets=sets)


def _unknown(slug: str) -> pb.SessionExercise:
    """Returns an exercise of which it is not known how much was done."""
    return pb.SessionExercise(
        exercise_id=str(exercise_id(slug)), sets=[pb.PerformedSet(completed=True)] * SETS
    )


def _session(
    user_id: str, chance: Random, day: date, exercises: list[pb.SessionExercise]
) -> pb.Session:
    session = pb.Session(
        id=_id(chance),
        external_user_id=user_id,
        time_zone="UTC",
        local_date=date_pb2.Date(year=day.year, month=day.month, day=day.day),
        state=pb.SESSION_STATE_CURRENT,
        completion=pb.SESSION_COMPLETION_COMPLETED,
        exercises=exercises,
    )
    for order, exercise in enumerate(session.exercises, start=1):
        exercise.order = order
    session.start_time.FromDatetime(datetime(day.year, day.month, day.day, 18, tzinfo=UTC))
    session.create_time.CopyFrom(session.start_time)
    return session


# The document


def history_of(world: World) -> History:
    """Returns the history of a world."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "export.parquet"
        write(file, world, sessions=80 if world in CHOICES else 40)
        return read_history(file)


def replayed(world: World) -> tuple[History, Backtest]:
    """Returns the history of a world and what replaying its amounts shows."""
    history = history_of(world)
    return history, backtest(history)


def document(text: str, reports: dict[World, str]) -> str:
    """Returns the document with these reports in the places for them."""
    for world, report in reports.items():
        begin, end = f"<!-- {world} -->", f"<!-- end of {world} -->"
        text = re.sub(
            f"{begin}.*{end}", lambda _, new=f"{begin}\n\n{report}\n{end}": new, text, flags=re.S
        )
    return text


def reports_of(
    amounts: dict[World, tuple[History, Backtest]], choices: dict[World, Choices]
) -> dict[World, str]:
    """Returns the report on each world."""
    return {
        **{world: markdown(found, history) for world, (history, found) in amounts.items()},
        **{world: choices_markdown(found) for world, found in choices.items()},
    }


def picture_of(
    amounts: dict[World, tuple[History, Backtest]], choices: dict[World, Choices]
) -> str:
    """Returns the picture of all worlds as SVG."""
    return draw(
        {f"World: {world}": found.rolling for world, (_, found) in amounts.items()},
        {f"World: {world}": found for world, found in choices.items()},
    )


def main() -> None:
    """Writes an export, or the document."""
    if sys.argv[1:]:
        world, file = sys.argv[1:]
        write(Path(file), World(world))
        return
    amounts = {world: replayed(world) for world in AMOUNTS}
    choices = {world: replay_choices(history_of(world).occasions) for world in CHOICES}
    PICTURE.write_text(picture_of(amounts, choices), encoding="utf-8")
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(document(text, reports_of(amounts, choices)), encoding="utf-8")


if __name__ == "__main__":
    main()
