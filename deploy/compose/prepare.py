"""What compose.yaml mounts and no repository should hold: passwords, keys, Envoy's configuration.

python deploy/compose/prepare.py [FOLDER]    into .data/compose, unless another folder is named

Passwords that are there stay, so that it can be run again.
"""

import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from deploy.envoy.gateway import Gateway, render  # noqa: E402
from training_service.issuer import development_issuer  # noqa: E402
from training_service.settings import load_settings  # noqa: E402

FOLDER = ROOT / ".data" / "compose"
PASSWORD_BYTES = 24
DATABASE = "postgres:5432/training"
ENVOY = Path("/etc/envoy")
"""Where Envoy's container has its files."""
READABLE = 0o444
WRITABLE = 0o777
"""Containers run as users of their own. From others here the folder keeps them."""


def main() -> None:
    """Fills the folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _password(folder, "postgres")
    for login, url_file in (("owner", "migration_database_url"), ("service", "database_url")):
        password = _password(folder, login)
        _write(folder / url_file, f"postgresql://training_{login}:{password}@{DATABASE}")
    keys = folder / "keys"
    keys.mkdir(exist_ok=True)
    _write(keys / "jwks.json", development_issuer(load_settings()).jwks_file.read_text())
    _write(folder / "envoy.yaml", render(gateway()))
    heads = folder / "heads"
    heads.mkdir(exist_ok=True)
    heads.chmod(WRITABLE)
    print(f"compose.yaml finds its secrets in {folder}")


def gateway() -> Gateway:
    """Returns Envoy's surroundings in its container."""
    return Gateway(
        listen="0.0.0.0:8080",
        services=["training:50051"],
        jwks_file=ENVOY / "keys" / "jwks.json",
        descriptor_set=ENVOY / "training.binpb",
        docs=False,
    )


def _password(folder: Path, login: str) -> str:
    file = folder / f"{login}_password"
    if not file.exists():
        _write(file, secrets.token_urlsafe(PASSWORD_BYTES))
    return file.read_text()


def _write(file: Path, content: str) -> None:
    # Moved into place: what reads it never finds half of it, and Envoy watches for that.
    new = file.with_name(f".{file.name}")
    new.unlink(missing_ok=True)
    new.write_text(content)
    new.chmod(READABLE)
    new.replace(file)


if __name__ == "__main__":
    main()
