"""Vectors of exercises, where the database has the extension for them.

Revision: 0025
"""

from alembic import op

from migrations.support import APP_ROLE, GRANTEE_ROLE, begin

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

OLDEST = "0.5"
"""The first version of pgvector with HNSW indexes."""


def upgrade() -> None:
    """A function, since who installs the extension later calls it again (training-service embed).

    A table that lost its column with the extension holds nothing that can't be reckoned anew. Who
    refers to the catalogue for the first time meanwhile waits, so it does not queue for long.
    """
    begin()
    op.execute(f"""
        CREATE FUNCTION training.enable_vectors() RETURNS text LANGUAGE plpgsql
        SET lock_timeout = '5s' AS $$
        DECLARE
            installed text := (SELECT extversion FROM pg_extension WHERE extname = 'vector');
        BEGIN
            IF installed IS NULL THEN
                IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
                    RETURN 'the server does not have the extension vector (pgvector)';
                END IF;
                BEGIN
                    CREATE EXTENSION vector WITH SCHEMA public;
                EXCEPTION WHEN insufficient_privilege THEN
                    RETURN format('%s may not create the extension vector', current_user);
                END;
                installed := (SELECT extversion FROM pg_extension WHERE extname = 'vector');
            END IF;
            IF string_to_array(installed, '.')::int[] < string_to_array('{OLDEST}', '.')::int[] THEN
                RETURN format('the extension vector is %s, {OLDEST} is needed', installed);
            END IF;
            IF NOT EXISTS (
                SELECT FROM pg_attribute WHERE attrelid = to_regclass('training.exercise_vectors')
                AND attname = 'vector' AND NOT attisdropped
            ) THEN
                DROP TABLE IF EXISTS training.exercise_vectors;
                CREATE TABLE training.exercise_vectors (
                    exercise_id uuid NOT NULL,
                    vector vector(256) NOT NULL,
                    exercise_version integer NOT NULL,
                    formula_version smallint NOT NULL,
                    made_at timestamptz NOT NULL,
                    CONSTRAINT exercise_vectors_pkey PRIMARY KEY (exercise_id),
                    CONSTRAINT exercise_vectors_exercise_fkey
                        FOREIGN KEY (exercise_id) REFERENCES training.exercises (id)
                );
                COMMENT ON TABLE training.exercise_vectors IS
                    'What exercises are and what they are trained with, as unit vectors of nobody. '
                    'Reckoned by training-service embed.';
                COMMENT ON COLUMN training.exercise_vectors.exercise_version IS
                    'Of the exercise as it was looked at.';
                CREATE INDEX exercise_vectors_vector_idx
                    ON training.exercise_vectors USING hnsw (vector vector_cosine_ops);
            END IF;
            GRANT SELECT ON training.exercise_vectors TO {APP_ROLE}, {GRANTEE_ROLE};
            RETURN '';
        END $$
    """)
    op.execute("""
        DO $$
        DECLARE
            obstacle text := training.enable_vectors();
        BEGIN
            IF obstacle <> '' THEN
                RAISE NOTICE 'similar exercises are off: %', obstacle;
            END IF;
        END $$
    """)


def downgrade() -> None:
    begin()
    # The extension belongs to the database and may serve others: it stays.
    op.execute("DROP TABLE IF EXISTS training.exercise_vectors")
    op.execute("DROP FUNCTION training.enable_vectors")
