"""Whether the database is there, at which revision, and the role as weak as it should be."""

from typing import NamedTuple

from training_service.storage.database import Database
from training_service.storage.statements import Statement
from training_service.storage.tables import SCHEMA


class Privileges(NamedTuple):
    """What the role of a connection could do beyond what the service needs."""

    role: str
    is_superuser: bool
    bypasses_row_security: bool
    sees_all_athletes: bool
    owned_tables: int


REVISION = Statement(f"SELECT version_num FROM {SCHEMA}.alembic_version", str)
HAS_REVISION = Statement(f"SELECT to_regclass('{SCHEMA}.alembic_version') IS NOT NULL", bool)
PRIVILEGES = Statement(
    f"""
    SELECT r.rolname::text, r.rolsuper, r.rolbypassrls,
           EXISTS (SELECT FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
                   WHERE c.relnamespace = '{SCHEMA}'::regnamespace
                     AND pg_get_expr(p.polqual, p.polrelid) = 'true'
                     AND EXISTS (SELECT FROM unnest(p.polroles) AS allowed (role)
                                 WHERE pg_has_role(allowed.role, 'USAGE'))),
           (SELECT count(*) FROM pg_class c
            WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND pg_has_role(c.relowner, 'USAGE'))
    FROM pg_roles r WHERE r.rolname = current_user
    """,
    Privileges,
)


async def database_revision(database: Database) -> str | None:
    """Returns the revision of the schema, None before the first migration.

    Raises TrainingError when the database does not answer.
    """
    [has_revision] = await database.read_shared(HAS_REVISION, {})
    if not has_revision:
        return None
    revisions = await database.read_shared(REVISION, {})
    return revisions[0] if revisions else None


async def excess_privileges(database: Database) -> str | None:
    """Returns what is wrong with the role the service runs its statements as, None if nothing."""
    [found] = await database.read_shared(PRIVILEGES, {})
    return excess(found)


def excess(found: Privileges) -> str | None:
    """Returns what is wrong with the rights of a role, None if nothing."""
    if found.is_superuser or found.bypasses_row_security:
        return f"role {found.role} is not subject to row-level security"
    if found.sees_all_athletes:
        return f"role {found.role} sees all athletes all the time (docs/operations.md)"
    if found.owned_tables:
        return f"role {found.role} owns tables of the service"
    return None
