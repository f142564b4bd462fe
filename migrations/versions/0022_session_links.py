"""A chain over the sessions of each athlete, by which silent changes are found.

Revision: 0022
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import APP_ROLE, GRANTEE_ROLE, begin, grant, guard, protect

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    begin()
    op.create_table(
        "session_chains",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False, comment="In blocks."),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="Of all blocks so far."),
        sa.PrimaryKeyConstraint("external_user_id", name="session_chains_pkey"),
        schema="training",
        comment="Where the chain over an athlete's sessions ends.",
    )
    op.create_table(
        "session_links",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False, comment="In the chain, from 1 on."),
        sa.Column("position", sa.Integer(), nullable=False, comment="In the block, from 1 on."),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("record_digest", sa.LargeBinary(), nullable=False, comment="SHA-256."),
        sa.PrimaryKeyConstraint("external_user_id", "block", "position", name="session_links_pkey"),
        sa.UniqueConstraint("external_user_id", "session_id", name="session_links_session_key"),
        schema="training",
        comment="Sessions in the order in which they were linked; append-only.",
    )
    for table in ("session_chains", "session_links"):
        protect(table)
        guard(table)
    for role in (APP_ROLE, GRANTEE_ROLE):
        grant("SELECT, INSERT, UPDATE (length, digest)", "session_chains", role)
        grant("SELECT, INSERT", "session_links", role)


def downgrade() -> None:
    begin()
    op.drop_table("session_links", schema="training")
    op.drop_table("session_chains", schema="training")
