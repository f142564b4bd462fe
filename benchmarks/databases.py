"""`python -m benchmarks.databases NAME=URL NAME=URL …`: the same calls over several databases.

Each URL is of a database with the schema and the catalogue, distributed or not; sessions of an
athlete, and of a group of ten, are added to it. One call at a time, and every database has its turn
in every round.
"""

import json
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import grpc
import typer
from calisthenics.training.v1 import group_pb2, roster_pb2
from calisthenics.training.v1.group_pb2_grpc import GroupServiceStub
from rich.console import Console
from rich.table import Table

from benchmarks import cases, data
from benchmarks.footprint import ONE_AT_A_TIME, reading, to_request
from benchmarks.load import Sample, h2load, ratio, require_h2load
from benchmarks.rounds import measured
from benchmarks.stack import (
    Comparison,
    Service,
    Target,
    as_caller,
    newest_session,
    running_service,
)
from training_service.servicers.convert import to_date

FIRST_PORT = 15220
"""Below the range that clients' own ports come from."""
ATHLETE = data.athlete("distributed")
SESSIONS = 50
COACH = data.athlete("coach of a distributed group")
MEMBERS = [data.athlete(f"member {number}") for number in range(10)]


def main(
    databases: Annotated[list[str], typer.Argument(help="NAME=URL; the first is compared with.")],
    rounds: Annotated[int, typer.Option(min=1, help="How often each has its turn.")] = 5,
    scale: Annotated[float, typer.Option(min=0.001, help="Calls of a turn, as a factor.")] = 1,
    output: Annotated[Path | None, typer.Option(help="Where the numbers go, as JSON.")] = None,
) -> None:
    """Measure what a call takes over one database and another."""
    require_h2load()
    urls = dict(one.split("=", 1) for one in databases)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        services = {
            name: running_service(stack, url, f"127.0.0.1:{FIRST_PORT + number}", 1, Path(folder))
            for number, (name, url) in enumerate(urls.items())
        }
        for service in services.values():
            data.fill(service.address, [ATHLETE, *MEMBERS], SESSIONS)
        report(measured(_comparisons(services, scale), rounds), output)


def _comparisons(services: dict[str, Service], scale: float) -> list[Comparison]:
    calls: dict[str, list[Target]] = {}
    counts: dict[str, int] = {}
    for name, service in services.items():
        newest = newest_session(service.address, ATHLETE)
        reads = [c for c in reading(ATHLETE, newest, scale) if c.name not in ONE_AT_A_TIME]
        roster = _roster(_new_group(service.address), scale)
        for case in [*reads, roster, cases.logging(ATHLETE, scale * 0.1)]:
            request = to_request(case, service.address)
            send = partial(h2load, request, connections=1, streams=1)
            target = Target(name, send, {"service": service.pid}, service.log)
            calls.setdefault(case.name, []).append(target)
            counts[case.name] = case.count
    return [Comparison(name, counts[name], targets) for name, targets in calls.items()]


def _new_group(address: str) -> str:
    """Makes a group whose athletes grant it what a roster shows; returns its id."""
    with grpc.insecure_channel(address) as channel:
        groups = GroupServiceStub(channel)
        coach = list(as_caller(COACH).items())
        request = group_pb2.CreateGroupRequest(
            group={"display_name": "A group", "kind": "GROUP_KIND_TEAM"}
        )
        group = groups.CreateGroup(request, metadata=coach)
        for member in MEMBERS:
            invitation = groups.CreateInvitation(
                group_pb2.CreateInvitationRequest(
                    group_id=group.id,
                    invitation={"user_id": member, "role": "MEMBER_ROLE_ATHLETE"},
                ),
                metadata=coach,
            )
            groups.AcceptInvitation(
                group_pb2.AcceptInvitationRequest(
                    invitation_id=invitation.id,
                    granted_scopes=["GRANT_SCOPE_READ_METRICS", "GRANT_SCOPE_READ_WELLNESS"],
                ),
                metadata=list(as_caller(member).items()),
            )
        return str(group.id)


def _roster(group_id: str, scale: float) -> cases.Case:
    return cases.Case(
        name=f"GetRosterStatus({len(MEMBERS)})",
        path="/calisthenics.training.v1.RosterService/GetRosterStatus",
        message=roster_pb2.GetRosterStatusRequest(
            external_user_id=COACH, group_id=group_id, local_date=to_date(data.NOW.date())
        ),
        count=int(100 * scale),
    )


def report(samples: dict[str, dict[str, Sample]], output: Path | None) -> None:
    """Prints the medians, and each beside that of the first database."""
    names = list(next(iter(samples.values())))
    table = Table(title=f"Median ms of one call at a time, beside {names[0]}")
    for heading in ("", *names):
        table.add_column(heading, justify="right" if heading else "left")
    for call, of in samples.items():
        first, *others = (of[name].latency_ms[50] for name in names)
        beside = (f"{one:.2f} ({ratio(one, first):.2f})" for one in others)
        table.add_row(call, f"{first:.2f}", *beside)
    Console().print(table)
    if output:
        medians = {
            call: {name: one.latency_ms[50] for name, one in of.items()}
            for call, of in samples.items()
        }
        output.write_text(json.dumps(medians, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
