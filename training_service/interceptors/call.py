"""One RPC under way, as the interceptors see it."""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, TypeAlias
from urllib.parse import unquote
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import grpc
from google.protobuf.message import Message

from training_service.caller import Caller, Role
from training_service.contract import REDACTED, AccessLevel, Method
from training_service.errors import Reason
from training_service.observability.current import CallTrace

MAX_REQUEST_ID_LENGTH = 128
IPV6_SITE_BITS = 64
"""What one subscriber has of IPv6: each has more addresses than there are callers."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(slots=True)
class Call:
    """The RPC, its gRPC context, who calls, and the id that finds it in every log."""

    method: Method
    context: Context
    request_id: str = field(init=False)
    caller: Caller | None = None
    """Who calls, once that is known."""
    subject: UUID | None = None
    """Whose data it is about, which member of a group, or who is erased; None if it is nobody."""
    grant_id: UUID | None = None
    """The grant that let the caller in, if one did."""
    request: Message | None = None
    refused_for: Reason | None = None
    """Why it was refused, once it was."""
    statements: int = 0
    sessions_logged: int = 0
    trace: CallTrace | None = None
    """Its recorded span; None when no trace of it is recorded."""

    def __post_init__(self) -> None:
        given = self.metadata("x-request-id")
        self.request_id = given[0] if len(given) == 1 and _is_usable(given[0]) else str(uuid4())

    @property
    def caller_key(self) -> UUID:
        """What callers are told apart by: the user's id, else one made of the peer's address."""
        if self.caller is not None:
            return self.caller.external_user_id
        return uuid5(NAMESPACE_URL, peer_host(self.context.peer()))

    def take(self, request: Message) -> None:
        """Takes the request, which need not keep the contract's rules, and whom it names."""
        self.request = request
        if self.method.access == AccessLevel.ACCESS_LEVEL_ADMIN:
            self.subject = _named(request, "user_id")
        if self.method.access != AccessLevel.ACCESS_LEVEL_USER or self.caller is None:
            return
        me = self.caller.external_user_id
        named = (_named(request, "external_user_id"), _named(request, "member_user_id"))
        self.subject = next((one for one in named if one not in (None, me)), me)

    @property
    def is_about_others(self) -> bool:
        """Whether the caller acts as an administrator or looks at others' data, or tried to.

        A service looks at everybody's: that does not count.
        """
        caller = self.caller
        if caller is None:
            return False
        if self.method.access == AccessLevel.ACCESS_LEVEL_ADMIN:
            return True
        if Role.SERVICE in caller.roles:
            return False
        if self.method.is_about_many:
            return True
        return self.subject not in (None, caller.external_user_id)

    @property
    def logged_id(self) -> str:
        """The request id as it may be logged: callers make theirs of anything, users' ids too."""
        ids = {self.subject, self.caller.external_user_id if self.caller else None}
        shown = self.request_id
        for id in ids:
            # Most have no id in them, and this is cheaper than the expression.
            if id is not None and id.hex in shown.replace("-", "").lower():
                shown = re.sub("-*".join(id.hex), REDACTED, shown, flags=re.IGNORECASE)
        return shown

    @property
    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call is answered with, however it ends."""
        return (("x-request-id", self.request_id),)

    def metadata(self, key: str) -> list[str]:
        """Returns all values of a metadata key; bytes that are no text become an unusable one."""
        pairs = self.context.invocation_metadata() or ()
        return [v if isinstance(v, str) else "\0" for k, v in pairs if k == key]


def peer_host(peer: str) -> str:
    """Returns where a peer is, such as "ipv4:192.0.2.1:50000", without the port; for IPv6 the
    network that is its subscriber's."""
    family, _, address = peer.partition(":")
    if family not in ("ipv4", "ipv6"):
        return peer
    host = unquote(address.rpartition(":")[0]).strip("[]").partition("%")[0]
    try:
        parsed = ip_address(host)
    except ValueError:
        return host
    return host if parsed.version == 4 else str(ip_network((parsed, IPV6_SITE_BITS), strict=False))


def _named(request: Message, field_name: str) -> UUID | None:
    """Returns the user whom a field names, None if there is none."""
    try:
        return UUID(getattr(request, field_name, ""))
    except ValueError:
        return None


def _is_usable(request_id: str) -> bool:
    """Whether a request id can be sent back as metadata, which takes printable ASCII alone."""
    is_short = 0 < len(request_id) <= MAX_REQUEST_ID_LENGTH
    return is_short and request_id.isascii() and request_id.isprintable()
