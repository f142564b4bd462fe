"""training-service export, against a running service."""

import csv
import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pyarrow.parquet
import pytest
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1 import set_pb2
from click.testing import Result
from google.protobuf import json_format
from typer.testing import CliRunner

from tests.rpc.test_export import log_many
from tests.support import L_SIT, PULL_UP, Athlete, RunningService, a_session, at, free_port
from training_service.cli import app
from training_service.exporting import formats, stream
from training_service.exporting.formats import COLUMNS

ROOT = Path(__file__).parents[2]


def run(service: RunningService, file: Path, form: str, *options: str) -> Result:
    arguments = ["export", str(file), "--format", form, "--address", service.address, *options]
    return CliRunner().invoke(app, arguments)


def own(athlete: Athlete) -> list[str]:
    return ["--external-user-id", athlete.id]


@pytest.fixture
def logged(alice: Athlete) -> pb.Session:
    """A session in which much is known and something of each kind is not."""
    return alice.log(
        a_session(
            exercises=[
                pb.SessionExercise(
                    exercise_id=PULL_UP,
                    superset_group="A",
                    sets=[
                        pb.PerformedSet(
                            actual_reps=6,
                            load_kg=-12.5,
                            rir=2,
                            tempo="3-0-1-0",
                            rest_seconds=90,
                            side=set_pb2.SIDE_LEFT,
                            completed=True,
                        ),
                        pb.PerformedSet(kind=set_pb2.SET_KIND_WARM_UP),
                    ],
                ),
                pb.SessionExercise(
                    exercise_id=L_SIT, sets=[pb.PerformedSet(actual_hold_seconds=12.5, rpe=8)]
                ),
            ]
        )
    )


KNOWN = {
    "exercise_number": 1,
    "exercise_id": PULL_UP,
    "superset_group": "A",
    "set_number": 1,
    "side": "LEFT",
    "completed": True,
    "reps": 6,
    "hold_seconds": None,
    "load_kg": -12.5,
    "rpe": None,
    "rir": 2.0,
    "tempo": "3-0-1-0",
    "rest_seconds": 90,
    "duration_seconds": 3300,
    "body_mass_kg": 75.0,
    "workout_id": None,
    "state": "CURRENT",
    "completion": "COMPLETED",
}


def parquet_rows(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(file).to_pylist()
    return rows


def test_parquet_has_a_row_for_each_set(
    service: RunningService, alice: Athlete, logged: pb.Session, tmp_path: Path
) -> None:
    file = tmp_path / "sessions.parquet"
    result = run(service, file, "parquet", *own(alice))
    assert result.exit_code == 0, result.output
    assert "1 sessions written" in result.output
    first, warm_up, hold = parquet_rows(file)
    assert KNOWN.items() <= first.items()
    assert first["session_id"] == logged.id
    assert first["start_time"] == datetime(2026, 3, 2, 17, tzinfo=UTC)
    assert first["local_date"] == date(2026, 3, 2)
    assert (warm_up["set_kind"], warm_up["set_number"], warm_up["reps"]) == ("WARM_UP", 2, None)
    assert (hold["hold_seconds"], hold["rpe"], hold["exercise_number"]) == (12.5, 8, 2)
    assert pyarrow.parquet.read_schema(file).metadata[b"schema_version"] == b"1"


def test_the_document_names_every_column_in_order() -> None:
    document = (ROOT / "docs" / "exporting.md").read_text()
    table = document[document.index("| Column | Type |") :]
    named = [
        name
        for line in table.splitlines()[2:]
        for name in line.split("|")[1].replace(" ", "").split(",")
    ]
    assert named == list(COLUMNS)


def test_csv_says_the_same(
    service: RunningService, alice: Athlete, logged: pb.Session, tmp_path: Path
) -> None:
    file = tmp_path / "sessions.csv"
    assert run(service, file, "csv", *own(alice)).exit_code == 0
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == 3
    texts = {True: "true", None: ""}
    expected = {name: str(texts.get(value, value)) for name, value in KNOWN.items() if value != 1}
    assert expected.items() <= rows[0].items()
    assert rows[0]["start_time"] == "2026-03-02T17:00:00Z"


def test_ndjson_has_the_sessions_whole(
    service: RunningService, alice: Athlete, logged: pb.Session, tmp_path: Path
) -> None:
    file = tmp_path / "sessions.ndjson"
    assert run(service, file, "ndjson", *own(alice)).exit_code == 0
    [line] = file.read_text().splitlines()
    assert json_format.ParseDict(json.loads(line), pb.Session()) == logged


def test_without_an_athlete_all_are_exported(
    service: RunningService,
    alice: Athlete,
    bob: Athlete,
    owner: psycopg.Connection,
    tmp_path: Path,
) -> None:
    ids = {*log_many(alice, 3), *log_many(bob, 2)}
    file = tmp_path / "sessions.parquet"
    done = run(service, file, "parquet")
    assert done.exit_code == 0, done.output
    found = {row["session_id"] for row in parquet_rows(file)}
    [(count,)] = owner.execute(
        "SELECT count(*) FROM training.sessions AS s WHERE NOT EXISTS (SELECT FROM"
        " training.session_retractions AS r WHERE r.external_user_id = s.external_user_id"
        " AND r.session_id = s.id)"
    ).fetchall()
    assert ids <= found
    assert len(found) == count


def test_options_narrow_an_export(
    service: RunningService, alice: Athlete, bob: Athlete, tmp_path: Path
) -> None:
    kept = alice.log(a_session(start_time=at("2025-02-01T10:00:00")))
    gone = alice.log(a_session(start_time=at("2025-02-02T10:00:00")))
    alice.sessions.VoidSession(pb.VoidSessionRequest(session_id=gone.id))
    alice.log(a_session(start_time=at("2025-03-01T00:00:00")))
    bob.log(a_session(start_time=at("2025-02-01T10:00:00")))
    limits = [*own(alice), "--from", "2025-02-01", "--to", "2025-03-01T00:00:00"]
    file = tmp_path / "sessions.ndjson"
    assert run(service, file, "ndjson", *limits).exit_code == 0
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [kept.id]
    assert run(service, file, "ndjson", "--show-retracted", *limits).exit_code == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["id"], line["state"]) for line in lines] == [
        (kept.id, "SESSION_STATE_CURRENT"),
        (gone.id, "SESSION_STATE_VOIDED"),
    ]


def test_a_session_without_a_set_has_a_row(
    service: RunningService, alice: Athlete, tmp_path: Path
) -> None:
    logged = alice.log(a_session(exercises=[]))
    file = tmp_path / "sessions.parquet"
    assert run(service, file, "parquet", *own(alice)).exit_code == 0
    [row] = parquet_rows(file)
    assert (row["session_id"], row["exercise_id"], row["set_number"]) == (logged.id, None, None)


def test_row_groups_are_bounded(
    service: RunningService, alice: Athlete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "ROW_GROUP_ROWS", 100)
    ids = log_many(alice, 250)
    file = tmp_path / "sessions.parquet"
    assert run(service, file, "parquet", *own(alice)).exit_code == 0
    groups = pyarrow.parquet.ParquetFile(file)
    sizes = [groups.metadata.row_group(n).num_rows for n in range(groups.num_row_groups)]
    assert len(sizes) > 5
    assert max(sizes) < 150
    assert list(dict.fromkeys(row["session_id"] for row in parquet_rows(file))) == ids


class BreakingCall:
    """A call whose streams break after some messages."""

    def __init__(self, call: Any, lengths: list[int]) -> None:
        self._call = call
        self._lengths = lengths

    def __call__(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        length = self._lengths.pop(0) if self._lengths else sys.maxsize
        for number, message in enumerate(self._call(*args, **kwargs)):
            if number == length:
                raise Broken
            yield message


class Broken(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "the service was replaced"


def break_streams(monkeypatch: pytest.MonkeyPatch, lengths: list[int]) -> None:
    original = stream.SessionServiceStub

    def stub(channel: grpc.Channel) -> Any:
        found = original(channel)
        found.ExportSessions = BreakingCall(found.ExportSessions, lengths)
        return found

    monkeypatch.setattr(stream, "SessionServiceStub", stub)
    monkeypatch.setattr(stream, "WAIT_SECONDS", 0)


def test_a_stream_that_breaks_is_taken_up_again(
    service: RunningService, alice: Athlete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = log_many(alice, 450)
    break_streams(monkeypatch, [1, 0, 2])
    file = tmp_path / "sessions.ndjson"
    result = run(service, file, "ndjson", *own(alice))
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == ids


def test_what_breaks_again_and_again_leaves_no_file(
    service: RunningService, alice: Athlete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_many(alice, 150)
    break_streams(monkeypatch, [1, *[0] * stream.MAX_ATTEMPTS])
    result = run(service, tmp_path / "sessions.csv", "csv", *own(alice))
    assert result.exit_code == 1
    assert "the service was replaced" in result.output
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_all_is_noticed(service: RunningService, alice: Athlete) -> None:
    log_many(alice, 3)

    def without_one(data: bytes) -> pb.ExportSessionsResponse:
        message = pb.ExportSessionsResponse.FromString(data)
        del message.sessions[:1]
        return message

    channel = grpc.insecure_channel(service.address)
    order = stream.Order(external_user_id=None)
    sessions = stream.Sessions(channel, order)
    sessions._call = channel.unary_stream(
        "/calisthenics.training.v1.SessionService/ExportAllSessions",
        pb.ExportAllSessionsRequest.SerializeToString,
        without_one,
    )
    with pytest.raises(stream.BrokenExportError):
        list(sessions.parts())
    channel.close()


def test_without_pyarrow_it_says_what_to_install(
    service: RunningService, alice: Athlete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run(service, tmp_path / "sessions.parquet", "parquet", *own(alice))
    assert result.exit_code == 2
    assert "training-service[export]" in result.output


def test_without_a_service_it_says_so(tmp_path: Path) -> None:
    arguments = ["export", str(tmp_path / "x.csv"), "--format", "csv"]
    result = CliRunner().invoke(app, [*arguments, "--address", f"127.0.0.1:{free_port()}"])
    assert result.exit_code == 1
    assert "No service answers" in result.output
