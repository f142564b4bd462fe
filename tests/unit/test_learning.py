"""Learning from exports: what is known when, who wins, and when a model is used."""

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from typer.testing import CliRunner

from tests.learning_population import (
    AMOUNTS,
    CHOICES,
    DOCUMENT,
    PICTURE,
    World,
    document,
    history_of,
    picture_of,
    replayed,
    reports_of,
    write,
)
from training_service.cli import app
from training_service.domain.exercise import exercise_id
from training_service.domain.metrics import Side, WorkingSet
from training_service.learning.artefact import (
    CARD_FILE,
    MODEL_FILE,
    Loaded,
    forecast,
    load_artefact,
)
from training_service.learning.backtest import Backtest
from training_service.learning.card import CARD_TEXT, sha256, write_artefact
from training_service.learning.choices import RECOMMENDER, Choices, replay_choices
from training_service.learning.examples import (
    EFFECT_SESSIONS,
    FEATURES,
    Example,
    examples_of,
    upcoming_example,
)
from training_service.learning.history import (
    History,
    LearningError,
    Occasion,
    catalogue_by_id,
    read_history,
)
from training_service.learning.model import LinearModel, TooFewExamplesError, fit_linear
from training_service.learning.report import choice_verdict
from training_service.learning.rules import replay_rules

PULL_UP = exercise_id("pull-up")
START = datetime(2025, 1, 6, 18, tzinfo=UTC)
Worlds = dict[World, tuple[History, Backtest]]


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    return {world: replayed(world) for world in AMOUNTS}


@pytest.fixture(scope="module")
def choices() -> dict[World, Choices]:
    return {world: replay_choices(history_of(world).occasions) for world in CHOICES}


def occasion(day: int, amount: float, rpe: float | None = None, user: str = "alice") -> Occasion:
    started_at = START + timedelta(days=day)
    return Occasion(
        user_id=user,
        session_id=f"{user}-{day}",
        exercise_id=PULL_UP,
        started_at=started_at,
        day=started_at.date(),
        sets=[WorkingSet(reps=amount, rpe=rpe)],
        effective_reps=amount,
        rpe=rpe,
    )


def features_of(example: Example) -> dict[str, float | None]:
    return dict(zip(FEATURES, example.features, strict=True))


# Who wins


def test_where_there_is_nothing_to_learn_the_median_wins_and_the_model_is_off(
    worlds: Worlds,
) -> None:
    _, found = worlds[World.PLAN]
    for part in (found.rolling, found.held_out):
        assert part.scores[0].name == "median of three"
    assert not found.is_on
    assert "not above 0" in found.reasons[-1]


def test_where_rest_and_effort_tell_the_model_wins_and_is_on(worlds: Worlds) -> None:
    _, found = worlds[World.SIGNAL]
    for part in (found.rolling, found.held_out):
        assert part.scores[0].name == "linear model"
        assert part.scores[0].gain is not None
        assert part.scores[0].gain.low > 0
    assert found.is_on
    assert not found.reasons


def test_the_model_stays_ahead_when_the_truth_drifts(worlds: Worlds) -> None:
    _, found = worlds[World.SIGNAL]
    model, median = (found.rolling.score_of(n) for n in ("linear model", "median of three"))
    assert model is not None
    assert median is not None
    assert all(a < b for a, b in zip(model.fold_maes, median.fold_maes, strict=True) if a and b)


def test_all_are_compared_on_the_same_forecasts(worlds: Worlds) -> None:
    for _, found in worlds.values():
        for part in (found.rolling, found.held_out, found.cold_start):
            assert len({score.forecast_count for score in part.scores}) == 1
            last = part.score_of("last session")
            assert last is not None
            assert last.mase == 1.0
        assert found.cold_start.user_count == 3


def test_where_athletes_rest_their_muscles_the_recommender_wins_and_does_them_good(
    choices: dict[World, Choices],
) -> None:
    found = choices[World.RESTED]
    assert found.scores[0].name == RECOMMENDER
    gain, benefit = found.scores[0].gain, found.benefit
    assert gain
    assert gain.low > 0
    assert benefit
    assert benefit.low > 0
    others = [one for one in found.scores if one.name != RECOMMENDER]
    for other in others:  # also when athletes come to respond half as much
        pairs = zip(found.scores[0].fold_ranks, other.fold_ranks, strict=True)
        assert all(own and theirs and own > theirs for own, theirs in pairs)


def test_where_athletes_keep_to_a_routine_it_loses_and_does_no_good(
    choices: dict[World, Choices],
) -> None:
    found = choices[World.ROUTINE]
    assert found.scores[0].name == "the one longest ago"
    gain, benefit = found.score_of(RECOMMENDER).gain, found.benefit
    assert gain
    assert gain.high < 0
    assert benefit
    assert benefit.low <= 0 <= benefit.high
    words = choice_verdict(found)
    assert words.startswith('"the one longest ago" tells better than the recommender')
    assert "went no better than others" in words


def test_the_document_is_what_the_command_writes(
    worlds: Worlds, choices: dict[World, Choices]
) -> None:
    """docs/backtest.md and .svg are those of `python -m tests.learning_population`."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert document(text, reports_of(worlds, choices)) == text
    assert all(choice_verdict(found) in text for found in choices.values())
    assert picture_of(worlds, choices) == PICTURE.read_text(encoding="utf-8")
    assert "median of three" in text


def test_a_population_is_made_up_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, World.SIGNAL, athletes=2, sessions=5)
    write(tmp_path / "three", World.SIGNAL, athletes=2, sessions=5, seed=2)
    assert sha256(tmp_path / "one") == sha256(tmp_path / "two") != sha256(tmp_path / "three")


# What is known when


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), min_size=2, max_size=30))
def test_an_example_knows_nothing_of_what_comes_later(days: list[tuple[int, int]]) -> None:
    day, past = 0, []
    for rest, amount in days:
        day += rest
        past.append(replace(occasion(day, amount, rpe=8), session_id=str(len(past))))
    whole = list(examples_of(past))
    for count in range(2, len(past) + 1):
        # The last amount is the answer; nothing else of the example may hang on it.
        changed = replace(past[count - 1], effective_reps=1000.0, rpe=10.0)
        found = list(examples_of([*past[: count - 1], changed]))
        assert found[:-1] == whole[: count - 2]
        assert replace(found[-1], amount=whole[count - 2].amount) == whole[count - 2]
        assert list(found[-1].earlier) == found[:-1][-EFFECT_SESSIONS:]


def test_a_session_to_come_is_seen_as_one_that_came() -> None:
    past = [occasion(day, 10.0 + day, rpe=8) for day in (0, 2, 3)]
    *_, came = examples_of([*past, occasion(5, 0)])
    found = upcoming_example(past, PULL_UP, occasion(5, 0).day)
    assert found is not None
    assert replace(found, started_at=came.started_at) == came
    assert upcoming_example(past, exercise_id("l-sit"), occasion(5, 0).day) is None


def test_features_of_a_fifth_session() -> None:
    days = ((0, 20.0, 7.0), (2, 24.0, 8.0), (3, 12.0, None), (6, 24.0, 9.0), (7, 15.0, 9.0))
    *_, example = examples_of([occasion(*each) for each in days])
    found = features_of(example)
    assert (example.last, example.median, example.amount) == (24.0, 24.0, 15.0)
    assert example.sessions_before == 4
    assert found["last_change"] == 0
    assert found["usual_change"] == pytest.approx(-4 / 24)
    assert found["trend"] == pytest.approx(4 / 3 / 24)
    assert found["rest_days"] == pytest.approx(math.log(2))
    assert found["rested_a_day_at_most"] == 1
    assert found["change_after_like_rest"] == pytest.approx((12 - 22) / 22)
    assert found["last_rpe"] == 9
    assert found["rpe_drift"] == pytest.approx(1.5)
    assert found["recent_over_usual_volume"] is None


def test_the_volume_of_four_even_weeks_is_as_usual() -> None:
    *_, example = examples_of([occasion(7 * week, 20) for week in range(6)])
    assert features_of(example)["recent_over_usual_volume"] == 1


def test_athletes_do_not_know_of_each_other() -> None:
    alices = [occasion(day, 10) for day in range(3)]
    bobs = [occasion(day, 30, user="bob") for day in range(3)]
    found = list(examples_of([*alices, *bobs]))
    assert found == [*examples_of(alices), *examples_of(bobs)]
    assert [one.last for one in found] == [10, 10, 30, 30]


def test_a_rule_prescribes_from_the_first_session_on() -> None:
    sets = [WorkingSet(reps=8), WorkingSet(reps=8)]
    days = [replace(occasion(day, 16), sets=sets) for day in (0, 2, 4)]
    found = replay_rules(days, catalogue_by_id())
    # Two sets of 8 to 11: the middle is 9.5 in each.
    assert found.planned["alice-2", PULL_UP]["double progression"] == 19
    assert ("alice-0", PULL_UP) not in found.planned
    assert found.outcomes["double progression"] == {"HOLD": 2}


def test_a_rule_of_one_sided_work_counts_both_sides() -> None:
    both = [WorkingSet(reps=5, side=side) for side in (Side.LEFT, Side.RIGHT)]
    days = [replace(occasion(day, 10), sets=both) for day in (0, 2)]
    found = replay_rules(days, catalogue_by_id())
    assert found.planned["alice-2", PULL_UP]["linear"] == 10


def test_a_rule_of_a_hold_is_worth_half_a_repetition_a_second() -> None:
    hold = exercise_id("l-sit")
    sets = [WorkingSet(hold_seconds=12), WorkingSet(hold_seconds=10)]
    days = [replace(occasion(day, 11), exercise_id=hold, sets=sets) for day in (0, 2)]
    found = replay_rules(days, catalogue_by_id())
    # Two sets of 10 to 15 s: 25 s in the middle.
    assert found.planned["alice-2", hold]["double progression"] == pytest.approx(12.5)


# The model


def example_of(amount: float, **others: Any) -> Example:
    fields: dict[str, Any] = {
        "user_id": "alice",
        "exercise_id": PULL_UP,
        "started_at": START,
        "amount": amount,
        "last": 10.0,
        "median": 10.0,
        "features": [0.0] * len(FEATURES),
        "sessions_before": 20,
    }
    return Example(**{**fields, **others})


def model_of(**others: Any) -> LinearModel:
    fields: dict[str, Any] = {
        "means": [0.0] * len(FEATURES),
        "deviations": [1.0] * len(FEATURES),
        "coefficients": [0.0] * (2 * len(FEATURES)),
        "intercept": 0.1,
        "noise_over_spread": None,
    }
    return LinearModel(**{**fields, **others})


def test_an_athletes_effect_is_shrunk_by_how_little_is_known() -> None:
    """Two earlier misses of 0.2 with a ratio of 2: 0.4 / (2 + 2) = 0.1 beyond the shared 0.1."""
    earlier = (example_of(13.0), example_of(13.0))
    model = model_of(noise_over_spread=2.0)
    assert model.forecast([example_of(0.0, earlier=earlier)]) == [pytest.approx(12.0)]
    assert model.forecast([example_of(0.0)]) == [pytest.approx(11.0)]


def test_what_is_unknown_has_an_indicator_of_its_own() -> None:
    coefficients = [0.0] * (2 * len(FEATURES))
    coefficients[0], coefficients[len(FEATURES)] = 9.0, -0.2
    unknown = [None, *[0.0] * (len(FEATURES) - 1)]
    model = model_of(coefficients=coefficients)
    assert model.forecast([example_of(0.0, features=unknown)]) == [pytest.approx(9.0)]


def test_a_forecast_is_never_below_none_nor_beyond_the_double() -> None:
    assert model_of(intercept=-50.0).forecast([example_of(0.0)]) == [0.0]
    assert model_of(intercept=50.0).forecast([example_of(0.0)]) == [20.0]


def test_a_known_rule_is_learned() -> None:
    """Half as much after short rests: the ridge finds it from 400 examples."""
    chance = random.Random(1)
    examples = []
    for at in range(400):
        rested = at % 2
        features: list[float | None] = [0.0] * len(FEATURES)
        features[FEATURES.index("rested_a_day_at_most")] = float(rested)
        amount = (5.0 if rested else 10.0) + chance.gauss(0, 0.1)
        examples.append(example_of(amount, features=features))
    model = fit_linear(examples)
    assert model.forecast(examples[:2]) == [pytest.approx(10, abs=0.3), pytest.approx(5, abs=0.3)]


def test_too_few_examples_are_not_learned_from() -> None:
    with pytest.raises(TooFewExamplesError, match="3 examples, and 100 are needed"):
        fit_linear([example_of(10.0)] * 3)


# The files


@pytest.fixture
def shipped(worlds: Worlds, tmp_path: Path) -> Path:
    """A folder with a model that is on."""
    return written(worlds[World.SIGNAL], tmp_path)


def written(world: tuple[History, Backtest], folder: Path) -> Path:
    data = folder / "data"
    data.write_bytes(b"data")
    write_artefact(folder / "model", data, *world, datetime(2026, 1, 2, tzinfo=UTC))
    return folder / "model"


def test_a_model_is_read_as_it_was_written(shipped: Path, worlds: Worlds) -> None:
    examples = worlds[World.SIGNAL][1].examples
    loaded = load_artefact(shipped)
    assert loaded.model == fit_linear(examples)
    assert forecast(loaded, examples[-1])[1] == "linear model"
    card = json.loads((shipped / CARD_FILE).read_text())
    assert card["trained_at"] == "2026-01-02T00:00:00+00:00"
    assert card["data_sha256"] == sha256(shipped.parent / "data")
    assert card["metrics"]["mase"] < 0.95
    assert card["model_sha256"] in (shipped / CARD_TEXT).read_text()


def test_no_athlete_is_in_the_files(shipped: Path, worlds: Worlds) -> None:
    text = "".join(file.read_text() for file in shipped.iterdir())
    assert not any(one.user_id in text for one in worlds[World.SIGNAL][0].occasions)


def test_a_model_that_is_off_is_not_used(worlds: Worlds, tmp_path: Path) -> None:
    loaded = load_artefact(written(worlds[World.PLAN], tmp_path))
    assert loaded.model is None
    assert loaded.reason.startswith("the card says off: its MASE is")


def rewrite(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    fields = json.loads(file.read_text())
    change(fields)
    file.write_text(json.dumps(fields))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda model: model.update(format_version=2), "the model is of another version"),
        (lambda model: model["features"].reverse(), "the model is of another version"),
        (lambda model: model.update(intercept=math.nan), "the model's numbers are not"),
        (lambda model: model["means"].pop(), "the model's numbers are not"),
        (lambda model: model.pop("means"), "the files can't be read: KeyError"),
    ],
)
def test_a_model_that_does_not_fit_is_not_used(
    shipped: Path, change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    rewrite(shipped / MODEL_FILE, change)
    assert load_artefact(shipped).reason == "the model is not the one of the card"
    digest = sha256(shipped / MODEL_FILE)
    rewrite(shipped / CARD_FILE, lambda card: card.update(model_sha256=digest))
    loaded = load_artefact(shipped)
    assert loaded.model is None
    assert loaded.reason.startswith(reason)


def test_a_card_of_another_format_is_not_believed(shipped: Path) -> None:
    rewrite(shipped / CARD_FILE, lambda card: card.update(format_version=2))
    assert load_artefact(shipped) == Loaded(None, "the card is of format 2, not 1")


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff", b" " * 1_000_001])
def test_a_card_that_is_none_is_not_believed(shipped: Path, content: bytes | None) -> None:
    card = shipped / CARD_FILE
    card.unlink()
    if content is not None:
        card.write_bytes(content)
    loaded = load_artefact(shipped)
    assert loaded.model is None
    assert loaded.reason


def test_the_baseline_forecasts_where_the_model_cannot() -> None:
    loaded = Loaded(model_of())
    assert forecast(loaded, example_of(0.0)) == (pytest.approx(11.0), "linear model")
    unknown = [None] * 6 + [0.0] * (len(FEATURES) - 6)
    for one in (example_of(0.0, features=unknown), example_of(0.0, sessions_before=7)):
        assert forecast(loaded, one) == (10.0, "median of three")
    assert forecast(Loaded(None, "off"), example_of(0.0)) == (10.0, "median of three")


# The commands


def test_the_commands_write_what_they_say(tmp_path: Path) -> None:
    file, out = tmp_path / "export.parquet", tmp_path / "out"
    write(file, World.PLAN, athletes=5, sessions=30)
    result = CliRunner().invoke(app, ["backtest", str(file), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "The model is off: there is too little to learn from" in result.stdout
    assert json.loads((out / "backtest.json").read_text())["is_on"] is False
    report = (out / "backtest.md").read_text()
    assert "| median of three |" in report
    assert "Nobody had a choice" in report
    assert (out / "backtest.svg").read_text().startswith("<svg role=")
    result = CliRunner().invoke(app, ["train-model", str(file), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert json.loads((out / CARD_FILE).read_text())["is_on"] is False


def test_the_command_compares_rankings_where_there_is_a_choice(tmp_path: Path) -> None:
    file, out = tmp_path / "export.parquet", tmp_path / "out"
    write(file, World.ROUTINE, athletes=5, sessions=40)
    result = CliRunner().invoke(app, ["backtest", str(file), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "Which workout" in result.stdout
    scores = json.loads((out / "backtest.json").read_text())["choices"]["scores"]
    [own] = [one for one in scores if one["name"] == RECOMMENDER]
    assert own["gain"]["low"] <= own["gain"]["mean"] <= own["gain"]["high"]
    assert "| recommender |" in (out / "backtest.md").read_text()
    assert "Which workout" in (out / "backtest.svg").read_text()


@pytest.mark.parametrize("command", ["backtest", "train-model"])
def test_too_little_to_learn_from_ends_a_command(tmp_path: Path, command: str) -> None:
    file = tmp_path / "export.parquet"
    write(file, World.PLAN, athletes=1, sessions=4)
    result = CliRunner().invoke(app, [command, str(file), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "Too little to replay: 0 sessions" in result.output
    assert not (tmp_path / "out").exists()


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no")
    with pytest.raises(LearningError, match="is not a Parquet file"):
        read_history(file)
    parquet.write_table(pyarrow.table({"a": [1]}), file)
    with pytest.raises(LearningError, match="schema version 1, but of none"):
        read_history(file)
    parquet.write_table(
        pyarrow.table({"a": [1]}).replace_schema_metadata({"schema_version": "1"}), file
    )
    with pytest.raises(LearningError, match="lacks the columns external_user_id"):
        read_history(file)


def test_a_history_counts_what_it_leaves_out(tmp_path: Path) -> None:
    file = tmp_path / "export.parquet"
    write(file, World.SIGNAL, athletes=1, sessions=3)
    rows = parquet.read_table(file).to_pylist()
    first, second, third = ([r for r in rows if r["local_date"] == d] for d in dates_of(rows))
    for row in first:
        row["exercise_id"] = "00000000-0000-4000-8000-000000000000"
    second[0]["reps"], second[0]["completed"] = None, True
    third[0]["set_kind"] = "WARM_UP"
    third[1]["rpe"], third[1]["rir"] = None, 3.0
    schema = parquet.read_schema(file)
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), file)
    found = read_history(file)
    assert (found.unknown_exercise_count, found.unknown_amount_count) == (1, 1)
    assert found.session_count == 3
    of_third = [o for o in found.occasions if o.session_id == third[0]["session_id"]]
    pulled = next(o for o in of_third if o.exercise_id == PULL_UP)
    assert len(pulled.sets) == 2
    assert pulled.sets[0].rpe == 7


def dates_of(rows: list[dict[str, Any]]) -> list[date]:
    return sorted({row["local_date"] for row in rows})


def test_scikit_learn_is_loaded_only_to_learn() -> None:
    program = (
        "import sys, training_service.cli, training_service.learning.artefact\n"
        "sys.exit(bool({'sklearn', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
