"""Returns its request id to the caller, however a call ends."""

from types import TracebackType

from training_service.interceptors.call import Call


class Telemetry:
    """Names the call in its trailing metadata."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def __enter__(self) -> None:
        self._call.context.set_trailing_metadata(self._call.trailing_metadata)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass
