"""Revisions of the schema, run by Alembic; see CONTRIBUTING.md for how to write one."""
