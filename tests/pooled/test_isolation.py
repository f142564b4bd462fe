"""Through PgBouncer."""

from tests.rpc.test_isolation import *  # noqa: F403
