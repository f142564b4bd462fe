"""Nobody sees or touches another athlete's data, in any RPC there is.

The RPCs are found by walking the descriptors. A request is filled by the names of its fields; an
RPC with a field that nobody taught this file about fails here until somebody does.
"""

import re
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import (
    access_pb2,
    assignment_pb2,
    coaching_pb2,
    goal_pb2,
    group_pb2,
    phase_pb2,
    progression_pb2,
    readiness_pb2,
    schedule_pb2,
    session_pb2,
)
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.type.date_pb2 import Date

from tests.citus import Cluster
from tests.support import (
    PULL_UP,
    Athlete,
    Refusal,
    a_goal,
    a_grant,
    a_group,
    a_phase,
    a_rule,
    a_schedule,
    a_session,
    a_wellness,
    a_workout,
    an_invitation,
    call_bytes,
    enter,
    grant,
    invite,
    new_group,
    patched_queries,
    refused,
)
from training_service import contract
from training_service.servicers.convert import to_date
from training_service.storage.tables import metadata

SECRET = "a-secret-of-alice"
NOT_FOUND = {
    "WORKOUT_NOT_FOUND",
    "SESSION_NOT_FOUND",
    "UNKNOWN_WORKOUT",
    "PHASE_NOT_FOUND",
    "UNKNOWN_PHASE",
    "SCHEDULE_NOT_FOUND",
    "GOAL_NOT_FOUND",
    "GRANT_NOT_FOUND",
    "GROUP_NOT_FOUND",
    "INVITATION_NOT_FOUND",
    "PROGRESSION_RULE_NOT_FOUND",
}
ALL = {m.full_name: m for m in contract.methods()}


def access(method: MethodDescriptor) -> int:
    return method.GetOptions().Extensions[access_pb2.access]


OF_USERS = [n for n, m in ALL.items() if access(m) == access_pb2.ACCESS_LEVEL_USER]
NOT_PUBLIC = [n for n, m in ALL.items() if access(m) != access_pb2.ACCESS_LEVEL_PUBLIC_CATALOGUE]
OF_ADMINS = [n for n, m in ALL.items() if access(m) == access_pb2.ACCESS_LEVEL_ADMIN]


# The field that is changed, of what has no name of its own.
MASKED = {"UpdateProgressionRule": "auto_apply", "UpdateMember": "role"}

# Fields that mean something else in one RPC.
OWN: dict[str, dict[str, Any]] = {
    "ListSessions": {"workout_id": None, "exercise_id": None},
    "AdaptSession": {"workout_id": None},
    "GetProgressChart": {"kind": "CHART_KIND_EXERCISE_PROGRESS"},
    "GetLeaderboard": {
        "measure": "LEADERBOARD_MEASURE_RELATIVE_STRENGTH",
        "period": "LEADERBOARD_PERIOD_4_WEEKS",
    },
    # Before all phases: what comes after them may be too far ahead.
    "AdoptProgram": {"start_date": Date(year=2020, month=1, day=6)},
}


class Belongings:
    """What alice has, and how each field of a request would name it."""

    def __init__(self, alice: Athlete) -> None:
        self.alice = alice
        self.workout = alice.create_workout(description=SECRET)
        self.session = alice.log(
            a_session(
                notes=SECRET,
                group_external_id=SECRET,
                workout_id=self.workout.id,
                workout_revision=1,
            )
        )
        self.wellness = alice.readiness.LogWellness(
            readiness_pb2.LogWellnessRequest(entry=a_wellness(notes=SECRET))
        )
        self.dates = {"start_date": free_date(alice, days=7), "end_date": free_date(alice, days=28)}
        macrocycle = a_phase(
            kind="PHASE_KIND_MACROCYCLE",
            description=SECRET,
            volume_factors=[],
            deload_weeks=[],
            **self.dates,
        )
        self.phase = alice.phases.CreatePhase(phase_pb2.CreatePhaseRequest(phase=macrocycle))
        today = datetime.now(UTC).date()
        self.schedule = alice.schedules.CreateSchedule(
            schedule_pb2.CreateScheduleRequest(
                # So that something is planned for the days that are listed unless others are named.
                schedule=a_schedule(
                    self.workout.id,
                    display_name=SECRET,
                    start_date=to_date(today),
                    end_date=to_date(today + timedelta(14)),
                )
            )
        )
        self.goal = alice.goals.CreateGoal(
            goal_pb2.CreateGoalRequest(goal=a_goal(display_name=SECRET))
        )

        self.rule = alice.progression.CreateProgressionRule(
            progression_pb2.CreateProgressionRuleRequest(
                rule=a_rule(workout_id=self.workout.id, workout_order=1)
            )
        )

        self.grant = alice.coaching.CreateGrant(coaching_pb2.CreateGrantRequest(grant=a_grant()))
        self._lead_and_enter_groups()
        # So that the grant was made use of.
        coach = alice.as_another(self.grant.grantee_user_id)
        coach.sessions.ListSessions(session_pb2.ListSessionsRequest(external_user_id=alice.id))
        self._exchange_workouts()

    def _lead_and_enter_groups(self) -> None:
        """Alice coaches a group with somebody else, invited another, and is invited herself."""
        coach = self.alice.as_another()
        self.second_coach = coach.id
        self.group = new_group(self.alice, display_name=SECRET)
        enter(self.alice, self.group, coach, "MEMBER_ROLE_COACH")
        self.sent = invite(self.alice, self.group, str(uuid.uuid4()))
        self.received = invite(coach, new_group(coach), self.alice.id)

    def _exchange_workouts(self) -> None:
        """Lets somebody else give alice a workout, and alice give them hers."""
        partner = self.alice.as_another()
        self.partner_id = partner.id
        scopes = [access_pb2.GRANT_SCOPE_WRITE_WORKOUTS, access_pb2.GRANT_SCOPE_WRITE_SCHEDULE]
        grant(partner, self.alice.id, *scopes)
        grant(self.alice, partner.id, *scopes)
        given = partner.create_workout(description=SECRET)
        request = assignment_pb2.AssignWorkoutsRequest(
            workouts=[assignment_pb2.WorkoutToAssign(workout_id=given.id)],
            athlete_user_ids=[self.alice.id],
        )
        [result] = partner.assignments.AssignWorkouts(request).results
        self.copy_id = result.assigned.workouts[0].workout_id

    def request(self, method: MethodDescriptor) -> Message:
        """Returns a request that alice herself could make."""
        request = GetMessageClass(method.input_type)()
        fields = set(method.input_type.fields_by_name)
        known = self._known(method)
        assert fields <= known.keys(), f"teach this test about {fields - known.keys()}"
        for name in fields:
            value = known[name]
            if isinstance(value, Message):
                getattr(request, name).CopyFrom(value)
            elif isinstance(value, list):
                getattr(request, name).extend(value)
            elif value is not None:
                setattr(request, name, value)
        return request

    def _known(self, method: MethodDescriptor) -> dict[str, Any]:
        followed = a_session(workout_id=self.workout.id)
        if method.name == "UndeleteWorkout" and not self.workout.HasField("delete_time"):
            self.workout = self.alice.workouts.DeleteWorkout(
                type_of("DeleteWorkout")(workout_id=self.workout.id)
            )
        return {
            "external_user_id": None,
            "workout_id": self.workout.id,
            "session_id": self.session.id,
            "exercise_id": PULL_UP,
            "revision": 1,
            "grant_id": self.grant.id,
            "group_id": self.group.id,
            "group": a_group(),
            "member_user_id": self.second_coach,
            "member": group_pb2.Member(role="MEMBER_ROLE_ASSISTANT"),
            "invitation_id": self.received.id,
            "invitation": an_invitation(str(uuid.uuid4())),
            "granted_scopes": ["GRANT_SCOPE_READ_METRICS"],
            "grant_expire_time": None,
            "sharing": ["SHARING_ANALYTICS"],
            "grant": a_grant(),
            "goal_id": self.goal.id,
            "goal": a_goal(),
            "workout": a_workout(),
            "workout_ids": [self.workout.id],
            "workouts": [assignment_pb2.WorkoutToAssign(workout_id=self.workout.id)],
            "athlete_user_ids": [self.partner_id],
            "on_existing": assignment_pb2.ON_EXISTING_COPY_OVERWRITE,
            "with_schedules": True,
            "session": followed,
            "entry": a_wellness(),
            "requests": [session_pb2.LogSessionRequest(session=followed)],
            "progression_rule_id": self.rule.id,
            "rule": a_rule(workout_id=self.workout.id, workout_order=2),
            "past": progression_pb2.PastSessions(),
            "hypothetical": None,
            "update_mask": _mask(MASKED.get(method.name, "display_name")),
            "request_id": str(uuid.uuid4()),
            "view": session_pb2.SESSION_VIEW_FULL,
            "show_deleted": True,
            "show_retracted": True,
            "show_superseded": True,
            "show_abandoned": True,
            "reason": "why not",
            "phase_id": self.phase.id,
            "schedule_id": self.schedule.id,
            "schedule": a_schedule(self.workout.id),
            "swapped_exercise_id": PULL_UP,
            "number": 1,
            "skip": True,
            "phase": phase_pb2.Phase(
                parent_id=self.phase.id,
                kind="PHASE_KIND_MICROCYCLE",
                display_name="Week 1",
                **self.dates,
            ),
            "start_date": free_date(self.alice),
            "model": phase_pb2.PERIODIZATION_MODEL_STEP,
            "week_count": 8,
            "slug": "recommended-routine",
            "shift_later": True,
            "force": True,
            "confirm": True,
            "discard_changes": True,
            # Left at their defaults: they only narrow or order.
            **dict.fromkeys(
                [
                    "etag",
                    "page_size",
                    "page_token",
                    "max_entries",
                    "period",
                    "cursor",
                    "query",
                    "atomic",
                    "from_time",
                    "to_time",
                    "from_date",
                    "to_date",
                    "oldest_first",
                    "time_zone",
                    "kind",
                    "family",
                    "format",
                    "theme",
                    "width_pixels",
                    "height_pixels",
                    "measure",
                    "unit",
                    "deviation",
                    "local_date",
                    "day_count",
                    "new_date",
                    "restore",
                    "body_mass_kg",
                    "sessions_per_week",
                    "categories",
                    "equipment_at_hand",
                    "max_results",
                    "minutes_available",
                    "spared_muscles",
                    "spared_joints",
                    "readiness_score",
                    "parent_id",
                    "mesocycle_week_count",
                    "deload_every_weeks",
                    "with_microcycles",
                    "display_name",
                    "focus",
                    "validate_only",
                    "start_loads",
                    "start_steps",
                    "auto_apply",
                ]
            ),
            **({"invitation_id": self.sent.id} if method.name == "WithdrawInvitation" else {}),
            **OWN.get(method.name, {}),
        }


def free_date(athlete: Athlete, days: int = 0) -> Date:
    """Returns the day after all phases and sessions of an athlete, or some days later."""
    phases = athlete.phases.ListPhases(phase_pb2.ListPhasesRequest(page_size=1000)).phases
    end = max(
        (date(p.end_date.year, p.end_date.month, p.end_date.day) for p in phases),
        default=date(2026, 3, 9),
    )
    day = end + timedelta(days=days)
    return to_date(day)


def _mask(path: str) -> Message:
    mask = type_of("UpdateWorkout")().update_mask
    mask.paths.append(path)
    return mask


def type_of(rpc: str) -> Any:
    [method] = [m for m in ALL.values() if m.name == rpc]
    return GetMessageClass(method.input_type)


def call(channel: grpc.Channel, method: MethodDescriptor, request: Message) -> Message:
    path = f"/{method.containing_service.full_name}/{method.name}"
    response = call_bytes(channel, path, request.SerializeToString())
    return GetMessageClass(method.output_type).FromString(response)


def call_or_refusal(
    channel: grpc.Channel, method: MethodDescriptor, request: Message
) -> Message | Refusal:
    try:
        return call(channel, method, request)
    except grpc.RpcError as error:
        return Refusal(error)


def rows_of(owner: psycopg.Connection, athlete: Athlete) -> dict[str, list[tuple[Any, ...]]]:
    """Everything the database holds of an athlete."""
    return {
        name: sorted(
            owner.execute(
                f"SELECT * FROM {name} WHERE external_user_id = %s", [athlete.id]
            ).fetchall(),
            key=repr,
        )
        for name, table in metadata.tables.items()
        if "external_user_id" in table.c
    }


def neutralised(sql: str) -> str:
    """Returns a statement without its condition on whose row it is."""
    return re.sub(r"(\w+\.)*external_user_id = (\$\d+::UUID)", r"\2 IS NOT NULL", sql)


def aimed(user_id: str, sql: str) -> str:
    """Returns a statement with its condition turned to the rows of one user, whoever asks: Citus
    runs few statements that have none."""
    return re.sub(
        r"((?:\w+\.)*external_user_id =) (\$\d+::UUID)",
        rf"\2 IS NOT NULL AND \1 '{user_id}'::UUID",
        sql,
    )


@pytest.fixture(params=["conditions kept", "conditions neutralised"])
def conditions(
    request: pytest.FixtureRequest, alice: Athlete, cluster: Cluster
) -> AbstractContextManager[None]:
    """With and without the WHERE clauses: row-level security must hold alone."""
    weaken = partial(aimed, alice.id) if cluster.is_there else neutralised
    weakened = request.param == "conditions neutralised"
    return patched_queries(weaken) if weakened else nullcontext()


@pytest.mark.parametrize("name", OF_USERS)
def test_bob_gets_nothing_of_alices(
    name: str,
    alice: Athlete,
    bob: Athlete,
    owner: psycopg.Connection,
    conditions: AbstractContextManager[None],
    cluster: Cluster,
) -> None:
    method = ALL[name]
    belongings = Belongings(alice)
    request = belongings.request(method)
    before = rows_of(owner, alice)

    with conditions:
        answer = call_or_refusal(bob.channel, method, request)
    if isinstance(answer, Refusal):
        # Aimed at the rows of another, a write does not find what it wrote itself.
        assert answer.reason in NOT_FOUND or (cluster.is_there and answer.reason == "INTERNAL")
        assert SECRET not in answer.message
    else:
        seen = answer.SerializeToString()
        assert SECRET.encode() not in seen
        assert alice.id.encode() not in seen
        assert belongings.session.id.encode() not in seen
        assert belongings.copy_id.encode() not in seen

    request.external_user_id = alice.id
    with refused("ATHLETE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        call(bob.channel, method, request)

    assert rows_of(owner, alice) == before
    # The request was one that does something: its owner may make it.
    call(alice.channel, method, request)


@pytest.mark.parametrize("name", OF_USERS)
def test_an_athlete_who_exists_is_answered_like_one_who_does_not(
    name: str, alice: Athlete, bob: Athlete
) -> None:
    request = Belongings(alice).request(ALL[name])
    answers = []
    for named in (alice.id, str(uuid.uuid4())):
        request.external_user_id = named
        with refused("ATHLETE_NOT_FOUND") as refusals:
            call(bob.channel, ALL[name], request)
        answers.append((refusals[0].code, refusals[0].message, refusals[0].metadata))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", OF_USERS)
def test_a_sibling_service_may_act_for_an_athlete(
    name: str, alice: Athlete, sibling: Athlete
) -> None:
    request = Belongings(alice).request(ALL[name])
    request.external_user_id = alice.id
    call(sibling.channel, ALL[name], request)


@pytest.mark.parametrize("name", NOT_PUBLIC)
def test_a_call_without_identity_is_refused(
    name: str, alice: Athlete, new_athlete: Callable[..., Athlete]
) -> None:
    stranger = new_athlete(metadata={})
    with refused("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED):
        call(stranger.channel, ALL[name], GetMessageClass(ALL[name].input_type)())


@pytest.mark.parametrize("name", OF_ADMINS)
def test_an_ordinary_athlete_or_service_is_no_administrator(
    name: str, alice: Athlete, sibling: Athlete
) -> None:
    for caller in (alice, sibling):
        with refused("PERMISSION_DENIED", grpc.StatusCode.PERMISSION_DENIED):
            call(caller.channel, ALL[name], GetMessageClass(ALL[name].input_type)())


def test_neutralising_reaches_every_condition(alice: Athlete, cluster: Cluster) -> None:
    """The proof that row-level security holds alone rests on this."""
    if cluster.is_there:
        pytest.skip("Citus runs few statements without these conditions")
    weakened: set[str] = set()
    conditional: set[str] = set()

    def weaken(sql: str) -> str:
        result = neutralised(sql)
        if result != sql:
            weakened.add(sql)
        if re.search(r"WHERE.*external_user_id = \$", result, re.DOTALL):
            conditional.add(result)
        return result

    with patched_queries(weaken):
        # Who is erased is refused everything from there on.
        for name in sorted(OF_USERS, key=lambda name: "RequestErasure" in name):
            call(alice.channel, ALL[name], Belongings(alice).request(ALL[name]))
    assert not conditional
    assert len(weakened) >= 10
