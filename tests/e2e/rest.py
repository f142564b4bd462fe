"""REST as an app speaks it: a request of the contract as verb, path and JSON, and its answer."""

import http.client
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

BASE = "/api/v1/training"


@dataclass(frozen=True, slots=True)
class RestCall:
    """What goes over the wire."""

    verb: str
    target: str
    body: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def reason(self) -> str:
        """The reason of a refusal, and who refused: "SESSION_NOT_FOUND" of the service,
        "gateway RATE_LIMITED" of the gateway."""
        details = self.json["details"]
        [info] = [d for d in details if d["@type"].endswith("/google.rpc.ErrorInfo")]
        by_gateway = info["domain"].startswith("gateway.")
        return f"gateway {info['reason']}" if by_gateway else str(info["reason"])


def to_rest(method: MethodDescriptor, request: Message, user: str) -> RestCall:
    """Returns a request as its `google.api.http` rule puts it."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = str(rule.WhichOneof("pattern"))
    rest = json_format.MessageToDict(request)
    names = {f.name: f.json_name for f in method.input_type.fields}
    if "external_user_id" in names:
        rest[names["external_user_id"]] = user

    def fill(variable: re.Match[str]) -> str:
        return quote(str(rest.pop(names[variable[1]])), safe="")

    path = re.sub(r"{(\w+)}", fill, getattr(rule, verb))
    body = None
    if rule.body == "*":
        body, rest = rest, {}
    elif rule.body:
        body = rest.pop(names[rule.body], {})
    query = urlencode(list(_flat(rest)), doseq=True)
    return RestCall(verb.upper(), f"{path}?{query}" if query else path, body)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Any:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value).lower() if isinstance(value, bool) else value


class RestClient:
    """Makes REST calls with a token, and changes nothing of what it is given."""

    def __init__(self, address: str, token: str = "", user: str = "") -> None:
        self.user = user or str(uuid.uuid4())
        self._address = address
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def send(
        self,
        verb: str,
        target: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends a request; a body that is not bytes is sent as JSON."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {**self._headers, **(headers or {})}
        if content is not None:
            sent.setdefault("content-type", "application/json")
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            connection.request(verb, target, content, sent)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received, response.read())
        finally:
            connection.close()

    def get(self, target: str, **headers: str) -> Answer:
        """Sends a GET."""
        return self.send("GET", target, headers=headers)

    def call(self, call: RestCall) -> Answer:
        """Makes a call of the contract."""
        return self.send(call.verb, call.target, call.body)

    @property
    def sessions(self) -> str:
        """The path of the caller's own sessions."""
        return f"{BASE}/users/{self.user}/sessions"
