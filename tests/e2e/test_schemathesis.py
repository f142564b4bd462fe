"""A fuzzer reads the published OpenAPI document and looks for answers that it does not tell of."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from deploy.envoy.gateway import GENERATED
from tests.conftest import seed
from tests.e2e.conftest import StartGateway
from tests.support import PULL_UP, Athlete, running_service
from training_service.issuer import DevelopmentIssuer
from training_service.storage.migrations import migrate

CONFIGURATION = """
[parameters]
"path.external_user_id" = "{user}"
# What exists, so that calls get beyond NOT_FOUND.
"path.exercise_id" = "{exercise}"
"path.workout_id" = "{workout}"
"path.session_id" = "{session}"

[checks]
# Protobuf's JSON is lenient by design: unknown fields are dropped, numbers may be texts.
negative_data_rejection.enabled = false
# A schema says nothing of what exists, nor of rules between fields.
positive_data_acceptance.enabled = false
# Methods without a rule are 404 here.
unsupported_method.enabled = false
allow_header_conformance.enabled = false
# Other tests see to tokens, and what is deleted stays readable.
ignored_auth.enabled = false
use_after_free.enabled = false
ensure_resource_availability.enabled = false

[phases.stateful]
enabled = false
"""


def test_no_answer_is_undocumented(
    make_database: Callable[[], str],
    start_gateway: StartGateway,
    issuer: DevelopmentIssuer,
    tmp_path: Path,
) -> None:
    url = make_database()  # of its own: an administrator changes the catalogue
    migrate(url)
    seed(url)
    access_log = tmp_path / "access.log"
    with (
        access_log.open("wb") as output,
        running_service(url) as service,
        start_gateway([service.address], output=output) as envoy,
    ):
        athlete = Athlete(service.address)
        configuration = tmp_path / "schemathesis.toml"
        configuration.write_text(
            CONFIGURATION.format(
                user=athlete.id,
                exercise=PULL_UP,
                workout=athlete.create_workout().id,
                session=athlete.log().id,
            )
        )
        token = issuer.token(UUID(athlete.id), "training:admin", 3600)
        athlete.close()
        program = Path(sys.executable).parent / "schemathesis"
        done = subprocess.run(
            [
                *(str(program), "--config-file", str(configuration), "run"),
                *(str(GENERATED / "openapi.json"), "--url", f"http://{envoy.address}"),
                *("-H", f"Authorization: Bearer {token}", "--request-timeout", "10"),
                # It would be the last that this user does.
                *("--exclude-path", "/api/v1/training/users/{external_user_id}/erasure"),
                *("--max-examples", "6", "--seed", "1", "--continue-on-failure", "--no-color"),
            ],
            cwd=tmp_path,
            text=True,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr + server_errors(access_log)
    [passed] = re.findall(r"generated, (\d+) passed", done.stdout)
    assert int(passed) > 1000


def server_errors(access_log: Path) -> str:
    """Returns what the gateway says of its answers from 500 on, for whoever reads a failure."""
    lines = access_log.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if re.search(r'"status":\s*"?5\d\d', line))
