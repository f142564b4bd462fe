"""A key of the installation, with which ids of users become pseudonyms.

Revision: 0019
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import GRANTEE_ROLE, begin, grant

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    begin()
    op.create_table(
        "installation",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("pseudonym_key", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name="installation_one_row"),
        sa.PrimaryKeyConstraint("id", name="installation_pkey"),
        schema="training",
        comment="One row: what tells this installation from others.",
    )
    # Random to 244 bits, by PostgreSQL's strong random source.
    op.execute("""
        INSERT INTO training.installation
        VALUES (1, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
    """)
    grant("SELECT", "installation")
    grant("SELECT", "installation", GRANTEE_ROLE)


def downgrade() -> None:
    begin()
    op.drop_table("installation", schema="training")
