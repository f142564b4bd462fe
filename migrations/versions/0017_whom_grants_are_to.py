"""Grants are found by whom they are to, without going through those of all athletes.

Revision: 0017
"""

from alembic import op

from migrations.support import COACH_ROLE, GRANTEE, OWN_GROUPS, begin

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

INDEXES = {"grantee_user_id": "access_grants_to_user_idx", "group_id": "access_grants_to_group_idx"}


def upgrade() -> None:
    begin()
    for column, name in INDEXES.items():
        op.create_index(name, "access_grants", [column], schema="training")
    # As an array: no index can serve a list that is looked up for each row.
    set_policy(f"grantee_user_id = {GRANTEE} OR group_id = ANY (ARRAY({OWN_GROUPS}))")


def downgrade() -> None:
    begin()
    set_policy(f"grantee_user_id = {GRANTEE} OR group_id IN ({OWN_GROUPS})")
    for name in INDEXES.values():
        op.drop_index(name, "access_grants", schema="training")


def set_policy(condition: str) -> None:
    """Says which grants a transaction finds that reads of many athletes."""
    op.execute("DROP POLICY granted ON training.access_grants")
    op.execute(f"""
        CREATE POLICY granted ON training.access_grants FOR SELECT TO {COACH_ROLE}
        USING ({condition})
    """)
