"""An archive for the records of old sessions.

Revision: 0020
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import APP_ROLE, GRANTEE_ROLE, begin, grant, guard, protect

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

READER_ROLE = "training_reader"
CONSTRAINTS = ("sessions_archive_object_fkey", "sessions_record_somewhere")
LOCK_TIMEOUT_SECONDS = 5


def upgrade() -> None:
    begin()
    op.create_table(
        "archive_objects",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "key",
            sa.Text(),
            nullable=False,
            comment="In the store; the athlete's pseudonym leads.",
        ),
        sa.Column(
            "first_started_at",
            sa.TIMESTAMP(timezone=True),
            nullable=False,
            comment="Of its sessions.",
        ),
        sa.Column(
            "last_started_at",
            sa.TIMESTAMP(timezone=True),
            nullable=False,
            comment="Of its sessions.",
        ),
        sa.Column("session_count", sa.Integer(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False, comment="Of the object."),
        sa.Column("sha256", sa.LargeBinary(), nullable=False, comment="Of the object."),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("external_user_id", "id", name="archive_objects_pkey"),
        sa.CheckConstraint("session_count > 0", name="archive_objects_not_empty"),
        schema="training",
        comment="Objects of the archive: where the records of old sessions are.",
    )
    protect("archive_objects")
    guard("archive_objects")
    for role in (APP_ROLE, GRANTEE_ROLE, READER_ROLE):
        grant("SELECT", "archive_objects", role)
    op.execute(
        "CREATE POLICY all_athletes ON training.archive_objects"
        f" FOR SELECT TO {READER_ROLE} USING (true)"
    )
    op.add_column(
        "sessions",
        sa.Column(
            "archive_object_id",
            sa.Uuid(),
            nullable=True,
            comment="Where the record is when it is not here.",
        ),
        schema="training",
    )
    op.alter_column("sessions", "record", nullable=True, schema="training")
    # NOT VALID at first: to look at all rows would hold up every write.
    op.execute("""
        ALTER TABLE training.sessions
        ADD CONSTRAINT sessions_archive_object_fkey
            FOREIGN KEY (external_user_id, archive_object_id)
            REFERENCES training.archive_objects (external_user_id, id) NOT VALID,
        ADD CONSTRAINT sessions_record_somewhere
            CHECK ((record IS NULL) = (archive_object_id IS NOT NULL)) NOT VALID
    """)
    with op.get_context().autocommit_block():
        # It waits for who migrates or tidies up the table, and nobody waits for it.
        op.execute("SET lock_timeout = 0")
        for name in CONSTRAINTS:
            op.execute(f"ALTER TABLE training.sessions VALIDATE CONSTRAINT {name}")
        op.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")


def downgrade() -> None:
    """Fails while anything is in the archive: restore it first."""
    begin()
    op.alter_column("sessions", "record", nullable=False, schema="training")
    op.drop_constraint("sessions_record_somewhere", "sessions", schema="training")
    op.drop_column("sessions", "archive_object_id", schema="training")
    op.drop_table("archive_objects", schema="training")
