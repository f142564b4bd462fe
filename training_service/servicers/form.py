"""FormService."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from calisthenics.training.v1 import form_pb2 as pb
from calisthenics.training.v1.form_pb2_grpc import FormServiceServicer
from calisthenics.training.v1.set_pb2 import Side as PbSide

from training_service.domain.form.analyzer import (
    Event,
    FormAnalyzer,
    Frame,
    Gap,
    Result,
    Setup,
    Summary,
)
from training_service.domain.form.errors import FrameError
from training_service.domain.form.holds import Hold, HoldStarted
from training_service.domain.form.movements import Movement, View
from training_service.domain.form.reps import (
    Rep,
    RepCounted,
    RepDiscarded,
    Verdict,
)
from training_service.domain.form.signal import Spread
from training_service.domain.form.skeleton import Keypoint, Layout, Side
from training_service.errors import FieldViolation, Reason, TrainingError, invalid_field
from training_service.servicers.convert import optional_field
from training_service.servicers.enums import EnumNames

MOVEMENT = EnumNames(pb.FormMovement)
LAYOUT = EnumNames(pb.KeypointLayout)
VIEW = EnumNames(pb.CameraView)
SIDE = EnumNames(PbSide)
VERDICT = EnumNames(pb.RepVerdict)
JUDGEMENT = EnumNames(pb.FormJudgement)
FAULT = EnumNames(pb.FormFaultKind)
BAND = EnumNames(pb.LineBand)
GAP = EnumNames(pb.FormGapReason)

FRAMES_IN_A_ROW = 50
"""After so many frames, a few milliseconds, other calls have their turn."""


class FormServicer(FormServiceServicer):
    """What keypoints say of repetitions and holds. Nothing is read or kept."""

    async def AnalyzeForm(
        self, request_iterator: AsyncIterator[pb.AnalyzeFormRequest], context: Any
    ) -> AsyncIterator[pb.AnalyzeFormResponse]:
        analysis: _Analysis | None = None
        async for request in request_iterator:
            if analysis is None:
                if not request.HasField("header"):
                    raise invalid_field("header", "must be in the first message")
                analysis = _Analysis(request.header)
            elif request.HasField("header"):
                raise invalid_field("header", "must be in no message but the first")
            async for event in analysis.events(request.frames):
                yield pb.AnalyzeFormResponse(event=event)
        if analysis is None:
            raise invalid_field("header", "must be in the first message")
        for event in analysis.last_events():
            yield pb.AnalyzeFormResponse(event=event)
        yield pb.AnalyzeFormResponse(summary=analysis.summary())

    async def AnalyzeRecordedForm(
        self, request: pb.AnalyzeRecordedFormRequest, context: Any
    ) -> pb.AnalyzeRecordedFormResponse:
        analysis = _Analysis(request.header)
        events = [event async for event in analysis.events(request.frames)]
        return pb.AnalyzeRecordedFormResponse(
            events=[*events, *analysis.last_events()], summary=analysis.summary()
        )


class _Analysis:
    """The analysis of a caller's frames."""

    def __init__(self, header: pb.FormHeader) -> None:
        self._movement = header.movement
        self._analyzer = FormAnalyzer(_setup(header))

    async def events(self, frames: Iterable[pb.FormFrame]) -> AsyncIterator[pb.FormEvent]:
        """Yields what is found with the frames of a message."""
        for place, frame in enumerate(frames):
            for event in self._add(place, frame):
                yield _event(event)
            if place % FRAMES_IN_A_ROW == FRAMES_IN_A_ROW - 1:
                await asyncio.sleep(0)

    def _add(self, place: int, frame: pb.FormFrame) -> list[Event]:
        keypoints = [Keypoint(k.x, k.y, k.confidence) for k in frame.keypoints]
        try:
            return self._analyzer.add(Frame(optional_field(frame, "time_seconds"), keypoints))
        except FrameError as error:
            raise _bad_frame(place, self._analyzer.index, error) from None

    def last_events(self) -> Iterator[pb.FormEvent]:
        """Yields what is known when there are no more frames."""
        yield from map(_event, self._analyzer.finish())

    def summary(self) -> pb.FormSummary:
        """Returns what it was."""
        return _summary(self._movement, self._analyzer.summary)


def _bad_frame(place: int, index: int, error: FrameError) -> TrainingError:
    field = f"frames[{place}].{error.field}"
    return TrainingError(
        Reason.INVALID_FIELD,
        f"{field}: {error.description}",
        violations=[FieldViolation(field, error.description)],
        metadata={"frame_index": str(index)},
    )


def _setup(header: pb.FormHeader) -> Setup:
    is_normalized = header.coordinate_unit == pb.COORDINATE_UNIT_NORMALIZED
    return Setup(
        movement=Movement(MOVEMENT.name(header.movement)),
        layout=Layout(LAYOUT.name(header.layout)),
        view=View(VIEW.name(header.view)) if header.view else View.SIDE,
        side=Side(SIDE.name(header.side)) if header.side else None,
        width=header.width_pixels if is_normalized else 1.0,
        height=header.height_pixels if is_normalized else 1.0,
        frame_rate=optional_field(header, "frame_rate"),
        wider_degrees=header.extra_tolerance_degrees,
    )


# Answers


def _event(event: Event) -> pb.FormEvent:
    found = pb.FormEvent(time_seconds=event.seconds)
    _fill(found, event.result)
    return found


def _fill(event: pb.FormEvent, result: Result) -> None:
    match result:
        case RepCounted(number, start, end):
            event.rep_counted.CopyFrom(
                pb.RepCounted(number=number, start_seconds=start, end_seconds=end)
            )
        case RepDiscarded(start, end):
            event.rep_discarded.CopyFrom(pb.RepDiscarded(start_seconds=start, end_seconds=end))
        case Rep():
            event.rep.CopyFrom(_rep(result))
        case HoldStarted(number, start):
            event.hold_started.CopyFrom(pb.HoldStarted(number=number, start_seconds=start))
        case Hold():
            event.hold.CopyFrom(_hold(result))
        case Gap(start, reason):
            event.gap.CopyFrom(pb.FormGap(start_seconds=start, reason=GAP.number(reason)))


def _rep(rep: Rep) -> pb.FormRep:
    found = pb.FormRep(
        number=rep.number,
        start_seconds=rep.start_seconds,
        end_seconds=rep.end_seconds,
        verdict=VERDICT.number(rep.verdict),
        depth_degrees=rep.depth_degrees,
        lockout_degrees=rep.lockout_degrees,
        depth=JUDGEMENT.number(rep.depth),
        faults=[
            pb.FormFault(kind=FAULT.number(f.kind), value=f.value, borderline=f.is_borderline)
            for f in rep.faults
        ],
        confidence=rep.confidence,
    )
    if rep.lockout is not None:
        found.lockout = JUDGEMENT.number(rep.lockout)
    return found


def _hold(hold: Hold) -> pb.FormHold:
    return pb.FormHold(
        number=hold.number,
        start_seconds=hold.start_seconds,
        end_seconds=hold.end_seconds,
        hold_seconds=hold.seconds,
        line_error_degrees=hold.line_error_degrees,
        line_band=BAND.number(hold.line_band),
        sway=hold.sway,
        stability_score=hold.stability_score,
        confidence=hold.confidence,
    )


def _summary(movement: "pb.FormMovement.ValueType", summary: Summary) -> pb.FormSummary:
    frames, verdicts = summary.frames, summary.verdicts
    return pb.FormSummary(
        movement=movement,
        analyzed_seconds=(summary.last_seconds or 0) - (summary.first_seconds or 0),
        frames=pb.FormFrameCounts(
            received=frames.received,
            measured=frames.measured,
            duplicate=frames.duplicate,
            late=frames.late,
            not_seen=frames.not_seen,
            wrong_view=frames.wrong_view,
        ),
        confidence=_mean(summary.confidence),
        counted_reps=summary.counted,
        valid_reps=verdicts[Verdict.VALID],
        borderline_reps=verdicts[Verdict.BORDERLINE],
        failed_reps=verdicts[Verdict.FAILED],
        partial_reps=verdicts[Verdict.PARTIAL],
        discarded_reps=summary.discarded,
        mean_depth_degrees=_mean(summary.depth),
        mean_lockout_degrees=_mean(summary.lockout),
        faults=[
            pb.FormFaultCount(kind=FAULT.number(kind), rep_count=count)
            for kind, count in summary.faults.items()
            if count
        ],
        hold_count=summary.holds,
        held_seconds=summary.held_seconds,
        longest_hold_seconds=summary.longest_hold_seconds if summary.holds else None,
        mean_stability_score=_mean(summary.stability),
        mean_line_error_degrees=_mean(summary.line_error),
    )


def _mean(spread: Spread) -> float | None:
    return spread.mean if spread.count else None
