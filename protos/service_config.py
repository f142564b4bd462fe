"""Writes how clients should call the service, as a gRPC service config.

Clients give it to their channel (`grpc.service_config`), so that deadlines and retries are said
once, here, and not in every sibling. Each RPC is named: a client that knows an older contract than
the service sends nothing under defaults that were not meant for it.

A read may be sent again, so it is when the service is not there. A write is not: gRPC itself
repeats what never reached the service, and whether to repeat what may have is the client's to
say, with the same request_id. Throttling stops retries when half of the last calls failed, so that
they don't keep down a service that is coming back.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

RETRIES = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "read": {"timeout": "10s", "retryPolicy": RETRIES},
    "write": {"timeout": "30s"},
    "stream": {"timeout": "300s"},
    "live": {"timeout": "43200s"},
}


def kind_of(method: descriptor_pb2.MethodDescriptorProto) -> str:
    """Returns whether an RPC is a read, a write, a stream, or one in both directions: live."""
    if method.client_streaming:
        return "live"
    if method.server_streaming:
        return "stream"
    rule = method.options.Extensions[annotations_pb2.http]
    return "read" if rule.WhichOneof("pattern") == "get" else "write"


def methods(
    files: list[descriptor_pb2.FileDescriptorProto],
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the kind and the name of every RPC."""
    for file in files:
        for service in file.service:
            for method in service.method:
                name = {"service": f"{file.package}.{service.name}", "method": method.name}
                yield kind_of(method), name


def service_config(files: list[descriptor_pb2.FileDescriptorProto]) -> dict[str, Any]:
    """Returns the service config for the services in these files."""
    names: dict[str, list[dict[str, str]]] = {kind: [] for kind in DEFAULTS}
    for kind, name in methods(files):
        names[kind].append(name)
    return {
        # One connection to each address: a server that is replaced takes only its share along.
        "loadBalancingConfig": [{"round_robin": {}}],
        # Calls go only where the service says that it serves; its health follows its database.
        "healthCheckConfig": {"serviceName": ""},
        "methodConfig": [{"name": names[kind], **DEFAULTS[kind]} for kind in DEFAULTS],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }


def write_service_config(image: Path, target: Path) -> None:
    """Writes the service config for all services of an image."""
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
    target.write_text(json.dumps(service_config(list(files)), indent=2) + "\n")
