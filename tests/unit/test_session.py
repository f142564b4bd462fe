"""Local dates, and what may be counted of which exercise."""

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from training_service.domain.exercise import MovementKind
from training_service.domain.session import (
    check_counted_in_reps,
    check_counted_in_seconds,
    earliest_start,
    latest_start,
    local_date,
    time_zone_names,
)
from training_service.errors import Reason, TrainingError

zones = st.sampled_from(sorted(time_zone_names()))
instants = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(autouse=True)
def _time_zones_of_the_lock() -> Iterator[None]:
    """The machine's own time zones may be of another version."""
    zoneinfo.reset_tzpath(())
    yield
    zoneinfo.reset_tzpath()


def test_the_machines_own_time_zones_are_not_asked(tmp_path: Path) -> None:
    (tmp_path / "Europe").mkdir()
    honolulu = resources.files("tzdata").joinpath("zoneinfo", "Pacific", "Honolulu").read_bytes()
    (tmp_path / "Europe" / "Vaduz").write_bytes(honolulu)
    zoneinfo.reset_tzpath([str(tmp_path)])
    assert ZoneInfo.no_cache("Europe/Vaduz").utcoffset(utc("2026-03-02T00:30:00")) == -timedelta(
        hours=10
    )
    assert local_date(utc("2026-03-02T00:30:00"), "Europe/Vaduz", "zone") == date(2026, 3, 2)


@given(instants, zones)
def test_the_local_date_is_that_of_the_clock_on_the_wall(instant: datetime, zone: str) -> None:
    offset = instant.astimezone(ZoneInfo.no_cache(zone)).utcoffset()
    assert offset is not None
    assert local_date(instant, zone, "zone") == (instant + offset).date()


@given(instants, zones)
@example(utc("2025-01-05T10:00:00"), "Pacific/Kiritimati")
@example(utc("2025-01-05T11:59:59"), "Etc/GMT+12")
def test_an_instant_lies_between_the_bounds_of_its_local_date(instant: datetime, zone: str) -> None:
    day = local_date(instant, zone, "zone")
    assert earliest_start(day) <= instant < latest_start(day + timedelta(days=1))


@given(instants, zones)
def test_the_local_date_does_not_depend_on_how_the_instant_is_written(
    instant: datetime, zone: str
) -> None:
    elsewhere = instant.astimezone(ZoneInfo("Asia/Kathmandu"))
    assert local_date(elsewhere, zone, "zone") == local_date(instant, zone, "zone")


@pytest.mark.parametrize(
    ("instant", "zone", "day"),
    [
        # Either side of midnight.
        ("2025-01-06T04:30:00", "America/New_York", "2025-01-05"),
        ("2025-01-06T04:59:59", "America/New_York", "2025-01-05"),
        ("2025-01-06T05:00:00", "America/New_York", "2025-01-06"),
        # The offset is that of the day itself, not that of another season.
        ("2025-11-02T03:59:59", "America/New_York", "2025-11-01"),
        ("2025-11-02T04:00:00", "America/New_York", "2025-11-02"),
        ("2025-11-03T04:59:59", "America/New_York", "2025-11-02"),
        ("2025-03-29T22:30:00", "Europe/Berlin", "2025-03-29"),
        ("2025-03-30T22:30:00", "Europe/Berlin", "2025-03-31"),
        # Samoa had no 30 December 2011.
        ("2011-12-30T09:59:59", "Pacific/Apia", "2011-12-29"),
        ("2011-12-30T10:00:00", "Pacific/Apia", "2011-12-31"),
        ("1970-01-01T00:00:00", "UTC", "1970-01-01"),
        ("1970-01-01T00:00:00", "America/New_York", "1969-12-31"),
        ("2025-01-01T00:00:00", "Pacific/Kiritimati", "2025-01-01"),
        ("2025-01-01T10:00:00", "Pacific/Kiritimati", "2025-01-02"),
        ("2025-01-01T11:59:59", "Etc/GMT+12", "2024-12-31"),
    ],
)
def test_the_local_date_near_midnight_and_changes_of_the_clock(
    instant: str, zone: str, day: str
) -> None:
    assert local_date(utc(instant), zone, "zone") == date.fromisoformat(day)


def refused_zone(zone: str) -> None:
    with pytest.raises(TrainingError) as caught:
        local_date(utc("2025-01-01T00:00:00"), zone, "session.time_zone")
    assert caught.value.reason is Reason.INVALID_FIELD
    assert [v.field for v in caught.value.violations] == ["session.time_zone"]


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "../etc/passwd",
        "/etc/localtime",
        "/usr/share/zoneinfo/Europe/Berlin",
        "localtime",
        "posixrules",
        "posix/Europe/Berlin",
        "right/Europe/Berlin",
        "zone.tab",
        "Europe",
        "Europe/",
        "europe/berlin",
        "Europe/Berlin ",
        "Europe/Berlin\0",
        "+01:00",
        "UTC+1",
        "Mars/Olympus_Mons",
    ],
)
def test_a_name_that_is_no_time_zone_is_refused(zone: str) -> None:
    refused_zone(zone)


@given(st.text().filter(lambda text: text not in time_zone_names()))
def test_any_other_text_is_no_time_zone(zone: str) -> None:
    refused_zone(zone)


def test_every_name_of_the_database_is_a_time_zone() -> None:
    instant = utc("2025-06-01T12:00:00")
    near = {date(2025, 6, 1), date(2025, 6, 2)}
    assert len(time_zone_names()) > 400
    assert {local_date(instant, zone, "zone") for zone in time_zone_names()} == near


def test_repetitions_are_for_dynamic_exercises_and_holds_for_isometric_ones() -> None:
    check_counted_in_reps(MovementKind.DYNAMIC, "set")
    check_counted_in_seconds(MovementKind.ISOMETRIC, "set")
    for check, kind in (
        (check_counted_in_reps, MovementKind.ISOMETRIC),
        (check_counted_in_seconds, MovementKind.DYNAMIC),
    ):
        with pytest.raises(TrainingError) as caught:
            check(kind, "set")
        assert caught.value.reason is Reason.INVALID_FIELD
        assert [v.field for v in caught.value.violations] == ["set"]
