"""docs/debugging.md: every command on the page is run, and what stands under it must come."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.support import RunningService, running_service, service_process

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "debugging.md").read_text()
ADDRESS = "localhost:50051"
LEFT_OUT = "…"
NO_REFLECTION = "Without reflection"
CERTIFICATES = "With certificates on both sides"
TOKEN = "With a token"

FENCE = re.compile(r"^```sh\n(?P<commands>.*?)^```\n\n^```text\n(?P<output>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """Commands of the page and what comes of them."""

    heading: str
    commands: str
    output: str


def blocks_of(page: str) -> list[Block]:
    """Returns the blocks of a page in order."""
    found = []
    for section in re.split(r"^#+ ", page, flags=re.M)[1:]:
        heading = section.partition("\n")[0]
        for match in FENCE.finditer(section):
            found.append(Block(heading, match["commands"], match["output"]))
    return found


BLOCKS = blocks_of(PAGE)
LOGGING = next(block for block in BLOCKS if "SessionService/LogSession <<" in block.commands)


def shows(output: str, expected: str) -> bool:
    """Whether an output is the expected one, where … stands for any text of a line, or for any
    lines when it stands alone."""
    lines = output.rstrip("\n").split("\n")
    runs: list[list[str]] = [[]]
    for line in expected.rstrip("\n").split("\n"):
        if line == LEFT_OUT:
            runs.append([])
        else:
            runs[-1].append(line)

    def is_at(run: list[str], at: int) -> bool:
        return 0 <= at <= len(lines) - len(run) and all(map(same, lines[at:], run))

    if len(runs) == 1:
        return len(lines) == len(runs[0]) and is_at(runs[0], 0)
    # The first run is at the beginning, the last at the end, the others come in order between.
    end = len(lines) - len(runs[-1])
    if not is_at(runs[0], 0) or not is_at(runs[-1], end):
        return False
    position = len(runs[0])
    for run in runs[1:-1]:
        position = next((i for i in range(position, end) if is_at(run, i)), end) + len(run)
    return position <= end


def same(line: str, expected: str) -> bool:
    pattern = ".*".join(map(re.escape, expected.split(LEFT_OUT)))
    return re.fullmatch(pattern, line) is not None


def run(commands: str, folder: Path, variables: dict[str, str]) -> tuple[int, str]:
    """Runs commands as at a terminal, and returns the exit code and all that was printed."""
    program = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", commands],
        cwd=folder,
        env={**os.environ, "PATH": f"{program}{os.pathsep}{os.environ['PATH']}", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


def check(block: Block, port: int, folder: Path = ROOT, **variables: str) -> None:
    """Runs a block against the service on a port."""
    here = f"localhost:{port}"
    code, output = run(block.commands.replace(ADDRESS, here), folder, variables)
    assert code == 0, output
    assert shows(output, block.output.replace(ADDRESS, here)), output


@pytest.fixture(scope="module")
def silent_service(database_url: str) -> Iterator[RunningService]:
    """A service without reflection."""
    with running_service(database_url, reflection=False) as running:
        yield running


@pytest.fixture(scope="module")
def certified(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, Path]]:
    """The port of a service with certificates, and a folder with the files that the page names."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder)
    certificate, key = authority.issue("training.internal")
    authority.issue("gateway.internal")
    with service_process(
        database_url,
        TRAINING_TLS_CERTIFICATE_FILE=str(certificate),
        TRAINING_TLS_PRIVATE_KEY_FILE=str(key),
        TRAINING_TLS_CLIENT_CA_FILE=str(authority.file),
    ) as running:
        yield running.port, folder


@pytest.fixture(scope="module")
def token_service(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, str]]:
    """The port of a service with the settings that the page names, and its data directory."""
    folder = str(tmp_path_factory.mktemp("data"))
    section = PAGE.partition(f"\n## {TOKEN}\n")[2]
    named = dict(re.findall(r"^- `TRAINING_(\w+)=(.*)`$", section, re.M))
    assert len(named) == 4
    settings = {name.lower(): value.replace(".data", folder) for name, value in named.items()}
    with running_service(database_url, **settings) as running:
        yield running.port, folder


@pytest.fixture(scope="module")
def with_session(service: RunningService) -> RunningService:
    """The service after the page's session was logged, so that each block can run alone."""
    check(LOGGING, service.port)
    return service


def blocks(chosen: Callable[[str], bool]) -> pytest.MarkDecorator:
    """Parametrizes a test with the blocks under the headings that are chosen."""
    return pytest.mark.parametrize(
        "block",
        [
            pytest.param(block, id=f"{number}-{block.heading}")
            for number, block in enumerate(BLOCKS, 1)
            if chosen(block.heading)
        ],
    )


@blocks(lambda heading: heading not in (NO_REFLECTION, CERTIFICATES, TOKEN))
def test_the_commands_do_what_the_page_shows(block: Block, with_session: RunningService) -> None:
    check(block, with_session.port)


@blocks(lambda heading: heading == NO_REFLECTION)
def test_the_commands_for_a_service_without_reflection(
    block: Block, silent_service: RunningService
) -> None:
    check(block, silent_service.port)


@blocks(lambda heading: heading == CERTIFICATES)
def test_the_commands_for_a_service_with_certificates(
    block: Block, certified: tuple[int, Path]
) -> None:
    check(block, *certified)


@blocks(lambda heading: heading == TOKEN)
def test_the_commands_for_a_service_that_verifies_tokens(
    block: Block, token_service: tuple[int, str], with_session: RunningService
) -> None:
    port, folder = token_service
    check(block, port, TRAINING_DATA_DIRECTORY=folder)


# Whether the tests above could fail.


def test_every_block_of_the_page_is_found() -> None:
    assert len(BLOCKS) == 31
    assert PAGE.count("```") == 4 * len(BLOCKS)
    assert [block.heading for block in BLOCKS].count(NO_REFLECTION) == 4
    assert [block.heading for block in BLOCKS].count(CERTIFICATES) == 3
    assert [block.heading for block in BLOCKS].count(TOKEN) == 2


def test_every_command_of_the_page_is_in_a_block() -> None:
    command = re.compile(r"\bgrpcurl\s+-")
    assert not command.search(FENCE.sub("", PAGE))
    # One a block: of several, only the last one's exit code would count.
    assert {len(command.findall(block.commands)) for block in BLOCKS} == {1}


def test_every_block_shows_more_than_what_is_left_out() -> None:
    for block in BLOCKS:
        shown = [line for line in block.output.splitlines() if line.strip(' {}[],…"')]
        assert shown, block


def test_a_command_that_fails_is_noticed(service: RunningService) -> None:
    refused = next(block for block in BLOCKS if block.output.endswith("exit 67\n"))
    unexpected = Block("", refused.commands.partition("||")[0], refused.output)
    with pytest.raises(AssertionError):
        check(unexpected, service.port)
    with pytest.raises(AssertionError):
        check(Block("", refused.commands, refused.output.replace("67", "0")), service.port)
    with pytest.raises(AssertionError):
        check(Block("", refused.commands, LOGGING.output), service.port)


@pytest.mark.parametrize(
    ("expected", "is_shown"),
    [
        ("a\nb 1\nc\nd", True),
        ("a\n…\nd", True),
        ("…\nb …\nc\n…", True),
        ("…\na\nb 1\nc\nd\n…", True),
        ("…\nd", True),
        ("a\nb …\n…\nc\nd", True),
        ("a\nb 1\nc", False),
        ("b 1\nc\nd", False),
        ("a\n…\nc", False),
        ("…\nb 2\n…", False),
        ("…\nc\n…\nb 1\n…", False),
        ("…\nb 1\nd\n…", False),
        ("a\n…\nd\n…\nd", False),
        ("a\nb 1\nc\n…\nc\nd", False),
        ("a\nb 1\nc\nd\ne", False),
    ],
)
def test_an_output_is_compared_line_by_line(expected: str, is_shown: bool) -> None:
    assert shows("a\nb 1\nc\nd\n", expected) == is_shown
