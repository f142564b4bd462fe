"""Charts with nothing, little and ten years of data in both themes, and the drawing process."""

import asyncio
import json
import math
import os
import pickle
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date, timedelta
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from training_service.charts.body import VIEWS
from training_service.charts.data import (
    CATEGORIES,
    MAX_SERIES,
    WEEK,
    BodyMap,
    CalendarMeasure,
    CategoryVolume,
    Chart,
    ChartFormat,
    DayLoad,
    DayTotal,
    ExerciseProgress,
    ExerciseSeries,
    FamilyGraph,
    LoadOverTime,
    MuscleDistribution,
    MuscleState,
    MuscleVolume,
    Period,
    ProgressMeasure,
    SessionBest,
    Size,
    SkillNode,
    SkillState,
    Theme,
    TrainingCalendar,
    WeekLoad,
    WeeklyVolume,
    monday_of,
)
from training_service.charts.render import ChartRenderer
from training_service.charts.spec import NO_DATA, vega_lite
from training_service.charts.themes import PALETTES
from training_service.charts.timeline import Timeline
from training_service.charts.worker import draw
from training_service.errors import Reason, TrainingError
from training_service.servicers.recovery import MUSCLES

ROOT = Path(__file__).parents[2]
TODAY = date(2025, 11, 26)
TEN_YEARS = 3650
LARGE, SMALL = Size(800, 400), Size(400, 300)
MAX_SPEC_BYTES = 200_000
SVG = "{http://www.w3.org/2000/svg}"


def trained_days(count: int) -> list[date]:
    """Returns the last days, or a part of them when they are many."""
    days = [TODAY - timedelta(days=i) for i in reversed(range(count))]
    return days if count < 10 else random.Random(1).sample(days, count * 6 // 10)


def period(count: int) -> Period:
    return Period(TODAY - timedelta(days=max(count, 1) - 1), TODAY)


def volume(count: int) -> WeeklyVolume:
    mondays = sorted({monday_of(day) for day in trained_days(count)})
    volumes = [
        CategoryVolume(monday=monday, category=category, effective_reps=10.0 + i)
        for monday in mondays
        for i, category in enumerate(CATEGORIES)
    ]
    return WeeklyVolume(period=period(count), volumes=tuple(volumes), today=TODAY, coverage=0.999)


def load(count: int) -> LoadOverTime:
    days = trained_days(count)
    return LoadOverTime(
        period=period(count),
        days=tuple(DayLoad(day=day, load_au=100.0 + day.day) for day in days),
        weeks=tuple(
            WeekLoad(monday=monday, mean_daily_load_au=50.0)
            for monday in {monday_of(day) for day in days}
        ),
    )


def progress(count: int, measure: ProgressMeasure = ProgressMeasure.MOST_REPS) -> ExerciseProgress:
    days = trained_days(count)
    series = [
        ExerciseSeries(
            name=f"Push-up <{n}> & more",
            bests=tuple(
                SessionBest(day=day, value=10.0 + n + i % 7, is_record=not i)
                for i, day in enumerate(days)
            ),
        )
        for n in range(MAX_SERIES if days else 0)
    ]
    return ExerciseProgress(period=period(count), measure=measure, series=tuple(series))


def muscles(count: int) -> MuscleDistribution:
    given = [
        MuscleVolume(name=f"Muscle {n}", primary_effective_reps=n, secondary_effective_reps=2)
        for n in range(min(count, 22))
    ]
    return MuscleDistribution(period=period(count), muscles=tuple(given))


def calendar(count: int, measure: CalendarMeasure = CalendarMeasure.SETS) -> TrainingCalendar:
    days = trained_days(count)
    return TrainingCalendar(
        period=period(count),
        measure=measure,
        days=tuple(DayTotal(day=day, amount=float(day.day)) for day in days),
        first_log=min(days, default=None),
    )


def skills(count: int, position: int | None = None) -> FamilyGraph:
    """Returns up to 50 exercises, each leading to the next and the second next."""
    count = min(count, 50)
    nodes = [
        SkillNode(
            name=f"Straddle push-up {n} <on> rings & more",
            difficulty=1 + n * 20 // 50,
            state=list(SkillState)[n * 4 // count],
            share=0.999,
        )
        for n in range(count)
    ]
    edges = [(a, a + step) for step in (1, 2) for a in range(count - step)]
    return FamilyGraph(family="push-up", nodes=tuple(nodes), edges=tuple(edges), position=position)


CHARTS: dict[str, Callable[[int], Chart]] = {
    "volume": volume,
    "load": load,
    "progress": progress,
    "muscles": muscles,
    "calendar": calendar,
    "skills": skills,
}
UNITS = {
    "volume": "Effective repetitions per week",
    "load": "Load, AU",
    "progress": "Repetitions",
    "muscles": "Effective repetitions (share of all, %)",
    "calendar": "ISO week",
    "skills": "Difficulty",
}


def axis_titles(spec: dict[str, Any]) -> set[str]:
    return {
        channel["axis"]["title"]
        for layer in spec["layer"]
        for name, channel in layer["encoding"].items()
        if name in ("x", "y") and "axis" in channel
    }


def texts(svg: bytes) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("theme", Theme)
@pytest.mark.parametrize("count", [0, 1, TEN_YEARS])
@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_becomes_a_picture_of_the_size_asked_for(
    name: str, count: int, theme: Theme
) -> None:
    chart = CHARTS[name](count)
    for size in (LARGE, SMALL) if count == TEN_YEARS else (SMALL,):
        svg = draw(chart, ChartFormat.SVG, theme, size)
        root = ElementTree.fromstring(svg)
        assert (root.get("width"), root.get("height")) == (str(size.width), str(size.height))
        assert UNITS[name] in texts(svg)
        assert (NO_DATA in texts(svg)) == (count == 0)
        assert PALETTES[theme].background in svg.decode()
        assert (root.get("aria-label") or "").startswith(
            vega_lite(chart, theme, size)["description"]
        )


@pytest.mark.parametrize(
    ("count", "theme"), [(0, Theme.DARK), (1, Theme.LIGHT), (TEN_YEARS, Theme.DARK)]
)
@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_becomes_pixels(name: str, count: int, theme: Theme) -> None:
    png = draw(CHARTS[name](count), ChartFormat.PNG, theme, SMALL)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (SMALL.width, SMALL.height)


@pytest.mark.parametrize("count", [0, 1, TEN_YEARS])
@pytest.mark.parametrize("name", CHARTS)
def test_the_specification_is_complete_and_bounded(name: str, count: int) -> None:
    given = draw(CHARTS[name](count), ChartFormat.VEGA_LITE, Theme.LIGHT, LARGE)
    assert len(given) < MAX_SPEC_BYTES
    spec = json.loads(given)
    assert spec["$schema"] == "https://vega.github.io/schema/vega-lite/v6.4.1.json"
    assert spec["title"]
    assert spec["description"]
    assert (NO_DATA in spec["description"]) == (count == 0)
    assert UNITS[name] in axis_titles(spec)
    assert len(axis_titles(spec)) == 2
    named = {part["data"]["name"] for part in (spec, *spec["layer"]) if "data" in part}
    assert named
    assert named <= set(spec["datasets"])
    assert b'"url"' not in given


@pytest.mark.parametrize("count", [1, 20, 180, 365, TEN_YEARS, 36500])
@pytest.mark.parametrize("width", [300, 400, 800, 2000])
def test_ticks_and_marks_have_room(count: int, width: int) -> None:
    timeline = Timeline(period(count), width)
    assert timeline.mark_pixels >= 2.5
    for by_week in (False, True):
        ticks = timeline.ticks(by_week=by_week)
        assert 2 <= len(ticks.days) <= width / 40
        assert all(timeline.start <= day < timeline.end for day in ticks.days)


@pytest.mark.parametrize(
    ("measure", "unit"),
    [
        (ProgressMeasure.MOST_REPS, "Repetitions"),
        (ProgressMeasure.LONGEST_HOLD, "Hold, s"),
        (ProgressMeasure.HEAVIEST_LOAD, "Added load, kg"),
        (ProgressMeasure.ONE_REP_MAX, "1RM, kg"),
    ],
)
def test_progress_names_its_unit(measure: ProgressMeasure, unit: str) -> None:
    assert axis_titles(vega_lite(progress(3, measure), Theme.LIGHT, LARGE)) == {"Date", unit}


def test_dates_do_not_depend_on_the_time_zone() -> None:
    chart = load(14)
    job = (
        "import sys, pickle; from training_service.charts.worker import draw;"
        "sys.stdout.buffer.write(draw(*pickle.loads(sys.stdin.buffer.read())))"
    )
    given = pickle.dumps((chart, ChartFormat.SVG, Theme.LIGHT, LARGE))
    pictures = [
        subprocess.run(
            [sys.executable, "-c", job],
            input=given,
            capture_output=True,
            check=True,
            env=os.environ | {"TZ": zone},
        ).stdout
        for zone in ("Pacific/Auckland", "America/Los_Angeles")
    ]
    assert pictures[0] == pictures[1]


# What the pictures say


def rows(chart: Chart, table: str, size: Size = LARGE) -> list[dict[str, Any]]:
    given: list[dict[str, Any]] = vega_lite(chart, Theme.LIGHT, size)["datasets"][table]
    return given


def test_volume_is_stacked_and_the_running_week_apart() -> None:
    monday = monday_of(TODAY)
    volumes = [
        CategoryVolume(monday=monday - WEEK, category="PULL", effective_reps=20),
        CategoryVolume(monday=monday - WEEK, category="SKILL", effective_reps=10),
        CategoryVolume(monday=monday, category="CORE", effective_reps=5),
        CategoryVolume(monday=monday - 9 * WEEK, category="CORE", effective_reps=99),
    ]
    chart = WeeklyVolume(period=period(50), volumes=tuple(volumes), today=TODAY)
    shown = [(row["category"], row["low"], row["high"]) for row in rows(chart, "weeks")]
    assert shown == [("Skill", 0, 10), ("Pull", 10, 30)]
    assert [row["category"] for row in rows(chart, "running_week")] == ["Core"]


def test_over_ten_years_volume_is_a_mean_without_the_running_week() -> None:
    monday = monday_of(TODAY)
    volumes = [
        CategoryVolume(monday=monday - i * WEEK, category="PULL", effective_reps=40 if i else 999)
        for i in range(2)
    ]
    chart = WeeklyVolume(period=period(TEN_YEARS), volumes=tuple(volumes), today=TODAY)
    timeline = Timeline(chart.period, LARGE.width)
    last = timeline.mark_start(monday - WEEK)
    complete = [week for week in timeline.mondays(last) if week < monday]
    assert timeline.weeks_per_mark == 4
    assert [row["effective_reps"] for row in rows(chart, "weeks")] == [
        pytest.approx(40 / len(complete), abs=0.01)
    ]
    assert rows(chart, "running_week") == []


def test_unknown_load_is_never_drawn_as_0() -> None:
    monday = monday_of(TODAY)
    chart = LoadOverTime(
        period=period(10),
        days=(DayLoad(day=TODAY, load_au=None), DayLoad(day=TODAY - WEEK, load_au=300.0)),
        weeks=(
            WeekLoad(monday=monday, mean_daily_load_au=None),
            WeekLoad(monday=monday - WEEK, mean_daily_load_au=300 / 7),
        ),
    )
    assert [row["high"] for row in rows(chart, "days")] == [300.0]
    assert [row["start"] for row in rows(chart, "unknown_days")] == [f"{TODAY}T12:00Z"]
    assert [row["mean"] for row in rows(chart, "weeks")] == [pytest.approx(300 / 7), None]
    assert "Load unknown on 1 of 2 days" in vega_lite(chart, Theme.LIGHT, LARGE)["description"]


def test_days_too_thin_for_bars_become_ranges() -> None:
    days = [DayLoad(day=TODAY - timedelta(days=i), load_au=100.0 + i) for i in range(3)]
    chart = LoadOverTime(period=period(TEN_YEARS), days=tuple(days), weeks=())
    assert [(row["low"], row["high"]) for row in rows(chart, "days")] == [(100.0, 102.0)]


def test_the_best_of_each_mark_and_so_every_record_that_matters_stays() -> None:
    chart = progress(TEN_YEARS)
    best = max(one.value for one in chart.series[0].bests)
    shown = [row for row in rows(chart, "bests") if row["exercise"] == chart.series[0].name]
    assert max(row["value"] for row in shown) == best
    assert len(shown) < len(chart.series[0].bests) / 4


def test_exercises_differ_in_more_than_colour() -> None:
    lines = vega_lite(progress(3), Theme.LIGHT, LARGE)["layer"][0]["encoding"]
    colours, dashes = (lines[channel]["scale"]["range"] for channel in ("color", "strokeDash"))
    looks = [(colour, *dash) for colour, dash in zip(colours, dashes, strict=True)]
    assert len(set(looks)) == MAX_SERIES
    assert all(one != other for one, other in pairwise(dashes))


def test_muscles_are_sorted_with_shares_and_the_last_joined() -> None:
    shown = rows(muscles(4), "shares")
    assert [(row["muscle"], row["share"]) for row in shown] == [
        ("Muscle 3", "36 %"),
        ("Muscle 2", "29 %"),
        ("Muscle 1", "21 %"),
        ("Muscle 0", "14 %"),
    ]
    joined = rows(muscles(22), "shares", SMALL)
    assert joined[-1]["muscle"] == "6 others"
    assert sum(row["effective_reps"] for row in joined) == sum(range(22)) + 2 * 22


def test_the_calendar_has_rest_and_unknown_days_and_nothing_before_the_first_log() -> None:
    first = TODAY - timedelta(days=3)
    days = (DayTotal(day=first, amount=12.0), DayTotal(day=TODAY, amount=None))
    chart = TrainingCalendar(
        period=period(30), measure=CalendarMeasure.SETS, days=days, first_log=first
    )
    assert [row["start"] for row in rows(chart, "trained")] == [first.isoformat()]
    assert [row["kind"] for row in rows(chart, "others")] == ["Rest", "Rest", "Amount unknown"]


def test_a_calendar_of_unknown_amounts_has_no_scale_of_them() -> None:
    chart = TrainingCalendar(
        period=period(1),
        measure=CalendarMeasure.LOAD,
        days=(DayTotal(day=TODAY, amount=None),),
        first_log=TODAY,
    )
    shown = texts(draw(chart, ChartFormat.SVG, Theme.LIGHT, SMALL))
    assert "Amount unknown" in shown
    assert "NaN" not in shown


@pytest.mark.parametrize(
    ("count", "size", "row"),
    [(300, LARGE, "3"), (900, LARGE, "2025-3"), (TEN_YEARS, SMALL, "2025")],
)
def test_the_calendar_uses_days_while_there_is_room(count: int, size: Size, row: str) -> None:
    chart = calendar(count)
    cells = rows(chart, "trained", size) + rows(chart, "others", size)
    assert row in {cell["row"] for cell in cells}
    assert sum(cell["amount"] for cell in cells) == sum(one.amount or 0 for one in chart.days)


def test_skills_stand_on_stairs_and_no_name_meets_another() -> None:
    """As many as the largest families of the catalogue have, on the smallest chart."""
    chart = skills(21)
    stairs = rows(chart, "skills", SMALL)
    assert [row["row"] for row in stairs] == list(range(21))
    assert all(one["x"] < other["x"] for one, other in pairwise(stairs))
    svg = draw(chart, ChartFormat.SVG, Theme.LIGHT, SMALL)
    names = [
        node
        for node in ElementTree.fromstring(svg).iter(f"{SVG}text")
        if "push-up" in "".join(node.itertext()) and "Progressions" not in "".join(node.itertext())
    ]
    assert len(names) == 21
    heights = sorted(float((node.get("transform") or "").split(",")[1][:-1]) for node in names)
    size = float((names[0].get("font-size") or "").removesuffix("px"))
    assert size >= 8
    assert min(b - a for a, b in pairwise(heights)) >= size - 0.5


def test_skills_differ_in_more_than_colour() -> None:
    layers = vega_lite(skills(4), Theme.LIGHT, LARGE)["layer"]
    marks = [layer for layer in layers if "state" in str(layer.get("transform"))]
    shapes = {layer["mark"]["shape"] for layer in marks}
    assert len(shapes) == len(SkillState)
    colours = {tuple(layer["encoding"]["color"]["scale"]["range"]) for layer in marks}
    assert len(colours) == len(SkillState)


def test_the_hardest_skill_that_is_passed_is_marked_and_shares_are_not_rounded_up() -> None:
    chart = skills(4, position=0)
    shown = rows(chart, "skills")
    assert [row["is_position"] for row in shown] == [True, False, False, False]
    assert [row["name"].rpartition(",")[2] for row in shown[1:]] == [" 99 %"] * 3
    assert "%" not in shown[0]["name"]
    assert "Passed: Straddle push-up 0" in vega_lite(chart, Theme.LIGHT, LARGE)["description"]


def test_lines_lead_on_from_what_is_passed_and_dots_say_where_they_meet() -> None:
    chart = skills(4, position=0)
    ends = rows(chart, "progressions")
    assert len(ends) == 2 * len(chart.edges)
    assert {end["edge"] for end in ends if end["is_open"]} == {"0-1", "0-2"}
    x = [row["x"] for row in rows(chart, "skills")]
    turns = {(row["x"], row["row"]) for row in rows(chart, "turns")}
    assert turns == {(x[easier], harder) for easier, harder in chart.edges}


def test_of_too_many_skills_those_around_the_position_are_shown() -> None:
    chart = skills(50, position=30)
    shown = rows(chart, "skills", SMALL)
    assert 20 <= len(shown) < 50
    assert any(row["is_position"] for row in shown)
    assert f"{50 - len(shown)} find no room" in vega_lite(chart, Theme.LIGHT, SMALL)["description"]


def test_data_that_can_not_be_shown_is_refused() -> None:
    with pytest.raises(ValueError, match="later"):
        FamilyGraph(family="x", nodes=skills(2).nodes, edges=((1, 0),), position=None)
    with pytest.raises(ValueError, match="pixels"):
        Size(399, 300)
    with pytest.raises(ValueError, match="before"):
        Period(TODAY, TODAY - timedelta(days=1))
    one = ExerciseSeries(name="x", bests=())
    with pytest.raises(ValueError, match="10 exercises"):
        ExerciseProgress(
            period=period(1), measure=ProgressMeasure.MOST_REPS, series=(one,) * (MAX_SERIES + 1)
        )


# Colours

Colour = tuple[float, float, float]
# Machado, Oliveira and Fernandes 2009, severity 1, for linear RGB.
VISION = {
    "common": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
}


def linear(colour: str) -> Colour:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return red, green, blue


def luminance(colour: Colour) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(linear(one)), luminance(linear(other))))
    return (light + 0.05) / (dark + 0.05)


def seen(colour: str, vision: str) -> Colour:
    """Returns how a colour looks, in CIELAB."""
    rgb = [
        min(max(sum(m * v for m, v in zip(row, linear(colour), strict=True)), 0.0), 1.0)
        for row in VISION[vision]
    ]
    xyz = (
        (0.4124 * rgb[0] + 0.3576 * rgb[1] + 0.1805 * rgb[2]) / 0.95047,
        0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2],
        (0.0193 * rgb[0] + 0.1192 * rgb[1] + 0.9505 * rgb[2]) / 1.08883,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("theme", Theme)
def test_colours_stand_out_from_the_background(theme: Theme) -> None:
    palette = PALETTES[theme]
    for colour in (*palette.categories, palette.muted, palette.least, palette.most):
        assert contrast(colour, palette.background) >= 3, colour
    assert contrast(palette.text, palette.background) >= 4.5


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", Theme)
def test_colours_can_be_told_apart(theme: Theme, vision: str) -> None:
    palette = PALETTES[theme]
    pairs = [*combinations(palette.categories, 2), (palette.least, palette.most)]
    for one, other in pairs:
        # 2.3 is just noticeable; this is plain to see.
        assert math.dist(seen(one, vision), seen(other, vision)) >= 20, (one, other)


# The drawing process


@asynccontextmanager
async def renderer(**settings: Any) -> AsyncIterator[ChartRenderer]:
    it = ChartRenderer(**settings)
    try:
        yield it
    finally:
        await it.close()


async def picture(it: ChartRenderer, count: int = 1) -> bytes:
    return await it.render(volume(count), ChartFormat.SVG, Theme.LIGHT, SMALL)


def sleep_or_name_process(chart: Chart, *_: object) -> bytes:
    """Stands for a chart: one with data takes a second per volume, one without none."""
    assert isinstance(chart, WeeklyVolume)
    time.sleep(len(chart.volumes) / len(CATEGORIES))
    return str(os.getpid()).encode()


def die(*_: object) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def test_nothing_slow_is_imported_where_calls_are_served() -> None:
    code = (
        "import sys, training_service.charts.render\n"
        "assert not {'altair', 'narwhals', 'vl_convert'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def _draws_while_others_go_on() -> None:
    async with renderer() as it:
        drawing = asyncio.create_task(picture(it, TEN_YEARS))
        turns = 0
        while not drawing.done():
            await asyncio.sleep(0.005)
            turns += 1
        ElementTree.fromstring(await drawing)
        assert turns > 5, "something held up the event loop"


def test_a_chart_holds_up_no_other_call() -> None:
    asyncio.run(_draws_while_others_go_on())


async def _survives_a_dead_process() -> None:
    async with renderer(draw=sleep_or_name_process) as it:
        first = int(await picture(it, 0))
        assert first != os.getpid()
        assert int(await picture(it, 0)) == first
        os.kill(first, signal.SIGKILL)
        assert int(await picture(it, 0)) != first


def test_a_dead_process_is_replaced() -> None:
    asyncio.run(_survives_a_dead_process())


async def _gives_up_on_a_chart_that_kills() -> None:
    async with renderer(draw=die) as it:
        with pytest.raises(Exception, match="terminated abruptly"):
            await picture(it)


def test_a_chart_that_kills_its_process_fails_alone() -> None:
    asyncio.run(_gives_up_on_a_chart_that_kills())


async def _ends_what_takes_too_long() -> None:
    async with renderer(draw=sleep_or_name_process, time_limit_seconds=10) as it:
        first = int(await picture(it, 0))
        with pytest.raises(TrainingError) as refusal:
            await picture(it, TEN_YEARS)
        assert refusal.value.reason is Reason.DEADLINE_EXCEEDED
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        assert int(await picture(it, 0)) != first


def test_a_chart_that_takes_too_long_is_ended() -> None:
    asyncio.run(_ends_what_takes_too_long())


async def _bounds_those_that_wait() -> None:
    async with renderer(draw=sleep_or_name_process, max_waiting=2) as it:
        await picture(it, 0)
        running = asyncio.create_task(picture(it, 1))
        waiting = asyncio.create_task(picture(it, 0))
        await asyncio.sleep(0)
        with pytest.raises(TrainingError) as refusal:
            await picture(it, 0)
        assert refusal.value.reason is Reason.OVERLOADED
        assert refusal.value.retry_after_seconds
        # Those who leave make room at once, whether theirs had begun or not.
        for task in (running, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await asyncio.gather(picture(it, 0), picture(it, 0))


def test_charts_that_wait_are_bounded_and_can_be_cancelled() -> None:
    asyncio.run(_bounds_those_that_wait())


async def _ends_with_close() -> None:
    it = ChartRenderer(draw=sleep_or_name_process)
    process = int(await picture(it, 0))
    await it.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with pytest.raises(TrainingError):
        await picture(it, 0)


def test_closing_ends_the_process() -> None:
    asyncio.run(_ends_with_close())


RECOVERIES = {"LATS": 0.1, "BICEPS": 0.1, "CHEST": 0.45, "TRICEPS": 0.45, "QUADS": 0.8}
"""Of the picture in docs/recommendations.md; all other muscles have recovered."""


def body_map(recoveries: dict[str, float]) -> BodyMap:
    return BodyMap(
        muscles=tuple(
            MuscleState(name=name, recovery=recoveries.get(name, 1.0)) for name in MUSCLES
        )
    )


def test_every_muscle_has_a_place_on_the_body() -> None:
    assert {name for view in VIEWS.values() for name in view} == {*MUSCLES}


def test_the_body_of_the_documentation() -> None:
    drawn = draw(body_map(RECOVERIES), ChartFormat.SVG, Theme.LIGHT, LARGE)
    assert drawn == (ROOT / "docs" / "recovery.svg").read_bytes()


def test_a_picture_does_not_depend_on_those_before_it() -> None:
    first, second = (
        draw(body_map(RECOVERIES), ChartFormat.SVG, Theme.DARK, SMALL) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("theme", Theme)
@pytest.mark.parametrize("size", [LARGE, SMALL])
def test_a_body_says_what_it_shows(theme: Theme, size: Size) -> None:
    spec = vega_lite(body_map(RECOVERIES), theme, size)
    assert "Not recovered: biceps 10 %, lats 10 %, chest 45 %" in spec["description"]
    rested = vega_lite(body_map({}), theme, size)
    assert "All muscles have recovered" in rested["description"]
