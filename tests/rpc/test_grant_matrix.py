"""Every RPC on an athlete's data, by all ways in which a coach may or may not have been let in.

The RPCs are found by walking the descriptors.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from calisthenics.training.v1 import access_pb2, coaching_pb2, group_pb2
from google.protobuf.descriptor import MethodDescriptor

from tests.rpc.test_isolation import ALL, NOT_FOUND, OF_USERS, Belongings, call_or_refusal, rows_of
from tests.support import (
    Athlete,
    Queries,
    Refusal,
    enter,
    expire,
    grant,
    invite,
    new_group,
    remove,
    revoke,
    uses,
)
from training_service import contract
from training_service.storage.grant import GrantRepository

DOCS = Path(__file__).parents[2] / "docs" / "coaching.md"
SCOPES = list(access_pb2.GrantScope.values()[1:])
GRANTABLE = [name for name in OF_USERS if contract.grant_scope(ALL[name])]
NEVER_GRANTED = [name for name in OF_USERS if not contract.grant_scope(ALL[name])]


def needed(method: MethodDescriptor) -> int:
    scope: int = method.GetOptions().Extensions[access_pb2.grant]
    return scope


def test_what_can_not_be_granted() -> None:
    """What is of grants and groups, and giving away what is one's own."""
    services = {ALL[name].containing_service.name for name in NEVER_GRANTED}
    assert services == {
        "CoachingService",
        "GroupService",
        "AssignmentService",
        "TeamService",
        "RosterService",
        "GovernanceService",
    }
    assigning = [name.rpartition(".")[2] for name in NEVER_GRANTED if "AssignmentService" in name]
    assert assigning == ["AssignWorkouts", "AssignPhase"]


def test_the_docs_name_each_rpc_with_its_scope() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|`]*) \|$", DOCS.read_text(), re.MULTILINE))
    named = {scope: row.split(", ") for scope, row in rows.items()}
    scopes = {contract.grant_scope(ALL[name]) for name in GRANTABLE}
    assert named == {
        scope: [
            name.rpartition(".")[2]
            for name in GRANTABLE
            if contract.grant_scope(ALL[name]) == scope
        ]
        for scope in scopes
    }


class Bench:
    """Alice, whose data is asked for; Bob, who asks; and Carol, who coaches too."""

    def __init__(
        self, alice: Athlete, bob: Athlete, owner: psycopg.Connection, method: MethodDescriptor
    ) -> None:
        self.alice, self.bob, self.carol = alice, bob, alice.as_another()
        self.owner = owner
        self.needed = needed(method)
        self.others = [scope for scope in SCOPES if scope != self.needed]

    def group(self, coach: Athlete, scopes: list[int]) -> group_pb2.Group:
        """Returns a group with alice in it, to which she granted scopes."""
        group = new_group(coach)
        enter(coach, group, self.alice, granted_scopes=scopes)
        return group

    def grant_to(self, group: group_pb2.Group, scopes: list[int]) -> coaching_pb2.Grant:
        message = coaching_pb2.Grant(group_id=group.id, scopes=scopes)
        return self.alice.coaching.CreateGrant(coaching_pb2.CreateGrantRequest(grant=message))


def granted_to_another(on: Bench) -> None:
    grant(on.alice, on.carol.id, *SCOPES)


def other_scopes(on: Bench) -> None:
    grant(on.alice, on.bob.id, *on.others)


def expired(on: Bench) -> None:
    expire(on.owner, grant(on.alice, on.bob.id, *SCOPES))


def revoked(on: Bench) -> None:
    revoke(on.alice, grant(on.alice, on.bob.id, *SCOPES))


def member_without_a_grant(on: Bench) -> None:
    on.group(on.bob, [])


def other_scopes_to_his_group(on: Bench) -> None:
    on.group(on.bob, on.others)


def expired_to_his_group(on: Bench) -> None:
    expire(on.owner, on.grant_to(on.group(on.bob, []), SCOPES))


def revoked_to_his_group(on: Bench) -> None:
    revoke(on.alice, on.grant_to(on.group(on.bob, []), SCOPES))


def granted_to_another_group(on: Bench) -> None:
    on.group(on.carol, SCOPES)


def invited_into_the_group(on: Bench) -> None:
    invite(on.carol, on.group(on.carol, SCOPES), on.bob.id, role="MEMBER_ROLE_COACH")


def athlete_of_the_group(on: Bench) -> None:
    enter(on.carol, on.group(on.carol, SCOPES), on.bob)


def athlete_was_removed(on: Bench) -> None:
    remove(on.bob, on.group(on.bob, SCOPES), on.alice.id)


def athlete_left_and_returned(on: Bench) -> None:
    group = on.group(on.bob, SCOPES)
    remove(on.alice, group, on.alice.id)
    enter(on.bob, group, on.alice)


def coach_was_removed(on: Bench) -> None:
    group = on.group(on.carol, SCOPES)
    enter(on.carol, group, on.bob, "MEMBER_ROLE_COACH")
    remove(on.carol, group, on.bob.id)


def group_was_deleted(on: Bench) -> None:
    request = group_pb2.DeleteGroupRequest(group_id=on.group(on.bob, SCOPES).id)
    on.bob.groups.DeleteGroup(request)


REFUSED: list[Callable[[Bench], None]] = [
    granted_to_another,
    other_scopes,
    expired,
    revoked,
    member_without_a_grant,
    other_scopes_to_his_group,
    expired_to_his_group,
    revoked_to_his_group,
    granted_to_another_group,
    invited_into_the_group,
    athlete_of_the_group,
    athlete_was_removed,
    athlete_left_and_returned,
    coach_was_removed,
    group_was_deleted,
]
"""What does not let bob in. All of it at once does not either."""


def is_leak(answer: Any, belongings: Belongings) -> bool:
    """Whether an answer has anything of what alice has. A write that the database refuses looks
    like a service whose rights are not as they should be."""
    if isinstance(answer, Refusal):
        return answer.reason not in {*NOT_FOUND, "DATABASE_UNAVAILABLE"}
    seen = answer.SerializeToString()
    return any(
        id.encode() in seen
        for id in (
            belongings.session.id,
            belongings.workout.id,
            belongings.phase.id,
            belongings.copy_id,
        )
    )


@pytest.mark.parametrize("name", GRANTABLE)
def test_exactly_what_is_granted_succeeds(
    name: str,
    alice: Athlete,
    bob: Athlete,
    owner: psycopg.Connection,
    queries: Queries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = ALL[name]
    on = Bench(alice, bob, owner, method)
    belongings = Belongings(alice)
    request: Any = belongings.request(method)
    request.external_user_id = alice.id
    for arrange in REFUSED:
        arrange(on)
    logged = len(uses(alice))

    assert_looks_absent(on, method, request, queries)
    assert len(uses(alice)) == logged

    with monkeypatch.context() as unchecked:

        async def admit(*_: object) -> bool:
            return True

        unchecked.setattr(GrantRepository, "admit", admit)
        before = rows_of(owner, alice)
        behind = call_or_refusal(bob.channel, method, request)
        assert not is_leak(behind, belongings), getattr(behind, "reason", behind)
        assert rows_of(owner, alice) == before

    given = grant(alice, bob.id, on.needed)
    assert_succeeds(on, method, request)
    revoke(alice, given)
    assert_looks_absent(on, method, request, queries)
    group = on.group(bob, [on.needed])
    assert_succeeds(on, method, request)
    remove(alice, group, alice.id)
    assert_looks_absent(on, method, request, queries)
    # An assistant reads what was granted, and writes nothing.
    group = on.group(on.carol, [on.needed])
    enter(on.carol, group, bob, "MEMBER_ROLE_ASSISTANT")
    if access_pb2.GrantScope.Name(on.needed).startswith("GRANT_SCOPE_READ"):  # type: ignore[arg-type]
        assert_succeeds(on, method, request)
    else:
        assert_looks_absent(on, method, request, queries)


def assert_succeeds(on: Bench, method: MethodDescriptor, request: Any) -> None:
    logged = len(uses(on.alice))
    answer = call_or_refusal(on.bob.channel, method, request)
    assert not isinstance(answer, Refusal), (answer.reason, answer.message)
    assert len(uses(on.alice)) == logged + 1
    assert uses(on.alice)[0].rpc == method.name
    assert uses(on.alice)[0].grantee_user_id == on.bob.id


def assert_looks_absent(
    on: Bench, method: MethodDescriptor, request: Any, queries: Queries
) -> None:
    """Fails if bob could tell alice from an athlete who does not exist: by what is answered, or by
    what is done for it."""
    absent: Any = type(request)()
    absent.CopyFrom(request)
    absent.external_user_id = str(uuid4())
    seen = []
    for one in (request, absent):
        queries.clear()
        refusal = call_or_refusal(on.bob.channel, method, one)
        assert isinstance(refusal, Refusal)
        details = (refusal.reason, refusal.message, refusal.metadata, refusal.fields)
        seen.append((refusal.code, *details, tuple(queries.data)))
    assert seen[0] == seen[1]
    assert seen[0][1] == "ATHLETE_NOT_FOUND"
