"""REST through a real Envoy: every RPC, every refusal, and nobody else's data."""

import base64
import hashlib
import hmac
import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import jwt
import psycopg
import pytest
from calisthenics.training.v1 import (
    access_pb2,
    exercise_pb2,
    form_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
)
from cryptography.hazmat.primitives.asymmetric import ec
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from deploy.envoy.gateway import GENERATED, Envoy
from tests.e2e.conftest import StartGateway
from tests.e2e.rest import BASE, Answer, RestClient, to_rest
from tests.rpc.test_exercise import an_exercise, create
from tests.rpc.test_form import a_header, push_ups, stream
from tests.rpc.test_isolation import SECRET, Belongings, call
from tests.support import (
    PULL_UP,
    Athlete,
    Proxy,
    RunningService,
    a_session,
    eventually,
    running_service,
    service_process,
)
from training_service import contract
from training_service.issuer import AUDIENCE, ISSUER, DevelopmentIssuer
from training_service.storage.session import SessionRepository

ROOT = GENERATED.parent
SESSION = json_format.MessageToDict(a_session())
NOBODY = str(uuid.uuid4())
NewClient = Callable[..., RestClient]


def each_method() -> Any:
    # REST has no stream of requests.
    chosen = [m for m in contract.methods() if not m.client_streaming]
    return pytest.mark.parametrize("method", chosen, ids=lambda m: m.name)


# Every RPC.


OF_CATALOGUE = {
    "exercise": "pull-up",
    "exercises": ["pull-up", PULL_UP],
    "muscles": [exercise_pb2.MUSCLE_LATS, exercise_pb2.MUSCLE_BICEPS],
    "query": "pul-up",
    "slug": "recommended-routine",
}


def catalogue_request(method: MethodDescriptor, admin: Athlete) -> Message:
    """Returns a request about no athlete, by the names of its fields."""
    request: Any = GetMessageClass(method.input_type)()
    for field in method.input_type.fields:
        if field.name == "exercise" and field.message_type:
            request.exercise.CopyFrom(an_exercise())
        elif field.name == "exercise_id":
            request.exercise_id = create(admin).id
        elif field.name == "update_mask":
            request.update_mask.paths.append("display_name")
        elif field.name == "header":
            request.header.CopyFrom(a_header())
        elif field.name == "frames":
            request.frames.extend(push_ups(1))
        elif field.name in {"request_id", "user_id"}:
            setattr(request, field.name, str(uuid.uuid4()))
        elif field.name in OF_CATALOGUE and field.is_repeated:
            getattr(request, field.name).extend(OF_CATALOGUE[field.name])
        elif field.name in OF_CATALOGUE:
            setattr(request, field.name, OF_CATALOGUE[field.name])
    return request


@each_method()
def test_every_rpc_has_a_rest_call_that_succeeds(
    method: MethodDescriptor,
    new_client: NewClient,
    new_athlete: Callable[..., Athlete],
    admin: Athlete,
) -> None:
    scope = "training:service" if is_for_services(method) else "training:admin"
    client = new_client(scope)
    athlete = new_athlete(metadata={"x-external-user-id": client.user, "x-caller-scope": scope})
    if "external_user_id" in method.input_type.fields_by_name:
        request = Belongings(athlete).request(method)
    else:
        request = catalogue_request(method, admin)
    answer = client.call(to_rest(method, request, client.user))
    assert answer.status == 200, answer.content
    if method.output_type.full_name == HttpBody.DESCRIPTOR.full_name and method.server_streaming:
        assert answer.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
            assert file.testzip() is None
            assert file.namelist()[-1] == "manifest.json"
        return
    if method.output_type.full_name == HttpBody.DESCRIPTOR.full_name:
        body = call(athlete.channel, method, request)
        assert (answer.headers["content-type"], answer.content) == (body.content_type, body.data)  # type: ignore[attr-defined]
        return
    assert answer.headers["content-type"] == "application/json"
    parsed = parse(method, answer)
    if contract.is_read(method):
        # REST shows just what gRPC does.
        assert without_cursor(parsed) == without_cursor(call(athlete.channel, method, request))
        assert parsed.ByteSize()


def is_for_services(method: MethodDescriptor) -> bool:
    access = method.GetOptions().Extensions[access_pb2.access]
    return bool(access == access_pb2.ACCESS_LEVEL_SERVICE)


def without_cursor(message: Any) -> Message:
    """Returns a message without what says when it was made."""
    if "cursor" in message.DESCRIPTOR.fields_by_name:
        message.ClearField("cursor")
    return message  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", ["sessions:export", "sessionChanges"])
def test_what_is_for_services_is_not_for_users(path: str, ada: RestClient) -> None:
    answer = ada.get(f"/api/v1/training/{path}")
    assert answer.status == 403
    assert answer.json["details"][0]["reason"] == "PERMISSION_DENIED"


def parse(method: MethodDescriptor, answer: Answer) -> Message:
    """Reads an answer as its message; that of a stream, an array, as its messages merged."""
    merged: Message = GetMessageClass(method.output_type)()
    for part in answer.json if method.server_streaming else [answer.json]:
        merged.MergeFrom(json_format.ParseDict(part, type(merged)()))
    return merged


def test_times_and_dates_are_query_parameters(ada: RestClient) -> None:
    for day in (1, 2, 3):
        session = {**SESSION, "startTime": f"2026-03-0{day}T17:00:00Z"}
        assert ada.send("POST", ada.sessions, session).status == 200

    def days(query: str) -> list[int]:
        found = ada.get(f"{ada.sessions}?oldestFirst=true&{query}").json["sessions"]
        return [s["localDate"]["day"] for s in found]

    assert days("from=2026-03-02T00:00:00Z") == [2, 3]
    assert days("from=2026-03-02T02:00:00%2B01:00&to=2026-03-03T00:00:00Z") == [2]
    assert days("from_time=2026-03-02T00:00:00Z") == [2, 3]
    assert days("fromDate.year=2026&fromDate.month=3&fromDate.day=3") == [3]


def test_a_page_as_large_as_pages_get_comes_through(
    ada: RestClient, new_athlete: Callable[..., Athlete]
) -> None:
    athlete = new_athlete(metadata={"x-external-user-id": ada.user})
    performed = [session_pb2.PerformedSet(actual_reps=5, load_kg=2.5, rpe=8)] * 100
    exercise = session_pb2.SessionExercise(exercise_id=PULL_UP, sets=performed)
    entry = session_pb2.LogSessionRequest(session=a_session(exercises=[exercise] * 2))
    for _ in range(9):
        athlete.sessions.BatchLogSessions(
            session_pb2.BatchLogSessionsRequest(requests=[entry] * 90)
        )
    answer = ada.get(f"{ada.sessions}?view=SESSION_VIEW_FULL&pageSize=1000")
    assert answer.status == 200
    assert len(answer.content) > 10_000_000


# Refusals, each as JSON of the same shape.


def assert_refused(answer: Answer, status: int, code: grpc.StatusCode, reason: str) -> None:
    assert (answer.status, answer.reason) == (status, reason), answer.content
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json["code"] == code.value[0]
    assert answer.json["message"]
    assert answer.headers["x-request-id"]


def test_a_bad_field_is_named(ada: RestClient) -> None:
    answer = ada.send("POST", ada.sessions, {**SESSION, "sessionRpe": 11})
    assert_refused(answer, 400, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    [bad] = [d for d in answer.json["details"] if d["@type"].endswith("BadRequest")]
    assert [v["field"] for v in bad["fieldViolations"]] == ["session.session_rpe"]


def test_what_the_state_forbids_is_a_bad_request(ada: RestClient) -> None:
    created = ada.send("POST", f"{BASE}/users/{ada.user}/workouts", {"displayName": "Pull"})
    target = f"{BASE}/users/{ada.user}/workouts/{created.json['id']}"
    assert ada.send("DELETE", target).status == 200
    answer = ada.get(f"{target}:instantiate")
    assert_refused(answer, 400, grpc.StatusCode.FAILED_PRECONDITION, "WORKOUT_DELETED")


def test_what_is_not_there_is_not_found(ada: RestClient) -> None:
    answer = ada.get(f"{ada.sessions}/{NOBODY}")
    assert_refused(answer, 404, grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


def test_an_etag_of_yesterday_is_a_conflict(ada: RestClient) -> None:
    created = ada.send("POST", f"{BASE}/users/{ada.user}/workouts", {"displayName": "Pull"})
    target = f"{BASE}/users/{ada.user}/workouts/{created.json['id']}?etag=77"
    answer = ada.send("DELETE", target)
    assert_refused(answer, 409, grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


def test_a_request_id_used_for_something_else_is_a_conflict(ada: RestClient) -> None:
    target = f"{ada.sessions}?requestId={uuid.uuid4()}"
    first = ada.send("POST", target, SESSION)
    assert ada.send("POST", target, SESSION).content == first.content
    answer = ada.send("POST", target, {**SESSION, "notes": "other"})
    assert_refused(answer, 409, grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


def test_an_administrators_call_is_forbidden_to_others(ada: RestClient) -> None:
    answer = ada.send("POST", f"{BASE}/exercises", json_format.MessageToDict(an_exercise()))
    assert_refused(answer, 403, grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


def test_a_fault_says_nothing_of_itself(ada: RestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(SessionRepository, "get", fail)
    answer = ada.get(f"{ada.sessions}/{NOBODY}")
    assert_refused(answer, 500, grpc.StatusCode.INTERNAL, "INTERNAL")
    assert SECRET.encode() not in answer.content


def test_a_deadline_is_a_gateway_timeout(ada: RestClient, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE training.sessions IN ACCESS EXCLUSIVE MODE")
        answer = ada.get(ada.sessions, **{"grpc-timeout": "300m"})
    assert answer.status == 504
    # gRPC itself, the service and Envoy all watch it; only the latter two give a reason.
    assert answer.json["code"] == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


def test_a_database_that_is_away_is_unavailable(
    database_url: str, start_gateway: StartGateway, new_client: NewClient
) -> None:
    proxy = Proxy(database_url)
    with (
        # Health does not notice within this test, so that calls reach the service.
        running_service(proxy.url, health_interval_seconds=60, pool_timeout_seconds=0.2) as service,
        start_gateway([service.address]) as envoy,
    ):
        client = new_client(address=envoy.address)
        assert client.get(client.sessions).status == 200
        proxy.cut()
        answer = client.get(client.sessions)
        assert_refused(answer, 503, grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    proxy.close()


def test_a_service_that_is_away_is_unavailable(
    database_url: str, start_gateway: StartGateway, new_client: NewClient
) -> None:
    with service_process(database_url) as service, start_gateway([service.address]) as envoy:
        client = new_client(address=envoy.address)
        assert client.get("/healthz").status == 200
        service.stop()
        eventually(lambda: client.get("/healthz").status == 503)
        for answer in (client.get(client.sessions), client.send("POST", client.sessions, SESSION)):
            assert_refused(answer, 503, grpc.StatusCode.UNAVAILABLE, "gateway SERVICE_UNAVAILABLE")


@pytest.mark.parametrize(
    ("verb", "target", "body", "status", "reason"),
    [
        ("POST", "{own}", b'{"startTime": ', 400, "gateway MALFORMED_REQUEST"),
        ("POST", "{own}", b"\xff\xfe", 400, "gateway MALFORMED_REQUEST"),
        ("POST", "{own}", b'{"startTime": "yesterday"}', 400, "gateway MALFORMED_REQUEST"),
        ("POST", "{own}", b'{"durationSeconds": "much"}', 400, "gateway MALFORMED_REQUEST"),
        ("POST", "{own}", b'{"completion": "DONE"}', 400, "gateway MALFORMED_REQUEST"),
        ("POST", "{own}", b"[]", 400, "gateway MALFORMED_REQUEST"),
        ("POST", "{own}", b"", 400, "INVALID_FIELD"),
        ("POST", "{own}", None, 400, "INVALID_FIELD"),
        ("GET", "{own}?bogus=1", None, 400, "gateway MALFORMED_REQUEST"),
        ("GET", "{own}?from=yesterday", None, 400, "gateway MALFORMED_REQUEST"),
        ("GET", "{own}?pageSize=-1", None, 400, "INVALID_FIELD"),
        ("GET", "{own}?pageToken=nonsense", None, 400, "INVALID_PAGE_TOKEN"),
        ("GET", "{own}/no-uuid", None, 400, "INVALID_FIELD"),
        ("PUT", "{own}", b"{}", 404, "gateway NO_SUCH_PATH"),
        ("GET", "{own}/x/y/z", None, 404, "gateway NO_SUCH_PATH"),
        ("GET", "/api/v1/training/nothing", None, 403, "gateway PERMISSION_DENIED"),
        ("GET", "/", None, 403, "gateway PERMISSION_DENIED"),
    ],
    ids=str,
)
def test_nonsense_is_refused_for_what_it_is(
    verb: str, target: str, body: bytes | None, status: int, reason: str, ada: RestClient
) -> None:
    answer = ada.send(verb, target.format(own=ada.sessions), body)
    assert (answer.status, answer.reason) == (status, reason), answer.content
    assert not ada.get(ada.sessions).json["sessions"]


def test_a_body_that_is_too_large_is_refused(ada: RestClient) -> None:
    padded = json.dumps({**SESSION, "notes": "x" * 5_000_000}).encode()
    answer = ada.send("POST", ada.sessions, padded)
    assert_refused(answer, 413, grpc.StatusCode.RESOURCE_EXHAUSTED, "gateway REQUEST_TOO_LARGE")


def test_an_unknown_field_of_a_body_is_dropped(ada: RestClient) -> None:
    assert ada.send("POST", ada.sessions, {**SESSION, "mood": "great"}).status == 200


def test_an_update_needs_a_mask_that_fits(ada: RestClient) -> None:
    workouts = f"{BASE}/users/{ada.user}/workouts"
    target = f"{workouts}/{ada.send('POST', workouts, {'displayName': 'Pull'}).json['id']}"
    for query in ("", "?updateMask=", "?updateMask=mood", "?updateMask=revision"):
        answer = ada.send("PATCH", target + query, {"displayName": "Push"})
        assert (answer.status, answer.reason) == (400, "INVALID_UPDATE_MASK"), query
    answer = ada.send("PATCH", f"{target}?updateMask=displayName", {"displayName": "Push"})
    assert answer.json["displayName"] == "Push"


# Who calls.


def test_nobody_reaches_another_athletes_data(
    ada: RestClient, ben: RestClient, envoy: Envoy
) -> None:
    logged = ben.send("POST", ben.sessions, {**SESSION, "notes": SECRET}).json["id"]
    own = f"{ada.sessions}/{logged}"
    at_gateway = (403, "gateway PERMISSION_DENIED")
    in_service = (404, "ATHLETE_NOT_FOUND")
    for target, expected in {
        ben.sessions: in_service,
        f"{ben.sessions}/{logged}": in_service,
        f"{ada.sessions}/../../{ben.user}/sessions": in_service,
        f"{BASE}/users/{ada.user}/../{ben.user}/sessions": in_service,
        f"{BASE}/users/{ada.user}//../{ben.user}/sessions": (404, "gateway NO_SUCH_PATH"),
        f"{BASE}/users/{ada.user}%2F..%2F{ben.user}/sessions": (400, "gateway MALFORMED_REQUEST"),
        f"{BASE}/users//sessions": (404, "gateway NO_SUCH_PATH"),
        f"{BASE}/USERS/{ben.user}/sessions": at_gateway,
        # What a query says overrides the path.
        f"{ada.sessions}?externalUserId={ben.user}": in_service,
        f"{ada.sessions}?external_user_id={ben.user}": in_service,
        f"{own}?externalUserId={ben.user}": in_service,
        f"{ada.sessions}:export?externalUserId={ben.user}": in_service,
        own: (404, "SESSION_NOT_FOUND"),
    }.items():
        answer = ada.get(target)
        assert (answer.status, answer.reason) == expected, target
        assert SECRET.encode() not in answer.content
    # The same with what a client must not say of itself.
    for headers in (
        {"x-external-user-id": ben.user},
        {"X-External-User-Id": ben.user, "x-caller-scope": "training:service"},
        {"x-envoy-original-path": ben.sessions, "x-envoy-original-method": "GET"},
    ):
        assert ada.send("GET", ben.sessions, headers=headers).status == 404
        own_list = ada.send("GET", ada.sessions, headers=headers)
        assert (own_list.status, own_list.json["sessions"]) == (200, [])
        answer = ada.send("GET", f"{ada.sessions}?externalUserId={ben.user}", headers=headers)
        assert answer.status == 404
    answer = ada.send("GET", ada.sessions, headers={"x_external_user_id": ben.user})
    assert answer.status == 400


def test_a_coach_reads_by_rest_what_was_granted(ada: RestClient, ben: RestClient) -> None:
    logged = ben.send("POST", ben.sessions, SESSION).json["id"]
    grant = {"granteeUserId": ada.user, "scopes": ["GRANT_SCOPE_READ_SESSIONS"]}
    given = ben.send("POST", f"{BASE}/users/{ben.user}/grants", grant).json["id"]
    assert [one["id"] for one in ada.get(ben.sessions).json["sessions"]] == [logged]
    assert ada.send("POST", ben.sessions, SESSION).status == 404
    ben.send("POST", f"{BASE}/users/{ben.user}/grants/{given}:revoke", {})
    assert ada.get(ben.sessions).status == 404


def test_nobody_writes_to_another_athlete(ada: RestClient, ben: RestClient) -> None:
    assert ada.send("POST", ben.sessions, SESSION).status == 404
    answer = ada.send("POST", f"{ada.sessions}?externalUserId={ben.user}", SESSION)
    assert (answer.status, answer.reason) == (404, "ATHLETE_NOT_FOUND")
    body = {"externalUserId": ben.user, "requests": [{"session": SESSION}]}
    # The path says whose data it is, whatever the body says.
    [result] = ada.send("POST", f"{ada.sessions}:batchLog", body).json["results"]
    assert result["session"]["externalUserId"] == ada.user
    spoofed = {**SESSION, "externalUserId": ben.user}
    assert ada.send("POST", ada.sessions, spoofed).json["externalUserId"] == ada.user
    assert ben.get(ben.sessions).json["sessions"] == []


def test_a_service_may_act_for_anyone_by_grpc(
    new_client: NewClient, ben: RestClient, issuer: DevelopmentIssuer, envoy: Envoy
) -> None:
    ben.send("POST", ben.sessions, SESSION)
    token = issuer.token(uuid.uuid4(), "openid training:service", 60)
    with grpc.insecure_channel(envoy.address) as channel:
        stub = session_pb2_grpc.SessionServiceStub(channel)
        request = session_pb2.ListSessionsRequest(external_user_id=ben.user)
        found = stub.ListSessions(request, metadata=[("authorization", f"Bearer {token}")])
        assert len(found.sessions) == 1


def test_a_stream_in_both_directions_passes(issuer: DevelopmentIssuer, envoy: Envoy) -> None:
    token = issuer.token(uuid.uuid4(), "openid", 60)
    with grpc.insecure_channel(envoy.address) as channel:
        stub = form_pb2_grpc.FormServiceStub(channel)
        sent = stream(a_header(), push_ups(1), [])
        answers = stub.AnalyzeForm(sent, metadata=[("authorization", f"Bearer {token}")])
        assert next(answers).event.HasField("rep_counted")
        assert list(answers)[-1].summary.valid_reps == 1


def claims(user: str, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {"iss": ISSUER, "aud": AUDIENCE, "exp": now + 600, "userId": user}
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


@pytest.fixture(scope="module")
def key(issuer: DevelopmentIssuer) -> str:
    return (issuer.jwks_file.parent / "private-key.pem").read_text()


KID = {"kid": "development"}


def bad_tokens(user: str, key: str, jwks: str) -> Iterator[tuple[str, str]]:
    """Yields tokens that are not to be accepted, each with what is wrong."""

    def signed(**changes: Any) -> str:
        return jwt.encode(claims(user, **changes), key, algorithm="ES256", headers=KID)

    yield "expired", signed(exp=int(time.time()) - 120)
    yield "no expiry", signed(exp=None)
    yield "not valid yet", signed(nbf=int(time.time()) + 600)
    yield "another audience", signed(aud="billing")
    yield "no audience", signed(aud=None)
    yield "another issuer", signed(iss="https://elsewhere.example")
    yield "no issuer", signed(iss=None)
    none = jwt.encode(claims(user), None, algorithm="none")  # type: ignore[arg-type]
    yield "alg none", none
    header, body, signature = signed().split(".")
    yield "no signature", f"{header}.{body}."
    yield "cut short", f"{header}.{body}"
    yield "none with a signature", f"{none.split('.')[0]}.{body}.{signature}"
    other_body = signed(userId=str(uuid.uuid4())).split(".")[1]
    yield "claims put in", f"{header}.{other_body}.{signature}"
    yield "the public key as a secret", signed_with_secret(claims(user), jwks.encode())
    other_key = ec.generate_private_key(ec.SECP256R1())
    yield "another key", jwt.encode(claims(user), other_key, algorithm="ES256", headers=KID)
    yield (
        "an unknown key id",
        jwt.encode(claims(user), other_key, algorithm="ES256", headers={"kid": "other"}),
    )
    yield "nonsense", "nonsense"


def signed_with_secret(claims: dict[str, Any], secret: bytes) -> str:
    """Returns what a library that trusts a token's own algorithm would accept."""
    header = {**KID, "alg": "HS256", "typ": "JWT"}
    parts = [base64url(json.dumps(part).encode()) for part in (header, claims)]
    signature = hmac.new(secret, ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, base64url(signature)])


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_a_bad_token_is_refused(
    envoy: Envoy, key: str, issuer: DevelopmentIssuer, new_client: NewClient
) -> None:
    user = str(uuid.uuid4())
    good = jwt.encode(claims(user), key, algorithm="ES256", headers=KID)
    client = RestClient(envoy.address, good, user)
    assert client.get(client.sessions).status == 200
    for what, token in bad_tokens(user, key, issuer.jwks_file.read_text()):
        headers = {"authorization": f"Bearer {token}"}
        for target in (client.sessions, f"{BASE}/exercises/pull-up"):
            answer = client.send("GET", target, headers=headers)
            # A token for another audience is forbidden rather than unknown.
            assert answer.status in (401, 403), (what, answer.content)
            assert answer.reason in ("gateway UNAUTHENTICATED", "gateway PERMISSION_DENIED"), what


@pytest.mark.parametrize(
    ("user_id", "status"),
    [(None, 403), ("", 403), ("alice", 401), (7, 401), (f"{{{NOBODY}}}", 401)],
    ids=["absent", "empty", "a name", "a number", "braces"],
)
def test_a_token_must_say_whose_it_is(user_id: Any, status: int, envoy: Envoy, key: str) -> None:
    token = jwt.encode(claims("x", userId=user_id), key, algorithm="ES256", headers=KID)
    client = RestClient(envoy.address, token, str(user_id))
    for named in (user_id, NOBODY):
        assert client.get(f"{BASE}/users/{named}/sessions").status == status


def test_the_catalogue_is_open_and_nothing_else_is(stranger: RestClient) -> None:
    assert stranger.get(f"{BASE}/exercises?query=pull").status == 200
    assert (
        stranger.get(f"{BASE}/exercises:batchGet?exercises=pull-up&exercises=push-up").status == 200
    )
    assert stranger.get(f"{BASE}/programs").status == 200
    assert stranger.get(f"{BASE}/programs/recommended-routine").status == 200
    answer = stranger.get(stranger.sessions)
    assert_refused(answer, 401, grpc.StatusCode.UNAUTHENTICATED, "gateway UNAUTHENTICATED")
    answer = stranger.send("POST", f"{BASE}/exercises", {})
    assert_refused(answer, 401, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    spoofed = {"x-external-user-id": NOBODY, "x-caller-scope": "training:admin"}
    answer = stranger.send("POST", f"{BASE}/exercises", {}, spoofed)
    assert_refused(answer, 401, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


def test_grpc_passes_with_a_token_and_without_what_clients_say_of_themselves(
    envoy: Envoy, issuer: DevelopmentIssuer
) -> None:
    user, other = str(uuid.uuid4()), str(uuid.uuid4())
    bearer = ("authorization", f"Bearer {issuer.token(UUID(user), '', 60)}")
    list_sessions = session_pb2.ListSessionsRequest
    with grpc.insecure_channel(envoy.address) as channel:
        stub = session_pb2_grpc.SessionServiceStub(channel)
        log = session_pb2.LogSessionRequest(session=a_session())
        spoofed = [bearer, ("x-external-user-id", other), ("x-caller-scope", "training:service")]
        assert stub.LogSession(log, metadata=spoofed).external_user_id == user
        assert (
            len(list(stub.ExportSessions(session_pb2.ExportSessionsRequest(), metadata=[bearer])))
            == 2
        )
        for metadata, code in (
            ([("x-external-user-id", user)], grpc.StatusCode.UNAUTHENTICATED),
            ([], grpc.StatusCode.UNAUTHENTICATED),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                stub.ListSessions(list_sessions(), metadata=metadata)
            assert caught.value.code() is code
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListSessions(list_sessions(external_user_id=other), metadata=spoofed)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_reflection_and_administration_are_not_for_the_public(ada: RestClient) -> None:
    for target in (
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.channelz.v1.Channelz/GetServers",
        "/stats",
        "/quitquitquit",
        "/healthcheck/fail",
    ):
        assert ada.send("POST", target, b"").status == 403, target


# Limits, logs, ends.


def test_each_user_has_a_bucket(
    service: RunningService, start_gateway: StartGateway, new_client: NewClient
) -> None:
    with start_gateway([service.address], user_burst=3, user_calls_per_second=1) as envoy:
        eager, other = new_client(address=envoy.address), new_client(address=envoy.address)
        answers = [eager.get(eager.sessions) for _ in range(8)]
        refused = [a for a in answers if a.status != 200]
        assert [a.status for a in answers[:3]] == [200] * 3
        assert len(refused) >= 3
        for answer in refused:
            assert_refused(answer, 429, grpc.StatusCode.RESOURCE_EXHAUSTED, "gateway RATE_LIMITED")
            assert int(answer.headers["retry-after"]) >= 1
        assert other.get(other.sessions).status == 200


def test_a_call_is_found_in_the_access_log_by_its_request_id(
    ada: RestClient, access_log: Path
) -> None:
    request_id = f"trace-{uuid.uuid4()}"
    query = f"?requestId={uuid.uuid4()}"
    answer = ada.send(
        "POST", ada.sessions + query, {**SESSION, "notes": SECRET}, {"x-request-id": request_id}
    )
    assert answer.headers["x-request-id"] == request_id

    def records() -> list[dict[str, Any]]:
        lines = access_log.read_text().splitlines()
        return [r for r in map(json.loads, lines) if r.get("request_id") == request_id]

    eventually(lambda: bool(records()))
    [record] = records()
    assert record["method"] == "POST"
    assert record["path"] == ada.sessions
    assert record["external_user_id"] == ada.user
    assert (record["status"], record["grpc_status"], record["route"]) == (200, "0", "write")
    text = access_log.read_text()
    assert SECRET not in text
    assert query not in text
    assert "eyJ" not in text


def test_the_token_of_a_write_comes_back_and_is_taken_by_reads(
    ada: RestClient, ben: RestClient
) -> None:
    for app in (ada, ben):
        token = app.send("POST", app.sessions, SESSION).headers["x-consistency-token"]
        listed = app.send("GET", app.sessions, headers={"x-consistency-token": token})
        assert listed.status == 200
        assert "x-consistency-token" not in listed.headers
        refused = app.send("GET", app.sessions, headers={"x-consistency-token": "no-token"})
        assert_refused(refused, 400, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


def test_the_refusals_of_a_call_carry_its_request_id(ada: RestClient) -> None:
    answer = ada.send("GET", f"{ada.sessions}/{NOBODY}", headers={"x-request-id": "find-me"})
    [info] = [d for d in answer.json["details"] if d["@type"].endswith("RequestInfo")]
    assert info["requestId"] == "find-me"


def test_a_gateway_that_stops_lets_calls_under_way_finish(
    service: RunningService,
    start_gateway: StartGateway,
    new_client: NewClient,
    database_url: str,
) -> None:
    with (
        start_gateway([service.address]) as envoy,
        ThreadPoolExecutor() as pool,
        psycopg.connect(database_url) as connection,
    ):
        client = new_client(address=envoy.address)
        connection.execute("LOCK TABLE training.sessions IN EXCLUSIVE MODE")
        under_way = pool.submit(client.send, "POST", client.sessions, SESSION)
        eventually(lambda: envoy.active_requests() == 1)
        stopped = pool.submit(envoy.stop)
        eventually(lambda: client.get("/healthz").status == 503)
        assert not under_way.done()
        connection.rollback()
        assert under_way.result().status == 200
        stopped.result()


# The documentation page.


def test_the_documentation_page_brings_all_it_needs(stranger: RestClient) -> None:
    page = stranger.get(f"{BASE}/docs")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = page.content.decode()
    assert "://" not in text.replace("data:,", "")
    assets = re.findall(r'(?:src|href)="(/[^"]+)"', text)
    assert len(assets) >= 3
    for asset in assets:
        answer = stranger.get(asset)
        assert answer.status == 200, asset
        assert answer.headers["content-type"].startswith(("text/css", "text/javascript")), asset
        assert len(answer.content) > 100
    start = next(stranger.get(asset).content.decode() for asset in assets if "start" in asset)
    assert f"{BASE}/openapi.json" in start


def test_the_openapi_document_is_the_published_one(stranger: RestClient) -> None:
    answer = stranger.get(f"{BASE}/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.content == (GENERATED / "openapi.json").read_bytes()


# What documents tell a reader to type.


@pytest.mark.skipif(not shutil.which("curl"), reason="this machine has no curl")
def test_the_curl_call_of_the_readme_works_as_it_stands(
    envoy: Envoy, issuer: DevelopmentIssuer
) -> None:
    readme = (ROOT / "README.md").read_text()
    [block] = re.findall(r"(?:^    .*\n|^\n)*?^    curl (?:.*\n)+?\n", readme, re.MULTILINE)
    command = textwrap.dedent(block).replace("localhost:8080", envoy.address)
    environment = {**os.environ, "TRAINING_DATA_DIRECTORY": str(issuer.jwks_file.parents[1])}
    program = ".venv/bin/training-service"
    assert program in command
    command = command.replace(program, f"{sys.executable} -m training_service")
    done = subprocess.run(
        ["bash", "-euc", command], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    session = json.loads(done.stdout)
    assert session["externalUserId"] in command
    assert [s["actualReps"] for s in session["exercises"][0]["sets"]] == [8, 7]
