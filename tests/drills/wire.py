"""A TCP port before another address, which can become slow or go silent."""

import asyncio
import contextlib
from pathlib import Path

from sqlalchemy import make_url

CHUNK_BYTES = 65_536


class Wire:
    """Forwards connections: `async with`, on a free port of this machine."""

    def __init__(self, *, socket: Path | None = None, port: int = 0) -> None:
        self.delay_seconds = 0.0
        """How long everything takes on its way, in each direction."""
        self.port = 0
        self._socket = socket
        self._port = port
        self._silent: set[asyncio.Task[None]] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    @classmethod
    def to_database(cls, url: str) -> "Wire":
        """Returns one before PostgreSQL."""
        folder = make_url(url).query["host"]
        return cls(socket=Path(str(folder)) / ".s.PGSQL.5432")

    def before(self, url: str) -> str:
        """Returns the URL of a database by way of this."""
        through = make_url(url).set(host="127.0.0.1", port=self.port, query={})
        return through.render_as_string(hide_password=False)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._pumps):
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for writer in self._writers:
            writer.close()

    def silence(self) -> int:
        """Forwards nothing more on the connections there are, and ends none of them, as when a
        machine loses its power or a router its memory. Returns how many they are."""
        self._silent |= self._pumps
        return len(self._pumps) // 2

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            further_reader, further_writer = await self._connect()
        except OSError:
            writer.close()
            return
        self._writers += [writer, further_writer]
        for source, sink in ((reader, further_writer), (further_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._socket:
            return await asyncio.open_unix_connection(str(self._socket))
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                await asyncio.sleep(self.delay_seconds)
                if asyncio.current_task() in self._silent:
                    continue
                sink.write(data)
                await sink.drain()
        if asyncio.current_task() not in self._silent:
            sink.close()
