"""Who wrote what: what is written under a grant names the one who wrote it, wherever it is read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from calisthenics.training.v1 import session_pb2, workout_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.rpc.test_export_all import changes, export_all, sessions_of
from tests.rpc.test_grant_matrix import GRANTABLE, SCOPES
from tests.rpc.test_isolation import ALL, Belongings, type_of
from tests.support import (
    Athlete,
    a_goal,
    a_phase,
    a_rule,
    a_schedule,
    a_session,
    a_wellness,
    a_workout,
    call_bytes,
    grant,
)
from training_service import contract
from training_service.servicers.convert import to_date
from training_service.storage.author import signed_record
from training_service.storage.tables import metadata, sessions, workout_revisions

WRITES = [name for name in GRANTABLE if not contract.stores_nothing(ALL[name])]
SHOW_NO_AUTHOR = {
    "DeletePhase": "ids",
    "MovePhase": "days of phases",
    "DeleteSchedule": "nothing",
    "ReschedulePlannedSession": "nothing",
}
"""Writes whose answers have no place for an author, and what they have instead."""
SHOW_WHAT_WAS_THERE = {"DeleteWorkout", "UndeleteWorkout", "DeleteProgressionRule", "VoidSession"}
"""Writes whose answers have the author of what was written before."""


@pytest.fixture(autouse=True)
def _granted(alice: Athlete, bob: Athlete) -> None:
    """Bob coaches Alice."""
    grant(alice, bob.id, *SCOPES)


def rpc(name: str) -> MethodDescriptor:
    [method] = [one for one in ALL.values() if one.name == name]
    return method


def answer_bytes(caller: Athlete, method: MethodDescriptor, request: Message) -> bytes:
    path = f"/{method.containing_service.full_name}/{method.name}"
    return call_bytes(caller.channel, path, request.SerializeToString())


def send(caller: Athlete, of: Athlete, name: str, **fields: Any) -> Any:
    """Calls an RPC for an athlete."""
    request = type_of(name)(external_user_id=of.id, **fields)
    found = GetMessageClass(rpc(name).output_type)
    return found.FromString(answer_bytes(caller, rpc(name), request))


def authors(message: Any) -> set[str]:
    """Returns all authors that an answer names; empty is the athlete."""
    found = set()
    if "author_user_id" in message.DESCRIPTOR.fields_by_name:
        found.add(message.author_user_id)
    for field, value in message.ListFields():
        if field.message_type:
            for one in value if field.is_repeated else [value]:
                found |= authors(one)
    return found


# Every write there is


def messages_within(message: Descriptor) -> dict[str, Descriptor]:
    """Returns a message and all that are within it, by name."""
    found: dict[str, Descriptor] = {}
    ahead = [message]
    while ahead:
        one = ahead.pop()
        if one.full_name not in found:
            found[one.full_name] = one
            ahead += [field.message_type for field in one.fields if field.message_type]
    return found


@pytest.mark.parametrize("name", WRITES)
def test_each_write_shows_its_author_or_is_excused(name: str) -> None:
    """A new one without must be excused above."""
    within = messages_within(ALL[name].output_type).values()
    has_place = any("author_user_id" in one.fields_by_name for one in within)
    assert has_place == (ALL[name].name not in SHOW_NO_AUTHOR)


def test_only_writes_are_excused() -> None:
    assert SHOW_NO_AUTHOR.keys() | SHOW_WHAT_WAS_THERE <= {ALL[name].name for name in WRITES}


def stored(owner: psycopg.Connection, table: str, athlete: Athlete, *columns: str) -> list[Any]:
    query = f"SELECT {', '.join(columns)} FROM training.{table} WHERE external_user_id = %s"
    return owner.execute(query, [athlete.id]).fetchall()


def all_authors(owner: psycopg.Connection, athlete: Athlete) -> set[UUID]:
    return {
        author
        for table in metadata.tables.values()
        if "author_user_id" in table.c
        for (author,) in stored(owner, table.name, athlete, "author_user_id")
    } - {None}


@pytest.mark.parametrize("caller", ["athlete", "coach", "service"])
@pytest.mark.parametrize("name", WRITES)
def test_a_write_names_the_coach_and_nobody_else_and_so_does_its_replay(
    name: str,
    caller: str,
    alice: Athlete,
    bob: Athlete,
    sibling: Athlete,
    owner: psycopg.Connection,
) -> None:
    method = ALL[name]
    request: Any = Belongings(alice).request(method)
    request.external_user_id = alice.id
    before = all_authors(owner, alice)
    for entry in getattr(request, "requests", ()):
        entry.request_id = str(uuid4())
    by = {"athlete": alice, "coach": bob, "service": sibling}[caller]
    found = answer_bytes(by, method, request)
    answer: Any = GetMessageClass(method.output_type).FromString(found)
    named = bob.id if caller == "coach" else ""

    if method.name in SHOW_NO_AUTHOR:
        assert authors(answer) == set()
    else:
        assert authors(answer) == {"" if method.name in SHOW_WHAT_WAS_THERE else named}
    if method.name == "VoidSession":
        assert answer.retract_author_user_id == named
    for again in (by, alice):
        assert answer_bytes(again, method, request) == found

    for table in ("sessions", "workout_revisions", "progression_rules"):
        for (record,) in stored(owner, table, alice, "record"):
            assert bob.id.encode() not in record
    if caller != "coach":
        assert all_authors(owner, alice) <= before


# What is changed: the author is that of the present version


@dataclass(frozen=True)
class Kind:
    """Something that can be changed, and the names of its RPCs and fields."""

    name: str
    field: str
    make: Callable[..., Any]
    changed: str = "display_name"

    @property
    def snake(self) -> str:
        return "progression_rule" if self.field == "rule" else self.field

    def create(self, caller: Athlete, of: Athlete, **fields: Any) -> Any:
        workout_ids = [of.create_workout().id] if self.name == "Schedule" else []
        content = self.make(*workout_ids, **fields)
        return send(caller, of, f"Create{self.name}", **{self.field: content})

    def update(self, caller: Athlete, of: Athlete, id: str) -> Any:
        fields = {self.changed: True if self.changed == "auto_apply" else "Another name"}
        content = type(self.make())(**fields)
        return send(
            caller,
            of,
            f"Update{self.name}",
            update_mask={"paths": [self.changed]},
            **{f"{self.snake}_id": id, self.field: content},
        )

    def read(self, caller: Athlete, of: Athlete, id: str) -> list[Any]:
        """Returns it as it is got and as it is listed."""
        listed = send(caller, of, f"List{self.name}s")
        [items] = [value for field, value in listed.ListFields() if field.is_repeated]
        return [send(caller, of, f"Get{self.name}", **{f"{self.snake}_id": id}), *items]


KINDS = [
    Kind("Workout", "workout", a_workout),
    Kind("Phase", "phase", a_phase),
    Kind("Goal", "goal", a_goal),
    Kind("Schedule", "schedule", a_schedule),
    Kind("ProgressionRule", "rule", a_rule, "auto_apply"),
]
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@by_kind
def test_the_author_is_of_the_present_version(kind: Kind, alice: Athlete, bob: Athlete) -> None:
    written = kind.create(bob, alice)
    assert written.author_user_id == bob.id
    for author, expected in ((alice, ""), (bob, bob.id), (alice, "")):
        for reader in (alice, bob):
            assert kind.read(reader, alice, written.id) == [written, written]
        written = kind.update(author, alice, written.id)
        assert written.author_user_id == expected
    assert kind.read(bob, alice, written.id) == [written, written]


@by_kind
def test_an_author_that_is_sent_is_ignored(kind: Kind, alice: Athlete, bob: Athlete) -> None:
    created = kind.create(alice, alice, author_user_id=bob.id)
    assert created.author_user_id == ""
    assert kind.read(alice, alice, created.id) == [created, created]


def test_moved_and_generated_phases_bear_their_author(alice: Athlete, bob: Athlete) -> None:
    phase = send(alice, alice, "CreatePhase", phase=a_phase())
    day = {"year": 2026, "month": 4, "day": 6}
    send(bob, alice, "MovePhase", phase_id=phase.id, start_date=day)
    assert send(alice, alice, "GetPhase", phase_id=phase.id).author_user_id == bob.id
    day = {"year": 2027, "month": 1, "day": 4}
    template = {"model": 1, "week_count": 8}
    generated = send(bob, alice, "GeneratePhases", start_date=day, **template)
    assert authors(generated) == {bob.id}
    [moved, *listed] = send(alice, alice, "ListPhases").phases
    assert moved.id == phase.id
    assert listed == list(generated.phases)


def test_an_abandoned_goal_bears_who_abandoned_it(alice: Athlete, bob: Athlete) -> None:
    goal = send(alice, alice, "CreateGoal", goal=a_goal())
    assert send(bob, alice, "AbandonGoal", goal_id=goal.id).author_user_id == bob.id
    assert send(alice, alice, "GetGoal", goal_id=goal.id).author_user_id == bob.id


def test_each_revision_of_a_workout_bears_its_author(alice: Athlete, bob: Athlete) -> None:
    [kind, *_] = KINDS
    workout = kind.create(bob, alice)
    kind.update(alice, alice, workout.id)
    rolled_back = send(bob, alice, "RollbackWorkout", workout_id=workout.id, revision=2)
    assert rolled_back.author_user_id == bob.id
    own = send(alice, alice, "RollbackWorkout", workout_id=workout.id, revision=1)
    assert own.author_user_id == ""
    listed = send(alice, alice, "ListWorkoutRevisions", workout_id=workout.id).revisions
    assert [one.author_user_id for one in listed] == ["", bob.id, "", bob.id]
    for one in listed:
        got = send(bob, alice, "GetWorkoutRevision", workout_id=workout.id, revision=one.revision)
        assert got == one
    send(alice, alice, "DeleteWorkout", workout_id=workout.id)
    assert send(bob, alice, "UndeleteWorkout", workout_id=workout.id).author_user_id == ""


def test_a_session_of_a_coachs_workout_is_the_athletes_own(alice: Athlete, bob: Athlete) -> None:
    workout = send(bob, alice, "CreateWorkout", workout=a_workout())
    draft = send(alice, alice, "InstantiateWorkout", workout_id=workout.id)
    assert draft.author_user_id == ""
    draft.MergeFrom(a_session(exercises=[]))
    assert send(alice, alice, "LogSession", session=draft).author_user_id == ""


def test_a_planned_session_bears_who_moved_it(alice: Athlete, bob: Athlete) -> None:
    today = datetime.now(UTC).date()
    days = {"start_date": to_date(today), "end_date": to_date(today + timedelta(3))}
    workout = send(alice, alice, "CreateWorkout", workout=a_workout())
    schedule = a_schedule(workout.id, **days)
    schedule_id = send(alice, alice, "CreateSchedule", schedule=schedule).id

    def planned() -> list[str]:
        found = send(bob, alice, "ListPlannedSessions").planned_sessions
        return [one.author_user_id for one in sorted(found, key=lambda one: one.number)]

    assert planned() == ["", "", ""]
    for caller, expected in ((bob, bob.id), (alice, ""), (bob, bob.id)):
        fields: dict[str, Any] = {"schedule_id": schedule_id, "number": 2}
        send(caller, alice, "ReschedulePlannedSession", skip=True, **fields)
        assert planned() == ["", expected, ""]
    assert send(alice, alice, "GetSchedule", schedule_id=schedule_id).author_user_id == ""
    send(alice, alice, "ReschedulePlannedSession", restore=True, **fields)
    assert planned() == ["", "", ""]


# What is appended: each has its own


def test_each_wellness_entry_of_a_day_bears_its_author(alice: Athlete, bob: Athlete) -> None:
    entries = [
        send(caller, alice, "LogWellness", entry=a_wellness(author_user_id=str(uuid4())))
        for caller in (bob, alice, bob)
    ]
    assert [one.author_user_id for one in entries] == [bob.id, "", bob.id]
    listed = send(bob, alice, "ListWellness", show_superseded=True).entries
    assert [one.author_user_id for one in listed] == [bob.id, "", bob.id]
    assert list(send(alice, alice, "ListWellness").entries) == entries[-1:]


def all_reads(
    caller: Athlete, of: Athlete, service: Athlete, ids: list[str]
) -> Iterator[list[session_pb2.Session]]:
    """Yields some sessions, the oldest first, as each of the RPCs returns them whole."""
    yield [send(caller, of, "GetSession", session_id=id) for id in ids]
    retracted: dict[str, Any] = {"show_retracted": True}
    yield list(send(caller, of, "ListSessions", view="SESSION_VIEW_FULL", **retracted).sessions)[
        ::-1
    ]
    yield list(send(caller, of, "ExportSessions", **retracted).sessions)
    yield sessions_of(export_all(service, **retracted), of)


def test_sessions_and_their_retractions_bear_their_authors(
    alice: Athlete, bob: Athlete, sibling: Athlete
) -> None:
    first = alice.log()
    amended = send(
        bob, alice, "AmendSession", session_id=first.id, session=a_session(notes="As told.")
    )
    assert (amended.author_user_id, amended.retract_author_user_id) == (bob.id, "")
    again = send(alice, alice, "AmendSession", session_id=amended.id, session=a_session())
    voided = send(bob, alice, "VoidSession", session_id=again.id)
    expected = [("", bob.id), (bob.id, ""), ("", bob.id)]

    ids = [first.id, amended.id, again.id]
    reads = [list(send(bob, alice, "ListSessionVersions", session_id=first.id).sessions)]
    reads += [found for reader in (alice, bob) for found in all_reads(reader, alice, sibling, ids)]
    for found in reads:
        assert found == reads[0]
    assert [(s.author_user_id, s.retract_author_user_id) for s in reads[0]] == expected
    assert reads[0][-1] == voided

    basic = send(alice, alice, "ListSessions", show_retracted=True).sessions[::-1]
    assert [(s.author_user_id, s.retract_author_user_id) for s in basic] == expected
    log, _ = changes(sibling, include_sessions=True)
    logged = [one.session for one in log if one.session.id in ids]
    assert [one.author_user_id for one in logged] == ["", bob.id, ""]


def test_what_was_logged_by_one_is_answered_to_the_other_as_it_was(
    alice: Athlete, bob: Athlete
) -> None:
    for author, other in ((alice, bob), (bob, alice)):
        fields: dict[str, Any] = {"session": a_session(), "request_id": str(uuid4())}
        logged = send(author, alice, "LogSession", **fields)
        assert logged.author_user_id == (bob.id if author is bob else "")
        assert send(other, alice, "LogSession", **fields) == logged
        batch = send(other, alice, "BatchLogSessions", requests=[fields, fields])
        assert [one.session for one in batch.results] == [logged, logged]


def test_a_session_that_comes_twice_in_a_batch_bears_its_author(
    alice: Athlete, bob: Athlete
) -> None:
    fields: dict[str, Any] = {"session": a_session(), "request_id": str(uuid4())}
    batch = send(bob, alice, "BatchLogSessions", requests=[fields, fields])
    assert [one.session.author_user_id for one in batch.results] == [bob.id, bob.id]


# Who must be forgotten can be


def test_whoever_an_answer_that_is_kept_names_is_found_by_its_row(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    """Also where the athlete deletes what the coach wrote."""
    workout = send(bob, alice, "CreateWorkout", workout=a_workout(), request_id=str(uuid4()))
    rule = send(bob, alice, "CreateProgressionRule", rule=a_rule(), request_id=str(uuid4()))
    deleted = [
        send(alice, alice, "DeleteWorkout", workout_id=workout.id, request_id=str(uuid4())),
        send(
            alice,
            alice,
            "DeleteProgressionRule",
            progression_rule_id=rule.id,
            request_id=str(uuid4()),
        ),
    ]
    assert [one.author_user_id for one in deleted] == [bob.id, bob.id]
    send(alice, alice, "CreateWorkout", workout=a_workout(), request_id=str(uuid4()))
    kept = stored(owner, "write_requests", alice, "response", "named_user_id")
    named = [user for response, user in kept if bob.id.encode() in response]
    assert named == [UUID(bob.id)] * 4
    assert [user for _, user in kept if user not in named] == [None]


def test_a_name_is_appended_as_protobuf_would_write_it() -> None:
    author = uuid4()
    for table, message in (
        (sessions, session_pb2.Session(author_user_id=str(author))),
        (workout_revisions, workout_pb2.Workout(author_user_id=str(author))),
    ):
        assert signed_record(table, b"", author) == message.SerializeToString()
        assert signed_record(table, b"", None) == b""
