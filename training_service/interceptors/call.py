"""One RPC under way, as the interceptors see it."""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, TypeAlias
from urllib.parse import unquote
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import grpc

from training_service.caller import Caller
from training_service.contract import Method

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
    caller: Caller | None = field(init=False, default=None)
    """Whom the call was found to come from, None before and for who gave no identity."""

    def __post_init__(self) -> None:
        given = self.metadata("x-request-id")
        self.request_id = given[0] if len(given) == 1 and _is_usable(given[0]) else str(uuid4())

    @property
    def caller_key(self) -> UUID:
        """What callers are told apart by: the user's id, else one made of the peer's address."""
        if self.caller is not None:
            return self.caller.external_user_id
        return uuid5(NAMESPACE_URL, peer_host(self.context.peer()))

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


def _is_usable(request_id: str) -> bool:
    """Whether a request id can be sent back as metadata, which takes printable ASCII alone."""
    is_short = 0 < len(request_id) <= MAX_REQUEST_ID_LENGTH
    return is_short and request_id.isascii() and request_id.isprintable()
