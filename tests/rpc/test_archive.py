"""Old sessions leave the database for an archive, and nobody who reads notices."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import access_pb2, governance_pb2, session_pb2
from google.protobuf.message import Message

from tests.conftest import prepared
from tests.rpc.test_isolation import ALL, OF_USERS, Belongings, call_or_refusal
from tests.rpc.test_rebuild import derived
from tests.support import (
    Athlete,
    Refusal,
    RunningService,
    a_session,
    at,
    call_bytes,
    grant,
    refused,
    running_service,
)
from training_service import contract
from training_service.archive.content import DamagedObjectError
from training_service.archive.store import open_store
from training_service.errors import Reason, TrainingError
from training_service.receipt import kept as kept_receipt
from training_service.servicers.rebuild import rebuild_metrics
from training_service.settings import Settings
from training_service.storage import archiving
from training_service.storage.archiving import Archiving, Summary, open_archiving
from training_service.storage.erasure import erase

PACKAGE = Path(archiving.__file__).parents[1]
ALL_TIME = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
TOMORROW = datetime.now(UTC) + timedelta(days=1)
"""Before it, all that is logged began."""
STREAM = "ExportSessions"
"""Its cursors name the moment, so its sessions are compared by themselves."""
READS = [
    name for name in OF_USERS if contract.stores_nothing(ALL[name]) and ALL[name].name != STREAM
]


@dataclass
class Cold:
    """An archive in a folder, and who looks after it."""

    url: str
    folder: Path
    before: datetime = field(default=TOMORROW)

    @property
    def settings(self) -> Settings:
        return Settings(database_role="", archive_url=self.folder.as_uri())

    def archive(self, athlete: Athlete, **options: Any) -> Summary:
        return asyncio.run(
            archiving.archive(
                self.settings,
                self.url,
                self.before,
                lambda *_: None,
                user_id=UUID(athlete.id),
                **options,
            )
        )

    def restore(self, athlete: Athlete, *days: datetime) -> Summary:
        first, last = days or ALL_TIME
        return asyncio.run(
            archiving.restore(
                self.settings, self.url, UUID(athlete.id), first, last, lambda *_: None
            )
        )

    def run(self, act: Callable[[Archiving], Awaitable[Any]]) -> Any:
        """Does something with the archive."""

        async def open_and_act() -> Any:
            async with open_archiving(self.settings, self.url) as opened:
                return await act(opened)

        return asyncio.run(open_and_act())

    def objects(self) -> list[Path]:
        return sorted(self.folder.glob("*/*"))


@pytest.fixture(scope="session")
def database_url(make_database: Callable[[], str]) -> str:
    """A database of its own: elsewhere, services know nothing of this archive."""
    return prepared(make_database())


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archive")


@pytest.fixture(scope="session")
def service(database_url: str, folder: Path) -> Iterator[RunningService]:
    """The service under test, with an archive of its own."""
    with running_service(database_url, archive_url=folder.as_uri()) as running:
        yield running


@pytest.fixture
def cold(database_url: str, folder: Path) -> Cold:
    return Cold(database_url, folder)


def hot_and_cold(owner: psycopg.Connection, athlete: Athlete) -> tuple[int, int]:
    """Returns how many sessions have their record in the database, and how many do not."""
    query = """
        SELECT count(record), count(archive_object_id) FROM training.sessions
        WHERE external_user_id = %s
    """
    [found] = owner.execute(query, [athlete.id])
    return found


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Stops the service's clock: some answers say how long ago something was."""
    now = datetime.now(UTC)
    for name, module in sorted(sys.modules.items()):
        if name.startswith("training_service.servicers.") and hasattr(module, "utc_now"):
            monkeypatch.setattr(module, "utc_now", lambda: now)
    return now


def draw_first(athlete: Athlete, name: str, request: Message) -> None:
    """Waits until a service that has drawn no chart yet can draw one in time, on a busy machine."""
    for _ in range(5):
        answer = call_or_refusal(athlete.channel, ALL[name], request)
        if not isinstance(answer, Refusal) or answer.reason != "DEADLINE_EXCEEDED":
            return


def answers(athlete: Athlete, requests: dict[str, Message]) -> dict[str, bytes]:
    """Returns what comes over the wire."""
    found = {}
    for name, request in requests.items():
        draw_first(athlete, name, request)
        path = f"/{ALL[name].containing_service.full_name}/{ALL[name].name}"
        found[name] = call_bytes(athlete.channel, path, request.SerializeToString())
    return found


def trained(alice: Athlete, bob: Athlete, now: datetime) -> Belongings:
    """Alice has all kinds of things, and sessions of the last days, some written by a coach."""
    belongings = Belongings(alice)
    request = session_pb2.LogSessionRequest(external_user_id=alice.id)
    grant(alice, bob.id, access_pb2.GRANT_SCOPE_LOG_SESSIONS)
    # At noon, which is the same day in the sessions' time zone: late in the evening it would be the
    # next, and what is planned for today would be done.
    noon = now.replace(hour=12)
    for days in range(12):
        session = a_session(
            start_time=at((noon - timedelta(days=days + 1)).isoformat()),
            notes=f"I am {alice.id}",
            workout_id=belongings.workout.id,
        )
        if days % 3:
            alice.log(session)
        else:
            request.session.CopyFrom(session)
            bob.sessions.LogSession(request)
    old = alice.log(a_session(notes="amended"))
    amending = session_pb2.AmendSessionRequest(session_id=old.id, session=a_session())
    alice.sessions.AmendSession(amending)
    void = session_pb2.VoidSessionRequest(session_id=alice.log().id, reason="by mistake")
    alice.sessions.VoidSession(void)
    return belongings


def test_all_that_is_read_of_an_athlete_is_the_same_when_all_is_archived(
    alice: Athlete, bob: Athlete, cold: Cold, owner: psycopg.Connection, still: datetime
) -> None:
    belongings = trained(alice, bob, still)
    requests = {name: belongings.request(ALL[name]) for name in READS}
    first = answers(alice, requests)
    derived_before = derived(owner, alice)
    hot, none = hot_and_cold(owner, alice)
    assert (hot > 12, none) == (True, 0)

    done = cold.archive(alice)

    assert done.sessions == hot
    assert hot_and_cold(owner, alice) == (0, hot)
    again = answers(alice, requests)
    for name in READS:
        assert again[name] == first[name], name
    assert derived(owner, alice) == derived_before


NEED_RECORDS = {
    "AdaptSession",
    "ExportUserData",
    "GetLoadOutlook",
    "GetPrescription",
    "GetReadiness",
    "GetRecoveryChart",
    "GetRecoveryStatus",
    "GetSession",
    "GetSessionMetrics",
    "ListPlannedSessions",
    "ListProgressionEvents",
    "ListSessionVersions",
    "ListSessions",
    "PredictNextSession",
    "RecommendExercises",
    "RecommendWorkouts",
    "SimulateProgression",
}
"""Reads that look into what was logged, and so into the archive."""


def test_without_the_archive_only_those_fail_that_look_into_it(
    alice: Athlete, bob: Athlete, database_url: str, cold: Cold, tmp_path: Path
) -> None:
    """And so the test above had something to compare for each of these."""
    belongings = trained(alice, bob, datetime.now(UTC))
    requests = {name: belongings.request(ALL[name]) for name in READS}
    cold.archive(alice)
    away = (tmp_path / "away").as_uri()
    refusing = set()
    with running_service(database_url, archive_url=away) as service:
        athlete = Athlete(service.address, metadata={"x-external-user-id": alice.id})
        for name, request in requests.items():
            draw_first(athlete, name, request)
            answer = call_or_refusal(athlete.channel, ALL[name], request)
            if isinstance(answer, Refusal):
                assert answer.reason == "ARCHIVE_UNAVAILABLE", (name, answer.reason)
                refusing.add(ALL[name].name)
        athlete.close()
    assert refusing == NEED_RECORDS


def streamed(athlete: Athlete, path: str, request: Message) -> list[bytes]:
    """Returns the sessions of a stream as the bytes that came, whatever their messages' bounds."""
    stub = getattr(athlete.sessions, path)
    return [
        session.SerializeToString() for message in stub(request) for session in message.sessions
    ]


def test_exports_and_changes_span_hot_and_cold(
    alice: Athlete, bob: Athlete, sibling: Athlete, cold: Cold, owner: psycopg.Connection
) -> None:
    for days in range(5):
        for athlete in (alice, bob):
            athlete.log(a_session(start_time=at(f"2020-01-0{days + 1}T12:00:00")))
    void = session_pb2.VoidSessionRequest(session_id=alice.log().id)
    alice.sessions.VoidSession(void)

    def all_answers() -> list[Any]:
        changes = session_pb2.ListSessionChangesRequest(include_sessions=True, page_size=1000)
        return [
            streamed(alice, "ExportSessions", session_pb2.ExportSessionsRequest()),
            streamed(sibling, "ExportAllSessions", session_pb2.ExportAllSessionsRequest()),
            list(sibling.sessions.ListSessionChanges(changes).changes),
        ]

    before = all_answers()
    cold.before = datetime(2020, 1, 4, tzinfo=UTC)
    assert cold.archive(alice).sessions == 3
    assert cold.archive(bob).sessions == 3
    assert hot_and_cold(owner, alice) == (3, 3)
    assert all_answers() == before
    assert cold.archive(alice) == Summary()


def test_writes_that_refer_to_what_is_archived(
    alice: Athlete, cold: Cold, owner: psycopg.Connection
) -> None:
    ids = [str(uuid4()) for _ in range(4)]
    logged = [alice.log(request_id=id) for id in ids[:3]]
    cold.archive(alice)
    # Sent again, alone and in a batch.
    assert alice.log(request_id=ids[0]) == logged[0]
    batch = session_pb2.BatchLogSessionsRequest(
        requests=[
            session_pb2.LogSessionRequest(session=a_session(), request_id=id) for id in ids[1:]
        ]
    )
    results = alice.sessions.BatchLogSessions(batch).results
    assert [one.session for one in results[:2]] == logged[1:]
    assert results[2].session.id not in {one.id for one in logged}
    # Amended and voided.
    amended = alice.sessions.AmendSession(
        session_pb2.AmendSessionRequest(session_id=logged[0].id, session=a_session(notes="better"))
    )
    assert amended.supersedes_session_id == logged[0].id
    void = session_pb2.VoidSessionRequest(session_id=logged[1].id, request_id=str(uuid4()))
    voided = alice.sessions.VoidSession(void)
    assert voided.exercises == logged[1].exercises
    assert alice.sessions.VoidSession(void) == voided
    assert hot_and_cold(owner, alice) == (2, 3)
    versions = session_pb2.ListSessionVersionsRequest(session_id=logged[0].id)
    found = alice.sessions.ListSessionVersions(versions).sessions
    assert [one.id for one in found] == [logged[0].id, amended.id]
    assert found[0].state == session_pb2.SESSION_STATE_SUPERSEDED


def test_a_coach_reads_from_the_archive_what_was_granted(
    alice: Athlete, bob: Athlete, cold: Cold
) -> None:
    logged = alice.log()
    cold.archive(alice)
    request = session_pb2.GetSessionRequest(external_user_id=alice.id, session_id=logged.id)
    grant(alice, bob.id, access_pb2.GRANT_SCOPE_READ_METRICS)
    with refused("ATHLETE_NOT_FOUND"):
        bob.sessions.GetSession(request)
    grant(alice, bob.id, access_pb2.GRANT_SCOPE_READ_SESSIONS)
    assert bob.sessions.GetSession(request) == logged
    export = session_pb2.ExportSessionsRequest(external_user_id=alice.id)
    [message, _] = bob.sessions.ExportSessions(export)
    assert list(message.sessions) == [logged]


def test_metrics_are_rebuilt_from_the_archive(
    alice: Athlete, cold: Cold, owner: psycopg.Connection
) -> None:
    for _ in range(3):
        alice.log()
    before = derived(owner, alice)
    cold.archive(alice)
    assert derived(owner, alice) == before
    for table in before:
        owner.execute(f"DELETE FROM training.{table} WHERE external_user_id = %s", [alice.id])
    asyncio.run(rebuild_metrics(cold.settings, cold.url, lambda *_: None))
    assert derived(owner, alice) == before


def test_a_restored_range_is_as_it_was(
    alice: Athlete, cold: Cold, owner: psycopg.Connection
) -> None:
    def rows() -> list[Any]:
        query = "SELECT * FROM training.sessions WHERE external_user_id = %s ORDER BY id"
        return owner.execute(query, [alice.id]).fetchall()

    def archive_each_year() -> None:
        for year in (2020, 2021, 2022):
            cold.before = datetime(year + 1, 1, 1, tzinfo=UTC)
            assert cold.archive(alice).sessions == 2

    for year in (2020, 2021, 2022):
        for month in (1, 6):
            alice.log(a_session(start_time=at(f"{year}-0{month}-01T12:00:00")))
    before = rows()
    archive_each_year()
    done = cold.restore(alice, datetime(2021, 2, 1, tzinfo=UTC), datetime(2021, 3, 1, tzinfo=UTC))
    # The object has sessions before the range and behind it.
    assert (done.sessions, done.objects) == (2, 1)
    assert cold.restore(alice).sessions == 4
    assert hot_and_cold(owner, alice) == (6, 0)
    assert rows() == before
    assert cold.restore(alice) == Summary()


def test_a_range_brings_back_the_objects_that_have_something_of_it(
    alice: Athlete, cold: Cold, owner: psycopg.Connection
) -> None:
    for year in (2020, 2021, 2022):
        alice.log(a_session(start_time=at(f"{year}-06-01T12:00:00")))
        cold.before = datetime(year + 1, 1, 1, tzinfo=UTC)
        cold.archive(alice)
    done = cold.restore(alice, datetime(2021, 6, 1, tzinfo=UTC), datetime(2022, 6, 1, tzinfo=UTC))
    assert (done.sessions, done.objects) == (1, 1)
    query = """
        SELECT extract(year FROM started_at)::int, record IS NULL FROM training.sessions
        WHERE external_user_id = %s ORDER BY 1
    """
    found = owner.execute(query, [alice.id]).fetchall()
    assert found == [(2020, True), (2021, False), (2022, True)]


def test_no_object_says_who_the_athlete_is(alice: Athlete, bob: Athlete, cold: Cold) -> None:
    coach = bob
    grant(alice, coach.id, access_pb2.GRANT_SCOPE_LOG_SESSIONS)
    alice.log(a_session(notes=f"{alice.id} is me, {alice.id}!"))
    request = session_pb2.LogSessionRequest(external_user_id=alice.id, session=a_session())
    coach.sessions.LogSession(request)
    before = set(cold.objects())
    cold.archive(alice)
    [file] = set(cold.objects()) - before
    for id in (UUID(alice.id), UUID(coach.id)):
        assert str(id) not in str(file)
        # Compressed, so what is inside is looked at too.
        inside = read_table(file)
        for content in (file.read_bytes(), *inside):
            assert str(id).encode() not in content
            assert id.bytes not in content


def read_table(file: Path) -> list[bytes]:
    from pyarrow import parquet

    table = parquet.read_table(file)
    assert table.schema.names == ["session_id", "started_at", "record_parts"]
    return [part for parts in table["record_parts"].to_pylist() for part in parts]


def test_what_is_hot_is_read_while_the_archive_is_away(
    database_url: str, tmp_path: Path, owner: psycopg.Connection
) -> None:
    away = tmp_path / "away"
    cold = Cold(database_url, tmp_path / "archive")
    with running_service(database_url, archive_url=cold.folder.as_uri()) as service:
        athlete = Athlete(service.address)
        old = athlete.log(a_session(start_time=at("2020-01-01T12:00:00")))
        cold.archive(athlete)
        new = athlete.log(a_session(start_time=at("2026-01-01T12:00:00")))
        cold.folder.rename(away)
        get = session_pb2.GetSessionRequest
        assert athlete.sessions.GetSession(get(session_id=new.id)) == new
        full = session_pb2.ListSessionsRequest(view="SESSION_VIEW_FULL")
        full.from_time.FromDatetime(datetime(2025, 1, 1, tzinfo=UTC))
        assert list(athlete.sessions.ListSessions(full).sessions) == [new]
        # One of a page that ends where the archive begins.
        page = session_pb2.ListSessionsRequest(view="SESSION_VIEW_FULL", page_size=1)
        found = athlete.sessions.ListSessions(page)
        assert list(found.sessions) == [new]
        page.page_token = found.next_page_token
        with refused("ARCHIVE_UNAVAILABLE"):
            athlete.sessions.ListSessions(page)
        # Summaries need no records.
        listed = athlete.sessions.ListSessions(session_pb2.ListSessionsRequest()).sessions
        assert [one.id for one in listed] == [new.id, old.id]
        with refused("ARCHIVE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE) as refusals:
            athlete.sessions.GetSession(get(session_id=old.id))
        assert refusals[0].retry_after_seconds == 1
        # What can't be answered is not done.
        with refused("ARCHIVE_UNAVAILABLE"):
            athlete.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=old.id))
        with refused("ARCHIVE_UNAVAILABLE"):
            list(athlete.sessions.ExportSessions(session_pb2.ExportSessionsRequest()))
        away.rename(cold.folder)
        assert athlete.sessions.GetSession(get(session_id=old.id)) == old
        athlete.close()


def test_a_damaged_object_is_neither_answered_nor_restored(
    alice: Athlete, cold: Cold, owner: psycopg.Connection
) -> None:
    logged = alice.log()
    before = set(cold.objects())
    cold.archive(alice)
    [file] = set(cold.objects()) - before
    whole = file.read_bytes()
    request = session_pb2.GetSessionRequest(session_id=logged.id)
    for damaged in (whole[:-1], whole[:50] + b"\x01" + whole[51:], b""):
        file.write_bytes(damaged)
        with refused("INTERNAL", grpc.StatusCode.INTERNAL):
            alice.sessions.GetSession(request)
        with pytest.raises(DamagedObjectError, match=re.escape(file.name)):
            cold.restore(alice)
    assert hot_and_cold(owner, alice) == (0, 1)

    async def checked(archive: Archiving) -> list[bool]:
        found = [one async for one in archive.checksums(UUID(alice.id))]
        return [one.expected_sha256 == one.found_sha256 for one in found]

    assert cold.run(checked) == [False]
    file.write_bytes(whole)
    assert cold.run(checked) == [True]
    assert alice.sessions.GetSession(request) == logged
    file.unlink()
    assert cold.run(checked) == [False]
    with pytest.raises(DamagedObjectError, match="missing"):
        cold.restore(alice)


def test_a_copy_that_is_not_what_was_written_takes_nothing_out(
    alice: Athlete, cold: Cold, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.log()

    async def put_less(self: Any, key: str, data: bytes) -> None:
        file = cold.folder / key
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data[:-1])

    with monkeypatch.context() as faulty:
        faulty.setattr("training_service.archive.store.FolderStore.put", put_less)
        with pytest.raises(DamagedObjectError):
            cold.archive(alice)
    assert hot_and_cold(owner, alice) == (1, 0)
    done = cold.archive(alice)
    assert (done.sessions, done.orphans) == (1, 1)


def test_a_session_that_changed_meanwhile_takes_nothing_out(
    alice: Athlete, cold: Cold, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the athlete is erased between the copy and the removal."""
    ids = [alice.log().id for _ in range(2)]

    async def meanwhile(self: Any, *_: Any) -> None:
        for table, column in (
            ("session_exercises", "session_id"),
            ("sessions", "id"),
        ):
            owner.execute(f"DELETE FROM training.{table} WHERE {column} = %s", [ids[0]])

    with monkeypatch.context() as changing:
        changing.setattr(Archiving, "_verify", meanwhile)
        with pytest.raises(TrainingError, match="changed"):
            cold.archive(alice)
    assert hot_and_cold(owner, alice) == (1, 0)
    assert cold.archive(alice).sessions == 1


def test_a_record_that_is_not_what_was_copied_stays(
    alice: Athlete, cold: Cold, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = alice.log()

    async def meanwhile(self: Any, *_: Any) -> None:
        change = "UPDATE training.sessions SET record = record || record WHERE id = %s"
        owner.execute(change, [logged.id])

    with monkeypatch.context() as changing:
        changing.setattr(Archiving, "_verify", meanwhile)
        with pytest.raises(TrainingError, match="changed"):
            cold.archive(alice)
    assert hot_and_cold(owner, alice) == (1, 0)


def test_a_dry_run_only_says(alice: Athlete, cold: Cold, owner: psycopg.Connection) -> None:
    alice.log()
    before = cold.objects()
    done = cold.archive(alice, dry_run=True)
    assert (done.sessions, done.objects) == (1, 0)
    assert done.record_bytes > 100
    assert cold.objects() == before
    assert hot_and_cold(owner, alice) == (1, 0)


def test_objects_are_bounded(
    alice: Athlete, cold: Cold, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "OBJECT_RECORD_BYTES", 1000)
    monkeypatch.setattr(archiving, "_NEXT_RECORDS", archiving._next_records())
    logged = [alice.log(a_session(notes="x" * 600)) for _ in range(5)]
    done = cold.archive(alice)
    assert (done.sessions, done.objects) == (5, 3)
    full = session_pb2.ListSessionsRequest(view="SESSION_VIEW_FULL", oldest_first=True)
    found = alice.sessions.ListSessions(full).sessions
    assert {one.id for one in found} == {one.id for one in logged}


def test_an_athletes_objects_are_removed_with_those_that_have_no_row(
    alice: Athlete, bob: Athlete, cold: Cold
) -> None:
    for athlete in (alice, bob):
        athlete.log()
    before = set(cold.objects())
    cold.archive(bob)
    kept = set(cold.objects())
    cold.archive(alice)
    [file] = set(cold.objects()) - kept
    file.with_name(f"{uuid4()}.parquet").write_bytes(b"an orphan")
    file.with_name(f"{uuid4()}.parquet#1").write_bytes(b"half of one")
    assert cold.run(lambda archive: archive.remove_athlete(UUID(alice.id))) == 3
    assert cold.run(lambda archive: archive.remove_athlete(UUID(alice.id))) == 0
    assert set(cold.objects()) == kept
    assert before < kept


def test_erasing_removes_what_an_athlete_had_and_nothing_is_archived_again(
    alice: Athlete, bob: Athlete, cold: Cold, owner: psycopg.Connection
) -> None:
    logged = bob.log()
    alice.log()
    cold.run(lambda archive: archive.remove_orphans())
    cold.archive(bob)
    kept = set(cold.objects())
    cold.archive(alice)
    assert len(set(cold.objects()) - kept) == 1
    receipt = kept_receipt(asyncio.run(erase(cold.settings, cold.url, UUID(alice.id))))
    assert receipt.row_counts["archive_objects"] == receipt.archive_objects == 1
    assert set(cold.objects()) == kept
    assert cold.run(lambda archive: archive.remove_orphans()) == 0
    erased = UUID(alice.id)
    for act in (
        lambda archive: archive.archive_next(erased, TOMORROW),
        lambda archive: archive.restore(erased, uuid4()),
    ):
        with pytest.raises(TrainingError) as refusal:
            cold.run(act)
        assert refusal.value.reason is Reason.ATHLETE_ERASED
    request = session_pb2.GetSessionRequest(session_id=logged.id)
    assert bob.sessions.GetSession(request) == logged


def test_answers_about_others_stay_when_an_athlete_is_erased(
    alice: Athlete,
    bob: Athlete,
    new_athlete: Callable[..., Athlete],
    cold: Cold,
    still: datetime,
) -> None:
    """Of every read there is, byte for byte, with some of each log in the archive."""
    coach = new_athlete()
    belongings = trained(bob, coach, still)
    trained(alice, coach, still)
    for athlete in (alice, bob):
        cold.archive(athlete)
        athlete.log()
    requests = {name: belongings.request(ALL[name]) for name in READS}
    first = answers(bob, requests)
    alice.governance.RequestErasure(governance_pb2.RequestErasureRequest(confirm=True))
    again = answers(bob, requests)
    for name in READS:
        assert again[name] == first[name], name
    with refused("ATHLETE_ERASED"):
        alice.log()


def test_a_session_that_comes_back_while_it_is_looked_for_is_found(
    alice: Athlete, cold: Cold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The locator was read before the restoring, the object is looked for after it."""
    logged = alice.log()
    cold.archive(alice)
    store = open_store(cold.settings)
    get = type(store).get
    restored: list[Summary] = []

    async def restore_first(self: Any, key: str) -> bytes | None:
        if not restored:
            restored.append(Summary())
            await asyncio.to_thread(cold.restore, alice)
        return await get(self, key)

    monkeypatch.setattr(type(store), "get", restore_first)
    request = session_pb2.GetSessionRequest(session_id=logged.id)
    assert alice.sessions.GetSession(request) == logged
    assert restored


def test_only_one_place_reads_the_column() -> None:
    """Whoever reads records elsewhere would miss those in the archive."""
    allowed = {"storage/archive.py", "storage/archiving.py"}
    found = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if re.search(r"\bsessions\.c(\.record\b|\[)", file.read_text())
    }
    by_name = {"storage/rebuild.py", "storage/verification.py"}
    instead = "storage/user_export.py"
    assert found == allowed | by_name | {instead}
    assert "RECORD if column is sessions.c.record" in (PACKAGE / instead).read_text()
    for file in by_name:
        assert re.search(r'if name (!=|not in) .*"record"', (PACKAGE / file).read_text())
