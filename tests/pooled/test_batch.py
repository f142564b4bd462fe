"""Through PgBouncer."""

from tests.rpc.test_batch import *  # noqa: F403
