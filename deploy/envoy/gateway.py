"""A real Envoy in front of the service: its configuration, and both of them running together.

python deploy/envoy/gateway.py render --help    the configuration, for anywhere
python deploy/envoy/gateway.py run              the service and Envoy here, until Ctrl-C
"""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Annotated, Any

import typer
from google.protobuf.descriptor import MethodDescriptor

from training_service import contract
from training_service.issuer import AUDIENCE, ISSUER, development_issuer
from training_service.probe import is_serving
from training_service.settings import Settings, load_settings

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE / "envoy.yaml"
GENERATED = HERE.parents[1] / "generated"
DOCS = HERE / "docs"
SWAGGER_UI = DOCS / "node_modules" / "swagger-ui-dist"
HTML, CSS, SCRIPT = (f"text/{kind}; charset=utf-8" for kind in ("html", "css", "javascript"))
START_SECONDS = 60.0
# Hot restart shares memory between the Envoys of a machine; here they drain and are replaced.
OPTIONS = (
    *("--disable-hot-restart", "--concurrency", "2", "--log-level", "error"),
    *("--drain-time-s", "5", "--drain-strategy", "immediate"),
)

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTls:
    """mTLS between Envoy and the service."""

    authority_file: Path
    """PEM certificates of the CAs that the service must be certified by."""
    certificate_file: Path
    private_key_file: Path
    server_name: str
    """DNS name in the service's certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What the configuration of an Envoy says of its surroundings."""

    listen: str = "127.0.0.1:8080"
    admin_port: int = 9901
    services: list[str] = field(default_factory=lambda: ["127.0.0.1:50051"])
    """Addresses of the service; a name may stand for several instances."""
    jwks_file: Path
    """JSON Web Key Set of the token issuer; a new file moved to its place is taken up."""
    issuer: str = ISSUER
    audience: str = AUDIENCE
    user_calls_per_second: int = 50
    user_burst: int = 200
    health_interval_seconds: float = 1.0
    tls: UpstreamTls | None = None
    docs: bool = True
    descriptor_set: Path = GENERATED / "training.binpb"
    """The contract's descriptors, where Envoy finds them."""
    otlp: str = ""
    """Address of the OpenTelemetry collector that spans are sent to; empty for none."""
    trace_percent: float = 100.0
    """Share of the calls that are traced among those whose caller does not say."""


def render(gateway: Gateway) -> str:
    """Returns the configuration as YAML."""
    host, port = _split(gateway.listen)
    reads = [m for m in contract.methods() if contract.is_read(m) and not m.server_streaming]
    live = [m for m in contract.methods() if m.client_streaming]
    streams = [m for m in contract.methods() if m.server_streaming and m not in live]
    values: dict[str, Any] = {
        "listen_host": host,
        "listen_port": port,
        "admin_port": gateway.admin_port,
        "endpoints": [_endpoint(address) for address in gateway.services],
        "tracing": _tracing(gateway),
        "upstream_transport_socket": _transport_socket(gateway.tls),
        "health_interval": f"{gateway.health_interval_seconds:g}s",
        "issuer": gateway.issuer,
        "audience": gateway.audience,
        "jwks_file": str(gateway.jwks_file.absolute()),
        "jwks_folder": str(gateway.jwks_file.absolute().parent),
        "user_calls_per_second": gateway.user_calls_per_second,
        "user_burst": gateway.user_burst,
        "descriptor_set": str(gateway.descriptor_set),
        "services": [service.full_name for service in contract.SERVICES],
        "reads": _regex(reads),
        "streams": _regex(streams),
        "live": _regex(live),
    }
    # JSON is YAML too.
    filled = {name: json.dumps(value) for name, value in values.items()}
    routes = _docs_routes() if gateway.docs else []
    filled["docs_routes"] = ("\n" + " " * 14).join(f"- {json.dumps(route)}" for route in routes)
    clusters = [_collector(gateway.otlp)] if gateway.otlp else []
    filled["collector_clusters"] = "\n  ".join(f"- {json.dumps(cluster)}" for cluster in clusters)
    return Template(TEMPLATE.read_text()).substitute(filled)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _endpoint(address: str) -> dict[str, Any]:
    host, port = _split(address)
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}


def _tracing(gateway: Gateway) -> dict[str, Any] | None:
    """Returns how calls are traced.

    A path names users, and a request id is whatever the caller made it: neither stands in a span.
    """
    if not gateway.otlp:
        return None
    config = {
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "service_name": "training-gateway",
        "grpc_service": {"envoy_grpc": {"cluster_name": "collector"}, "timeout": "1s"},
    }
    return {
        "random_sampling": {"value": gateway.trace_percent},
        "spawn_upstream_span": True,
        "max_path_tag_length": 0,
        "custom_tags": [{"tag": "guid:x-request-id", "literal": {"value": "-"}}],
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": config},
    }


def _collector(address: str) -> dict[str, Any]:
    """Returns the cluster of the collector."""
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {
        "@type": f"type.googleapis.com/{options}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "name": "collector",
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {options: http2},
        "load_assignment": {
            "cluster_name": "collector",
            "endpoints": [{"lb_endpoints": [_endpoint(address)]}],
        },
    }


def _transport_socket(tls: UpstreamTls | None) -> dict[str, Any]:
    sockets = "type.googleapis.com/envoy.extensions.transport_sockets"
    if tls is None:
        raw = {"@type": f"{sockets}.raw_buffer.v3.RawBuffer"}
        return {"name": "envoy.transport_sockets.raw_buffer", "typed_config": raw}
    config = {
        "@type": f"{sockets}.tls.v3.UpstreamTlsContext",
        "sni": tls.server_name,
        "common_tls_context": {
            "alpn_protocols": ["h2"],  # gRPC servers refuse clients that don't say so
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": str(tls.certificate_file)},
                    "private_key": {"filename": str(tls.private_key_file)},
                }
            ],
            "validation_context": {
                "trusted_ca": {"filename": str(tls.authority_file)},
                "match_typed_subject_alt_names": [
                    {"san_type": "DNS", "matcher": {"exact": tls.server_name}}
                ],
            },
        },
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def _regex(methods: list[MethodDescriptor]) -> str:
    paths = [f"/{m.containing_service.full_name}/{m.name}" for m in methods]
    return "|".join(re.escape(path) for path in paths)


def _docs_routes() -> list[dict[str, Any]]:
    """Returns the routes of the documentation page, whose files Envoy itself serves."""
    base = "/api/v1/training"
    files = {
        f"{base}/openapi.json": (GENERATED / "openapi.json", "application/json"),
        f"{base}/docs": (DOCS / "index.html", HTML),
        f"{base}/docs/start.js": (DOCS / "start.js", SCRIPT),
        f"{base}/docs/swagger-ui.css": (SWAGGER_UI / "swagger-ui.css", CSS),
        f"{base}/docs/swagger-ui-bundle.js": (SWAGGER_UI / "swagger-ui-bundle.js", SCRIPT),
    }
    return [_file_route(path, file, media_type) for path, (file, media_type) in files.items()]


def _file_route(path: str, file: Path, media_type: str) -> dict[str, Any]:
    not_rest = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
    return {
        "name": "docs",
        "match": {"path": path},
        "direct_response": {"status": 200, "body": {"filename": str(file)}},
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": media_type},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        "typed_per_filter_config": {"envoy.filters.http.grpc_json_transcoder": not_rest},
    }


class Envoy:
    """A running Envoy."""

    def __init__(self, gateway: Gateway, folder: Path, output: Any = None) -> None:
        """Starts it with its configuration in a folder; `output` is where the access log goes."""
        self.address = gateway.listen
        self._admin = f"http://127.0.0.1:{gateway.admin_port}"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"envoy-{gateway.admin_port}.yaml"
        file.write_text(render(gateway))
        program = shutil.which("envoy", path=str(Path(sys.executable).parent)) or "envoy"
        self.process = subprocess.Popen(
            [program, "-c", str(file), *OPTIONS],
            stdout=output,
            start_new_session=True,  # Ctrl-C is for the parent, which drains first
        )

    def _is_ready(self, *, needs_service: bool) -> bool:
        try:
            is_live = b"LIVE" in self.admin("/ready")
            return is_live and (not needs_service or self.healthy_services() > 0)
        except OSError:
            return False

    def wait_until_ready(self, *, needs_service: bool = True) -> None:
        """Returns when it listens and, if that is needed, finds a healthy service.

        Raises RuntimeError when it ended or does not become so.
        """
        end = time.monotonic() + START_SECONDS
        while not self._is_ready(needs_service=needs_service):
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise RuntimeError("Envoy did not become ready; see what it printed")
            time.sleep(0.05)

    def healthy_services(self) -> int:
        """Returns how many instances of the service take calls."""
        return self._gauge("cluster.training.membership_healthy")

    def active_requests(self) -> int:
        """Returns how many calls are under way."""
        return self._gauge("http.public.downstream_rq_active")

    def _gauge(self, name: str) -> int:
        text = self.admin(f"/stats?filter=^{re.escape(name)}$").decode()
        return int(text.partition(": ")[2] or 0)

    def admin(self, path: str, *, post: bool = False) -> bytes:
        """Returns what the admin interface answers; raises OSError when it does not."""
        data = b"" if post else None
        with urllib.request.urlopen(self._admin + path, data=data, timeout=5) as answer:  # noqa: S310
            return bytes(answer.read())

    def stop(self, *, notice_seconds: float = 0.0, grace_seconds: float = 30.0) -> None:
        """Fails its health check, takes nothing new, lets calls under way finish, and ends.

        A plain SIGTERM would cut them. `notice_seconds` is for load balancers to notice.
        """
        if self.process.poll() is None:
            with contextlib.suppress(OSError):  # one that can't be asked is ended all the same
                self._drain(notice_seconds, grace_seconds)
            self.process.terminate()
        self.process.wait()

    def _drain(self, notice_seconds: float, grace_seconds: float) -> None:
        self.admin("/healthcheck/fail", post=True)
        time.sleep(notice_seconds)
        self.admin("/drain_listeners?graceful&skip_exit", post=True)
        end = time.monotonic() + grace_seconds
        while self.active_requests() and time.monotonic() < end:
            time.sleep(0.05)


@contextlib.contextmanager
def running_envoy(
    gateway: Gateway, folder: Path, output: Any = None, *, needs_service: bool = True
) -> Iterator[Envoy]:
    """Runs an Envoy until the end of the block, ready when it begins."""
    envoy = Envoy(gateway, folder, output)
    try:
        envoy.wait_until_ready(needs_service=needs_service)
        yield envoy
    finally:
        envoy.stop()


@app.command("render")
def print_configuration(
    jwks: Annotated[Path, typer.Option(help="JSON Web Key Set of the token issuer.")],
    issuer: Annotated[str, typer.Option(help="Issuer a token must have.")],
    audience: Annotated[str, typer.Option(help="Audience a token must have.")],
    service: Annotated[list[str], typer.Option(help="Address of the service; may be repeated.")],
    listen: Annotated[str, typer.Option(help="Where REST and gRPC are served.")] = "0.0.0.0:8080",
    admin_port: Annotated[int, typer.Option(help="Port of the admin interface, loopback.")] = 9901,
    user_calls_per_second: Annotated[int, typer.Option(help="Refill of a user's bucket.")] = 50,
    user_burst: Annotated[int, typer.Option(help="Size of a user's bucket.")] = 200,
    tls_ca: Annotated[Path | None, typer.Option(help="mTLS: CAs of the service.")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="mTLS: Envoy's certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="mTLS: its key.")] = None,
    tls_server_name: Annotated[str, typer.Option(help="mTLS: the service's DNS name.")] = "",
    docs: Annotated[bool, typer.Option(help="Whether the documentation page is served.")] = True,
    descriptor_set: Annotated[
        Path, typer.Option(help="generated/training.binpb, where Envoy finds it.")
    ] = GENERATED / "training.binpb",
    otlp: Annotated[str, typer.Option(help="Address of an OpenTelemetry collector, gRPC.")] = "",
    trace_percent: Annotated[
        float, typer.Option(min=0, max=100, help="Share of the calls to trace, unless they say.")
    ] = 100.0,
) -> None:
    """Print the configuration of an Envoy."""
    tls = None
    if tls_ca or tls_certificate or tls_key or tls_server_name:
        if not (tls_ca and tls_certificate and tls_key and tls_server_name):
            raise typer.BadParameter("the four --tls options go together")
        tls = UpstreamTls(
            authority_file=tls_ca.absolute(),
            certificate_file=tls_certificate.absolute(),
            private_key_file=tls_key.absolute(),
            server_name=tls_server_name,
        )
    gateway = Gateway(
        listen=listen,
        admin_port=admin_port,
        services=service,
        jwks_file=jwks,
        issuer=issuer,
        audience=audience,
        user_calls_per_second=user_calls_per_second,
        user_burst=user_burst,
        tls=tls,
        docs=docs,
        descriptor_set=descriptor_set.absolute(),
        otlp=otlp,
        trace_percent=trace_percent,
    )
    print(render(gateway))


@app.command()
def run(
    listen: Annotated[str, typer.Option(help="Where REST and gRPC are served.")] = "127.0.0.1:8080",
    admin_port: Annotated[int, typer.Option(help="Port of Envoy's admin interface.")] = 9901,
) -> None:
    """Run the service and Envoy here, with the development issuer's tokens, until Ctrl-C."""
    settings = load_settings()
    issuer = development_issuer(settings)
    gateway = Gateway(
        listen=listen,
        admin_port=admin_port,
        services=[settings.listen_address],
        jwks_file=issuer.jwks_file,
        otlp=settings.otlp_endpoint.rpartition("/")[2],
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    service = subprocess.Popen(
        [sys.executable, "-m", "training_service", "serve"],
        stdout=subprocess.DEVNULL,  # its ready line is for those who call it directly
        start_new_session=True,
    )
    try:
        _wait_for(service, settings)
        with running_envoy(gateway, settings.data_directory / "gateway"):
            _print_ready(listen)
            service.wait()
    except _StopError:
        print("stopping")
    finally:
        if service.poll() is None:
            service.terminate()
        service.wait()


class _StopError(Exception):
    """SIGTERM or Ctrl-C came."""


def _stop(*_signal: object) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise _StopError


def _wait_for(service: subprocess.Popen[bytes], settings: Settings) -> None:
    while not is_serving(settings.listen_address, settings):
        if service.poll() is not None:
            raise typer.Exit(1)
        time.sleep(0.1)


def _print_ready(listen: str) -> None:
    port = listen.rpartition(":")[2]
    athlete = "5f0c1c52-5a3e-4b39-9d3b-6f2f3f0a7a11"
    sessions = f"http://localhost:{port}/api/v1/training/users/{athlete}/sessions"
    print(
        f"""
Gateway ready on http://localhost:{port}; the API's documentation: http://localhost:{port}/api/v1/training/docs

  TOKEN=$(.venv/bin/training-service dev-token --user {athlete})
  curl -s -H "authorization: Bearer $TOKEN" '{sessions}?pageSize=1'

Ctrl-C stops it.
""",
        flush=True,
    )


if __name__ == "__main__":
    app()
