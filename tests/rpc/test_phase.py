"""PhaseService over the wire: phases as a tree, and what is refused."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import phase_pb2 as pb
from calisthenics.training.v1 import session_pb2
from google.type.date_pb2 import Date

from tests.support import (
    Athlete,
    Queries,
    Refusal,
    a_phase,
    a_session,
    at,
    forged_token,
    refused,
)
from training_service.domain.phase import Neighbours
from training_service.servicers import dates

MACROCYCLE, MESOCYCLE, MICROCYCLE = (
    pb.PHASE_KIND_MACROCYCLE,
    pb.PHASE_KIND_MESOCYCLE,
    pb.PHASE_KIND_MICROCYCLE,
)
PLAIN: dict[str, Any] = {"volume_factors": [], "deload_weeks": []}


def day(text: str) -> Date:
    """Returns a date from its month and day in 2026, or from the whole of it."""
    value = date.fromisoformat(text if len(text) > 5 else f"2026-{text}")
    return Date(year=value.year, month=value.month, day=value.day)


def create(
    athlete: Athlete, start: str = "03-02", end: str = "03-30", /, **fields: Any
) -> pb.Phase:
    """Creates a plain phase of some days."""
    message = a_phase(**{**PLAIN, "start_date": day(start), "end_date": day(end), **fields})
    return athlete.phases.CreatePhase(pb.CreatePhaseRequest(phase=message))


def tree(athlete: Athlete) -> tuple[pb.Phase, pb.Phase, pb.Phase, pb.Phase]:
    """Creates a macrocycle of March and April with two mesocycles, the first with a microcycle."""
    whole = create(athlete, "03-02", "05-11", kind=MACROCYCLE)
    first = create(athlete, "03-02", "03-30", parent_id=whole.id)
    second = create(athlete, "03-30", "04-27", parent_id=whole.id)
    week = create(athlete, "03-09", "03-16", kind=MICROCYCLE, parent_id=first.id)
    return whole, first, second, week


def get(athlete: Athlete, phase: pb.Phase) -> pb.Phase:
    return athlete.phases.GetPhase(pb.GetPhaseRequest(phase_id=phase.id))


def update(athlete: Athlete, phase: pb.Phase, *mask: str, **fields: Any) -> pb.Phase:
    return athlete.phases.UpdatePhase(
        pb.UpdatePhaseRequest(
            phase_id=phase.id, phase=pb.Phase(**fields), update_mask={"paths": mask or fields}
        )
    )


def move(athlete: Athlete, phase: pb.Phase, start: str, **fields: Any) -> list[pb.MovedPhase]:
    request = pb.MovePhaseRequest(phase_id=phase.id, start_date=day(start), **fields)
    return list(athlete.phases.MovePhase(request).phases)


def delete(athlete: Athlete, phase: pb.Phase, **fields: Any) -> list[str]:
    request = pb.DeletePhaseRequest(phase_id=phase.id, **fields)
    return list(athlete.phases.DeletePhase(request).phase_ids)


def listed(athlete: Athlete, **fields: Any) -> list[pb.Phase]:
    return list(athlete.phases.ListPhases(pb.ListPhasesRequest(**fields)).phases)


def log(athlete: Athlete, on: str) -> session_pb2.Session:
    return athlete.log(a_session(start_time=at(f"2026-{on}T12:00:00"), time_zone="UTC"))


def starts(athlete: Athlete) -> list[str]:
    """Returns the first days of all phases, as month and day."""
    return [f"{p.start_date.month:02}-{p.start_date.day:02}" for p in listed(athlete)]


def test_a_phase_is_returned_as_it_was_created(alice: Athlete, bob: Athlete) -> None:
    before = datetime.now(UTC)
    sent = a_phase(
        intensity_factors=[0.9, 1],
        deload_weeks=[4, 2],
        day_emphases=[pb.DAY_EMPHASIS_STRENGTH, pb.DAY_EMPHASIS_VOLUME],
        description="more pulling",
    )
    created = alice.phases.CreatePhase(pb.CreatePhaseRequest(phase=sent))
    assert uuid.UUID(created.id).version == 7
    assert created.external_user_id == alice.id
    assert created.etag == "1"
    assert before <= created.create_time.ToDatetime(UTC) <= datetime.now(UTC)
    assert created.update_time == created.create_time
    assert list(created.deload_weeks) == [2, 4]
    expected = pb.Phase()
    expected.CopyFrom(created)
    for name in ("id", "external_user_id", "etag", "create_time", "update_time"):
        expected.ClearField(name)  # type: ignore[arg-type]
    sent.deload_weeks[:] = [2, 4]
    assert expected == sent
    assert get(alice, created) == created
    assert listed(alice) == [created]
    assert listed(bob) == []


def test_what_only_the_service_sets_is_ignored(alice: Athlete) -> None:
    created = create(alice, id="x", external_user_id="y", etag="7", create_time={"seconds": 1})
    assert created.id != "x"
    assert (created.external_user_id, created.etag) == (alice.id, "1")
    assert created.create_time.seconds > 1


def test_another_athletes_phase_does_not_exist(alice: Athlete, bob: Athlete) -> None:
    phase = create(alice)
    for request in (
        lambda: get(bob, phase),
        lambda: update(bob, phase, display_name="mine"),
        lambda: move(bob, phase, "06-01"),
        lambda: delete(bob, phase, force=True),
    ):
        with refused("PHASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
            request()
        assert refusals[0].fields == ["phase_id"]
    with refused("UNKNOWN_PHASE", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        create(bob, kind=MICROCYCLE, parent_id=phase.id)
    assert refusals[0].fields == ["phase.parent_id"]
    assert create(bob).external_user_id == bob.id  # the same days are free for bob
    assert listed(alice) == [phase]


def test_phases_that_touch_are_no_overlap(alice: Athlete, bob: Athlete) -> None:
    create(bob, "01-01", "12-31")
    first = create(alice, "03-02", "03-30")
    second = create(alice, "03-30", "04-27")
    with refused("PHASE_OVERLAP", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
        create(alice, "03-29", "03-31", kind=MICROCYCLE)
    assert refusals[0].fields == ["phase.start_date"]
    assert refusals[0].metadata == {
        "phase_ids": f"{first.id},{second.id}",
        "date_ranges": "2026-03-02/2026-03-30,2026-03-30/2026-04-27",
    }
    assert listed(alice) == [first, second]


def test_what_is_within_a_phase_overlaps_its_siblings_alone(alice: Athlete) -> None:
    _, first, _, week = tree(alice)
    with refused("PHASE_OVERLAP") as refusals:
        create(alice, "03-15", "03-22", kind=MICROCYCLE, parent_id=first.id)
    assert refusals[0].metadata["phase_ids"] == week.id
    create(alice, "03-16", "03-23", kind=MICROCYCLE, parent_id=first.id)


@pytest.mark.parametrize(
    ("start", "end", "path"),
    [
        ("03-01", "03-09", "start_date"),
        ("03-23", "03-31", "end_date"),
        ("06-01", "06-08", "end_date"),
    ],
)
def test_a_phase_stays_within_its_parent(
    alice: Athlete, bob: Athlete, start: str, end: str, path: str
) -> None:
    parent = create(alice)
    create(bob)
    with refused("PHASE_OUTSIDE_PARENT", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
        create(alice, start, end, kind=MICROCYCLE, parent_id=parent.id)
    assert refusals[0].fields == [f"phase.{path}"]
    assert refusals[0].metadata["parent_id"] == parent.id
    assert listed(alice) == [parent]


def test_a_phase_is_within_a_larger_one_alone(alice: Athlete) -> None:
    parent = create(alice)
    for kind in (MACROCYCLE, MESOCYCLE):
        with refused("PHASE_KIND_ORDER", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
            create(alice, kind=kind, parent_id=parent.id)
        assert refusals[0].fields == ["phase.kind"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"kind": 0}, "kind"),
        ({"kind": 9}, "kind"),
        ({"parent_id": "x"}, "parent_id"),
        ({"start_date": None}, "start_date"),
        ({"end_date": None}, "end_date"),
        ({"start_date": Date(year=2026, month=2, day=30)}, "start_date"),
        ({"end_date": Date(year=2026)}, "end_date"),
        ({"start_date": day("1969-12-31")}, "start_date"),
        ({"start_date": day("2199-12-01"), "end_date": day("2200-01-02")}, "end_date"),
        ({"end_date": day("03-02")}, "end_date"),
        ({"end_date": day("03-01")}, "end_date"),
        ({"end_date": day("2028-03-03")}, "end_date"),
        ({"end_date": day("9999-12-31")}, "end_date"),
        ({"display_name": ""}, "display_name"),
        ({"display_name": "x" * 121}, "display_name"),
        ({"display_name": "a\nb"}, "display_name"),
        ({"focus": 99}, "focus"),
        ({"volume_factors": [1, -0.1]}, "volume_factors[1]"),
        ({"volume_factors": [3.1]}, "volume_factors[0]"),
        ({"volume_factors": [float("nan")]}, "volume_factors[0]"),
        ({"volume_factors": [1] * 5}, "volume_factors"),
        ({"intensity_factors": [1] * 5}, "intensity_factors"),
        ({"deload_weeks": [0]}, "deload_weeks[0]"),
        ({"deload_weeks": [5]}, "deload_weeks"),
        ({"deload_weeks": [2, 2]}, "deload_weeks"),
        ({"day_emphases": [0]}, "day_emphases[0]"),
        ({"day_emphases": [1] * 8}, "day_emphases"),
        ({"description": "x" * 4001}, "description"),
        ({"description": "a\0b"}, "description"),
    ],
)
def test_bad_input_is_refused_and_nothing_stored(
    alice: Athlete, bob: Athlete, fields: dict[str, Any], path: str
) -> None:
    of_bob = create(bob)
    message = a_phase(**{name: value for name, value in fields.items() if value is not None})
    for name, value in fields.items():
        if value is None:
            message.ClearField(name)  # type: ignore[arg-type]
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        alice.phases.CreatePhase(pb.CreatePhaseRequest(phase=message))
    assert refusals[0].fields == [f"phase.{path}"]
    assert listed(alice) == []
    assert listed(bob) == [of_bob]


# Changes


def test_a_change_keeps_what_the_mask_leaves_out(alice: Athlete, bob: Athlete) -> None:
    phase, of_bob = alice.phases.CreatePhase(pb.CreatePhaseRequest(phase=a_phase())), create(bob)
    changed = update(alice, phase, "display_name", display_name="Pull", description="not in mask")
    assert (changed.display_name, changed.description, changed.etag) == ("Pull", "", "2")
    assert changed.update_time.ToDatetime() > phase.update_time.ToDatetime()
    phase.display_name, phase.etag = "Pull", "2"
    phase.update_time.CopyFrom(changed.update_time)
    assert changed == phase == get(alice, phase)
    assert get(bob, of_bob) == of_bob


def test_all_can_be_changed_at_once(alice: Athlete) -> None:
    phase = create(alice)
    wanted = a_phase(
        kind=MACROCYCLE,
        start_date=day("06-01"),
        end_date=day("06-15"),
        display_name="Peak",
        focus=pb.PHASE_FOCUS_POWER,
        volume_factors=[],
        intensity_factors=[1.2],
        deload_weeks=[2],
        day_emphases=[pb.DAY_EMPHASIS_HYPERTROPHY],
        description="new",
    )
    changed = alice.phases.UpdatePhase(
        pb.UpdatePhaseRequest(phase_id=phase.id, phase=wanted, update_mask={"paths": ["*"]})
    )
    for name in ("id", "external_user_id", "etag", "create_time", "update_time"):
        changed.ClearField(name)  # type: ignore[arg-type]
    assert changed == wanted


def test_a_phase_can_be_put_within_another_and_out_of_it(alice: Athlete) -> None:
    whole = create(alice, "03-02", "05-11", kind=MACROCYCLE)
    later = create(alice, "05-11", "05-18", kind=MICROCYCLE)
    with refused("PHASE_OUTSIDE_PARENT"):
        update(alice, later, parent_id=whole.id)
    inside = update(
        alice, later, parent_id=whole.id, start_date=day("03-02"), end_date=day("03-09")
    )
    assert (inside.parent_id, inside.start_date) == (whole.id, day("03-02"))
    with refused("PHASE_OVERLAP") as refusals:
        update(alice, later, "parent_id")
    assert refusals[0].metadata["phase_ids"] == whole.id
    out = update(
        alice,
        later,
        "parent_id",
        "start_date",
        "end_date",
        start_date=day("05-11"),
        end_date=day("05-18"),
    )
    assert out.parent_id == ""


def test_a_phase_is_never_within_itself(alice: Athlete, bob: Athlete) -> None:
    whole, first, _, week = tree(alice)
    of_bob = create(bob)
    for parent in (whole, first, week):
        with refused("PHASE_CYCLE", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
            update(alice, whole, parent_id=parent.id)
        assert refusals[0].fields == ["phase.parent_id"]
    for unknown in (of_bob.id, str(uuid.uuid4())):
        with refused("UNKNOWN_PHASE") as refusals:
            update(alice, whole, parent_id=unknown)
        assert refusals[0].fields == ["phase.parent_id"]
    assert get(alice, whole) == whole


def test_a_parent_neither_shrinks_below_nor_shrinks_to_its_children(alice: Athlete) -> None:
    whole, first, _, _ = tree(alice)
    for fields, path in (
        ({"start_date": day("03-03")}, "phase.start_date"),
        ({"end_date": day("04-26")}, "phase.end_date"),
    ):
        with refused("PHASE_OUTSIDE_PARENT") as refusals:
            update(alice, whole, **fields)
        assert refusals[0].fields == [path]
    with refused("PHASE_KIND_ORDER"):
        update(alice, first, kind=MICROCYCLE)
    with refused("PHASE_KIND_ORDER"):
        update(alice, whole, kind=MESOCYCLE)
    assert update(alice, whole, end_date=day("04-27")).end_date == day("04-27")
    assert update(alice, whole, end_date=day("06-01")).end_date == day("06-01")


def test_a_change_onto_others_is_refused(alice: Athlete) -> None:
    _, first, second, _ = tree(alice)
    with refused("PHASE_OVERLAP") as refusals:
        update(alice, first, end_date=day("03-31"))
    assert refusals[0].metadata["phase_ids"] == second.id
    assert get(alice, first) == first


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"display_name": ""}, "display_name"),
        ({"parent_id": "x"}, "parent_id"),
        ({"start_date": None}, "start_date"),
        ({"start_date": Date(year=2026, month=13, day=1)}, "start_date"),
        ({"start_date": day("03-30")}, "end_date"),
        ({"end_date": day("03-23")}, "volume_factors"),
        ({"volume_factors": [4]}, "volume_factors[0]"),
    ],
)
def test_a_bad_change_is_refused(alice: Athlete, fields: dict[str, Any], path: str) -> None:
    phase = alice.phases.CreatePhase(pb.CreatePhaseRequest(phase=a_phase()))
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        update(alice, phase, *fields, **fields)
    assert refusals[0].fields == [f"phase.{path}"]
    assert get(alice, phase) == phase


@pytest.mark.parametrize("mask", [["etag"], ["id"], ["nonsense"], ["start_date.day"], []])
def test_a_mask_that_can_not_be_applied_is_refused(alice: Athlete, mask: list[str]) -> None:
    phase = create(alice)
    request = pb.UpdatePhaseRequest(phase_id=phase.id, phase=phase, update_mask={"paths": mask})
    with refused("INVALID_UPDATE_MASK", grpc.StatusCode.INVALID_ARGUMENT):
        alice.phases.UpdatePhase(request)


def test_an_outdated_etag_is_refused(alice: Athlete) -> None:
    phase = create(alice)
    current = update(alice, phase, "display_name", display_name="Pull", etag=phase.etag)
    for request, path in (
        (
            lambda: update(alice, phase, "display_name", display_name="Push", etag=phase.etag),
            "phase.etag",
        ),
        (lambda: move(alice, phase, "06-01", etag=phase.etag), "etag"),
        (lambda: delete(alice, phase, etag=phase.etag), "etag"),
    ):
        with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED) as refusals:
            request()
        assert refusals[0].fields == [path]
    assert get(alice, phase) == current
    [moved] = move(alice, phase, "06-01", etag=current.etag)
    assert moved.etag == get(alice, phase).etag == "3"
    assert delete(alice, phase, etag="3") == [phase.id]


def test_a_phase_that_holds_others_is_removed_with_force_alone(
    alice: Athlete, bob: Athlete
) -> None:
    whole, first, second, week = tree(alice)
    of_bob = create(bob)
    log(alice, "03-10")
    with refused("PHASE_HAS_CHILDREN", grpc.StatusCode.FAILED_PRECONDITION):
        delete(alice, first)
    assert delete(alice, week) == [week.id]
    assert delete(alice, first) == [first.id]
    assert delete(alice, whole, force=True) == [whole.id, second.id]
    with refused("PHASE_NOT_FOUND"):
        get(alice, whole)
    assert listed(alice) == []
    assert listed(bob) == [of_bob]
    assert len(alice.sessions.ListSessions(session_pb2.ListSessionsRequest()).sessions) == 1


# Moves


def test_a_phase_moves_with_all_that_is_in_it(alice: Athlete, bob: Athlete) -> None:
    whole, first, second, week = tree(alice)
    of_bob = create(bob)
    moved = move(alice, whole, "03-09")
    assert [one.phase_id for one in moved] == [whole.id, first.id, week.id, second.id]
    assert starts(alice) == ["03-09", "03-09", "03-16", "04-06"]
    for one in moved:
        now = get(alice, pb.Phase(id=one.phase_id))
        assert (one.start_date, one.end_date, one.etag) == (now.start_date, now.end_date, now.etag)
        assert now.etag == "2"
    assert moved[0].end_date == day("05-18")
    assert listed(bob) == [of_bob]


def test_later_phases_move_only_when_asked(alice: Athlete) -> None:
    _, first, second, _ = tree(alice)
    with refused("PHASE_OVERLAP", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
        move(alice, first, "03-09")
    assert refusals[0].fields == ["start_date"]
    assert refusals[0].metadata["phase_ids"] == second.id
    assert starts(alice) == ["03-02", "03-02", "03-09", "03-30"]
    move(alice, first, "03-09", shift_later=True)
    assert starts(alice) == ["03-02", "03-09", "03-16", "04-06"]
    move(alice, first, "03-02", shift_later=True)
    assert starts(alice) == ["03-02", "03-02", "03-09", "03-30"]
    move(alice, second, "04-06")
    assert starts(alice) == ["03-02", "03-02", "03-09", "04-06"]


def test_all_or_nothing_moves(alice: Athlete) -> None:
    whole, first, _, _ = tree(alice)
    with refused("PHASE_OUTSIDE_PARENT", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
        move(alice, first, "03-23", shift_later=True)
    assert refusals[0].fields == ["start_date"]
    assert refusals[0].metadata["parent_id"] == whole.id
    assert starts(alice) == ["03-02", "03-02", "03-09", "03-30"]


def test_many_phases_that_touch_are_shifted(alice: Athlete) -> None:
    """Each row is checked as it is written, so that their order matters."""
    alice.phases.GeneratePhases(
        pb.GeneratePhasesRequest(
            model=pb.PERIODIZATION_MODEL_STEP,
            start_date=day("03-02"),
            week_count=104,
            with_microcycles=True,
        )
    )
    later = create(alice, "2028-03-01", "2028-03-08")
    whole = listed(alice, kind=MACROCYCLE)[0]
    for start in ("03-03", "03-01", "03-02"):
        moved = move(alice, whole, start, shift_later=True)
        assert len(moved) == 1 + 26 + 104 + 1
    assert get(alice, later).start_date == day("2028-03-01")


def test_a_phase_that_would_lose_a_session_does_not_move(alice: Athlete, bob: Athlete) -> None:
    whole, first, second, week = tree(alice)
    for on in ("03-02", "03-03", "03-16"):
        log(bob, on)
    log(alice, "03-20")
    session = log(alice, "03-10")
    for request, phase in (
        (lambda: move(alice, whole, "03-11"), whole),
        (lambda: move(alice, first, "03-11", shift_later=True), first),
        (lambda: move(alice, week, "03-11"), week),
        (lambda: update(alice, week, end_date=day("03-10")), week),
        (lambda: update(alice, week, start_date=day("03-11")), week),
        (lambda: move(alice, week, "03-03"), week),
    ):
        with refused("PHASE_HAS_SESSIONS", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
            request()
        assert refusals[0].metadata["local_date"] == "2026-03-10"
        assert refusals[0].metadata["phase_id"] in {phase.id, whole.id, first.id, week.id}
    assert starts(alice) == ["03-02", "03-02", "03-09", "03-30"]
    # Where each of them keeps its sessions, a phase may move.
    move(alice, week, "03-10")
    move(alice, week, "03-04")
    # What is voided does not count any more.
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=session.id, reason="x"))
    move(alice, week, "03-16")
    assert get(alice, second).etag == "1"


@pytest.mark.parametrize(
    "start", [Date(), Date(year=2026, month=2, day=30), day("1969-12-31"), day("2200-01-01")]
)
def test_a_day_that_no_phase_can_begin_on_is_refused(alice: Athlete, start: Date) -> None:
    phase = create(alice)
    with refused("INVALID_FIELD") as refusals:
        alice.phases.MovePhase(pb.MovePhaseRequest(phase_id=phase.id, start_date=start))
    assert refusals[0].fields == ["start_date"]
    with refused("INVALID_FIELD") as refusals:
        alice.phases.MovePhase(pb.MovePhaseRequest(phase_id=phase.id))
    assert refusals[0].fields == ["start_date"]


# Listings


def test_phases_are_listed_each_before_those_within_it(alice: Athlete, bob: Athlete) -> None:
    whole, first, second, week = tree(alice)
    of_bob = create(bob)
    early = create(alice, "2025-01-01", "2025-02-01")
    assert listed(alice) == [early, whole, first, week, second]
    assert listed(alice, kind=MESOCYCLE) == [early, first, second]
    assert listed(alice, parent_id=whole.id) == [first, second]
    assert listed(alice, from_date=day("03-30")) == [whole, second]
    assert listed(alice, to_date=day("03-09")) == [early, whole, first]
    assert listed(alice, from_date=day("03-15"), to_date=day("03-16"), kind=MICROCYCLE) == [week]
    assert listed(alice, parent_id=of_bob.id) == []


def test_phases_can_be_paged(alice: Athlete, bob: Athlete) -> None:
    whole, first, second, week = tree(alice)
    tree(bob)
    request = pb.ListPhasesRequest(page_size=1, from_date=day("01-01"))
    seen = []
    while True:
        response = alice.phases.ListPhases(request)
        seen += [phase.id for phase in response.phases]
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
    assert seen == [phase.id for phase in (whole, first, week, second)]


@pytest.mark.parametrize("key", [("x", "y", "z"), ("2026-03-02", "MESOCYCLE", "z"), (1, 2, 3)])
def test_a_forged_page_token_is_refused(alice: Athlete, key: tuple[Any, ...]) -> None:
    tree(alice)
    token = alice.phases.ListPhases(pb.ListPhasesRequest(page_size=1)).next_page_token
    with refused("INVALID_PAGE_TOKEN", grpc.StatusCode.INVALID_ARGUMENT):
        listed(alice, page_size=1, page_token=forged_token(token, *key))
    with refused("INVALID_PAGE_TOKEN"):
        listed(alice, page_size=1, page_token=token, kind=MESOCYCLE)


@pytest.mark.parametrize("name", ["from_date", "to_date"])
def test_a_date_that_is_none_is_refused(alice: Athlete, name: str) -> None:
    with refused("INVALID_FIELD") as refusals:
        listed(alice, **{name: Date(year=2026, month=13, day=1)})
    assert refusals[0].fields == [name]
    with refused("INVALID_FIELD") as refusals:
        alice.phases.GetCalendar(pb.GetCalendarRequest(**{name: Date(year=2026, month=13, day=1)}))
    assert refusals[0].fields == [name]


# Templates


def template(**fields: Any) -> pb.GeneratePhasesRequest:
    usual: dict[str, Any] = {
        "model": pb.PERIODIZATION_MODEL_STEP,
        "start_date": day("03-02"),
        "week_count": 8,
        "focus": pb.PHASE_FOCUS_SKILL,
    }
    return pb.GeneratePhasesRequest(**{**usual, **fields})


@pytest.mark.parametrize("model", pb.PeriodizationModel.values()[1:])
@pytest.mark.parametrize("with_microcycles", [False, True])
def test_generated_phases_are_stored_as_they_are_returned(
    alice: Athlete, bob: Athlete, model: Any, with_microcycles: bool
) -> None:
    create(bob)
    request = template(model=model, with_microcycles=with_microcycles)
    made = list(alice.phases.GeneratePhases(request).phases)
    assert listed(alice, page_size=100) == made
    kinds = [phase.kind for phase in made]
    assert [kinds.count(kind) for kind in (1, 2, 3)] == [1, 2, 8 if with_microcycles else 0]
    assert (made[0].start_date, made[0].end_date) == (day("03-02"), day("04-27"))
    assert {phase.external_user_id for phase in made} == {alice.id}
    assert {phase.etag for phase in made} == {"1"}


def test_a_step_template_has_the_factors_of_its_source(alice: Athlete) -> None:
    """3:1 by Bompa & Haff 2009."""
    [whole, first, second] = alice.phases.GeneratePhases(template()).phases
    assert list(whole.volume_factors) == []
    for phase in (first, second):
        assert list(phase.volume_factors) == [1.0, 1.05, 1.1, 0.6]
        assert list(phase.deload_weeks) == [4]
        assert phase.focus == pb.PHASE_FOCUS_SKILL


def test_a_template_that_is_only_tried_stores_nothing(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    request = template(validate_only=True, request_id=str(uuid.uuid4()))
    tried = alice.phases.GeneratePhases(request).phases
    assert {phase.etag for phase in tried} == {""}
    assert tried[1].parent_id == tried[0].id
    assert listed(alice) == []
    for table in ("training_phases", "phase_calendars", "write_requests"):
        query = f"SELECT count(*) FROM training.{table} WHERE external_user_id = %s"
        assert owner.execute(query, [alice.id]).fetchone() == (0,)
    in_the_way = create(alice)
    with refused("PHASE_OVERLAP") as refusals:
        alice.phases.GeneratePhases(request)
    assert refusals[0].metadata["phase_ids"] == in_the_way.id


def test_a_template_onto_others_is_refused_whole(alice: Athlete) -> None:
    phase = create(alice, "04-20", "05-01")
    with refused("PHASE_OVERLAP", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
        alice.phases.GeneratePhases(template())
    assert refusals[0].fields == ["start_date"]
    assert refusals[0].metadata["phase_ids"] == phase.id
    assert listed(alice) == [phase]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"model": 0}, "model"),
        ({"model": 9}, "model"),
        ({"start_date": None}, "start_date"),
        ({"start_date": Date(year=2026, month=2, day=29)}, "start_date"),
        ({"start_date": day("2199-12-01")}, "start_date"),
        ({"start_date": day("1960-01-01")}, "start_date"),
        ({"week_count": 0}, "week_count"),
        ({"week_count": 105}, "week_count"),
        ({"mesocycle_week_count": 13}, "mesocycle_week_count"),
        ({"deload_every_weeks": 1}, "deload_every_weeks"),
        ({"deload_every_weeks": 13}, "deload_every_weeks"),
        ({"display_name": "x" * 121}, "display_name"),
        ({"focus": 99}, "focus"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused(
    alice: Athlete, fields: dict[str, Any], path: str
) -> None:
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        alice.phases.GeneratePhases(template(**fields))
    assert refusals[0].fields == [path]
    assert listed(alice) == []


# Days


def active(athlete: Athlete, **fields: Any) -> pb.ActivePhase:
    return athlete.phases.GetActivePhase(pb.GetActivePhaseRequest(**fields))


def calendar(athlete: Athlete, **fields: Any) -> list[pb.CalendarDay]:
    return list(athlete.phases.GetCalendar(pb.GetCalendarRequest(**fields)).days)


def test_the_active_phases_of_a_day(alice: Athlete, bob: Athlete) -> None:
    whole, first, _, week = tree(alice)
    update(alice, first, volume_factors=[1, 1.05], intensity_factors=[0.9], deload_weeks=[2])
    update(alice, whole, intensity_factors=[1, 1.1])
    log(alice, "03-10")
    log(bob, "03-10")
    found = active(alice, local_date=day("03-10"))
    assert found.external_user_id == alice.id
    assert [phase.id for phase in found.phases] == [whole.id, first.id, week.id]
    assert found.phases[2] == week
    assert [(one.phase_id, one.kind, one.week) for one in found.day.phases] == [
        (whole.id, MACROCYCLE, 2),
        (first.id, MESOCYCLE, 2),
        (week.id, MICROCYCLE, 1),
    ]
    assert found.day.local_date == day("03-10")
    assert (found.day.volume_factor, found.day.intensity_factor) == (1.05, 1.1)
    assert (found.day.deload, found.day.session_count) == (True, 1)


def test_a_day_in_no_phase_is_answered_with_none(alice: Athlete, bob: Athlete) -> None:
    create(bob)
    create(alice, "03-02", "03-10")
    found = active(alice, local_date=day("03-10"))
    assert list(found.phases) == list(found.day.phases) == []
    assert not found.day.HasField("volume_factor")
    assert not found.day.HasField("intensity_factor")
    assert (found.day.deload, found.day.session_count) == (False, 0)
    assert len(active(alice, local_date=day("03-09")).phases) == 1


def test_today_is_that_of_the_time_zone(alice: Athlete, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "utc_now", lambda: datetime(2026, 3, 16, 10, 30, tzinfo=UTC))
    phase = create(alice, "03-16", "03-17")
    for zone, on, count in (
        ("Pacific/Kiritimati", "03-17", 0),
        ("", "03-16", 1),
        ("Europe/Berlin", "03-16", 1),
        ("Pacific/Midway", "03-15", 0),
    ):
        found = active(alice, time_zone=zone)
        assert (found.day.local_date, len(found.phases)) == (day(on), count)
        first = calendar(alice, time_zone=zone)[0]
        assert first.local_date == day(on)
    assert [one.phase_id for one in active(alice).day.phases] == [phase.id]
    for call in (active, calendar):
        with refused("INVALID_FIELD") as refusals:
            call(alice, time_zone="Mars/Olympus")
        assert refusals[0].fields == ["time_zone"]


@pytest.mark.parametrize(
    "on", [Date(), Date(year=2026, month=2, day=30), day("1969-12-31"), day("9999-12-31")]
)
def test_an_active_day_that_is_none_is_refused(alice: Athlete, on: Date) -> None:
    with refused("INVALID_FIELD") as refusals:
        active(alice, local_date=on)
    assert refusals[0].fields == ["local_date"]


def test_the_calendar_has_each_day_with_its_phases_and_sessions(
    alice: Athlete, bob: Athlete
) -> None:
    phase = alice.phases.CreatePhase(pb.CreatePhaseRequest(phase=a_phase()))
    week = create(alice, "03-23", "03-30", kind=MICROCYCLE, parent_id=phase.id)
    for on in ("03-02", "03-02", "03-29", "03-31"):
        log(alice, on)
    log(bob, "03-03")
    days = calendar(alice, from_date=day("03-01"), to_date=day("04-02"))
    assert len(days) == 32
    assert [d.local_date.day for d in days] == [*range(1, 32), 1]
    assert {d.local_date.day: d.session_count for d in days if d.session_count} == {
        2: 2,
        29: 1,
        31: 1,
    }
    assert [d.local_date.day for d in days if d.deload] == list(range(23, 30))
    factors = {d.local_date.day: d.volume_factor for d in days if d.HasField("volume_factor")}
    expected = dict(zip(range(2, 30), [1.0] * 7 + [1.05] * 7 + [1.1] * 7 + [0.6] * 7, strict=True))
    assert factors == expected
    assert [one.phase_id for one in days[22].phases] == [phase.id, week.id]
    assert [one.week for one in days[22].phases] == [4, 1]
    assert list(days[0].phases) == list(days[29].phases) == []


def test_a_voided_session_is_not_in_the_calendar(alice: Athlete) -> None:
    session = log(alice, "03-02")
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=session.id, reason="x"))
    [one] = calendar(alice, from_date=day("03-02"), to_date=day("03-03"))
    assert one.session_count == 0


def test_the_calendar_is_four_weeks_and_at_most_a_year(alice: Athlete) -> None:
    assert len(calendar(alice, from_date=day("03-02"))) == 28
    assert len(calendar(alice, from_date=day("2024-01-01"), to_date=day("2025-01-01"))) == 366
    for first, end in (
        ("2024-01-01", "2025-01-02"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-02", "2024-01-01"),
        ("2024-01-01", "9999-12-31"),
    ):
        with refused("INVALID_FIELD") as refusals:
            calendar(alice, from_date=day(first), to_date=day(end))
        assert refusals[0].fields == ["to_date"]
    for first in ("1969-12-31", "2200-01-01", "9999-12-31"):
        with refused("INVALID_FIELD") as refusals:
            calendar(alice, from_date=day(first))
        assert refusals[0].fields == ["from_date"]


# Sent twice


def test_sending_a_write_twice_does_it_once(alice: Athlete, bob: Athlete) -> None:
    key = {"request_id": str(uuid.uuid4())}
    request = pb.CreatePhaseRequest(phase=a_phase(), **key)
    phase = alice.phases.CreatePhase(request)
    assert alice.phases.CreatePhase(request) == phase
    request.external_user_id = alice.id
    assert alice.phases.CreatePhase(request) == phase
    request.external_user_id = ""
    assert bob.phases.CreatePhase(request).id != phase.id

    key = {"request_id": str(uuid.uuid4())}
    first = move(alice, phase, "06-01", etag="1", **key)
    assert move(alice, phase, "06-01", etag="1", **key) == first
    with refused("REQUEST_ID_REUSED", grpc.StatusCode.ALREADY_EXISTS):
        move(alice, phase, "06-02", etag="1", **key)

    generate = template(start_date=day("2027-01-04"), request_id=str(uuid.uuid4()))
    made = alice.phases.GeneratePhases(generate)
    assert alice.phases.GeneratePhases(generate) == made

    change = pb.UpdatePhaseRequest(
        phase_id=phase.id,
        phase=pb.Phase(display_name="Pull", etag="2"),
        update_mask={"paths": ["display_name"]},
        request_id=str(uuid.uuid4()),
    )
    changed = alice.phases.UpdatePhase(change)
    assert alice.phases.UpdatePhase(change) == changed

    key = {"request_id": str(uuid.uuid4())}
    assert delete(alice, phase, **key) == delete(alice, phase, **key) == [phase.id]
    assert listed(alice) == list(made.phases)


# At the same moment


def outcome(call: Any) -> str:
    """Returns the reason of a refusal; nothing for success."""
    try:
        call()
    except grpc.RpcError as error:
        return Refusal(error).reason
    return ""


def test_of_phases_that_overlap_at_the_same_moment_one_is_stored(
    alice: Athlete, bob: Athlete
) -> None:
    with ThreadPoolExecutor(12) as pool:
        calls = [
            pool.submit(outcome, lambda who=who, n=n: create(who, f"03-{n:02}", "04-01"))
            for who in (alice, bob)
            for n in range(1, 13)
        ]
        reasons = sorted(call.result() for call in calls)
    assert reasons == ["", ""] + ["PHASE_OVERLAP"] * 22
    assert len(listed(alice)) == len(listed(bob)) == 1


def test_a_parent_that_shrinks_and_a_child_that_comes_do_not_miss_each_other(
    alice: Athlete,
) -> None:
    for n in range(10):
        year = 2030 + n
        start, end = f"{year}-03-01", f"{year}-03-31"
        parent = create(alice, start, end)
        shrink = {"end_date": day(f"{year}-03-15")}
        with ThreadPoolExecutor(2) as pool:
            calls = (
                pool.submit(outcome, lambda p=parent, s=shrink: update(alice, p, **s)),
                pool.submit(
                    outcome,
                    lambda p=parent, e=end, y=year: create(
                        alice, f"{y}-03-20", e, kind=MICROCYCLE, parent_id=p.id
                    ),
                ),
            )
            reasons = sorted(call.result() for call in calls)
        assert reasons == ["", "PHASE_OUTSIDE_PARENT"]


def test_what_only_the_database_sees_is_refused_all_the_same(
    alice: Athlete, monkeypatch: pytest.MonkeyPatch
) -> None:
    phase = create(alice)
    monkeypatch.setattr(Neighbours, "check", lambda *_: None)
    with refused("PHASE_OVERLAP", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
        create(alice)
    assert (refusals[0].fields, refusals[0].metadata) == ([], {})
    assert listed(alice) == [phase]


# How many statements


def trips(queries: Queries) -> int:
    return sum(sql.startswith("BEGIN") for sql in queries.sql)


def test_reads_take_one_round_trip(alice: Athlete, bob: Athlete, queries: Queries) -> None:
    phase = create(bob)
    alice.phases.GeneratePhases(template(with_microcycles=True, week_count=52))
    for count, call in (
        (1, lambda: get(bob, phase)),
        (1, lambda: listed(alice)),
        (2, lambda: active(alice, local_date=day("03-10"))),  # phases; sessions
        (2, lambda: calendar(alice, from_date=day("01-01"), to_date=day("2027-01-01"))),
    ):
        queries.clear()
        call()
        assert trips(queries) == 1
        assert len(queries.data) == count


def test_writes_take_as_many_statements_for_a_plan_as_for_a_phase(
    alice: Athlete, queries: Queries
) -> None:
    phase = create(alice)
    assert len(queries.data) == 5  # lock (two), what is near, the phase, how many there are
    queries.clear()
    alice.phases.GeneratePhases(template(start_date=day("04-06"), with_microcycles=True))
    assert len(queries.data) == 5
    queries.clear()
    update(alice, phase, display_name="Pull")
    assert len(queries.data) == 4  # no day is lost, so no sessions are looked for
    queries.clear()
    update(alice, phase, end_date=day("03-23"))
    assert len(queries.data) == 5
    queries.clear()
    delete(alice, phase)
    assert len(queries.data) == 4


def test_a_move_looks_at_no_other_athletes_phases(alice: Athlete, bob: Athlete) -> None:
    create(bob, "2030-01-01", "2030-02-01")
    phase = create(alice)
    [moved] = move(alice, phase, "2030-01-05", shift_later=True)
    assert moved.phase_id == phase.id
    assert moved.end_date == day("2030-02-02")
