"""How many calls a process has under way at most."""

from types import TracebackType

from training_service.errors import Reason, TrainingError

RETRY_AFTER_SECONDS = 1.0


class InFlightLimit:
    """Refuses a call at once when there are as many already: one that waits only makes all slow.

    A block for each call: `with limit:`.
    """

    __slots__ = ("count", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0

    def __enter__(self) -> None:
        if self.count >= self.most:
            raise TrainingError(
                Reason.OVERLOADED,
                "too many calls are under way",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.count -= 1
