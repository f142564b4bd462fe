"""The core: catalogue, workouts, sessions, and who may touch them.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.support import APP_ROLE, begin, create_role, grant, protect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


GRANTS = {
    "alembic_version": "SELECT",
    "catalogue_state": "SELECT, UPDATE",
    "catalogue_requests": "SELECT, INSERT, UPDATE",
    "exercises": "SELECT, INSERT, UPDATE",
    "exercise_edges": "SELECT, INSERT, DELETE",
    "write_requests": "SELECT, INSERT, UPDATE (response)",
    "workouts": "SELECT, INSERT, UPDATE (display_name, revision, version, updated_at, deleted_at)",
    "workout_revisions": "SELECT, INSERT",
    "workout_exercises": "SELECT, INSERT, DELETE",
    "sessions": "SELECT, INSERT",
    "session_exercises": "SELECT, INSERT",
    "session_retractions": "SELECT, INSERT",
}

USER_OWNED = [
    "write_requests",
    "workouts",
    "workout_revisions",
    "workout_exercises",
    "sessions",
    "session_exercises",
    "session_retractions",
]


def upgrade() -> None:
    begin()
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public")
    create_role(APP_ROLE)
    op.execute(f"GRANT USAGE ON SCHEMA training TO {APP_ROLE}")
    _create_tables()
    op.execute("INSERT INTO training.catalogue_state (id, version) VALUES (1, 1)")
    for table, privileges in GRANTS.items():
        grant(privileges, table)
    for table in USER_OWNED:
        protect(table)


def downgrade() -> None:
    begin()
    _drop_tables()
    op.execute(f"REVOKE ALL ON training.alembic_version FROM {APP_ROLE}")
    op.execute(f"REVOKE USAGE ON SCHEMA training FROM {APP_ROLE}")
    # The role and the extension belong to the cluster and may serve others: they stay.


def _create_tables() -> None:
    op.create_table(
        "catalogue_requests",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="catalogue_requests_pkey"),
        schema="training",
        comment="Answers to catalogue writes that carried a request_id.",
    )
    op.create_table(
        "catalogue_state",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name="catalogue_state_one_row"),
        sa.PrimaryKeyConstraint("id", name="catalogue_state_pkey"),
        schema="training",
        comment="One row: a number that rises with each change of the catalogue. "
        "Its row lock makes changes take turns.",
    )
    op.create_table(
        "exercises",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("aliases", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("difficulty", sa.SmallInteger(), nullable=False),
        sa.Column("movement_kind", sa.Text(), nullable=False),
        sa.Column("contraction_emphasis", sa.Text(), nullable=False),
        sa.Column("unilateral", sa.Boolean(), nullable=False),
        sa.Column("equipment", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("primary_muscles", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secondary_muscles", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("bodyweight_fraction", sa.Double(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("cues", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("replaced_by_id", sa.Uuid(), nullable=True),
        sa.Column(
            "search_text",
            sa.Text(),
            nullable=False,
            comment="Lower-case names that a search matches.",
        ),
        sa.Column(
            "version", sa.Integer(), nullable=False, comment="Rises with each change; the etag."
        ),
        sa.Column(
            "in_use_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When a workout or session first referred to it.",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "movement_kind IN ('DYNAMIC', 'ISOMETRIC')", name="exercises_movement_kind"
        ),
        sa.CheckConstraint("state IN ('ACTIVE', 'DEPRECATED')", name="exercises_state"),
        sa.CheckConstraint("bodyweight_fraction BETWEEN 0 AND 1", name="exercises_fraction_range"),
        sa.CheckConstraint("difficulty BETWEEN 1 AND 20", name="exercises_difficulty_range"),
        sa.ForeignKeyConstraint(
            ["replaced_by_id"], ["training.exercises.id"], name="exercises_replaced_by_fkey"
        ),
        sa.PrimaryKeyConstraint("id", name="exercises_pkey"),
        sa.UniqueConstraint("slug", name="exercises_slug_key"),
        schema="training",
        comment="The exercise catalogue.",
    )
    op.create_table(
        "workouts",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, comment="The current revision."),
        sa.Column(
            "version", sa.Integer(), nullable=False, comment="Rises with each change; the etag."
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("external_user_id", "id", name="workouts_pkey"),
        schema="training",
        comment="Heads of workout templates.",
    )
    op.create_table(
        "write_requests",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("external_user_id", "request_id", name="write_requests_pkey"),
        schema="training",
        comment="Answers to an athlete's writes that carried a request_id, "
        "logged sessions apart: those carry it themselves.",
    )
    op.create_table(
        "exercise_edges",
        sa.Column("easier_id", sa.Uuid(), nullable=False),
        sa.Column("harder_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("easier_id <> harder_id", name="exercise_edges_not_itself"),
        sa.ForeignKeyConstraint(
            ["easier_id"], ["training.exercises.id"], name="exercise_edges_easier_fkey"
        ),
        sa.ForeignKeyConstraint(
            ["harder_id"], ["training.exercises.id"], name="exercise_edges_harder_fkey"
        ),
        sa.PrimaryKeyConstraint("easier_id", "harder_id", name="exercise_edges_pkey"),
        schema="training",
        comment="The progression graph: from an exercise to the next harder one.",
    )
    op.create_index(
        "exercise_edges_harder_idx",
        "exercise_edges",
        ["harder_id"],
        unique=False,
        schema="training",
    )
    op.create_table(
        "workout_exercises",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("workout_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("exercise_id", sa.Uuid(), nullable=False),
        sa.Column("set_count", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["exercise_id"], ["training.exercises.id"], name="workout_exercises_exercise_fkey"
        ),
        sa.ForeignKeyConstraint(
            ["external_user_id", "workout_id"],
            ["training.workouts.external_user_id", "training.workouts.id"],
            name="workout_exercises_workout_fkey",
        ),
        sa.PrimaryKeyConstraint(
            "external_user_id", "workout_id", "position", name="workout_exercises_pkey"
        ),
        schema="training",
        comment="Exercises of the current revision of workouts that are not deleted.",
    )
    op.create_index(
        "workout_exercises_exercise_idx",
        "workout_exercises",
        ["external_user_id", "exercise_id", "workout_id"],
        unique=False,
        schema="training",
    )
    op.create_table(
        "workout_revisions",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("workout_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "record",
            sa.LargeBinary(),
            nullable=False,
            comment="The Workout message as it is returned.",
        ),
        sa.ForeignKeyConstraint(
            ["external_user_id", "workout_id"],
            ["training.workouts.external_user_id", "training.workouts.id"],
            name="workout_revisions_workout_fkey",
        ),
        sa.PrimaryKeyConstraint(
            "external_user_id", "workout_id", "revision", name="workout_revisions_pkey"
        ),
        schema="training",
        comment="What workouts were and are; append-only.",
    )
    op.create_table(
        "sessions",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column("duration_seconds", sa.Integer(), nullable=True),
        sa.Column("session_rpe", sa.Double(), nullable=True),
        sa.Column("body_mass_kg", sa.Double(), nullable=True),
        sa.Column("completion", sa.Text(), nullable=False),
        sa.Column("group_external_id", sa.Text(), nullable=False),
        sa.Column("workout_id", sa.Uuid(), nullable=True),
        sa.Column("workout_revision", sa.Integer(), nullable=True),
        sa.Column(
            "supersedes_id", sa.Uuid(), nullable=True, comment="The version this one corrects."
        ),
        sa.Column(
            "original_id",
            sa.Uuid(),
            nullable=True,
            comment="The first version; null on the first itself.",
        ),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "record",
            sa.LargeBinary(),
            nullable=False,
            comment="The Session message as acknowledged.",
        ),
        sa.CheckConstraint(
            "(supersedes_id IS NULL) = (original_id IS NULL)", name="sessions_original_whole"
        ),
        sa.CheckConstraint(
            "(workout_id IS NULL) = (workout_revision IS NULL)", name="sessions_workout_whole"
        ),
        sa.ForeignKeyConstraint(
            ["external_user_id", "supersedes_id"],
            ["training.sessions.external_user_id", "training.sessions.id"],
            name="sessions_supersedes_fkey",
        ),
        sa.ForeignKeyConstraint(
            ["external_user_id", "workout_id", "workout_revision"],
            [
                "training.workout_revisions.external_user_id",
                "training.workout_revisions.workout_id",
                "training.workout_revisions.revision",
            ],
            name="sessions_workout_revision_fkey",
        ),
        sa.PrimaryKeyConstraint("external_user_id", "id", name="sessions_pkey"),
        sa.UniqueConstraint("external_user_id", "request_id", name="sessions_request_key"),
        schema="training",
        comment="Logged sessions; append-only.",
    )
    op.create_index(
        "sessions_original_idx",
        "sessions",
        ["external_user_id", "original_id"],
        unique=False,
        schema="training",
        postgresql_where=sa.text("original_id IS NOT NULL"),
    )
    op.create_index(
        "sessions_started_idx",
        "sessions",
        ["external_user_id", "started_at", "id"],
        unique=False,
        schema="training",
    )
    op.create_index(
        "sessions_workout_idx",
        "sessions",
        ["external_user_id", "workout_id", "started_at"],
        unique=False,
        schema="training",
        postgresql_where=sa.text("workout_id IS NOT NULL"),
    )
    op.create_table(
        "session_exercises",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("exercise_id", sa.Uuid(), nullable=False),
        sa.Column("set_count", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["exercise_id"], ["training.exercises.id"], name="session_exercises_exercise_fkey"
        ),
        sa.ForeignKeyConstraint(
            ["external_user_id", "session_id"],
            ["training.sessions.external_user_id", "training.sessions.id"],
            name="session_exercises_session_fkey",
        ),
        sa.PrimaryKeyConstraint(
            "external_user_id", "session_id", "position", name="session_exercises_pkey"
        ),
        schema="training",
        comment="Exercises of logged sessions; append-only.",
    )
    op.create_index(
        "session_exercises_exercise_idx",
        "session_exercises",
        ["external_user_id", "exercise_id", "session_id"],
        unique=False,
        schema="training",
    )
    op.create_table(
        "session_retractions",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("superseded_by_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(kind = 'SUPERSEDED') = (superseded_by_id IS NOT NULL)",
            name="session_retractions_successor",
        ),
        sa.CheckConstraint("kind IN ('SUPERSEDED', 'VOIDED')", name="session_retractions_kind"),
        sa.ForeignKeyConstraint(
            ["external_user_id", "session_id"],
            ["training.sessions.external_user_id", "training.sessions.id"],
            name="session_retractions_session_fkey",
        ),
        sa.ForeignKeyConstraint(
            ["external_user_id", "superseded_by_id"],
            ["training.sessions.external_user_id", "training.sessions.id"],
            name="session_retractions_successor_fkey",
        ),
        sa.PrimaryKeyConstraint("external_user_id", "session_id", name="session_retractions_pkey"),
        schema="training",
        comment="Sessions that count no more, at most once each; append-only.",
    )


def _drop_tables() -> None:
    op.drop_table("session_retractions", schema="training")
    op.drop_index(
        "session_exercises_exercise_idx", table_name="session_exercises", schema="training"
    )
    op.drop_table("session_exercises", schema="training")
    op.drop_index(
        "sessions_workout_idx",
        table_name="sessions",
        schema="training",
        postgresql_where=sa.text("workout_id IS NOT NULL"),
    )
    op.drop_index("sessions_started_idx", table_name="sessions", schema="training")
    op.drop_index(
        "sessions_original_idx",
        table_name="sessions",
        schema="training",
        postgresql_where=sa.text("original_id IS NOT NULL"),
    )
    op.drop_table("sessions", schema="training")
    op.drop_table("workout_revisions", schema="training")
    op.drop_index(
        "workout_exercises_exercise_idx", table_name="workout_exercises", schema="training"
    )
    op.drop_table("workout_exercises", schema="training")
    op.drop_index("exercise_edges_harder_idx", table_name="exercise_edges", schema="training")
    op.drop_table("exercise_edges", schema="training")
    op.drop_table("write_requests", schema="training")
    op.drop_table("workouts", schema="training")
    op.drop_table("exercises", schema="training")
    op.drop_table("catalogue_state", schema="training")
    op.drop_table("catalogue_requests", schema="training")
