"""In what order sessions were stored and retracted, and a role that reads those of all athletes.

Sessions that are there already have transaction 0: they come first, in the order of their keys.

Revision: 0003
"""

from alembic import op

from migrations.support import begin, create_role

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

READER_ROLE = "training_reader"
TABLES = {"sessions": "id", "session_retractions": "session_id"}


def upgrade() -> None:
    begin()
    create_role(READER_ROLE)
    op.execute(f"GRANT USAGE ON SCHEMA training TO {READER_ROLE}")
    for table, key in TABLES.items():
        # A constant first: PostgreSQL notes it once, and rewrites no row.
        op.execute(
            f"ALTER TABLE training.{table} ADD COLUMN transaction_id xid8 NOT NULL DEFAULT '0'"
        )
        op.execute(
            f"ALTER TABLE training.{table}"
            " ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id()"
        )
        op.create_index(
            f"{table}_changes_idx",
            table,
            ["transaction_id", "external_user_id", key],
            schema="training",
        )
        op.execute(f"GRANT SELECT ON training.{table} TO {READER_ROLE}")
        op.execute(
            f"CREATE POLICY all_athletes ON training.{table}"
            f" FOR SELECT TO {READER_ROLE} USING (true)"
        )


def downgrade() -> None:
    begin()
    for table in TABLES:
        op.execute(f"DROP POLICY all_athletes ON training.{table}")
        op.execute(f"REVOKE ALL ON training.{table} FROM {READER_ROLE}")
        op.drop_column(table, "transaction_id", schema="training")
    op.execute(f"REVOKE USAGE ON SCHEMA training FROM {READER_ROLE}")
    # The role belongs to the cluster and may serve others: it stays.
