"""A zip file of NDJSON that is read while it is written, with a manifest at its end."""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

CHUNK_BYTES = 1_000_000
"""Most bytes of one chunk."""


class _Sink:
    """What zipfile writes to. It can't seek, so sizes and checksums follow each file."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def write(self, data: bytes) -> int:
        self.buffer += data
        return len(data)

    def flush(self) -> None:
        """Does nothing: there is nothing behind it."""

    def close(self) -> None:
        """Does nothing: what was written is still to be taken."""


class ZipStream:
    """Adds lines to one file after another; what was written so far is taken in chunks.

    Close it (`contextlib.closing`), whether or not it came to its end.
    """

    def __init__(self, made_at: datetime) -> None:
        self._made_at = made_at
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)
        self._files: dict[str, dict[str, Any]] = {}
        self._open: Any = None
        self._digest = hashlib.sha256()

    def add(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds rows to a file: the one that was added to last, or a new one."""
        if name not in self._files:
            self._end_file()
            self._begin_file(name)
            self._files[name] = {"name": name, "rows": 0}
            self._digest = hashlib.sha256()
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            self._open.write(line)
            self._digest.update(line)
        self._files[name]["rows"] += len(rows)

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Ends the zip file with manifest.json, to which it adds `files`: of each the name, the
        number of rows, and the SHA-256 of its lines."""
        self._end_file()
        whole = {**manifest, "files": list(self._files.values())}
        with self._zip.open(self._info("manifest.json"), "w") as file:
            file.write(json.dumps(whole, ensure_ascii=False, indent=2).encode())
        self._zip.close()

    def close(self) -> None:
        """Lets go of what is open: zipfile complains of a file that was never ended."""
        if self._open is not None:
            self._open.close()
        self._zip.close()

    def chunks(self, *, at_least: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Yields what was written and not yet taken, while there are so many bytes of it."""
        buffer = self._sink.buffer
        while buffer and len(buffer) >= at_least:
            yield bytes(buffer[:CHUNK_BYTES])
            del buffer[:CHUNK_BYTES]

    def _begin_file(self, name: str) -> None:
        self._open = self._zip.open(self._info(name), "w", force_zip64=True)

    def _end_file(self) -> None:
        if self._open is None:
            return
        self._open.close()
        self._open = None
        last = next(reversed(self._files.values()))
        last["sha256"] = self._digest.hexdigest()

    def _info(self, name: str) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(name, self._made_at.timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        return info
