"""The shorter failure drills, and whether a drill would notice what it looks for."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.drills import report
from tests.drills.faults import DRILLS, perform
from tests.drills.ledger import Attempt, Ledger, Result, Stored
from tests.drills.load import Load
from tests.drills.stage import Cluster, Stage, judged, running_cluster

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


@pytest.mark.parametrize("name", ["worker-killed", "terminated-under-load", "clock-jump"])
def test_a_drill_loses_and_doubles_nothing(cluster: Cluster, name: str) -> None:
    result = perform(name, cluster)
    assert result.is_good, result
    assert result.under_way > 0
    assert result.acknowledged >= 100
    assert result.reads > 0


async def log_for_a_while(stage: Stage) -> None:
    """Lets athletes log sessions, and nothing breaks."""
    async with stage.serving() as service, stage.load(service.address) as load:
        await load.go_on()
        with load.fault():
            pass
        await load.until_recovered()


def test_an_acknowledged_session_that_is_gone_is_lost(cluster: Cluster) -> None:
    stage = Stage(cluster, cluster.new_database())
    asyncio.run(log_for_a_while(stage))
    with psycopg.connect(stage.url) as connection:
        # Without the foreign keys, which would keep it.
        connection.execute("SET session_replication_role = replica")
        query = """
            DELETE FROM training.sessions WHERE ctid = (SELECT min(ctid) FROM training.sessions)
        """
        assert connection.execute(query).rowcount == 1
    result = stage.judged("meddling", "a session is deleted")
    assert (result.lost, result.duplicated) == (1, 0)
    assert not result.is_good


def a_load(ledger: Ledger) -> Load:
    """Returns callers whom a fault from second 10 to 11 hit."""
    load = Load("127.0.0.1:1")
    load.ledger = ledger
    load.began, load.ended = 10.0, 11.0
    return load


def a_ledger(**fields: object) -> Ledger:
    """Returns what became of two writes of two callers; fields replace the usual ones."""
    usual: dict[str, object] = {
        "acknowledged": {"first": {"1"}, "second": {"2"}},
        "successes": {"alice": [9.0, 11.5], "bob": [9.5, 12.25, 13.0]},
    }
    return Ledger(**{**usual, **fields})  # type: ignore[arg-type]


KEPT = [Stored("1", "first"), Stored("2", "second")]


def judge(rows: list[Stored], **fields: object) -> Result:
    return judged("name", "fault", a_load(a_ledger(**fields)), rows)


def test_what_is_stored_as_it_was_acknowledged_is_good() -> None:
    result = judge([*KEPT, Stored("3", "not acknowledged, and stored all the same")])
    assert result.is_good
    assert (result.acknowledged, result.lost, result.duplicated, result.failed) == (2, 0, 0, 0)
    assert result.first_recovery_seconds == 0.5
    assert result.full_recovery_seconds == 1.25


@pytest.mark.parametrize(
    ("rows", "lost", "duplicated"),
    [
        (KEPT[:1], 1, 0),
        ([], 2, 0),
        # The id is there, with what somebody else sent.
        ([KEPT[0], Stored("2", "first")], 1, 1),
        ([*KEPT, Stored("3", "second")], 0, 1),
        ([*KEPT, Stored("3", "second"), Stored("4", "second")], 0, 2),
        ([*KEPT, Stored("3", "never acknowledged"), Stored("4", "never acknowledged")], 0, 1),
    ],
)
def test_what_is_lost_or_doubled_is_counted(rows: list[Stored], lost: int, duplicated: int) -> None:
    result = judge(rows)
    assert (result.lost, result.duplicated) == (lost, duplicated)
    assert not result.is_good


def test_one_write_acknowledged_with_two_ids_is_lost_once() -> None:
    assert judge(KEPT, acknowledged={"first": {"1", "7"}, "second": {"2"}}).lost == 1


def test_a_call_that_was_given_up_is_no_good() -> None:
    result = judge(KEPT, failed=["NOT_FOUND SESSION_NOT_FOUND: no such session"])
    assert result.failed == 1
    assert not result.is_good


def test_a_caller_who_is_not_served_again_is_a_finding() -> None:
    result = judge(KEPT, successes={"alice": [9.0, 11.5], "bob": [9.5]})
    assert result.full_recovery_seconds is None
    assert result.findings == ("not every caller was served again",)


def test_a_fault_of_the_service_is_a_finding() -> None:
    result = judge(
        KEPT, repeated=[Attempt(9, 10, "INTERNAL INTERNAL"), Attempt(9, 10, "CANCELLED")]
    )
    assert result.findings == ("INTERNAL INTERNAL, which is a fault of the service",)


def test_a_try_is_cut_if_it_was_under_way() -> None:
    before, cut, after = Attempt(1, 2, ""), Attempt(1, 4, ""), Attempt(3.5, 4, "")
    assert Ledger(repeated=[before, cut, after]).cut(3) == [cut]


def test_the_document_has_every_drill() -> None:
    table = DOCUMENT.read_text().partition(report.BEGIN)[2].partition(report.END)[0]
    rows = [line.split("|")[1].strip() for line in table.strip().splitlines()[2:]]
    assert rows == list(DRILLS)


def test_the_report_replaces_the_table_alone(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_into(document, [Result("a", "b", skipped="skipped: no disk"), judge(KEPT)])
    text = document.read_text()
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| a | skipped: no disk |" in text
    assert "| name | 0 | 2 | 0 | 0 | 0 | 0 | 1.0 | 0.50 / 1.25 |" in text
