"""FormService: what keypoints say, over a real channel, as they are recorded or after."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import grpc
import pytest
from calisthenics.training.v1 import form_pb2 as pb
from calisthenics.training.v1 import session_pb2
from calisthenics.training.v1.set_pb2 import SIDE_LEFT
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import poses
from tests.poses import frames, swings, to_messages, wobbling
from tests.support import (
    PUSH_UP,
    Athlete,
    Queries,
    RunningService,
    a_session,
    call_bytes,
    eventually,
    refused,
    running_service,
)

ANALYZE = "/calisthenics.training.v1.FormService/AnalyzeForm"


def a_header(**fields: Any) -> pb.FormHeader:
    """Returns the header of push-ups in pixels; fields replace the usual ones."""
    usual = {
        "movement": pb.FORM_MOVEMENT_PUSH_UP,
        "layout": pb.KEYPOINT_LAYOUT_COCO_17,
        "coordinate_unit": pb.COORDINATE_UNIT_PIXELS,
    }
    return pb.FormHeader(**{**usual, **fields})


def push_ups(count: int = 3, lowest: float = 70, highest: float = 175) -> list[pb.FormFrame]:
    return to_messages(frames(map(poses.push_up, swings(count, lowest, highest))))


def stream(
    header: pb.FormHeader, *chunks: Sequence[pb.FormFrame]
) -> Iterator[pb.AnalyzeFormRequest]:
    yield pb.AnalyzeFormRequest(header=header)
    for chunk in chunks:
        yield pb.AnalyzeFormRequest(frames=chunk)


def streamed(
    athlete: Athlete, header: pb.FormHeader, *chunks: Sequence[pb.FormFrame]
) -> pb.AnalyzeRecordedFormResponse:
    """Returns the answers to a stream, as those to a recording."""
    *found, last = athlete.form.AnalyzeForm(stream(header, *chunks))
    assert all(answer.HasField("event") for answer in found)
    assert last.HasField("summary")
    return pb.AnalyzeRecordedFormResponse(
        events=[answer.event for answer in found], summary=last.summary
    )


def recorded(
    athlete: Athlete, header: pb.FormHeader, sent: Sequence[pb.FormFrame]
) -> pb.AnalyzeRecordedFormResponse:
    request = pb.AnalyzeRecordedFormRequest(header=header, frames=sent)
    return athlete.form.AnalyzeRecordedForm(request)


def kinds(answer: pb.AnalyzeRecordedFormResponse) -> list[str]:
    return [event.WhichOneof("event") or "" for event in answer.events]


class Camera:
    """A caller who streams while reading."""

    def __init__(self, athlete: Athlete, header: pb.FormHeader) -> None:
        self._requests: queue.Queue[pb.AnalyzeFormRequest | None] = queue.Queue()
        self.answers = athlete.form.AnalyzeForm(iter(self._requests.get, None))
        self._requests.put(pb.AnalyzeFormRequest(header=header))

    def film(self, sent: Iterable[pb.FormFrame]) -> None:
        """Sends frames, each in a message of its own."""
        for frame in sent:
            self._requests.put(pb.AnalyzeFormRequest(frames=[frame]))

    def stop(self) -> None:
        """Says that there are no more."""
        self._requests.put(None)


# What is answered


def test_repetitions_are_told_with_what_they_are_worth(alice: Athlete, bob: Athlete) -> None:
    answer = recorded(alice, a_header(), push_ups(2))
    assert kinds(answer) == ["rep_counted", "rep", "rep_counted", "rep"]
    counted, judged = answer.events[0], answer.events[1]
    assert counted.rep_counted.number == judged.rep.number == 1
    assert counted.time_seconds > counted.rep_counted.end_seconds - 1e-9
    assert judged.time_seconds > counted.time_seconds
    rep = judged.rep
    assert (rep.verdict, rep.depth, rep.lockout) == (
        pb.REP_VERDICT_VALID,
        pb.FORM_JUDGEMENT_MET,
        pb.FORM_JUDGEMENT_MET,
    )
    assert rep.depth_degrees == pytest.approx(70, abs=0.5)
    assert rep.lockout_degrees == pytest.approx(175, abs=0.5)
    assert rep.confidence == pytest.approx(poses.NEAR)
    # Whoever asks: nobody's data is in it.
    assert recorded(bob, a_header(), push_ups(2)) == answer


def test_a_summary_has_all_of_it(alice: Athlete, bob: Athlete) -> None:
    partial = [poses.push_up(a) for a in swings(1, 120, 175)]
    sagging = [poses.push_up(a, -30) for a in swings(1, 70, 175)]
    good = [poses.push_up(a) for a in swings(2, 70, 175)]
    shallow = [poses.push_up(a) for a in swings(1, 98, 175)]
    near = [poses.push_up(a) for a in swings(1, 93, 175)]
    sent = to_messages(frames(chain(good, partial, sagging, shallow, near)))
    again = [*sent[:40], sent[39], sent[30], *sent[40:]]
    summary = recorded(alice, a_header(), again).summary
    assert summary.movement == pb.FORM_MOVEMENT_PUSH_UP
    assert (
        summary.counted_reps,
        summary.valid_reps,
        summary.borderline_reps,
        summary.failed_reps,
        summary.partial_reps,
        summary.discarded_reps,
    ) == (5, 3, 1, 1, 1, 0)
    assert [(f.kind, f.rep_count) for f in summary.faults] == [(pb.FORM_FAULT_KIND_SAG, 1)]
    assert summary.mean_depth_degrees == pytest.approx((3 * 70 + 98 + 93) / 5, abs=0.5)
    assert summary.analyzed_seconds == pytest.approx((len(sent) - 1) / 30)
    assert summary.frames == pb.FormFrameCounts(
        received=len(again), measured=len(sent), duplicate=1, late=1
    )
    for name in ("longest_hold_seconds", "mean_stability_score", "mean_line_error_degrees"):
        assert not summary.HasField(name)
    # What was not measured is not 0.
    empty = recorded(bob, a_header(), []).summary
    assert empty == pb.FormSummary(movement="FORM_MOVEMENT_PUSH_UP", frames={})


def test_a_partial_repetition_has_no_number(alice: Athlete, bob: Athlete) -> None:
    answer = recorded(alice, a_header(), push_ups(1, 120))
    [event] = answer.events
    assert event.rep.verdict == pb.REP_VERDICT_PARTIAL
    assert not event.rep.HasField("number")
    assert not event.rep.HasField("lockout_degrees")
    assert event.rep.lockout == pb.FORM_JUDGEMENT_UNSPECIFIED
    assert recorded(bob, a_header(), push_ups(1)).summary.partial_reps == 0


def test_a_hold_is_told_when_it_begins_and_when_it_ends(alice: Athlete, bob: Athlete) -> None:
    header = a_header(movement="FORM_MOVEMENT_PLANCHE", layout="KEYPOINT_LAYOUT_MEDIAPIPE_33")
    figures = [*wobbling(poses.planche(5), 4, 0.055), *[poses.l_sit()] * 30]
    sent = to_messages(frames(figures, layout=poses.Layout.MEDIAPIPE_33))
    answer = recorded(alice, header, sent)
    assert kinds(answer) == ["hold_started", "hold"]
    hold = answer.events[1].hold
    assert hold.number == answer.events[0].hold_started.number == 1
    assert hold.hold_seconds == pytest.approx(4, abs=0.04)
    assert hold.line_error_degrees == pytest.approx(5)
    assert hold.line_band == pb.LINE_BAND_UP_TO_15
    assert hold.stability_score == pytest.approx(50, abs=5)
    summary = answer.summary
    assert (summary.hold_count, summary.counted_reps) == (1, 0)
    assert summary.held_seconds == summary.longest_hold_seconds == hold.hold_seconds
    assert summary.mean_stability_score == hold.stability_score
    assert not summary.HasField("mean_depth_degrees")
    assert recorded(bob, header, []).summary.hold_count == 0


def test_normalized_coordinates_are_scaled(alice: Athlete, bob: Athlete) -> None:
    shares = push_ups()
    for frame in shares:
        for keypoint in frame.keypoints:
            keypoint.x /= 1920
            keypoint.y /= 1080
    header = a_header(
        coordinate_unit="COORDINATE_UNIT_NORMALIZED", width_pixels=1920, height_pixels=1080
    )
    scaled, plain = recorded(alice, header, shares), recorded(alice, a_header(), push_ups())
    assert scaled.summary.valid_reps == plain.summary.valid_reps == 3
    depth = plain.summary.mean_depth_degrees
    assert scaled.summary.mean_depth_degrees == pytest.approx(depth, abs=0.01)
    # As pixels they would be other angles.
    odd = recorded(bob, a_header(), shares).summary
    assert odd.mean_depth_degrees != pytest.approx(depth, abs=1)


def test_what_the_header_says_is_heeded(alice: Athlete, bob: Athlete) -> None:
    timeless = push_ups()
    for frame in timeless:
        frame.ClearField("time_seconds")
    answer = recorded(alice, a_header(frame_rate=30, side=SIDE_LEFT), timeless)
    assert answer == recorded(bob, a_header(), push_ups())
    tilted = to_messages(frames([poses.planche(25)] * 60))
    planche = a_header(movement="FORM_MOVEMENT_PLANCHE")
    assert recorded(alice, planche, tilted).summary.hold_count == 0
    planche.extra_tolerance_degrees = 12
    assert recorded(alice, planche, tilted).summary.hold_count == 1


def test_a_camera_that_stands_elsewhere_is_told(alice: Athlete, bob: Athlete) -> None:
    turned = push_ups(1)
    for frame in turned:
        frame.keypoints[6].x = frame.keypoints[5].x + 70
    answer = recorded(alice, a_header(), turned)
    [event] = answer.events
    assert event.gap == pb.FormGap(start_seconds=0, reason="FORM_GAP_REASON_WRONG_VIEW")
    assert answer.summary.frames.wrong_view == len(turned)
    assert not answer.summary.HasField("confidence")
    assert kinds(recorded(bob, a_header(), push_ups(1))) == ["rep_counted", "rep"]


def test_nothing_is_read_or_stored(alice: Athlete, bob: Athlete, queries: Queries) -> None:
    for athlete in (alice, bob):
        recorded(athlete, a_header(), push_ups())
        streamed(athlete, a_header(), push_ups())
    assert queries.data == []


# Streams


@given(st.data())
@settings(max_examples=15)
def test_a_stream_in_any_pieces_is_answered_like_a_recording(
    alice: Athlete, data: st.DataObject
) -> None:
    sent = push_ups()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sent)), max_size=20)))
    chunks = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    assert streamed(alice, a_header(), *chunks) == recorded(alice, a_header(), sent)


def test_the_first_frames_may_come_with_the_header(alice: Athlete, bob: Athlete) -> None:
    request = pb.AnalyzeFormRequest(header=a_header(), frames=push_ups())
    *_, last = alice.form.AnalyzeForm(iter([request]))
    assert last.summary == recorded(bob, a_header(), push_ups()).summary


def test_two_athletes_stream_at_once_and_hear_of_each_repetition_at_once(
    alice: Athlete, bob: Athlete
) -> None:
    first, second = push_ups(1), push_ups(2)[len(push_ups(1)) :]
    cameras = [Camera(alice, a_header()), Camera(bob, a_header(side=SIDE_LEFT))]
    for camera in cameras:
        camera.film(first)
    cameras[1].film([first[-1].__class__(time_seconds=2.1, keypoints=first[-1].keypoints)])
    for camera in cameras:
        # The stream goes on: nothing was waited for.
        assert next(camera.answers).event.rep_counted.number == 1
    cameras[0].film(second)
    for camera in cameras:
        camera.stop()
    summaries = [list(camera.answers)[-1].summary for camera in cameras]
    assert [s.counted_reps for s in summaries] == [2, 1]


# Refusals


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"movement": 0}, "header.movement"),
        ({"movement": 99}, "header.movement"),
        ({"layout": 0}, "header.layout"),
        ({"coordinate_unit": 0}, "header.coordinate_unit"),
        ({"coordinate_unit": pb.COORDINATE_UNIT_NORMALIZED}, "header"),
        (
            {"coordinate_unit": pb.COORDINATE_UNIT_NORMALIZED, "width_pixels": 1920},
            "header",
        ),
        ({"width_pixels": 0}, "header.width_pixels"),
        ({"frame_rate": 0}, "header.frame_rate"),
        ({"frame_rate": float("nan")}, "header.frame_rate"),
        ({"view": pb.CAMERA_VIEW_FRONT}, "header"),
        ({"view": 9}, "header.view"),
        ({"side": 9}, "header.side"),
        ({"extra_tolerance_degrees": 31}, "header.extra_tolerance_degrees"),
    ],
)
def test_a_header_that_breaks_a_rule_is_refused(
    change: dict[str, Any], field: str, alice: Athlete, bob: Athlete
) -> None:
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        recorded(alice, a_header(**change), push_ups(1))
    assert refusals[0].fields == [field]
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        streamed(bob, a_header(**change), push_ups(1))
    assert refusals[0].fields == [field]


def test_a_header_comes_first_and_once(alice: Athlete, bob: Athlete) -> None:
    frame = pb.AnalyzeFormRequest(frames=push_ups(1))
    header = pb.AnalyzeFormRequest(header=a_header())
    for messages, why in (
        ([], "must be in the first message"),
        ([frame, header], "must be in the first message"),
        ([header, frame, header], "must be in no message but the first"),
    ):
        for athlete in (alice, bob):
            with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
                list(athlete.form.AnalyzeForm(iter(messages)))
            assert refusals[0].fields == ["header"]
            assert refusals[0].message == f"header: {why}"
    with refused("INVALID_FIELD") as refusals:
        alice.form.AnalyzeRecordedForm(pb.AnalyzeRecordedFormRequest())
    assert refusals[0].fields == ["header"]


def _less_keypoints(frame: pb.FormFrame) -> None:
    del frame.keypoints[16]


def _no_number(frame: pb.FormFrame) -> None:
    frame.keypoints[4].y = float("nan")


def _too_sure(frame: pb.FormFrame) -> None:
    frame.keypoints[16].confidence = 1.01


def _long_ago(frame: pb.FormFrame) -> None:
    frame.time_seconds = 0.1


def _timeless(frame: pb.FormFrame) -> None:
    frame.ClearField("time_seconds")


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (_less_keypoints, "keypoints"),
        (_no_number, "keypoints[4].y"),
        (_too_sure, "keypoints[16].confidence"),
        (_long_ago, "time_seconds"),
        (_timeless, "time_seconds"),
    ],
)
def test_a_bad_frame_is_named_by_its_place_and_its_number(
    spoil: Callable[[pb.FormFrame], None], field: str, alice: Athlete, bob: Athlete
) -> None:
    sent = push_ups()
    spoil(sent[70])
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        recorded(alice, a_header(), sent)
    assert refusals[0].fields == [f"frames[70].{field}"]
    assert refusals[0].metadata == {"frame_index": "70"}
    seen = []
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        seen.extend(bob.form.AnalyzeForm(stream(a_header(), sent[:65], sent[65:])))
    assert refusals[0].fields == [f"frames[5].{field}"]
    assert refusals[0].metadata == {"frame_index": "70"}


def test_what_was_found_before_a_bad_frame_has_been_told(alice: Athlete, bob: Athlete) -> None:
    sent = push_ups(2)
    sent[-1].keypoints.pop()
    for athlete in (alice, bob):
        seen = []
        with refused("INVALID_FIELD"):
            for answer in athlete.form.AnalyzeForm(stream(a_header(), sent)):
                seen.append(answer.event.WhichOneof("event"))
        assert seen == ["rep_counted", "rep", "rep_counted"]


def test_messages_of_a_stream_are_limited_and_parsed_one_by_one(
    alice: Athlete, bob: Athlete
) -> None:
    header = pb.AnalyzeFormRequest(header=a_header()).SerializeToString()
    large = pb.AnalyzeFormRequest(frames=push_ups(1) * 200).SerializeToString()
    assert len(large) > 3_500_000
    for athlete in (alice, bob):
        call = athlete.channel.stream_stream(ANALYZE)
        with refused("MALFORMED_REQUEST", grpc.StatusCode.INVALID_ARGUMENT):
            list(call(iter([header, b"\xff"])))
        with refused("REQUEST_TOO_LARGE", grpc.StatusCode.RESOURCE_EXHAUSTED):
            list(call(iter([header, large])))


def test_who_does_not_say_who_they_are_streams_nothing(
    new_athlete: Callable[..., Athlete],
) -> None:
    stranger = new_athlete(metadata={})
    with refused("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED):
        list(stranger.form.AnalyzeForm(stream(a_header(), push_ups(1))))
    with refused("UNAUTHENTICATED"):
        # Before the body is looked at.
        call_bytes(stranger.channel, ANALYZE, b"\xff")


# How long, and how many


@pytest.fixture
def service_with(database_url: str) -> Iterator[Callable[..., tuple[Athlete, Athlete]]]:
    """Runs a service with settings, and makes two athletes who call it."""
    stack: list[Any] = []

    def start(**options: Any) -> tuple[Athlete, Athlete]:
        running = running_service(database_url, **options)
        service: RunningService = running.__enter__()
        stack.append((running, Athlete(service.address), Athlete(service.address)))
        return stack[-1][1:]  # type: ignore[no-any-return]

    yield start
    for running, *athletes in stack:
        for athlete in athletes:
            athlete.close()
        running.__exit__(None, None, None)


def test_a_stream_ends_when_no_frame_comes(
    service_with: Callable[..., tuple[Athlete, Athlete]],
) -> None:
    alice, bob = service_with(form_idle_seconds=0.5)
    for athlete in (alice, bob):
        camera = Camera(athlete, a_header())
        camera.film(push_ups(1))
        with refused("FORM_STREAM_IDLE", grpc.StatusCode.DEADLINE_EXCEEDED) as refusals:
            list(camera.answers)
        assert refusals[0].message == "for 0.5 s no message came, or none was taken"
        camera.stop()


def test_a_stream_outlasts_the_deadlines_of_other_calls_and_not_its_own(
    service_with: Callable[..., tuple[Athlete, Athlete]],
) -> None:
    alice, bob = service_with(
        default_deadline_seconds=0.2, stream_deadline_seconds=0.2, form_deadline_seconds=1.5
    )
    camera = Camera(alice, a_header())
    for frame in push_ups(1)[:12]:
        camera.film([frame])
        time.sleep(0.05)
    camera.stop()
    assert list(camera.answers)[-1].summary.frames.received == 12
    endless = Camera(bob, a_header())
    stopped = threading.Event()

    def go_on() -> None:
        k = 0
        while not stopped.wait(0.05):
            k += 1
            endless.film([pb.FormFrame(time_seconds=k, keypoints=push_ups(1)[0].keypoints)])

    filming = threading.Thread(target=go_on)
    filming.start()
    with refused("DEADLINE_EXCEEDED", grpc.StatusCode.DEADLINE_EXCEEDED):
        list(endless.answers)
    stopped.set()
    filming.join()
    endless.stop()


def test_streams_have_a_limit_of_their_own(
    service_with: Callable[..., tuple[Athlete, Athlete]],
) -> None:
    alice, bob = service_with(max_form_streams=1, max_calls_in_flight=1)
    camera = Camera(alice, a_header())
    camera.film(push_ups(2))
    assert next(camera.answers).event.HasField("rep_counted")
    with refused("OVERLOADED", grpc.StatusCode.RESOURCE_EXHAUSTED) as refusals:
        streamed(bob, a_header(), push_ups(1))
    assert refusals[0].retry_after_seconds == 1
    # Other calls go on beside it.
    assert recorded(bob, a_header(), push_ups(1)).summary.counted_reps == 1
    # Who hangs up makes room.
    camera.answers.cancel()
    camera.stop()

    def has_room() -> bool:
        try:
            return streamed(bob, a_header(), push_ups(1)).summary.counted_reps == 1
        except grpc.RpcError:
            return False

    eventually(has_room)


def test_who_takes_no_answers_makes_room(
    service_with: Callable[..., tuple[Athlete, Athlete]],
) -> None:
    alice, bob = service_with(max_form_streams=1, form_idle_seconds=1.5)
    up, down = (to_messages(frames([poses.push_up(a)])) for a in (170, 120))

    def endless() -> Iterator[pb.AnalyzeFormRequest]:
        """Yields partial repetitions, four frames each, with an event for every one."""
        yield pb.AnalyzeFormRequest(header=a_header(frame_rate=30))
        request = pb.AnalyzeFormRequest(frames=[*up * 2, *down * 2] * 100)
        for frame in request.frames:
            frame.ClearField("time_seconds")
        while True:
            yield request

    unread = alice.form.AnalyzeForm(endless())
    assert next(unread).event.rep.verdict == pb.REP_VERDICT_PARTIAL

    def has_room() -> bool:
        try:
            return streamed(bob, a_header(), push_ups(1)).summary.counted_reps == 1
        except grpc.RpcError:
            return False

    assert not has_room()
    eventually(has_room)
    unread.cancel()


# Kept with a set


def a_set_with(form: pb.FormSummary) -> session_pb2.Session:
    performed = session_pb2.PerformedSet(actual_reps=4, form=form)
    exercise = session_pb2.SessionExercise(exercise_id=PUSH_UP, sets=[performed])
    return a_session(exercises=[exercise])


def test_a_summary_is_kept_with_its_set_and_changes_nothing_of_it(
    alice: Athlete, bob: Athlete
) -> None:
    summary = recorded(alice, a_header(), push_ups(3)).summary
    logged = alice.log(a_set_with(summary))
    read = alice.sessions.GetSession(session_pb2.GetSessionRequest(session_id=logged.id))
    [performed] = read.exercises[0].sets
    assert performed.form == summary
    assert performed.actual_reps == 4 != summary.counted_reps
    with refused("SESSION_NOT_FOUND"):
        bob.sessions.GetSession(session_pb2.GetSessionRequest(session_id=logged.id))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"movement": 0}, "movement"),
        ({"valid_reps": 2}, ""),
        ({"partial_reps": -1}, "partial_reps"),
        ({"mean_depth_degrees": 181}, "mean_depth_degrees"),
        ({"mean_stability_score": 101}, "mean_stability_score"),
        ({"confidence": float("nan")}, "confidence"),
        ({"faults": [{"kind": 1}]}, "faults[0].rep_count"),
        ({"faults": [{"kind": 0, "rep_count": 1}]}, "faults[0].kind"),
        ({"frames": {"late": -1}}, "frames.late"),
    ],
)
def test_a_summary_that_makes_no_sense_is_refused(
    change: dict[str, Any], field: str, alice: Athlete, bob: Athlete
) -> None:
    usual = {"movement": 1, "counted_reps": 1, "valid_reps": 1}
    path = "session.exercises[0].sets[0].form"
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        alice.log(a_set_with(pb.FormSummary(**{**usual, **change})))
    assert refusals[0].fields == [f"{path}.{field}" if field else path]
    bob.log(a_set_with(pb.FormSummary(**usual)))
    assert not alice.sessions.ListSessions(session_pb2.ListSessionsRequest()).sessions
