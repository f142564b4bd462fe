"""Through PgBouncer."""

from tests.rpc.test_export_all import *  # noqa: F403
