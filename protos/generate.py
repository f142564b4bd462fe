"""Generates everything under `generated/` from the contracts in this folder.

    python protos/generate.py

Third-party contracts are dependencies, not copies: google/api, google/rpc and google/type come
from the installed `googleapis-common-protos`, and buf/validate/validate.proto exists as a
descriptor inside the installed `protovalidate`. The result depends on the locked versions alone.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import google.api.annotations_pb2
from clients import write_clients
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from openapi import write_openapi
from protovalidate._gen.buf.validate import validate_pb

PROTOS = Path(__file__).resolve().parent
GENERATED = PROTOS.parent / "generated"
IMAGE = GENERATED / "training.binpb"
VALIDATE = "buf/validate/validate.proto"
# No contract imports it, but refusals carry it: a gateway needs it to write them as JSON.
ERROR_DETAILS = "google/rpc/error_details.proto"


def run_protoc(*arguments: str) -> None:
    """Runs the protoc inside grpcio-tools, with the plugins of this environment on its path."""
    if protoc.main(["protoc", *arguments]) != 0:
        sys.exit("protoc failed")


def write_validate_image(path: Path) -> None:
    """Writes the descriptor of buf/validate/validate.proto as a descriptor set."""
    file = descriptor_pb2.FileDescriptorProto.FromString(
        bytes(validate_pb.desc().proto.to_binary())
    )
    path.write_bytes(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())


def build_image(contracts: list[str], image: Path) -> None:
    """Compiles the contracts with all they import, comments included, to one descriptor set."""
    well_known = Path(protoc.__file__).parent / "_proto"
    google_apis = Path(google.api.annotations_pb2.__file__).parents[2]
    with tempfile.TemporaryDirectory() as folder:
        validate = Path(folder, "validate.binpb")
        write_validate_image(validate)
        run_protoc(
            f"--proto_path={PROTOS}",
            f"--proto_path={google_apis}",
            f"--proto_path={well_known}",
            f"--descriptor_set_in={validate}",
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={image}",
            ERROR_DETAILS,
            *contracts,
        )


def generate(contracts: list[str], image: Path, target: Path) -> None:
    """Writes Python stubs, typed. validate.proto is included: no package ships its stubs."""
    plugins = [
        f"--plugin={name}={Path(sys.executable).parent / name}"
        for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    run_protoc(
        f"--descriptor_set_in={image}",
        *plugins,
        f"--python_out={target}",
        f"--mypy_out=quiet:{target}",
        VALIDATE,
        *contracts,
    )
    services = [c for c in contracts if "\nservice " in (PROTOS / c).read_text()]
    run_protoc(
        f"--descriptor_set_in={image}",
        *plugins,
        f"--grpc_python_out={target}",
        f"--mypy_grpc_out=quiet:{target}",
        *services,
    )


def generate_all(target: Path) -> None:
    """Writes everything generated to a folder."""
    contracts = sorted(
        str(p.relative_to(PROTOS)) for p in (PROTOS / "calisthenics").rglob("*.proto")
    )
    image = target / IMAGE.name
    build_image(contracts, image)
    generate(contracts, image, target)
    # Says that the stubs are typed (PEP 561).
    for package in ("buf", "calisthenics"):
        (target / package / "py.typed").touch()
    write_clients(image, target)
    write_openapi(image, target / "openapi.json")


if __name__ == "__main__":
    shutil.rmtree(GENERATED, ignore_errors=True)
    GENERATED.mkdir()
    generate_all(GENERATED)
