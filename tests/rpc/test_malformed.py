"""Requests that make no sense: every RPC refuses them for a reason it declares, stores nothing,
and goes on serving."""

import base64
import socket
import struct
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import (
    access_pb2,
    error_pb2,
    exercise_pb2,
    progression_pb2,
    schedule_pb2,
    session_pb2,
    workout_pb2,
)
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from google.type.date_pb2 import Date
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, ResponseReceived, StreamEnded, TrailersReceived
from hypothesis import Phase, example, find, given, settings
from hypothesis import strategies as st

from tests.conftest import seed
from tests.rpc.messages import Examples, exercise_examples, messages, plausible, unknown_ids
from tests.support import (
    PULL_UP,
    Athlete,
    Refusal,
    RunningService,
    a_rule,
    a_schedule,
    a_session,
    a_workout,
    call_bytes,
    forged_token,
    grant,
    refused,
    running_service,
)
from training_service import contract
from training_service.errors import Reason, TrainingError
from training_service.server import ENVELOPE_BYTES
from training_service.settings import Settings
from training_service.storage.migrations import migrate
from training_service.storage.tables import metadata

pytestmark = [
    # A failing request may be large; it is shown all the same.
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
]

COMMON = {
    Reason.PERMISSION_DENIED,
    Reason.ATHLETE_NOT_FOUND,
    Reason.INVALID_FIELD,
    Reason.MALFORMED_REQUEST,
    Reason.ATHLETE_ERASED,
}
"""What any RPC may answer a known caller's nonsense. An administrator's may have erased
whom it names. The database is well and there is time, so DATABASE_UNAVAILABLE or
DEADLINE_EXCEEDED would be as wrong as INTERNAL."""

A_UUID = "5f0c1c52-5a3e-4b39-9d3b-6f2f3f0a7a11"

Rows = dict[str, tuple[int, str]]

KEPT_BY_READERS = {"audit_records", "load_histories", "load_checkpoints"}
"""Tables that a read may add to, to spare the next one some work."""


def each_method() -> list[Any]:
    """Returns every RPC as a parameter."""
    return [pytest.param(m, id=m.name) for m in contract.methods()]


@dataclass
class World:
    """A service on a database of its own, since these requests change the catalogue too."""

    caller: Athlete
    bystander: Athlete
    owner: psycopg.Connection
    examples: Examples = field(default_factory=dict)

    def who_calls(self, method: MethodDescriptor) -> Athlete:
        """Returns the caller; somebody new for the RPC after which one can call no more."""
        return self.caller.as_another() if method.name == "RequestErasure" else self.caller

    def rows(self, athlete: str = "") -> Rows:
        """Returns the number of rows in every table with a digest of them: one athlete's or all."""
        found: Rows = {}
        for table in metadata.sorted_tables:
            if table.name in KEPT_BY_READERS or (athlete and "external_user_id" not in table.c):
                continue
            # An exercise is marked as in use ahead of the write that will use it.
            rows = f"SELECT (to_jsonb(t) - 'in_use_since')::text AS row FROM {table.fullname} t"
            if athlete:
                rows += f" WHERE external_user_id = '{athlete}'"
            [found[table.name]] = self.owner.execute(
                f"SELECT count(*), md5(string_agg(row, '' ORDER BY row)) FROM ({rows}) AS r"
            )
        return found


@pytest.fixture(scope="module")
def world(make_database: Callable[[], str]) -> Iterator[World]:
    url = make_database()
    migrate(url)
    seed(url)
    with running_service(url) as service, psycopg.connect(url, autocommit=True) as owner:
        caller, bystander = Athlete(service.address, roles="admin"), Athlete(service.address)
        world = World(caller, bystander, owner)
        world.examples = {
            "exercise": exercise_examples(),
            "workout": [bystander.create_workout().id, *(caller.create_workout().id,) * 4],
            "session": [bystander.log().id, *(caller.log().id for _ in range(6))],
            "external_user_id": ["", "", "", caller.id, caller.id, bystander.id],
            "athlete_user_id": [bystander.id, *athletes_of(caller)],
            "progression_rule": [
                caller.progression.CreateProgressionRule(
                    progression_pb2.CreateProgressionRuleRequest(rule=a_rule())
                ).id
            ],
            "schedule": [
                caller.schedules.CreateSchedule(
                    schedule_pb2.CreateScheduleRequest(
                        schedule=a_schedule(caller.create_workout().id)
                    )
                ).id
                for _ in range(3)
            ],
            "request_id": ["", "", str(uuid.uuid4())],
        }
        yield world
        caller.close()
        bystander.close()


def athletes_of(coach: Athlete) -> list[str]:
    """Returns athletes who let somebody write their workouts and schedules."""
    scopes = [access_pb2.GRANT_SCOPE_WRITE_WORKOUTS, access_pb2.GRANT_SCOPE_WRITE_SCHEDULE]
    athletes = [coach.as_another() for _ in range(3)]
    for athlete in athletes:
        grant(athlete, coach.id, *scopes)
    return [athlete.id for athlete in athletes]


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def send(caller: Athlete, path: str, body: bytes) -> bytes | Refusal:
    """Makes a call with bytes that need not be a message."""
    try:
        response = call_bytes(caller.channel, path, body)
    except grpc.RpcError as error:
        return Refusal(error)
    return response


def reason_of(status: status_pb2.Status) -> str:
    """Returns the reason in the first detail, where every refusal has it."""
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


def check_refusal(refusal: Refusal, method: MethodDescriptor) -> None:
    """A refusal has a reason that the RPC declares, and the status that belongs to it."""
    names = method.GetOptions().Extensions[access_pb2.errors]
    declared = {error_pb2.ErrorReason.Name(number) for number in names}
    assert refusal.reason in COMMON | declared, (refusal.code, refusal.message)
    assert refusal.code.value[0] == contract.STATUS_CODES[Reason(refusal.reason)], refusal.message


def stores_nothing(method: MethodDescriptor, answer: bytes | Refusal) -> bool:
    """Returns whether a call must have left everything as it was."""
    if isinstance(answer, Refusal) or contract.stores_nothing(method):
        return True
    response: Any = GetMessageClass(method.output_type).FromString(answer)
    if method.output_type.name != "BatchLogSessionsResponse":
        return False
    return all(result.HasField("status") for result in response.results)


def batch_reasons(method: MethodDescriptor, answer: bytes | Refusal) -> set[str]:
    """Returns the reasons within the answer to a batch."""
    results = method.output_type.fields_by_name.get("results")
    if isinstance(answer, Refusal) or results is None:
        return set()
    assert "status" in results.message_type.fields_by_name
    response: Any = GetMessageClass(method.output_type).FromString(answer)
    return {reason_of(r.status) for r in response.results if r.HasField("status")}


@pytest.mark.parametrize("method", each_method())
def test_no_request_is_a_fault_and_a_refused_one_stores_nothing(
    method: MethodDescriptor, world: World
) -> None:
    rows, others = world.rows(), world.rows(world.bystander.id)

    @settings(max_examples=25)
    @given(messages(method.input_type, world.examples))
    @example(GetMessageClass(method.input_type)())
    @example(unknown_ids(method.input_type))
    def attempt(request: Message) -> None:
        nonlocal rows
        answer = send(world.who_calls(method), path_of(method), request.SerializeToString())
        before, rows = rows, world.rows()
        if isinstance(answer, Refusal):
            check_refusal(answer, method)
        if stores_nothing(method, answer):
            assert rows == before
        assert not batch_reasons(method, answer) & {"", "INTERNAL", "DATABASE_UNAVAILABLE"}

    attempt()
    assert world.rows(world.bystander.id) == others


@pytest.mark.parametrize("method", each_method())
def test_among_the_requests_made_up_are_some_that_keep_all_rules(
    method: MethodDescriptor, world: World
) -> None:
    # Or else the test above would stop at the validation and prove little.
    def is_valid(request: Message) -> bool:
        try:
            contract.check(request)
        except TrainingError:
            return False
        return bool(request.ByteSize())

    find(
        plausible(method.input_type, world.examples),
        is_valid,
        settings=settings(phases=[Phase.generate], max_examples=1000),
    )


# Bytes that are no message.


@st.composite
def damaged(draw: Any, method: MethodDescriptor, examples: Examples) -> bytes:
    """A message with some of its bytes cut off, changed or repeated."""
    body = bytearray(draw(plausible(method.input_type, examples)).SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        harm = draw(st.sampled_from(["cut", "change", "insert", "repeat"]))
        if harm == "cut":
            del body[at : at + 3]
        elif harm == "change":
            body[at : at + 1] = draw(st.binary(min_size=1, max_size=2))
        elif harm == "insert":
            body[at:at] = draw(st.binary(min_size=1, max_size=6))
        else:
            body += body[at:]
    return bytes(body)


@pytest.mark.parametrize("method", each_method())
def test_no_bytes_are_a_fault(method: MethodDescriptor, world: World) -> None:
    @settings(max_examples=15)
    @given(st.binary(max_size=100) | damaged(method, world.examples))
    @example(b"")
    def attempt(body: bytes) -> None:
        answer = send(world.who_calls(method), path_of(method), body)
        if isinstance(answer, Refusal):
            check_refusal(answer, method)

    attempt()


BROKEN = {
    "a length beyond the end": b"\x0a\x7f",
    "a length beyond everything": b"\x0a\xff\xff\xff\xff\x7f",
    "a tag without an end": b"\xff" * 11,
    "field number 0": b"\x02\x00",
    "an unknown wire type": b"\x0f",
    "a group that never ends": b"\x7b",
    "a group that never began": b"\x7c",
    "groups in groups": b"\x7b" * 50_000 + b"\x7c" * 50_000,
    "JSON": b'{"external_user_id": ""}',
}
NOT_UTF_8 = {
    "arbitrary bytes": b"\xff\xfe",
    "half a surrogate pair": b"\xed\xa0\x80",
    "NUL in two bytes": b"\xc0\x80",
    "beyond the last code point": b"\xf4\x90\x80\x80",
    "Latin-1": b"Z\xfcrich",
}


def text_field(method: MethodDescriptor, text: bytes) -> bytes:
    """Returns a request with these bytes in its first text field."""
    fields = method.input_type.fields
    number = next(f.number for f in fields if f.type == f.TYPE_STRING)
    return bytes([number << 3 | 2, len(text)]) + text


@pytest.mark.parametrize("method", each_method())
def test_bytes_that_are_no_message_are_malformed(
    method: MethodDescriptor, new_athlete: Callable[..., Athlete]
) -> None:
    mighty = new_athlete(roles="admin training:service")
    bodies = dict(BROKEN)
    if any(field.type == field.TYPE_STRING for field in method.input_type.fields):
        bodies |= {name: text_field(method, text) for name, text in NOT_UTF_8.items()}
    answers = {name: send(mighty, path_of(method), body) for name, body in bodies.items()}
    assert {name: getattr(a, "reason", a) for name, a in answers.items()} == dict.fromkeys(
        bodies, "MALFORMED_REQUEST"
    )


LIST_SESSIONS = "/calisthenics.training.v1.SessionService/ListSessions"


def request_of(size: int) -> bytes:
    """Returns a request of ListSessions with an unknown field that fills it up to a size."""
    head = b"\xa2\x06"
    length, digits = size - 6, b""
    for shift in (0, 7, 14):
        digits += bytes([length >> shift & 0x7F | 0x80])
    digits += bytes([length >> 21])
    return head + digits + b"x" * length


def test_a_request_may_have_as_many_bytes_as_the_setting_says(alice: Athlete) -> None:
    limit = Settings().max_receive_bytes
    body = request_of(limit)
    assert len(body) == limit
    assert isinstance(send(alice, LIST_SESSIONS, body), bytes)
    with refused("REQUEST_TOO_LARGE", grpc.StatusCode.RESOURCE_EXHAUSTED):
        alice.channel.unary_unary(LIST_SESSIONS)(request_of(limit + 1))


def test_a_far_larger_request_is_refused_before_it_is_read(alice: Athlete) -> None:
    body = request_of(Settings().max_receive_bytes + ENVELOPE_BYTES + 1)
    answer = send(alice, LIST_SESSIONS, body)
    assert isinstance(answer, Refusal)
    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert answer.reason == ""
    assert isinstance(send(alice, LIST_SESSIONS, b""), bytes)


def test_a_smaller_limit_is_kept_too(database_url: str) -> None:
    with running_service(database_url, max_receive_bytes=65536) as service:
        athlete = Athlete(service.address)
        assert athlete.log(a_session(notes="x" * 4000)).id
        with refused("REQUEST_TOO_LARGE", grpc.StatusCode.RESOURCE_EXHAUSTED):
            athlete.log(a_session(notes="x" * 65536))
        athlete.close()


def test_an_unknown_method_is_unimplemented(alice: Athlete) -> None:
    for path in ("/calisthenics.training.v1.SessionService/Nothing", "/x/y", "/"):
        answer = send(alice, path, b"")
        assert isinstance(answer, Refusal)
        assert answer.code is grpc.StatusCode.UNIMPLEMENTED


# Single cases that a random search would seldom meet.


@pytest.mark.parametrize(
    "limits",
    [
        {"from_date": Date(year=1, month=1, day=1)},
        {"to_date": Date(year=1, month=1, day=1)},
        {"from_date": Date(year=9999, month=12, day=31)},
        {"to_date": Date(year=9999, month=12, day=31)},
    ],
    ids=lambda limits: " ".join(f"{name} {d.year}" for name, d in limits.items()),
)
def test_the_first_and_the_last_date_may_limit_a_listing(
    limits: dict[str, Date], alice: Athlete, bob: Athlete
) -> None:
    logged = alice.log()
    [(name, date)] = limits.items()
    inside = (name == "from_date") == (date.year == 1)
    request = session_pb2.ListSessionsRequest(**limits)
    found = [s.id for s in alice.sessions.ListSessions(request).sessions]
    assert found == ([logged.id] if inside else [])
    assert not bob.sessions.ListSessions(request).sessions


def test_the_answer_to_very_many_mistakes_fits_into_metadata(service: RunningService) -> None:
    mistakes = session_pb2.SessionExercise(
        exercise_id=PULL_UP, sets=[session_pb2.PerformedSet(tempo="slow")] * 2
    )
    request = session_pb2.LogSessionRequest(session=a_session(exercises=[mistakes] * 100))
    # A client takes 8 KiB unless told otherwise, and more only by chance; this one takes it all.
    options = [("grpc.max_metadata_size", 2**20), ("grpc.absolute_max_metadata_size", 2**20)]
    with (
        grpc.insecure_channel(service.address, options) as channel,
        pytest.raises(grpc.RpcError) as raised,
    ):
        SessionServiceStub(channel).LogSession(request, metadata=[("x-external-user-id", A_UUID)])
    refusal = Refusal(raised.value)
    assert refusal.reason == "INVALID_FIELD"
    assert refusal.fields[0] == "session.exercises[0].sets[0].tempo"
    trailers = raised.value.trailing_metadata()
    assert sum(32 + len(key) + len(value) for key, value in trailers) < 7000


HUGE = 10**40


@pytest.mark.parametrize(
    "key",
    [(HUGE, A_UUID), (-HUGE, A_UUID), (2**63, A_UUID), (0, "\ud800"), (0, "\0"), (A_UUID, 0), ()],
    ids=ascii,
)
def test_a_forged_token_of_the_sessions_is_refused(key: tuple[object, ...], alice: Athlete) -> None:
    alice.log()
    alice.log()
    request = session_pb2.ListSessionsRequest(page_size=1)
    request.page_token = forged_token(alice.sessions.ListSessions(request).next_page_token, *key)
    with refused("INVALID_PAGE_TOKEN", grpc.StatusCode.INVALID_ARGUMENT):
        alice.sessions.ListSessions(request)


@pytest.mark.parametrize("key", [("x",), ("\ud800",), ("\0",), (1,), (None,)], ids=ascii)
def test_a_forged_token_of_the_workouts_is_refused(key: tuple[object, ...], alice: Athlete) -> None:
    alice.create_workout()
    alice.create_workout()
    request = workout_pb2.ListWorkoutsRequest(page_size=1)
    request.page_token = forged_token(alice.workouts.ListWorkouts(request).next_page_token, *key)
    with refused("INVALID_PAGE_TOKEN", grpc.StatusCode.INVALID_ARGUMENT):
        alice.workouts.ListWorkouts(request)


@pytest.mark.parametrize(
    "key",
    [
        ("1",),
        (True,),
        (1.5,),
        (None,),
        (-HUGE,),
        (-(2**31) - 1,),
    ],
    ids=ascii,
)
def test_a_forged_token_of_the_revisions_is_refused(
    key: tuple[object, ...], alice: Athlete
) -> None:
    workout = alice.create_workout()
    change = workout_pb2.UpdateWorkoutRequest(
        workout_id=workout.id,
        workout=a_workout(display_name="Another"),
        update_mask={"paths": ["display_name"]},
    )
    alice.workouts.UpdateWorkout(change)
    request = workout_pb2.ListWorkoutRevisionsRequest(workout_id=workout.id, page_size=1)
    token = alice.workouts.ListWorkoutRevisions(request).next_page_token
    request.page_token = forged_token(token, *key)
    with refused("INVALID_PAGE_TOKEN", grpc.StatusCode.INVALID_ARGUMENT):
        alice.workouts.ListWorkoutRevisions(request)


@pytest.mark.parametrize(
    "key",
    [
        (-HUGE, 1, "x"),
        (0, 2**15, "x"),
        (0, -(2**15), "x"),
        (0, 1, "\0"),
        (0, 1, "\ud800"),
    ],
    ids=ascii,
)
def test_a_forged_token_of_the_exercises_is_refused(
    key: tuple[object, ...], alice: Athlete
) -> None:
    request = exercise_pb2.ListExercisesRequest(page_size=1, query="pull")
    request.page_token = forged_token(alice.exercises.ListExercises(request).next_page_token, *key)
    with refused("INVALID_PAGE_TOKEN", grpc.StatusCode.INVALID_ARGUMENT):
        alice.exercises.ListExercises(request)


def test_a_refused_void_leaves_its_request_id_free(alice: Athlete, bob: Athlete) -> None:
    logged, request_id = alice.log(), str(uuid.uuid4())
    others = bob.log()
    with refused("SESSION_NOT_FOUND"):
        alice.sessions.VoidSession(
            session_pb2.VoidSessionRequest(session_id=others.id, request_id=request_id)
        )
    voided = alice.sessions.VoidSession(
        session_pb2.VoidSessionRequest(session_id=logged.id, request_id=request_id)
    )
    assert voided.state == session_pb2.SESSION_STATE_VOIDED


def test_fields_that_this_version_does_not_know_are_not_stored(
    alice: Athlete, bob: Athlete
) -> None:
    # They would be read as fields of a later version, whose rules nobody checked.
    unknown = b"\xa2\x06\x03abc"
    session = a_session()
    session.MergeFromString(unknown)
    session.exercises[0].MergeFromString(unknown)
    logged = alice.log(session)
    read = alice.sessions.GetSession(session_pb2.GetSessionRequest(session_id=logged.id))
    assert unknown not in read.SerializeToString()
    assert not bob.sessions.ListSessions(session_pb2.ListSessionsRequest()).sessions


def test_a_refused_workout_does_not_freeze_an_exercise(
    alice: Athlete, bob: Athlete, admin: Athlete, owner: psycopg.Connection
) -> None:
    fresh = admin.exercises.CreateExercise(
        exercise_pb2.CreateExerciseRequest(
            exercise={
                "slug": f"fresh-{uuid.uuid4().hex}",
                "display_name": "Fresh",
                "category": exercise_pb2.EXERCISE_CATEGORY_PUSH,
                "difficulty": 3,
                "movement_kind": exercise_pb2.MOVEMENT_KIND_DYNAMIC,
                "primary_muscles": [exercise_pb2.MUSCLE_CHEST],
            }
        )
    )
    workout = a_workout(exercises=[workout_pb2.WorkoutExercise(exercise_id=fresh.id, sets=1)])
    change = workout_pb2.UpdateWorkoutRequest(
        workout_id=bob.create_workout().id, workout=workout, update_mask={"paths": ["*"]}
    )
    with refused("WORKOUT_NOT_FOUND"):
        alice.workouts.UpdateWorkout(change)
    [(in_use_since,)] = owner.execute(
        "SELECT in_use_since FROM training.exercises WHERE id = %s", [fresh.id]
    ).fetchall()
    assert in_use_since is None


# Metadata that grpcio's client refuses to send.


class RawConnection:
    """An HTTP/2 connection that sends headers as they are given."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._h2 = H2Connection(
            H2Configuration(
                header_encoding=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._h2.initiate_connection()

    def call(self, *headers: tuple[bytes, bytes], path: str = LIST_SESSIONS) -> dict[bytes, bytes]:
        """Makes a call with an empty message; returns its response headers and trailers."""
        stream = self._h2.get_next_available_stream_id()
        usual = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path.encode()),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        ]
        self._h2.send_headers(stream, [*usual, *headers])
        self._h2.send_data(stream, struct.pack(">BI", 0, 0), end_stream=True)
        received: dict[bytes, bytes] = {}
        while True:
            self._socket.sendall(self._h2.data_to_send())
            data = self._socket.recv(65536)
            assert data, "the service closed the connection"
            for event in self._h2.receive_data(data):
                assert not isinstance(event, ConnectionTerminated)
                if isinstance(event, ResponseReceived | TrailersReceived):
                    received |= dict(event.headers)
                elif isinstance(event, StreamEnded) and event.stream_id == stream:
                    return received

    def close(self) -> None:
        self._socket.close()


@contextmanager
def raw_connection(service: RunningService) -> Iterator[RawConnection]:
    connection = RawConnection(service.port)
    try:
        yield connection
    finally:
        connection.close()


def status_in(received: dict[bytes, bytes]) -> tuple[int, str]:
    """Returns the status and the reason of a call that was refused, (0, "") of one that was not."""
    code = int(received[b"grpc-status"])
    packed = received.get(b"grpc-status-details-bin")
    if packed is None:
        return code, ""
    status = status_pb2.Status.FromString(base64.b64decode(packed + b"=="))
    return code, reason_of(status)


USER = b"x-external-user-id"
ME = A_UUID.encode()
IDENTITIES = {
    "bytes": [(USER, b"\xff\xfe\x80")],
    "Latin-1": [(USER, ME[:-1] + b"\xe9")],
    "UTF-8": [(USER, "é".encode() * 18)],
    "NUL within": [(USER, ME[:-1] + b"\0")],
    "a line break at the end": [(USER, ME + b"\n")],
    "a tab at the end": [(USER, ME + b"\t")],
    "spaces around": [(USER, b" " + ME + b" ")],
    "empty": [(USER, b"")],
    "long": [(USER, ME * 100)],
    "no UUID": [(USER, b"alice")],
    "two in one": [(USER, ME + b"," + ME)],
    "given twice": [(USER, ME), (USER, ME)],
    "given twice, the first empty": [(USER, b""), (USER, ME)],
    "given twice, the second bytes": [(USER, ME), (USER, b"\xff")],
}
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED.value[0]
INTERNAL = grpc.StatusCode.INTERNAL.value[0]


@pytest.mark.parametrize("headers", IDENTITIES.values(), ids=IDENTITIES.keys())
@pytest.mark.parametrize(
    "path", [LIST_SESSIONS, "/calisthenics.training.v1.ExerciseService/GetExercise"]
)
def test_an_identity_of_odd_bytes_is_refused_and_the_connection_goes_on(
    headers: list[tuple[bytes, bytes]], path: str, service: RunningService
) -> None:
    with raw_connection(service) as connection:
        received = connection.call(*headers, path=path)
        assert status_in(received) == (UNAUTHENTICATED, "UNAUTHENTICATED")
        assert status_in(connection.call((USER, ME))) == (0, "")


@pytest.mark.parametrize(
    "header",
    [
        (b"x-caller-scope", b"\xff training:service"),
        (b"authorization", b"\xff\xfe"),
        (b"traceparent", b"\xff"),
        (b"x-something", b"\x80"),
        (b"x-something-bin", b"AP+A"),
        (b"x-request-id", b""),
        (b"x-request-id", b"\x01\x02"),
        (b"x-request-id", b"x" * 129),
        *((b"x-request-id", value) for value in (b"\xff\xfe", "é".encode())),
    ],
    ids=ascii,
)
def test_odd_bytes_beside_a_good_identity_do_no_harm(
    header: tuple[bytes, bytes], service: RunningService
) -> None:
    with raw_connection(service) as connection:
        received = connection.call((USER, ME), header)
        assert status_in(received) == (0, "")
        # What can't be echoed is replaced.
        assert uuid.UUID(received[b"x-request-id"].decode())


@pytest.mark.parametrize(
    "header",
    [(b"X-External-User-Id", ME), (b"x y", b"1"), (b"x-\xff", b"1"), (b"x-some-bin", b"!!")],
    ids=ascii,
)
def test_metadata_that_is_no_metadata_is_refused_by_grpc_and_the_connection_goes_on(
    header: tuple[bytes, bytes], service: RunningService
) -> None:
    with raw_connection(service) as connection:
        # Not our INTERNAL, which has a reason: the call never gets to the service.
        assert status_in(connection.call((USER, ME), header)) == (INTERNAL, "")
        assert status_in(connection.call((USER, ME))) == (0, "")


def test_two_request_ids_are_replaced_by_one_of_ours(service: RunningService) -> None:
    with raw_connection(service) as connection:
        twice = connection.call((USER, ME), (b"x-request-id", b"a"), (b"x-request-id", b"b"))
        assert uuid.UUID(twice[b"x-request-id"].decode())
        once = connection.call((USER, ME), (b"x-request-id", b"a"))
        assert once[b"x-request-id"] == b"a"
