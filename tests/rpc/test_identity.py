"""Who calls: metadata that a peer has verified, or a token that is verified here."""

import base64
import hashlib
import hmac
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from calisthenics.training.v1 import access_pb2, exercise_pb2, session_pb2
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.descriptor import MethodDescriptor

from tests.support import (
    Athlete,
    Queries,
    RunningService,
    a_session,
    call_bytes,
    refused,
    running_service,
)
from training_service import contract
from training_service.interceptors import identity

USER = "x-external-user-id"
SCOPE = "x-caller-scope"
SOMEONE = "5f0c1c52-5a3e-4b39-9d3b-6f2f3f0a7a11"
LIST = session_pb2.ListSessionsRequest()
PULL_UP = exercise_pb2.GetExerciseRequest(exercise="pull-up")
DEPRECATE_NOTHING = exercise_pb2.DeprecateExerciseRequest(exercise_id=SOMEONE)
"""A request of an administrator, who is told that there is no such exercise."""

Metadata = list[tuple[str, str]]


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def access(method: MethodDescriptor) -> str:
    return access_pb2.AccessLevel.Name(method.GetOptions().Extensions[access_pb2.access])


def rpcs(*levels: str) -> Any:
    """Parametrizes a test with the RPCs of these access levels."""
    wanted = [m for m in contract.methods() if access(m).removeprefix("ACCESS_LEVEL_") in levels]
    return pytest.mark.parametrize("method", wanted, ids=lambda m: m.name)


def statements(queries: Queries) -> list[str]:
    """Returns all SQL but that of the health check, of new connections and of access records, which
    are transactions of their own."""
    found = [q for q in queries.sql if not re.search("alembic_version|pg_roles|SET ROLE", q)]
    recorded = ["BEGIN", "audit_records", "COMMIT"]
    for at in range(len(found) - 2, -1, -1):
        if all(word in sql for word, sql in zip(recorded, found[at : at + 3], strict=False)):
            del found[at : at + 3]
    return found


@pytest.fixture
def stranger(service: RunningService) -> Iterator[Athlete]:
    """A caller who says nothing of who they are, but for what each call says."""
    caller = Athlete(service.address, metadata={})
    yield caller
    caller.close()


# Metadata that a peer has verified.


def test_a_call_with_an_identity_reaches_the_database(alice: Athlete, queries: Queries) -> None:
    # Or else the tests below, by which refused calls don't, could not fail.
    alice.sessions.ListSessions(LIST)
    assert any("training.sessions" in q for q in statements(queries))


@rpcs("USER", "CALLER", "ADMIN", "SERVICE")
def test_a_call_without_an_identity_is_refused_before_any_work(
    method: MethodDescriptor, stranger: Athlete, queries: Queries
) -> None:
    roles: Metadata
    for roles in [], [(SCOPE, "training:admin training:service")]:
        # The body is not looked at either: this one is no message.
        with refused("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED):
            call_bytes(stranger.channel, path_of(method), b"\xff", metadata=roles)
    assert statements(queries) == []


MALFORMED: dict[str, Metadata] = {
    "empty": [(USER, "")],
    "a name": [(USER, "alice")],
    "braces": [(USER, f"{{{SOMEONE}}}")],
    "urn": [(USER, f"urn:uuid:{SOMEONE}")],
    "no hyphens": [(USER, SOMEONE.replace("-", ""))],
    "hyphens elsewhere": [(USER, "5f0c1c525a3e-4b39-9d3b-6f2f-3f0a7a11")],
    "one digit less": [(USER, SOMEONE[:-1])],
    "one digit more": [(USER, SOMEONE + "1")],
    "another digit": [(USER, SOMEONE[:-1] + "g")],
    "two in one": [(USER, f"{SOMEONE},{SOMEONE}")],
    "twice": [(USER, SOMEONE), (USER, SOMEONE)],
    "two": [(USER, SOMEONE), (USER, str(uuid.UUID(int=1)))],
    "twice, once empty": [(USER, SOMEONE), (USER, "")],
}


@pytest.mark.parametrize("metadata", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_identity_is_refused_before_any_work(
    metadata: Metadata, stranger: Athlete, queries: Queries
) -> None:
    with refused("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED):
        stranger.sessions.ListSessions(LIST, metadata=metadata)
    # Roles don't make up for it.
    with refused("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED):
        stranger.sessions.ListSessions(
            LIST, metadata=[*metadata, (SCOPE, "training:service training:admin")]
        )
    # Nor does it pass where none is needed.
    with refused("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED):
        stranger.exercises.GetExercise(PULL_UP, metadata=metadata)
    assert statements(queries) == []


def test_an_identity_in_capitals_is_the_same_athlete(
    alice: Athlete, bob: Athlete, stranger: Athlete
) -> None:
    logged = alice.log()
    found = stranger.sessions.ListSessions(LIST, metadata=[(USER, alice.id.upper())]).sessions
    assert [s.id for s in found] == [logged.id]
    assert not stranger.sessions.ListSessions(LIST, metadata=[(USER, bob.id.upper())]).sessions


def test_the_catalogue_is_open_to_callers_without_an_identity(
    alice: Athlete, stranger: Athlete
) -> None:
    found = stranger.exercises.GetExercise(PULL_UP)
    assert found.slug == "pull-up"
    assert alice.exercises.GetExercise(PULL_UP) == found


@rpcs("ADMIN")
@pytest.mark.parametrize("roles", ["", "training:service"])
def test_writing_the_catalogue_is_refused_to_all_but_admins_before_any_work(
    roles: str, method: MethodDescriptor, alice: Athlete, queries: Queries
) -> None:
    with refused("PERMISSION_DENIED", grpc.StatusCode.PERMISSION_DENIED):
        call_bytes(alice.channel, path_of(method), b"\xff", metadata=[(SCOPE, roles)])
    assert statements(queries) == []


@pytest.mark.parametrize(
    "roles",
    [
        [(SCOPE, "training:admin")],
        [(SCOPE, "training:service training:admin")],
        [(SCOPE, " openid  training:admin ")],
        [(SCOPE, "training:service"), (SCOPE, "training:admin")],
    ],
    ids=lambda roles: " | ".join(value for _, value in roles),
)
def test_an_admin_may_write_the_catalogue(roles: Metadata, alice: Athlete) -> None:
    with refused("EXERCISE_NOT_FOUND"):
        alice.exercises.DeprecateExercise(DEPRECATE_NOTHING, metadata=roles)


def test_an_admin_sees_no_more_of_athletes_than_anyone(admin: Athlete, alice: Athlete) -> None:
    alice.log()
    of_alice = session_pb2.ListSessionsRequest(external_user_id=alice.id)
    with refused("ATHLETE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        admin.sessions.ListSessions(of_alice)
    assert not admin.sessions.ListSessions(LIST).sessions


def test_a_service_acts_for_the_athlete_it_names(
    sibling: Athlete, alice: Athlete, bob: Athlete
) -> None:
    logged = sibling.log(external_user_id=alice.id)
    assert logged.external_user_id == alice.id
    assert [s.id for s in alice.sessions.ListSessions(LIST).sessions] == [logged.id]
    for caller in (bob, sibling):
        assert not caller.sessions.ListSessions(LIST).sessions


@pytest.mark.parametrize(
    "roles",
    [
        "admin service",
        "training:ADMIN",
        "Training:service",
        "training:administrator",
        "training:admin;training:service",
        "training:admin,training:service",
        "training: admin",
        "*",
        "training:*",
        "other:training:admin",
    ],
)
def test_unknown_roles_grant_nothing(roles: str, alice: Athlete, bob: Athlete) -> None:
    metadata = [(SCOPE, roles)]
    with refused("PERMISSION_DENIED"):
        alice.exercises.DeprecateExercise(DEPRECATE_NOTHING, metadata=metadata)
    of_bob = session_pb2.ListSessionsRequest(external_user_id=bob.id)
    with refused("ATHLETE_NOT_FOUND"):
        alice.sessions.ListSessions(of_bob, metadata=metadata)
    # Nor do they take anything away.
    alice.sessions.ListSessions(LIST, metadata=metadata)


def test_an_athlete_without_data_is_answered_like_one_who_does_not_exist(
    alice: Athlete, bob: Athlete
) -> None:
    bob.log()
    answers = []
    for athlete in (bob.id, str(uuid.uuid4())):
        with refused("ATHLETE_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
            alice.log(external_user_id=athlete)
        answers.append((refusals[0].message, refusals[0].metadata, refusals[0].fields))
    assert answers[0] == answers[1]


def test_a_token_means_nothing_where_a_peer_has_verified_it(
    alice: Athlete, stranger: Athlete
) -> None:
    authorization = [("authorization", "Bearer nonsense")]
    alice.sessions.ListSessions(LIST, metadata=authorization)
    with refused("UNAUTHENTICATED"):
        stranger.sessions.ListSessions(LIST, metadata=authorization)


# Tokens that are verified here.

ISSUER = "https://auth.example"
AUDIENCE = "training"


@dataclass
class Issuer:
    """Issues tokens, and publishes the keys to verify them with."""

    keys: dict[str, Any] = field(default_factory=dict)

    def add_key(self, key_id: str, kind: str = "ES256") -> None:
        self.keys[key_id] = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
            if kind == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )

    def algorithm(self, key_id: str) -> str:
        return "RS256" if isinstance(self.keys[key_id], rsa.RSAPrivateKey) else "ES256"

    def jwks(self) -> str:
        """Returns the public keys as a JSON Web Key Set."""
        keys = []
        for key_id, key in self.keys.items():
            algorithm: Any = jwt.get_algorithm_by_name(self.algorithm(key_id))
            public = algorithm.to_jwk(key.public_key(), as_dict=True)
            keys.append({**public, "kid": key_id, "use": "sig", "alg": self.algorithm(key_id)})
        return json.dumps({"keys": keys})

    def claims(self, user: str, **changes: Any) -> dict[str, Any]:
        """Returns the claims of a good token, with changes; None leaves a claim out."""
        usual = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600, "userId": user}
        return {name: v for name, v in {**usual, **changes}.items() if v is not None}

    def token(self, user: str, key_id: str = "es", **changes: Any) -> str:
        return jwt.encode(
            self.claims(user, **changes),
            self.keys[key_id],
            algorithm=self.algorithm(key_id),
            headers={"kid": key_id},
        )


def bearer(token: str) -> Metadata:
    return [("authorization", f"Bearer {token}")]


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    made = Issuer()
    made.add_key("rs", "RS256")
    made.add_key("es")
    return made


@pytest.fixture(scope="module")
def jwt_service(
    database_url: str, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    file = tmp_path_factory.mktemp("keys") / "jwks.json"
    file.write_text(issuer.jwks())
    with verifying(database_url, str(file)) as running:
        yield running


def verifying(database_url: str, keys: str) -> Any:
    """Runs a service that verifies tokens with the keys from a place."""
    return running_service(
        database_url,
        authentication="jwt",
        jwt_jwks=keys,
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
    )


@pytest.fixture
def client(jwt_service: RunningService) -> Iterator[Athlete]:
    """A caller whose identity is what each call says."""
    caller = Athlete(jwt_service.address, metadata={})
    yield caller
    caller.close()


def new_user() -> str:
    return str(uuid.uuid4())


@pytest.mark.parametrize("key_id", ["rs", "es"])
def test_the_athlete_is_the_user_of_the_token(key_id: str, client: Athlete, issuer: Issuer) -> None:
    alice, bob = new_user(), new_user()
    logged = client.sessions.LogSession(
        session_pb2.LogSessionRequest(session=a_session()),
        metadata=bearer(issuer.token(alice, key_id)),
    )
    assert logged.external_user_id == alice
    found = client.sessions.ListSessions(LIST, metadata=bearer(issuer.token(alice, key_id)))
    assert [s.id for s in found.sessions] == [logged.id]
    assert not client.sessions.ListSessions(
        LIST, metadata=bearer(issuer.token(bob, key_id))
    ).sessions


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["other", AUDIENCE]},
        {"exp": 2**40},
        {"nbf": 0},
        {"scope": "openid profile"},
        {"email": "a@b.c"},
    ],
    ids=str,
)
def test_other_good_tokens_are_accepted(
    changes: dict[str, Any], client: Athlete, issuer: Issuer
) -> None:
    token = issuer.token(new_user(), **changes)
    client.sessions.ListSessions(LIST, metadata=bearer(token))


def test_a_clock_may_be_a_little_off(client: Athlete, issuer: Issuer) -> None:
    now = int(time.time())
    token = issuer.token(new_user(), exp=now - 1, nbf=now + 5)
    client.sessions.ListSessions(LIST, metadata=bearer(token))


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_may_be_spelled_in_any_case(
    scheme: str, client: Athlete, issuer: Issuer
) -> None:
    metadata = [("authorization", f"{scheme} {issuer.token(new_user())}")]
    client.sessions.ListSessions(LIST, metadata=metadata)


def encoded(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed_with_public_key(issuer: Issuer) -> str:
    """Returns a token whose HMAC secret is the issuer's public RSA key, which anyone knows."""
    secret = (
        issuer.keys["rs"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    text = ".".join(map(encoded, [{"alg": "HS256", "kid": "rs"}, issuer.claims(SOMEONE)]))
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def by_another_key(issuer: Issuer, key_id: str) -> str:
    other = Issuer()
    other.add_key(key_id, issuer.algorithm(key_id) if key_id in issuer.keys else "ES256")
    return other.token(SOMEONE, key_id)


def for_another_user(issuer: Issuer) -> str:
    header, _, signature = issuer.token(new_user()).split(".")
    return f"{header}.{encoded(issuer.claims(SOMEONE))}.{signature}"


def unsigned(issuer: Issuer, algorithm: str) -> str:
    text = map(encoded, [{"alg": algorithm, "kid": "es"}, issuer.claims(SOMEONE)])
    return ".".join([*text, ""])


def past(seconds: int) -> int:
    return int(time.time()) - seconds


BAD_TOKENS: dict[str, Callable[[Issuer], str]] = {
    "expired": lambda i: i.token(SOMEONE, exp=past(3600)),
    "not valid yet": lambda i: i.token(SOMEONE, nbf=past(-3600)),
    "issued in the future": lambda i: i.token(SOMEONE, iat=past(-3600)),
    "expires at no number": lambda i: i.token(SOMEONE, exp="soon"),
    "expires at infinity": lambda i: i.token(SOMEONE, exp=float("inf")),
    "no expiry": lambda i: i.token(SOMEONE, exp=None),
    "another issuer": lambda i: i.token(SOMEONE, iss="https://other.example"),
    "issuer with a slash": lambda i: i.token(SOMEONE, iss=ISSUER + "/"),
    "no issuer": lambda i: i.token(SOMEONE, iss=None),
    "another audience": lambda i: i.token(SOMEONE, aud="other"),
    "no audience": lambda i: i.token(SOMEONE, aud=None),
    "no audience in a list": lambda i: i.token(SOMEONE, aud=[]),
    "no user": lambda i: i.token(SOMEONE, userId=None, sub=SOMEONE),
    "a user who is no UUID": lambda i: i.token("alice"),
    "an empty user": lambda i: i.token(""),
    "a user in braces": lambda i: i.token(f"{{{SOMEONE}}}"),
    "a user as a number": lambda i: i.token(SOMEONE, userId=int(uuid.UUID(SOMEONE))),
    "a user as a list": lambda i: i.token(SOMEONE, userId=[SOMEONE]),
    "alg none": lambda i: unsigned(i, "none"),
    "alg None": lambda i: unsigned(i, "None"),
    "ES256 without a signature": lambda i: unsigned(i, "ES256"),
    "HS256 with the public key": signed_with_public_key,
    "an algorithm not allowed": lambda i: jwt.encode(
        i.claims(SOMEONE), i.keys["rs"], algorithm="PS256", headers={"kid": "rs"}
    ),
    "another algorithm than the key's": lambda i: jwt.encode(
        i.claims(SOMEONE), i.keys["es"], algorithm="ES256", headers={"kid": "rs"}
    ),
    "another ES256 key": lambda i: by_another_key(i, "es"),
    "another RS256 key": lambda i: by_another_key(i, "rs"),
    "an unknown key id": lambda i: by_another_key(i, "unknown"),
    "no key id": lambda i: jwt.encode(i.claims(SOMEONE), i.keys["es"], algorithm="ES256"),
    "a key id that is no text": lambda i: (
        f"{encoded({'alg': 'ES256', 'kid': ['es']})}.{encoded(i.claims(SOMEONE))}.AA"
    ),
    "another user put in": for_another_user,
    "claims that are no object": lambda i: f"{encoded({'alg': 'ES256', 'kid': 'es'})}.W10.AA",
    "a header that is no object": lambda i: "W10.e30.AA",
    "a header that is no JSON": lambda i: "AAAA.e30.AA",
    "deep JSON": lambda i: f"{encoded(b'[' * 5000)}.e30.AA",
    "cut off": lambda i: i.token(SOMEONE)[:-10],
    "doubled": lambda i: ".".join([i.token(SOMEONE)] * 2),
    "dots": lambda i: "..",
    "garbage": lambda i: "garbage",
    "empty": lambda i: "",
}


@pytest.mark.parametrize("make", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_a_bad_token_is_refused_before_any_work(
    make: Callable[[Issuer], str], client: Athlete, issuer: Issuer, queries: Queries
) -> None:
    metadata = bearer(make(issuer))
    with refused("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED) as refusals:
        client.sessions.ListSessions(LIST, metadata=metadata)
    # What is wrong with it helps nobody but a forger.
    assert refusals[0].message in ("the token was not accepted", "claim userId is not a UUID")
    with refused("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED):
        client.exercises.GetExercise(PULL_UP, metadata=metadata)
    assert statements(queries) == []


BAD_HEADERS: dict[str, Callable[[Issuer], Metadata]] = {
    "nothing": lambda i: [],
    "an identity alone": lambda i: [(USER, SOMEONE)],
    "an identity with roles": lambda i: [(USER, SOMEONE), (SCOPE, "training:service")],
    "an empty authorization": lambda i: [("authorization", "")],
    "a token without a scheme": lambda i: [("authorization", i.token(SOMEONE))],
    "another scheme": lambda i: [("authorization", f"Basic {i.token(SOMEONE)}")],
    "two authorizations": lambda i: bearer(i.token(SOMEONE)) * 2,
    "two, the second empty": lambda i: [*bearer(i.token(SOMEONE)), ("authorization", "")],
    "two tokens in one": lambda i: bearer(f"{i.token(SOMEONE)}, {i.token(SOMEONE)}"),
    "another identity": lambda i: [*bearer(i.token(SOMEONE)), (USER, new_user())],
    "a malformed identity": lambda i: [*bearer(i.token(SOMEONE)), (USER, f"{{{SOMEONE}}}")],
    "an empty identity": lambda i: [*bearer(i.token(SOMEONE)), (USER, "")],
    "two identities": lambda i: [*bearer(i.token(SOMEONE)), (USER, SOMEONE), (USER, SOMEONE)],
}


@pytest.mark.parametrize("make", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_what_is_not_exactly_one_token_for_the_athlete_named_is_refused_before_any_work(
    make: Callable[[Issuer], Metadata], client: Athlete, issuer: Issuer, queries: Queries
) -> None:
    with refused("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED):
        client.sessions.ListSessions(LIST, metadata=make(issuer))
    assert statements(queries) == []


def test_the_identity_beside_a_token_may_be_that_of_the_token(
    client: Athlete, issuer: Issuer
) -> None:
    alice = new_user()
    for spelling in (alice, alice.upper()):
        metadata = [*bearer(issuer.token(alice)), (USER, spelling)]
        client.sessions.ListSessions(LIST, metadata=metadata)


def test_the_catalogue_is_open_without_a_token(client: Athlete, issuer: Issuer) -> None:
    found = client.exercises.GetExercise(PULL_UP)
    assert found.slug == "pull-up"
    token = bearer(issuer.token(new_user()))
    assert client.exercises.GetExercise(PULL_UP, metadata=token) == found


@pytest.mark.parametrize("scope", ["training:admin", "openid training:service training:admin"])
def test_the_scope_of_an_admin_lets_write_the_catalogue(
    scope: str, client: Athlete, issuer: Issuer
) -> None:
    token = issuer.token(new_user(), scope=scope)
    with refused("EXERCISE_NOT_FOUND"):
        client.exercises.DeprecateExercise(DEPRECATE_NOTHING, metadata=bearer(token))


def test_the_scope_of_a_service_lets_act_for_an_athlete(client: Athlete, issuer: Issuer) -> None:
    alice, bob = new_user(), new_user()
    request = session_pb2.LogSessionRequest(external_user_id=alice, session=a_session())
    token = issuer.token(new_user(), scope="training:service")
    logged = client.sessions.LogSession(request, metadata=bearer(token))
    assert logged.external_user_id == alice
    assert not client.sessions.ListSessions(LIST, metadata=bearer(issuer.token(bob))).sessions
    with refused("PERMISSION_DENIED"):
        client.exercises.DeprecateExercise(DEPRECATE_NOTHING, metadata=bearer(token))


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "admin service",
        "training:ADMIN training:Service",
        "training:*",
        "training:root",
        "other:admin",
        "training:training:admin",
        "training:admin,training:service",
        ["training:admin", "training:service"],
        {"training:admin": True},
        1,
    ],
    ids=str,
)
def test_other_scopes_grant_nothing(scope: Any, client: Athlete, issuer: Issuer) -> None:
    metadata = bearer(issuer.token(new_user(), scope=scope))
    with refused("PERMISSION_DENIED"):
        client.exercises.DeprecateExercise(DEPRECATE_NOTHING, metadata=metadata)
    with refused("ATHLETE_NOT_FOUND"):
        client.sessions.ListSessions(
            session_pb2.ListSessionsRequest(external_user_id=SOMEONE), metadata=metadata
        )
    client.sessions.ListSessions(LIST, metadata=metadata)


def test_roles_beside_a_token_grant_nothing(client: Athlete, issuer: Issuer) -> None:
    metadata = [*bearer(issuer.token(new_user())), (SCOPE, "training:admin training:service")]
    with refused("PERMISSION_DENIED"):
        client.exercises.DeprecateExercise(DEPRECATE_NOTHING, metadata=metadata)


# Where the keys come from.


class KeyServer:
    """Serves keys over HTTP, or something else."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.claimed_length: int | None = None
        self.asked = 0
        self.hold = threading.Event()
        self.hold.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                outer.hold.wait(20)
                self.send_response(outer.status)
                length = len(outer.body) if outer.claimed_length is None else outer.claimed_length
                self.send_header("content-length", str(length))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._handler = Handler
        self.start(0)

    def start(self, port: int) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys"


@pytest.fixture
def key_server(issuer: Issuer) -> Iterator[KeyServer]:
    server = KeyServer()
    server.body = issuer.jwks().encode()
    yield server
    server.hold.set()
    server.stop()


@pytest.fixture
def served(database_url: str, key_server: KeyServer) -> Iterator[Athlete]:
    """A caller of a service that has its keys from the key server."""
    with verifying(database_url, key_server.url) as service:
        caller = Athlete(service.address, metadata={})
        yield caller
        caller.close()


@pytest.fixture
def always_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets keys be read again at once, and for each call."""
    monkeypatch.setattr(identity, "KEYS_MIN_AGE_SECONDS", 0.0)
    monkeypatch.setattr(identity, "KEYS_MAX_AGE_SECONDS", 0.0)


def use(caller: Athlete, token: str) -> None:
    caller.sessions.ListSessions(LIST, metadata=bearer(token))


def test_keys_are_read_over_http_once(
    served: Athlete, key_server: KeyServer, issuer: Issuer
) -> None:
    for key_id in ("es", "rs", "es"):
        use(served, issuer.token(new_user(), key_id))
    assert key_server.asked == 1


def test_unknown_keys_do_not_make_a_caller_ask_the_issuer_on_our_behalf(
    served: Athlete, key_server: KeyServer, issuer: Issuer
) -> None:
    for number in range(5):
        with refused("UNAUTHENTICATED"):
            use(served, by_another_key(issuer, f"unknown-{number}"))
    assert key_server.asked == 1


@pytest.mark.parametrize("place", ["file", "http"])
def test_a_new_key_is_taken_up_when_a_token_names_it(
    place: str,
    database_url: str,
    tmp_path: Path,
    key_server: KeyServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(identity, "KEYS_MIN_AGE_SECONDS", 0.0)
    issuer, file = Issuer(), tmp_path / "jwks.json"

    def publish() -> None:
        file.write_text(issuer.jwks())
        key_server.body = issuer.jwks().encode()

    issuer.add_key("old")
    publish()
    with verifying(database_url, key_server.url if place == "http" else str(file)) as service:
        caller = Athlete(service.address, metadata={})
        use(caller, issuer.token(new_user(), "old"))
        issuer.add_key("new", "RS256")
        with refused("UNAUTHENTICATED"):
            use(caller, issuer.token(new_user(), "new"))
        publish()
        use(caller, issuer.token(new_user(), "new"))
        use(caller, issuer.token(new_user(), "old"))
        caller.close()


@pytest.mark.usefixtures("always_read")
def test_a_key_that_is_withdrawn_is_forgotten(
    served: Athlete, key_server: KeyServer, issuer: Issuer
) -> None:
    use(served, issuer.token(new_user(), "rs"))
    kept = Issuer({"es": issuer.keys["es"]})
    key_server.body = kept.jwks().encode()
    with refused("UNAUTHENTICATED"):
        use(served, issuer.token(new_user(), "rs"))
    use(served, issuer.token(new_user(), "es"))


@pytest.mark.usefixtures("always_read")
def test_keys_stay_good_while_the_issuer_is_away(
    served: Athlete, key_server: KeyServer, issuer: Issuer
) -> None:
    use(served, issuer.token(new_user()))
    key_server.stop()
    use(served, issuer.token(new_user()))
    with refused("UNAUTHENTICATED"):
        use(served, by_another_key(issuer, "es"))
    key_server.start(key_server.port)
    use(served, issuer.token(new_user()))


@pytest.mark.usefixtures("always_read")
def test_a_service_that_starts_while_the_issuer_is_away_finds_its_keys_later(
    database_url: str, key_server: KeyServer, issuer: Issuer
) -> None:
    key_server.stop()
    with verifying(database_url, key_server.url) as service:
        caller = Athlete(service.address, metadata={})
        with refused("KEYS_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE) as refusals:
            use(caller, issuer.token(new_user()))
        assert refusals[0].retry_after_seconds == identity.KEYS_MIN_AGE_SECONDS
        assert caller.exercises.GetExercise(PULL_UP).slug == "pull-up"
        key_server.start(key_server.port)
        use(caller, issuer.token(new_user()))
        caller.close()


NO_KEYS: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "nothing": {"body": b""},
    "HTML": {"body": b"<html>"},
    "no keys": {"body": b'{"keys": []}'},
    "keys of no kind": {"body": b'{"keys": [{"kid": "es"}]}'},
    "an object without keys": {"body": b"{}"},
    "a number": {"body": b"1"},
    "a list": {"body": b"[]"},
    "keys that are a number": {"body": b'{"keys": 1}'},
    "keys that are numbers": {"body": b'{"keys": [1]}'},
    "not UTF-8": {"body": b"\xff\xfe"},
    "deep JSON": {"body": b"[" * 100_000},
    "less than promised": {"body": b'{"keys"', "claimed_length": 1000},
}


@pytest.mark.usefixtures("always_read")
@pytest.mark.parametrize(
    "answer",
    [pytest.param(answer, id=name) for name, answer in NO_KEYS.items()],
)
def test_keys_stay_good_when_the_issuer_answers_with_none(
    answer: dict[str, Any], served: Athlete, key_server: KeyServer, issuer: Issuer
) -> None:
    use(served, issuer.token(new_user()))
    for name, value in answer.items():
        setattr(key_server, name, value)
    use(served, issuer.token(new_user()))
    assert key_server.asked == 2


def test_calls_that_come_while_the_keys_are_first_read_wait_for_them(
    served: Athlete, key_server: KeyServer, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = threading.Semaphore(0)
    find = identity.KeySet.find

    async def seen(self: Any, key_id: str | None) -> Any:
        arrived.release()
        return await find(self, key_id)

    monkeypatch.setattr(identity.KeySet, "find", seen)
    key_server.hold.clear()
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(use, served, issuer.token(new_user())) for _ in range(2)]
        for _ in calls:
            assert arrived.acquire(timeout=20)
        key_server.hold.set()
        for call in calls:
            call.result()


def test_a_caller_who_gives_up_does_not_end_the_reading_of_keys(
    served: Athlete, key_server: KeyServer, issuer: Issuer
) -> None:
    token = issuer.token(new_user())
    key_server.hold.clear()
    metadata = [("authorization", f"Bearer {token}")]
    request = session_pb2.ListSessionsRequest()
    with pytest.raises(grpc.RpcError) as caught:
        served.sessions.ListSessions(request, metadata=metadata, timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    key_server.hold.set()
    served.sessions.ListSessions(request, metadata=metadata)
    assert key_server.asked == 1
