"""Through PgBouncer."""

from tests.rpc.test_session import *  # noqa: F403
