"""Lays out the contracts with all they import as one folder of .proto files.

    python protos/export.py FOLDER

For consumers whose tools take the text of contracts, such as proto-loader. Third-party contracts
are dependencies of this repository and not copied into it: google/ comes from the installed
`googleapis-common-protos`, and buf/validate/validate.proto is printed from the descriptor inside
the installed `protovalidate`. google/protobuf is left out, since every compiler brings its own.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import google.api.annotations_pb2
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from printer import print_file

PROTOS = Path(__file__).resolve().parent
GOOGLE_APIS = Path(google.api.annotations_pb2.__file__).parents[2]
WELL_KNOWN = Path(protoc.__file__).parent / "_proto"
VALIDATE = "buf/validate/validate.proto"
NOTICE = """\
// Printed from the descriptor of protovalidate, without its comments. The original is
// Copyright 2023-2026 Buf Technologies, Inc., under the Apache License, Version 2.0.

"""


def export(image: Path, target: Path) -> None:
    """Writes every contract of an image but google/protobuf to a folder."""
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
    for file in files:
        if file.name.startswith("google/protobuf/"):
            continue
        path = target / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.name == VALIDATE:
            write_printed(file, list(files), target)
        else:
            owner = GOOGLE_APIS if file.name.startswith("google/") else PROTOS
            shutil.copyfile(owner / file.name, path)


def write_printed(
    file: descriptor_pb2.FileDescriptorProto,
    known: list[descriptor_pb2.FileDescriptorProto],
    target: Path,
) -> None:
    """Prints one file and makes sure that the text means what the descriptor says."""
    imports = [other for other in known if other.name.startswith("google/protobuf/")]
    (target / file.name).write_text(NOTICE + print_file(file, imports))
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder, "again.binpb")
        paths = [f"--proto_path={path}" for path in (target, WELL_KNOWN)]
        if protoc.main(["protoc", *paths, f"--descriptor_set_out={again}", file.name]) != 0:
            sys.exit(f"the printed {file.name} does not compile")
        compiled = descriptor_pb2.FileDescriptorSet.FromString(again.read_bytes()).file[0]
    if compiled != without_comments(file):
        sys.exit(f"the printed {file.name} does not mean what its descriptor says")


def without_comments(
    file: descriptor_pb2.FileDescriptorProto,
) -> descriptor_pb2.FileDescriptorProto:
    """Returns a file without its source positions and comments."""
    bare = descriptor_pb2.FileDescriptorProto()
    bare.CopyFrom(file)
    bare.ClearField("source_code_info")
    return bare


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    export(PROTOS.parent / "generated" / "training.binpb", Path(sys.argv[1]))
