"""Instances are replaced one after the other behind the gateway, under load."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from tests.e2e.conftest import StartGateway
from tests.e2e.rest import Answer, RestClient
from tests.e2e.test_gateway import SESSION
from tests.support import ServiceProcess, eventually, free_port

READERS = 3
WRITERS = 3
CALLS_AT_EACH_STEP = 60


@dataclass
class Load:
    """Callers who go on until told to stop, and what they were answered."""

    reads: list[int] = field(default_factory=list)
    writes: dict[str, list[int]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    failures: list[Answer] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def read(self, client: RestClient) -> None:
        while not self.stop.is_set():
            answer = client.get(f"{client.sessions}?pageSize=5")
            self.reads.append(answer.status)
            self._note(answer)

    def write(self, client: RestClient) -> None:
        """Logs sessions; repeats one that was not acknowledged, with its request_id."""
        while not self.stop.is_set():
            request_id = str(uuid.uuid4())
            statuses = self.writes.setdefault(request_id, [])
            while 200 not in statuses:
                answer = client.send("POST", f"{client.sessions}?requestId={request_id}", SESSION)
                statuses.append(answer.status)
                self._note(answer)
                if answer.status == 200:
                    self.ids[request_id] = answer.json["id"]
                else:
                    time.sleep(0.05)

    def _note(self, answer: Answer) -> None:
        if answer.status != 200:
            self.failures.append(answer)

    @property
    def calls(self) -> int:
        return len(self.reads) + len(self.ids)

    def go_on(self) -> None:
        """Returns when some more calls were made."""
        enough = self.calls + CALLS_AT_EACH_STEP
        eventually(lambda: self.calls >= enough, within_seconds=60)


@contextmanager
def load(new_client: Callable[..., RestClient], address: str) -> Iterator[tuple[Load, RestClient]]:
    made = Load()
    client = new_client(address=address)
    threads = [threading.Thread(target=made.read, args=(client,)) for _ in range(READERS)]
    threads += [threading.Thread(target=made.write, args=(client,)) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield made, client
    finally:
        made.stop.set()
        for thread in threads:
            thread.join()


def start(url: str, port: int) -> ServiceProcess:
    # Longer than the gateway takes to notice, on a busy machine too.
    service = ServiceProcess(url, port=port, TRAINING_DRAIN_DELAY_SECONDS="3")
    service.wait_until_ready()
    return service


def test_replacing_instances_fails_no_read_and_loses_and_doubles_no_write(
    database_url: str,
    owner: psycopg.Connection,
    start_gateway: StartGateway,
    new_client: Callable[..., RestClient],
) -> None:
    ports = [free_port(), free_port()]
    services = [start(database_url, port) for port in ports]
    try:
        with (
            start_gateway([s.address for s in services]) as envoy,
            load(new_client, envoy.address) as (made, client),
        ):
            made.go_on()
            for index, port in enumerate(ports):
                assert services[index].stop() == 0
                made.go_on()
                services[index] = start(database_url, port)
                made.go_on()
                eventually(lambda: envoy.healthy_services() == 2)
            made.go_on()
    finally:
        for service in services:
            service.stop()
    assert made.failures == []
    assert set(made.reads) == {200}
    assert all(statuses == [200] for statuses in made.writes.values())
    assert_stored_once(made, client, owner)


def assert_stored_once(made: Load, client: RestClient, owner: psycopg.Connection) -> None:
    query = """
        SELECT request_id::text, id::text FROM training.sessions WHERE external_user_id = %s
    """
    rows = owner.execute(query, [client.user]).fetchall()
    assert len(rows) == len(made.ids)
    assert dict(rows) == made.ids


def test_an_instance_that_dies_fails_no_read_and_loses_and_doubles_no_write(
    database_url: str,
    owner: psycopg.Connection,
    start_gateway: StartGateway,
    new_client: Callable[..., RestClient],
) -> None:
    services = [start(database_url, free_port()) for _ in range(2)]
    try:
        with (
            start_gateway([s.address for s in services]) as envoy,
            load(new_client, envoy.address) as (made, client),
        ):
            made.go_on()
            services[0].stop(9)
            made.go_on()
            eventually(lambda: envoy.healthy_services() == 1)
            made.go_on()
    finally:
        for service in services:
            service.stop()
    # A read is sent to the other instance; a write may have been done, so its caller repeats it.
    assert set(made.reads) == {200}
    assert all(statuses[-1] == 200 for statuses in made.writes.values())
    assert_stored_once(made, client, owner)
