"""Failpoints: named places where a test may have the process end as `kill -9` ends it.

`TRAINING_TEST_FAILPOINT=taken:2` ends it when it comes to "taken" for the second time. Without that
variable a place costs one look at the environment; those there are belong to archiving and erasure.
"""

import os
import signal
from collections import Counter

VARIABLE = "TRAINING_TEST_FAILPOINT"

_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Says that a place is reached."""
    wanted, _, time = os.environ.get(VARIABLE, "").partition(":")
    if name != wanted:
        return
    _reached[name] += 1
    if _reached[name] == int(time or 1):
        os.kill(os.getpid(), signal.SIGKILL)
