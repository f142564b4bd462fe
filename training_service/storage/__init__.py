"""PostgreSQL: tables, statements and the one way to run them. Nothing else imports a driver."""
