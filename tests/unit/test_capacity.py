"""The capacity model: what it makes of measurements, and the queue it replays a day with."""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import capacity, queueing
from benchmarks.capacity import Assumptions, Prices

ROOT = Path(__file__).parents[2]
MEASURED = json.loads((ROOT / capacity.MEASURED).read_text())
DOCUMENT = (ROOT / capacity.DOCUMENT).read_text()
ASSUMED = Assumptions()
LINEAR = (
    *("sessions_a_day", "calls_a_second", "worker_cores", "postgresql_cores"),
    *("log_mb_a_second", "log_gb", "hot_gb", "cold_gb"),
)
ROUNDED_UP = ("workers", "rented_cores", "connections", "nodes")


def altered(part: str, key: str, times: float) -> Any:
    """Returns measurements whose key, of all calls or of another part, is so many times as much."""
    other = deepcopy(MEASURED)
    for of in other["calls"].values() if part == "calls" else [other[part]]:
        of[key] *= times
    return other


def test_the_document_is_what_the_script_makes_of_the_measurements() -> None:
    replays = capacity.replay(MEASURED, ASSUMED)
    parts = capacity.sections(MEASURED, ASSUMED, Prices(), replays)
    assert capacity.filled(DOCUMENT, parts) == DOCUMENT


def test_every_measurement_named_in_the_table_exists() -> None:
    needs = [capacity.need(MEASURED, ASSUMED, 1000)]
    shown = capacity.table(needs, ASSUMED, Prices())
    named = re.findall(r"`(calls|bytes|memory)\.([\w.*]+)`", shown)
    assert {part for part, _ in named} == {"calls", "bytes", "memory"}
    for part, key in named:
        of = MEASURED[part]["LogSession"] if part == "calls" else MEASURED[part]
        pattern = key.removeprefix("*.").replace("*", ".*")
        assert any(re.fullmatch(pattern, one) for one in of), key


@given(athletes=st.integers(1, 10**9), times=st.integers(2, 50))
def test_needs_are_linear_in_athletes_but_for_rounding(athletes: int, times: int) -> None:
    one, many = (capacity.need(MEASURED, ASSUMED, n) for n in (athletes, athletes * times))
    for name in LINEAR:
        assert getattr(many, name) == pytest.approx(times * getattr(one, name))
    for name in ROUNDED_UP:
        assert getattr(one, name) <= getattr(many, name) <= times * getattr(one, name)
    assert many.athletes_of_one_machine == pytest.approx(one.athletes_of_one_machine)


@pytest.mark.parametrize(
    ("part", "key", "needs"),
    [
        ("calls", "service_cpu_us", "worker_cores"),
        ("calls", "postgresql_cpu_us", "postgresql_cores"),
        ("bytes", "wal_of_log_session", "log_gb"),
        ("bytes", "hot_as_logged", "hot_gb"),
        ("bytes", "cold_object", "cold_gb"),
        ("memory", "another_worker_mb", "worker_memory_gb"),
        ("memory", "connection_mb", "connection_gb"),
    ],
)
def test_a_figure_follows_its_measurement_alone(part: str, key: str, needs: str) -> None:
    before = capacity.need(MEASURED, ASSUMED, 10**8)
    after = capacity.need(altered(part, key, 3), ASSUMED, 10**8)
    assert getattr(after, needs) == pytest.approx(3 * getattr(before, needs))
    others = {"worker_cores", "postgresql_cores", "log_gb", "hot_gb", "cold_gb"} - {needs}
    assert all(getattr(after, name) == getattr(before, name) for name in others)


@pytest.mark.parametrize(
    ("part", "key", "first"),
    [
        ("calls", "service_cpu_us", "connections"),
        ("calls", "postgresql_cpu_us", "PostgreSQL cores"),
        ("bytes", "wal_of_log_session", "write-ahead log"),
        ("bytes", "hot_as_logged", "hot storage"),
    ],
)
def test_what_takes_most_is_the_first_bottleneck(part: str, key: str, first: str) -> None:
    of = capacity.need(altered(part, key, 10_000), ASSUMED, 10**8)
    assert of.first == first
    assert capacity.verdict(of) == first
    assert of.athletes_of_one_machine < 10**8


def test_nothing_is_exhausted_by_a_few() -> None:
    assert capacity.verdict(capacity.need(MEASURED, ASSUMED, 10)).startswith("none; nearest: ")


def test_sessions_too_old_leave_what_archiving_leaves() -> None:
    measured = deepcopy(MEASURED)
    measured["bytes"] |= {
        "hot_as_logged": 1000,
        "hot_compact": 800,
        "hot_compact_after_archiving": 400,
        "cold_object": 100,
    }
    month = capacity.DAYS_A_MONTH
    young = Assumptions(kept_months=6, hot_months=24)
    assert capacity.stored(measured, young, 1e6) == pytest.approx((6 * month, 0))
    old = Assumptions(kept_months=60, hot_months=24)
    assert capacity.stored(measured, old, 1e6) == pytest.approx(
        ((24 + 36 / 2) * month, 36 * month / 10)
    )


def test_the_cost_is_the_formula_of_the_document() -> None:
    of = capacity.need(MEASURED, ASSUMED, 10**8)
    each = {"worker_core": 0.0, "postgresql_core": 0.0, "hot_gb": 0.0, "cold_gb": 0.0}
    for name, amount in (
        ("worker_core", of.workers),
        ("postgresql_core", of.rented_cores * 2),
        ("hot_gb", of.hot_gb / 0.7 * 2),
        ("cold_gb", of.cold_gb + of.log_gb),
    ):
        alone = Prices(**{**each, name: 3.0})
        assert capacity.monthly(of, ASSUMED, alone) == pytest.approx(3 * amount)


def test_prices_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text("hot_gb = 9.5\n")
    assert capacity.priced(file) == Prices(hot_gb=9.5)
    file.write_text("hot_tb = 1\n")
    with pytest.raises(TypeError, match="hot_tb"):
        capacity.priced(file)


def test_a_document_without_its_marker_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity"):
        capacity.filled("", {"capacity": "text"})


def test_a_day_has_its_peak_in_the_evening_of_most() -> None:
    shape = capacity.hours()
    assert sum(shape) == pytest.approx(24)
    assert sum(capacity.ZONES.values()) == pytest.approx(1)
    assert shape.index(max(shape)) in range(16, 20)


def test_each_digit_that_is_shown_was_reckoned() -> None:
    shown = [capacity.figure(one) for one in (0, 0.00123, 0.96, 9.99, 12.3, 1234, 98765)]
    assert shown == ["0", "0.0012", "0.96", "10.0", "12", "1,200", "99,000"]


def test_waits_follow_from_one_another() -> None:
    times, busy = np.array([0.0, 1.0, 2.0, 10.0]), np.array([3.0, 3.0, 3.0, 1.0])
    assert queueing.waits_shared(times, busy, 1).tolist() == [0, 2, 4, 0]
    assert queueing.waits_shared(times, busy, 2).tolist() == [0, 0, 1, 0]


def test_queues_apart_never_help_on_the_whole() -> None:
    rng = np.random.default_rng(5)
    times = queueing.arrivals(rng, 150, 60)
    busy = rng.exponential(0.01, len(times))
    shared = queueing.waits_shared(times, busy, 2).mean()
    assert queueing.waits_apart(rng, times, busy, 2).mean() > 1.5 * shared > 0


def test_erlang_c_has_its_known_values() -> None:
    assert queueing.erlang_c(1, 0.3) == pytest.approx(0.3)
    assert queueing.erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert queueing.erlang_c(10, 8.0) == pytest.approx(0.4092, abs=1e-4)
    assert queueing.erlang_wait(1, 50, 0.01) == pytest.approx(0.01)


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("used", [0.3, 0.6])
def test_exponential_times_wait_as_long_as_erlang_says(workers: int, used: float) -> None:
    rng = np.random.default_rng([workers, int(used * 10)])
    a_second = used * workers / 0.01
    times = queueing.arrivals(rng, a_second, 200_000 / a_second)
    waited = queueing.waits_shared(times, rng.exponential(0.01, len(times)), workers)
    expected = queueing.erlang_wait(workers, a_second, 0.01)
    # A wait that few calls have is told less well by as many of them.
    assert waited.mean() == pytest.approx(expected, rel=0.1, abs=1e-6)


def test_times_of_service_have_the_measured_mean_and_spread() -> None:
    rng = np.random.default_rng(2)
    one = queueing.Kind(share=1.0, seconds=0.02, spread=3.0)
    drawn = queueing.service_times(rng, [one], 200_000)
    assert drawn.mean() == pytest.approx(0.02, rel=0.02)
    middle, most = np.percentile(drawn, [50, 95])
    assert most / middle == pytest.approx(3.0, rel=0.03)


def test_the_replay_is_the_same_each_time_and_longer_with_more_traffic() -> None:
    first, second = (capacity.replay(MEASURED, ASSUMED, seconds=20) for _ in range(2))
    assert first == second
    waits = [one.apart_ms[95] for one in capacity.peaks(first)]
    assert waits[1] < waits[2] < waits[3]
    assert [one.used for one in capacity.peaks(first)][1:] == pytest.approx([0.6, 0.8, 0.95])
