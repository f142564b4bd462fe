"""`python -m benchmarks.form`: how much faster than it is filmed form is analysed, on one core.

A minute of push-ups by MediaPipe's 33 keypoints at 60 frames a second: by the analyzer alone, by
AnalyzeRecordedForm, and by AnalyzeForm with a message for each frame. A call is measured by the CPU
time of the service's process, so that the client's own work does not count.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Annotated
from uuid import uuid4

import grpc
import typer
from calisthenics.training.v1 import form_pb2 as pb
from calisthenics.training.v1.form_pb2_grpc import FormServiceStub
from rich.console import Console

from benchmarks.processes import usage
from benchmarks.stack import prepared_database, running_service
from tests.poses import frames, push_up, swings, to_messages
from training_service.domain.form.analyzer import FormAnalyzer, Frame, Setup
from training_service.domain.form.movements import Movement
from training_service.domain.form.skeleton import Layout
from training_service.embedded import embedded_postgres

ADDRESS = "127.0.0.1:15201"
METADATA = (("x-external-user-id", str(uuid4())),)
FRAMES_PER_SECOND = 60
TARGET = 20
"""How much faster than it is filmed it must be at least."""
HEADER = pb.FormHeader(
    movement=pb.FORM_MOVEMENT_PUSH_UP,
    layout=pb.KEYPOINT_LAYOUT_MEDIAPIPE_33,
    coordinate_unit=pb.COORDINATE_UNIT_PIXELS,
)


def main(
    seconds: Annotated[int, typer.Option(min=2, help="How much is filmed.")] = 60,
    rounds: Annotated[int, typer.Option(min=1, help="How often each has its turn.")] = 5,
) -> None:
    """Measure the analysis of form beside the time it was filmed in."""
    console = Console(width=120)
    angles = swings(seconds // 2, 70, 175, 2, FRAMES_PER_SECOND)
    sent = frames(map(push_up, angles), FRAMES_PER_SECOND, Layout.MEDIAPIPE_33)
    messages = to_messages(sent)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server_url = stack.enter_context(embedded_postgres(Path(folder) / "postgres"))
        url = prepared_database(server_url, Path(folder))
        service = running_service(stack, url, ADDRESS, 1, Path(folder))
        stub = FormServiceStub(stack.enter_context(grpc.insecure_channel(ADDRESS)))

        def cpu_seconds() -> float:
            return usage(service.pid).cpu_seconds

        turns: dict[str, tuple[Callable[[], object], Callable[[], float]]] = {
            "the analyzer alone": (lambda: analyzed(sent), time.process_time),
            "AnalyzeRecordedForm": (lambda: recorded(stub, messages), cpu_seconds),
            "AnalyzeForm, frame by frame": (lambda: streamed(stub, messages), cpu_seconds),
        }
        console.print(f"{seconds} s at {FRAMES_PER_SECOND} frames/s, {rounds} rounds, medians")
        for name, (turn, clock) in turns.items():
            turn()  # warm, as a service that has run for a while
            took = median(spent(turn, clock) for _ in range(rounds))
            verdict = "ok" if seconds / took >= TARGET else "TOO SLOW"
            each = took / len(sent) * 1e6
            console.print(
                f"{name:28} {took:7.3f} s {each:6.0f} µs a frame"
                f"  ratio {seconds / took:6.0f}  (target {TARGET}: {verdict})"
            )


def spent(turn: Callable[[], object], clock: Callable[[], float]) -> float:
    """Returns how much CPU time a turn takes."""
    begin = clock()
    turn()
    return clock() - begin


def analyzed(sent: Sequence[Frame]) -> int:
    """Analyses frames in this process; returns how many repetitions there are."""
    analyzer = FormAnalyzer(Setup(movement=Movement.PUSH_UP, layout=Layout.MEDIAPIPE_33))
    for frame in sent:
        analyzer.add(frame)
    analyzer.finish()
    return analyzer.summary.counted


def recorded(stub: FormServiceStub, messages: Sequence[pb.FormFrame]) -> pb.FormSummary:
    """Sends frames in one message."""
    request = pb.AnalyzeRecordedFormRequest(header=HEADER, frames=messages)
    return stub.AnalyzeRecordedForm(request, metadata=METADATA).summary


def streamed(stub: FormServiceStub, messages: Sequence[pb.FormFrame]) -> pb.FormSummary:
    """Sends each frame in a message of its own."""

    def requests() -> Iterator[pb.AnalyzeFormRequest]:
        yield pb.AnalyzeFormRequest(header=HEADER)
        for message in messages:
            yield pb.AnalyzeFormRequest(frames=[message])

    *_, last = stub.AnalyzeForm(requests(), metadata=METADATA)
    return last.summary


if __name__ == "__main__":
    typer.run(main)
