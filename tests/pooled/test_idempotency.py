"""Through PgBouncer."""

from tests.rpc.test_idempotency import *  # noqa: F403
