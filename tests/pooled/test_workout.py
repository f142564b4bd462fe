"""Through PgBouncer."""

from tests.rpc.test_workout import *  # noqa: F403
