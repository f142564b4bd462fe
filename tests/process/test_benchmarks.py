"""The benchmarks run; what they come to is not judged."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import capacity
from benchmarks.goals import GOALS
from tests.conftest import prepared

needs_h2load = pytest.mark.skipif(
    shutil.which("h2load") is None, reason="h2load is missing: apt-get install nghttp2-client"
)


def run(*arguments: str) -> str:
    """Returns what a benchmark prints."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_h2load
def test_every_goal_is_measured(tmp_path: Path) -> None:
    output, drawing = tmp_path / "numbers.json", tmp_path / "picture.svg"
    small = "--rounds 1 --scale 0.01 --athletes 2 --sessions 100 --exported 200"
    shown = run("benchmarks", *small.split(), f"--output={output}", f"--drawing={drawing}")
    assert "GetSession" in shown
    assert set(json.loads(output.read_text())["goals"]) == {goal.name for goal in GOALS}
    assert drawing.read_text().startswith("<svg")
    run("benchmarks", *small.split(), "--only=GetExercise", f"--baseline={output}")


@needs_h2load
def test_sizes_are_measured_side_by_side() -> None:
    sizes = ("--sizes=900,1200", "--rounds=1", "--scale=0.02")
    assert "GetSession, at random" in run("benchmarks.growth", *sizes)


@needs_h2load
def test_the_price_of_metrics_is_measured(tmp_path: Path) -> None:
    output = tmp_path / "ratios.json"
    run("benchmarks.observability", "--rounds=1", "--scale=0.02", f"--output={output}")
    ratios = json.loads(output.read_text())["ratios"]
    assert {"GetSession", "LogSession"} <= set(ratios)
    assert all(of["off"] == 1 and of["metrics"] > 0 for of in ratios.values())


@needs_h2load
def test_databases_are_measured_side_by_side(make_database: Callable[[], str]) -> None:
    plain, other = prepared(make_database()), prepared(make_database())
    shown = run("benchmarks.databases", f"a={plain}", f"b={other}", "--rounds=1", "--scale=0.02")
    assert "LogSession" in shown


def test_overload_is_measured() -> None:
    assert "RESOURCE_EXHAUSTED" in run("benchmarks.overload", "--seconds=0.5")


@needs_h2load
def test_values_of_a_setting_are_measured() -> None:
    setting = ("TRAINING_POOL_MAX_SIZE", "2,5", "--rounds=1", "--scale=0.01")
    assert "LogSession" in run("benchmarks.sweep", *setting)


def test_form_analysis_is_measured() -> None:
    assert run("benchmarks.form", "--seconds=4", "--rounds=1").count("ratio") == 3


def test_what_an_archive_takes_out_is_measured() -> None:
    shown = run("benchmarks.archive", "--days=28", "--runs=1")
    assert "after, VACUUM FULL" in shown
    assert "cold: GetSession" in shown


def test_an_export_of_all_is_measured() -> None:
    shown = run("benchmarks.export_all", "--sessions=900", "--rounds=1")
    assert "ratio" in shown
    assert "the same set" in shown


def test_a_roster_is_measured() -> None:
    sizes = ("--athletes=3", "--others=4", "--days=30", "--count=1", "--rounds=1")
    assert "by time" in run("benchmarks.roster", *sizes)


@needs_h2load
def test_a_long_history_is_measured() -> None:
    shown = run("benchmarks.load_status", "--years=1", "--count=10", "--rounds=1")
    assert "GetLoadStatus  ratio" in shown


@needs_h2load
def test_the_input_of_the_capacity_model_is_measured(tmp_path: Path) -> None:
    output = tmp_path / "footprint.json"
    small = "--rounds 1 --scale 0.02 --athletes 16 --sessions 20 --days 28 --runs 2"
    run("benchmarks.footprint", *small.split(), f"--output={output}")
    measured = json.loads(output.read_text())
    for athletes in capacity.SIZES:
        assert capacity.need(measured, capacity.Assumptions(), athletes).hot_gb > 0
    size = measured["bytes"]
    assert size["hot_compact"] > size["hot_compact_after_archiving"] > size["cold_object"] > 0
