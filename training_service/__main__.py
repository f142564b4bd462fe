"""`python -m training_service` is the `training-service` command."""

from training_service.cli import app

app(prog_name="training-service")
