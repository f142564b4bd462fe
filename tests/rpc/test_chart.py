"""GetProgressChart, over the wire. What the charts look like is in tests/unit/test_charts.py."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from calisthenics.training.v1 import metrics_pb2 as pb
from google.api.httpbody_pb2 import HttpBody

from tests.rpc.test_progress import CHIN_UP, did
from tests.rpc.test_totals import on, to_date
from tests.support import L_SIT, PULL_UP, Athlete, refused

PERIOD = {"from_date": to_date(date(2025, 3, 1)), "to_date": to_date(date(2025, 4, 1))}
KINDS = {
    "WEEKLY_VOLUME": {},
    "LOAD": {},
    "EXERCISE_PROGRESS": {"exercise_id": PULL_UP},
    "MUSCLE_DISTRIBUTION": {},
    "TRAINING_CALENDAR": {},
    "SKILL_GRAPH": {"family": "pull-up"},
}


def chart(athlete: Athlete, kind: str = "LOAD", **request: Any) -> HttpBody:
    given = {**PERIOD, "kind": f"CHART_KIND_{kind}", **KINDS[kind], **request}
    return athlete.metrics.GetProgressChart(pb.GetProgressChartRequest(**given))


def specification(athlete: Athlete, kind: str, **request: Any) -> Any:
    body = chart(athlete, kind, format=pb.CHART_FORMAT_VEGA_LITE, **request)
    assert body.content_type == "application/json"
    return json.loads(body.data)


def rows(found: Any) -> Iterator[dict[str, Any]]:
    """Yields the rows of all data in a specification."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key == "datasets":
                yield from (row for dataset in value.values() for row in dataset)
            elif key == "values" and isinstance(value, list):
                yield from (row for row in value if isinstance(row, dict))
            else:
                yield from rows(value)
    elif isinstance(found, list):
        for value in found:
            yield from rows(value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn(alice: Athlete, kind: str) -> None:
    alice.log(on("2025-03-03"))
    body = chart(alice, kind, width_pixels=640, height_pixels=320, theme=pb.CHART_THEME_DARK)
    assert body.content_type == "image/svg+xml"
    picture = ElementTree.fromstring(body.data)
    assert (picture.get("width"), picture.get("height")) == ("640", "320")
    assert "No data" not in "".join(picture.itertext())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "SKILL_GRAPH"])
def test_of_nothing_there_is_a_chart_that_says_so(alice: Athlete, bob: Athlete, kind: str) -> None:
    bob.log(on("2025-03-03"))
    assert "No data" in "".join(ElementTree.fromstring(chart(alice, kind).data).itertext())


def test_a_chart_can_come_as_pixels(alice: Athlete) -> None:
    body = chart(alice, format=pb.CHART_FORMAT_PNG)
    assert body.content_type == "image/png"
    assert body.data.startswith(b"\x89PNG\r\n")
    assert [int.from_bytes(body.data[n : n + 4]) for n in (16, 20)] == [800, 400]


def test_weekly_volume_is_by_category(alice: Athlete) -> None:
    alice.log(on("2025-03-03"))
    alice.log(did("2025-03-05", {"actual_hold_seconds": 20}, exercise=L_SIT))
    found = json.dumps(specification(alice, "WEEKLY_VOLUME"))
    assert "Pull" in found
    assert "Skill" in found or "Core" in found
    assert "2025-W10" in found


def test_the_load_of_a_day_is_drawn_and_an_unknown_one_is_not_zero(alice: Athlete) -> None:
    alice.log(on("2025-03-03"))
    unrated = on("2025-03-05")
    unrated.ClearField("session_rpe")
    alice.log(unrated)
    highs = {
        row["start"]: row["high"] for row in rows(specification(alice, "LOAD")) if "high" in row
    }
    assert highs == {"2025-03-03": 300}


def test_progress_shows_the_exercises_of_a_family(alice: Athlete) -> None:
    alice.log(did("2025-03-03", {"actual_reps": 8}))
    alice.log(did("2025-03-05", {"actual_reps": 6}, exercise=CHIN_UP))
    request = {"exercise_id": "", "family": "pull-up"}
    found = json.dumps(specification(alice, "EXERCISE_PROGRESS", **request))
    assert "Pull-Up" in found
    assert "Chin-Up" in found
    assert "repetitions" in found.lower()


def test_progress_of_holds_is_in_seconds(alice: Athlete) -> None:
    alice.log(did("2025-03-03", {"actual_hold_seconds": 20}, exercise=L_SIT))
    found = json.dumps(specification(alice, "EXERCISE_PROGRESS", exercise_id=L_SIT))
    assert re.search(r"seconds|\bs\b", found)
    loads = specification(
        alice, "EXERCISE_PROGRESS", exercise_id=L_SIT, measure="PERSONAL_RECORD_KIND_HEAVIEST_LOAD"
    )
    assert "No data" in json.dumps(loads)


def test_without_dates_it_is_the_last_year(alice: Athlete) -> None:
    today = datetime.now(UTC).date()
    alice.log(on(f"{today - timedelta(days=360)}"))
    alice.log(on(f"{today - timedelta(days=370)}"))
    request = pb.GetProgressChartRequest(kind=pb.CHART_KIND_LOAD, format=pb.CHART_FORMAT_VEGA_LITE)
    found = alice.metrics.GetProgressChart(request).data.decode()
    assert f"{today - timedelta(days=365)}" in found
    assert f"{today - timedelta(days=370)}" not in found


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"kind": "LOAD", "from_date": to_date(date(2004, 1, 1))}, "from_date"),
        ({"kind": "LOAD", "from_date": to_date(date(2025, 5, 1))}, "from_date"),
        ({"kind": "LOAD", "width_pixels": 100}, "width_pixels"),
        ({"kind": "LOAD", "height_pixels": 9999}, "height_pixels"),
        ({"kind": "LOAD", "exercise_id": PULL_UP}, ""),
        ({"kind": "SKILL_GRAPH", "exercise_id": PULL_UP}, ""),
        ({"kind": "SKILL_GRAPH", "family": "no-such-family"}, "family"),
        ({"kind": "EXERCISE_PROGRESS", "family": "no-such-family"}, "family"),
        ({"kind": "LOAD", "time_zone": "Mars/Olympus"}, "time_zone"),
    ],
    ids=[
        "too long",
        "none",
        "narrow",
        "high",
        "no such subject",
        "skills of an exercise",
        "skills of no such family",
        "no such family",
        "no such zone",
    ],
)
def test_what_cannot_be_drawn_is_refused(
    alice: Athlete, request_: dict[str, Any], field: str
) -> None:
    with refused("INVALID_FIELD") as refusals:
        chart(alice, **request_)
    assert refusals[0].fields == [field]


@pytest.mark.parametrize("kind", [pb.CHART_KIND_EXERCISE_PROGRESS, pb.CHART_KIND_SKILL_GRAPH])
def test_a_chart_of_progress_or_skills_needs_something_to_show(
    alice: Athlete, kind: pb.ChartKind.ValueType
) -> None:
    with refused("INVALID_FIELD"):
        alice.metrics.GetProgressChart(pb.GetProgressChartRequest(kind=kind))


def test_the_skill_graph_shows_where_the_athlete_stands(alice: Athlete, bob: Athlete) -> None:
    for day in ("2025-03-03", "2025-03-05"):
        alice.log(did(day, *[{"actual_reps": 8}] * 3, exercise=CHIN_UP))
    alice.log(did("2025-03-07", *[{"actual_reps": 6}] * 3))
    found = {row["name"]: row for row in specification(alice, "SKILL_GRAPH")["datasets"]["skills"]}
    assert (found["Chin-Up"]["state"], found["Chin-Up"]["is_position"]) == ("Passed", True)
    assert found["Pull-Up, 67 %"]["state"] == "Available"
    assert [name for name, row in found.items() if row["is_position"]] == ["Chin-Up"]
    # Exercises of other families are left out, and so are their progressions.
    assert len(found) == 20
    nobody = specification(bob, "SKILL_GRAPH")["datasets"]["skills"]
    assert {row["state"] for row in nobody} == {"Recommended", "Later"}
    assert not any(row["is_position"] for row in nobody)
