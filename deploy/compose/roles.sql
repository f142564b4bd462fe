-- The logins of the service and of the schema's owner, when the database is new: docs/operations.md.
-- The image runs it as the superuser; the passwords come from files and stand in no variable.
\set owner_password `cat /run/secrets/owner_password`
\set service_password `cat /run/secrets/service_password`

CREATE ROLE training_owner LOGIN CREATEROLE PASSWORD :'owner_password';
CREATE ROLE training_service LOGIN NOINHERIT PASSWORD :'service_password';
SELECT format('GRANT ALL ON DATABASE %I TO training_owner', current_database()) \gexec

-- Migrations would make these too; made here, they can be granted before the first one.
CREATE ROLE training_app;
CREATE ROLE training_reader;
CREATE ROLE training_grantee;
CREATE ROLE training_coach;
CREATE ROLE training_eraser;
GRANT training_app, training_reader, training_grantee, training_coach, training_eraser
    TO training_owner, training_service;

-- Not trusted, so that the schema's owner can't: for similar exercises, which are optional.
SELECT 'CREATE EXTENSION vector' FROM pg_available_extensions WHERE name = 'vector' \gexec
