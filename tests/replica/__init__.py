"""The core of the suite once more, with PgBouncer between the service and its database."""
