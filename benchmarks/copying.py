"""The yardstick of exports: PostgreSQL's own COPY of the same rows."""

import time

import psycopg

COPY = (
    "COPY (SELECT id, record FROM training.sessions WHERE external_user_id = '{}' ORDER BY id)"
    " TO STDOUT (FORMAT BINARY)"
)


def copy_out(url: str, athlete: str, count: int) -> tuple[float, list[int]]:
    """Copies an athlete's sessions out so many times; see `load.measure`."""
    taken = []
    with psycopg.connect(url) as connection:
        for _ in range(count):
            begin = time.perf_counter()
            with connection.cursor().copy(COPY.format(athlete)) as rows:
                for _ in rows:
                    pass
            taken.append(int((time.perf_counter() - begin) * 1e6))
    return count / sum(taken) * 1e6, taken
