"""The `training-service` command."""

import asyncio
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import typer
from rich.console import Console
from rich.progress import Progress

from training_service.archive.content import DamagedObjectError
from training_service.catalogue import load_catalogue
from training_service.domain.exercise import exercise_id
from training_service.embedded import database_url
from training_service.errors import TrainingError
from training_service.issuer import development_issuer
from training_service.logs import configure_logs
from training_service.pseudonym import Pseudonyms
from training_service.receipt import ReceiptError, kept
from training_service.servicers.rebuild import rebuild_metrics as rebuild_derived
from training_service.settings import Settings, SettingsError, load_settings, settings_table
from training_service.storage import archiving
from training_service.storage.audit import (
    AuditFilter,
    prune_records,
    read_pseudonym_key,
    read_records,
)
from training_service.storage.bootstrap import seed_catalogue
from training_service.storage.distribution import DEFAULT_SHARDS, DistributionError, distribute
from training_service.storage.erasure import erase, opened, signer_of
from training_service.storage.exercise_vector import embed
from training_service.storage.migrations import MigrationError, head_revision
from training_service.storage.migrations import migrate as migrate_to
from training_service.storage.session_linking import link_sessions
from training_service.workers import Supervisor, run_here

SAMPLE_ATHLETE = "5f0c1c52-5a3e-4b39-9d3b-6f2f3f0a7a11"

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Settings are environment variables with the prefix TRAINING_; see docs/settings.md.",
)
console = Console(stderr=True)


@contextmanager
def _settings(**overrides: object) -> Iterator[Settings]:
    """Yields the settings; a wrong one ends the command with its name."""
    try:
        settings = load_settings(**overrides)
        configure_logs(settings)
        yield settings
    except SettingsError as error:
        _print_error(str(error))
        raise typer.Exit(2) from None
    except (TrainingError, MigrationError, DistributionError, DamagedObjectError) as error:
        _print_error(str(error))
        raise typer.Exit(1) from None


def _print_error(message: str) -> None:
    # Not markup: a message may have brackets of its own.
    console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)


def _migration_settings(settings: Settings) -> Settings:
    """Returns the settings under which the schema's owner works: its own login, no lesser role."""
    url = settings.migration_database_url or settings.database_url
    return settings.model_copy(update={"database_url": url, "database_role": ""})


@contextmanager
def _as_owner() -> Iterator[tuple[Settings, str]]:
    """Yields the settings under which the schema's owner works, and the URL of the database."""
    with _settings() as settings:
        owner = _migration_settings(settings)
        with database_url(owner) as url:
            yield owner, url


Address = Annotated[
    str, typer.Option(help="Address of a running service that takes metadata authentication.")
]
LOCAL_SERVICE = "127.0.0.1:50051"


@app.command()
def serve(
    listen: Annotated[
        str | None, typer.Option(help="Address to serve on; TRAINING_LISTEN_ADDRESS.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that share the port; TRAINING_WORKERS.")
    ] = None,
) -> None:
    """Serve gRPC until SIGTERM or Ctrl-C.

    The schema must be at the revision this version needs (see migrate); until it is, and whenever
    the database does not answer, health reports NOT_SERVING. Without TRAINING_DATABASE_URL the
    embedded PostgreSQL runs as long as the server does.
    """
    with (
        _settings(listen_address=listen, workers=workers) as settings,
        database_url(settings) as url,
    ):
        if settings.workers == 1:
            run_here(settings, url, _print_ready)
        else:
            Supervisor(settings, url).run(_print_ready)


@app.command()
def migrate(
    revision: Annotated[
        str, typer.Argument(help='"head", "base", or the id of a revision to go up or down to.')
    ] = "head",
) -> None:
    """Bring the database schema to a revision.

    Runs as the login of TRAINING_MIGRATION_DATABASE_URL, which owns the schema. Safe to run from
    several places at once, and again.
    """
    with _as_owner() as (_, url):
        migrate_to(url, revision)
        shown = head_revision() if revision == "head" else revision
        console.print(f"schema at revision {shown}")


@app.command()
def seed() -> None:
    """Add the exercise catalogue to the database.

    Adds what is missing and leaves everything else as it is, so it is safe to run again.
    """
    with _as_owner() as (owner, url), Progress(console=console, transient=True) as progress:
        exercises = load_catalogue()
        task = progress.add_task("exercises", total=len(exercises))
        added = asyncio.run(
            seed_catalogue(owner, url, exercises, datetime.now(UTC), lambda: progress.advance(task))
        )
    console.print(f"catalogue: {added} of {len(exercises)} exercises added")


@app.command("embed")
def embed_exercises() -> None:
    """Reckon anew how alike exercises are: from the catalogue, and from what is trained together.

    Needs the extension pgvector, which it creates if it may; without it, says what is missing and
    exits with 1: similar exercises are off, and all else works. Runs as the login of
    TRAINING_MIGRATION_DATABASE_URL, beside services that go on serving; safe to run again.
    """
    with _as_owner() as (owner, url):
        done = asyncio.run(embed(owner, url, datetime.now(UTC)))
    if done.obstacle:
        _print_error(f"similar exercises are off: {done.obstacle}")
        raise typer.Exit(1)
    console.print(f"vectors: {done.exercises} exercises, {done.pairs} pairs trained together")


@app.command("distribute")
def distribute_tables(
    shards: Annotated[
        int, typer.Option(min=1, max=1024, help="Pieces that each table of athletes is cut into.")
    ] = DEFAULT_SHARDS,
) -> None:
    """Spread an installation, with or without sessions, over the nodes of a Citus cluster.

    Looks first whether it can, and else says all that is in the way and changes nothing. The
    service must not run meanwhile. Runs as the login of TRAINING_MIGRATION_DATABASE_URL, which must
    be a superuser of the coordinator here; can be run again, also after a failure.
    """
    with _as_owner() as (_, url), Progress(console=console, transient=True) as progress:
        done = distribute(url, shards, _bar(progress, "tables"))
    console.print(f"distributed: {done} tables")


@app.command()
def rebuild_metrics(
    everything: Annotated[
        bool, typer.Option("--all", help="Of all sessions, also those that are up to date.")
    ] = False,
) -> None:
    """Reckon what sessions amount to anew, and the personal records, from what was logged.

    Of sessions that have no metrics yet or those of an older formula. Runs as the login of
    TRAINING_MIGRATION_DATABASE_URL, beside services that go on serving. It can be stopped and run
    again at any time.
    """
    with _as_owner() as (owner, url), Progress(console=console, transient=True) as progress:
        bar = _bar(progress, "sessions")
        done = asyncio.run(rebuild_derived(owner, url, bar, everything=everything))
    console.print(f"metrics: {done} sessions reckoned")


@app.command("link-sessions")
def link_all_sessions() -> None:
    """Put sessions that are in no chain yet at the end of their athlete's.

    Once after the upgrade that brought the chains, when no older server runs any more. Runs as the
    login of TRAINING_MIGRATION_DATABASE_URL, beside services that go on serving. It can be stopped
    and run again at any time.
    """
    with _as_owner() as (owner, url), Progress(console=console, transient=True) as progress:
        done = asyncio.run(link_sessions(owner, url, _bar(progress, "sessions")))
    console.print(f"chains: {done} sessions linked")


@app.command()
def verify(
    user: Annotated[UUID | None, typer.Option(help="This athlete alone.")] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="So many athletes, by chance, and not all.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Where findings go, as JSON.")
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="Where the ends of chains are kept, out of the database's reach: compared with "
            "those of the last run, and written anew when nothing is wrong.",
        ),
    ] = None,
    show_ids: Annotated[
        bool, typer.Option("--show-ids", help="Name athletes by their ids, not pseudonyms.")
    ] = False,
) -> None:
    """Compare records with columns, rows, totals, chains and the archive, and name what is wrong.

    Runs as the login of TRAINING_MIGRATION_DATABASE_URL, beside services that go on serving, and
    writes nothing there. Exits with 1 when something is wrong, 2 when it could not look.
    """
    from training_service import verification

    with _settings() as settings:
        owner = _migration_settings(settings)
        try:
            before = verification.read_heads(heads) if heads else {}
        except ValueError as error:
            _print_error(str(error))
            raise typer.Exit(2) from None
        order = verification.Order(user_id=user, sample=sample, heads=before)
        try:
            with database_url(owner) as url, Progress(console=console, transient=True) as progress:
                bar = _bar(progress, "athletes")
                found = asyncio.run(verification.verify(owner, url, order, bar))
        except TrainingError as error:
            _print_error(str(error))
            raise typer.Exit(2) from None
        if report:
            report.write_text(found.to_json(show_ids=show_ids))
        for line in verification.lines(found, show_ids=show_ids):
            print(line)
        console.print(f"verified: {found.athlete_count} athletes, {len(found.findings)} findings")
        if found.findings:
            raise typer.Exit(1)
        if heads:
            verification.write_heads(heads, {**before, **found.heads})


@app.command()
def erase_user(
    user: Annotated[UUID | None, typer.Argument(help="The user's external_user_id.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    list_unfinished: Annotated[
        bool,
        typer.Option("--unfinished", help="List erasures that were begun and not ended instead."),
    ] = False,
) -> None:
    """Erase a user, athlete or coach: all they have, and their name from what is others'.

    There is no way back. Runs beside services that go on serving, and can be run again after a
    crash: it goes on where it was. Prints the signed receipt. From its beginning whatever is of or
    about the user is refused. With --unfinished, exits with 1 when there are any: their ids are
    kept nowhere, so that each must be asked for again to be ended.
    """
    if (user is None) != list_unfinished:
        raise typer.BadParameter("name a user, or --unfinished")
    with _settings() as settings:
        owner = _migration_settings(settings)
        if user is None:
            _list_unfinished(owner)
            return
        if not yes:
            typer.confirm(f"Erase all data of {user}?", abort=True, err=True)
        with database_url(owner) as url:
            signed = asyncio.run(erase(owner, url, user))
        receipt = kept(signed)
        console.print(f"erased: {sum(receipt.row_counts.values())} rows")
        for table, count in receipt.row_counts.items():
            console.print(f"  {table}: {count}")
        print(signed)


def _list_unfinished(owner: Settings) -> None:
    async def ask(url: str) -> list[tuple[str, datetime]]:
        async with opened(owner, url) as erasure:
            return await erasure.unfinished()

    with database_url(owner) as url:
        found = asyncio.run(ask(url))
    for pseudonym, since in found:
        console.print(f"unfinished since {since:%Y-%m-%d %H:%M:%S} UTC: {pseudonym}")
    if found:
        raise typer.Exit(1)


@app.command()
def verify_receipt(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, readable=True, help="A signed receipt."),
    ] = None,
) -> None:
    """Check that a receipt of erasure was signed here, and print what it says.

    Exits with 1 when it was not. Without a file, prints the public key, in PEM, with which anybody
    can check one: it is a JSON Web Signature by EdDSA.
    """
    with _as_owner() as (owner, url):
        signs = asyncio.run(signer_of(owner, url))
    if file is None:
        print(signs.public_key(), end="")
        return
    try:
        receipt = signs.read(file.read_text().strip())
    except ReceiptError as error:
        _print_error(str(error))
        raise typer.Exit(1) from None
    print(json.dumps(receipt._asdict(), indent=2, default=str))


DATE = ["%Y-%m-%d"]


@app.command()
def archive(
    before: Annotated[
        datetime | None,
        typer.Option(
            formats=DATE,
            help="Only sessions that began before this day, UTC; by default those older than "
            "TRAINING_ARCHIVE_AFTER_DAYS.",
        ),
    ] = None,
    user: Annotated[UUID | None, typer.Option(help="Of this athlete alone.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how much would be moved.")
    ] = False,
) -> None:
    """Move old sessions out of the database into the store of TRAINING_ARCHIVE_URL.

    They are copied, read back and compared, and only then taken out of the database; reads go on to
    answer with them. Runs as the login of TRAINING_MIGRATION_DATABASE_URL, beside services that go
    on serving. It can be stopped, killed and run again at any time. Exits with 1 when the store or
    the database does not do what it should.
    """
    with _as_owner() as (owner, url), Progress(console=console, transient=True) as progress:
        limit = before or datetime.now(UTC) - timedelta(days=owner.archive_after_days)
        done = asyncio.run(
            archiving.archive(
                owner,
                url,
                limit.replace(tzinfo=UTC),
                _bar(progress, "sessions"),
                user_id=user,
                dry_run=dry_run,
            )
        )
    if dry_run:
        console.print(f"would archive: {done.sessions} sessions, {done.record_bytes:,} bytes")
        return
    console.print(
        f"archived: {done.sessions} sessions, {done.record_bytes:,} bytes, in {done.objects} "
        f"objects of {done.object_bytes:,} bytes"
    )
    _print_orphans(done.orphans)


@app.command()
def restore(
    user: Annotated[UUID, typer.Option(help="Whose sessions.")],
    from_date: Annotated[
        datetime | None,
        typer.Option("--from", formats=DATE, help="Only what began on this day or later, UTC."),
    ] = None,
    to_date: Annotated[
        datetime | None,
        typer.Option("--to", formats=DATE, help="Only what began before this day, UTC."),
    ] = None,
) -> None:
    """Bring an athlete's sessions back from the archive into the database.

    Those of a range of days come with all that are in the same objects. It can be stopped, killed
    and run again at any time. Exits with 1 when the store or the database does not do what it
    should, and for an object that is not what was stored.
    """
    first = (from_date or datetime.min).replace(tzinfo=UTC)
    last = (to_date or datetime.max).replace(tzinfo=UTC)
    with _as_owner() as (owner, url), Progress(console=console, transient=True) as progress:
        done = asyncio.run(
            archiving.restore(owner, url, user, first, last, _bar(progress, "sessions"))
        )
    console.print(f"restored: {done.sessions} sessions from {done.objects} objects")
    _print_orphans(done.orphans)


def _bar(progress: Progress, what: str) -> Callable[[int, int], None]:
    """Adds a bar, and returns what is told how many are done, and of how many."""
    task = progress.add_task(what, total=None)
    return lambda done, total: progress.update(task, completed=done, total=total)


def _print_orphans(count: int) -> None:
    if count:
        console.print(f"removed: {count} objects that nothing refers to")


Moment = Annotated[datetime | None, typer.Option(help="UTC.")]


@app.command()
def audit(
    method: Annotated[
        str | None, typer.Option(help="Of an RPC: the path, or how it ends, such as GetSession.")
    ] = None,
    caller: Annotated[UUID | None, typer.Option(help="Who called, by their user id.")] = None,
    subject: Annotated[UUID | None, typer.Option(help="Whose data it was about.")] = None,
    since: Moment = None,
    until: Moment = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Most records.")] = 1000,
) -> None:
    """Print stored access records, the newest first, as lines of JSON.

    Users stand in them by their pseudonyms. Runs as the login of
    TRAINING_MIGRATION_DATABASE_URL.
    """
    with _as_owner() as (owner, url):
        pseudonyms = Pseudonyms(asyncio.run(read_pseudonym_key(owner, url)))
        wanted = AuditFilter(
            method=method,
            caller=pseudonyms.of(caller) if caller else None,
            subject=pseudonyms.of(subject) if subject else None,
            since=since.replace(tzinfo=UTC) if since else None,
            until=until.replace(tzinfo=UTC) if until else None,
        )
        for record in asyncio.run(read_records(owner, url, wanted, limit)):
            print(json.dumps(record._asdict(), default=str))


@app.command()
def pseudonym(user: Annotated[UUID, typer.Argument(help="The user's external_user_id.")]) -> None:
    """Print the pseudonym by which a user stands in logs and access records.

    Runs as the login of TRAINING_MIGRATION_DATABASE_URL.
    """
    with _as_owner() as (owner, url):
        print(Pseudonyms(asyncio.run(read_pseudonym_key(owner, url))).of(user))


@app.command()
def prune_audit(
    before: Annotated[
        datetime | None, typer.Option(help="Remove what was recorded before then, UTC.")
    ] = None,
    older_than_days: Annotated[
        int | None, typer.Option(min=0, help="The same, counted back from now: for a job.")
    ] = None,
) -> None:
    """Remove stored access records that are old enough.

    Runs as the login of TRAINING_MIGRATION_DATABASE_URL; the service itself can remove none.
    """
    if (before is None) == (older_than_days is None):
        raise typer.BadParameter("say either --before or --older-than-days")
    limit = before or datetime.now(UTC) - timedelta(days=older_than_days or 0)
    with _as_owner() as (owner, url):
        count = asyncio.run(prune_records(owner, url, limit.replace(tzinfo=UTC)))
    console.print(f"access records: {count} removed")


@app.command()
def settings() -> None:
    """Print every setting with its default and meaning, as a Markdown table."""
    print(settings_table())


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print findings for a machine.")] = False,
) -> None:
    """Look for what is wrong with an installation, and say what to do about each thing.

    Settings, certificates and keys, the database, its version and rights, pending migrations, and
    clocks. Changes nothing. Exits with 1 when something keeps the service from running as it
    should; warnings alone do not.
    """
    from training_service.doctor import Finding, Verdict, examine, to_json, to_table

    try:
        settings = load_settings()
        configure_logs(settings)
        with database_url(settings) as url:
            findings = list(examine(settings, url, datetime.now(UTC)))
    except SettingsError as error:
        findings = [
            Finding("settings", Verdict.FAILED, str(error), "Correct it: docs/settings.md.")
        ]
    if as_json:
        print(to_json(findings))
    else:
        Console().print(to_table(findings))
    if any(one.verdict is Verdict.FAILED for one in findings):
        raise typer.Exit(1)


@app.command()
def probe(
    target: Annotated[
        str | None, typer.Option(help="Address to ask; by default this service's own port.")
    ] = None,
    alive: Annotated[
        bool, typer.Option("--alive", help="Ask whether it answers, whatever the database does.")
    ] = False,
) -> None:
    """Ask a service whether it is SERVING, for a container's health check.

    Exits with 1 when it is not. With TLS, asks as the service itself: with its own certificate.
    """
    from training_service.probe import is_serving, own_address

    with _settings() as settings:
        if not is_serving(target or own_address(settings), settings, alive=alive):
            console.print("not serving")
            raise typer.Exit(1)


@app.command()
def dev_token(
    user: Annotated[UUID, typer.Option(help="The athlete's external_user_id.")],
    scope: Annotated[
        str, typer.Option(help='Words such as "training:admin" or "training:service".')
    ] = "",
    lifetime_seconds: Annotated[int, typer.Option(help="When it expires; may be past.")] = 3600,
) -> None:
    """Print a bearer token of the development issuer, for a gateway on this machine.

    The issuer's keys are made on first use, in TRAINING_DATA_DIRECTORY.
    """
    with _settings() as settings:
        print(development_issuer(settings).token(user, scope, lifetime_seconds))


@app.command()
def demo(
    target: Address = LOCAL_SERVICE,
    days: Annotated[int, typer.Option(min=28, max=3650, help="How far back the logs go.")] = 365,
    seed: Annotated[int, typer.Option(help="Seed of the generator: the same, the same logs.")] = 1,
) -> None:
    """Fill a running service with two athletes' logs and show what it returns.

    Each athlete builds a template and logs sessions as a client would, through the generated
    stubs. Both are new on each run, so that a run never meets an earlier one's data.
    """
    from training_service.demo import run_demo

    run_demo(target, days, seed, Console())


@app.command("import")
def import_log(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The CSV export.")
    ],
    external_user_id: Annotated[UUID, typer.Option(help="Whose log it is.")],
    time_zone: Annotated[
        str, typer.Option(help='IANA name of the zone of its times, such as "Europe/Berlin".')
    ],
    address: Address = LOCAL_SERVICE,
    source: Annotated[
        Literal["auto", "strong", "hevy", "fitnotes"],
        typer.Option(help="The app that wrote it; auto tells by the header."),
    ] = "auto",
    weight_unit: Annotated[
        Literal["kg", "lb"] | None,
        typer.Option(help="Unit of weights, for a file that does not name it."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Store what is reported.")] = False,
) -> None:
    """Import the log that Strong, Hevy or FitNotes has exported.

    Without --apply nothing is stored: a report says what would be. The same file a second time
    stores nothing new. Exits with 1 when the service refuses something, 2 for a wrong file.
    """
    from training_service.importing import Import, run_import
    from training_service.importing.formats import Source, WeightUnit

    if time_zone not in available_timezones():
        raise typer.BadParameter(f'"{time_zone}" is no IANA time zone', param_hint="--time-zone")
    order = Import(
        file=file,
        address=address,
        external_user_id=external_user_id,
        zone=ZoneInfo(time_zone),
        source=None if source == "auto" else Source(source),
        weight_unit=None if weight_unit is None else WeightUnit(weight_unit),
        apply=apply,
    )
    run_import(order, Console())


@app.command()
def export(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The file to write.")],
    form: Annotated[
        Literal["parquet", "ndjson", "csv"], typer.Option("--format", help="What kind of file.")
    ],
    external_user_id: Annotated[
        UUID | None, typer.Option(help="Whose sessions; without it, those of all athletes.")
    ] = None,
    from_time: Annotated[
        datetime | None, typer.Option("--from", help="Only what began then or later, UTC.")
    ] = None,
    to_time: Annotated[
        datetime | None, typer.Option("--to", help="Only what began before then, UTC.")
    ] = None,
    show_retracted: Annotated[
        bool, typer.Option("--show-retracted", help="Superseded and voided sessions too.")
    ] = False,
    address: Address = LOCAL_SERVICE,
) -> None:
    """Write sessions to a file, as they are at one moment.

    A stream that breaks is taken up again. The file appears when it is whole. Exits with 1 when
    the service refuses or can't be reached, 2 when a package for the format is missing.
    """
    from training_service.exporting import Export, run_export
    from training_service.exporting.formats import Format
    from training_service.exporting.stream import Order

    order = Order(
        external_user_id=external_user_id,
        from_time=from_time,
        to_time=to_time,
        show_retracted=show_retracted,
    )
    run_export(Export(order=order, address=address, file=file, format=Format(form)), Console())


ExportedFile = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, readable=True, help="An export in Parquet."),
]


@contextmanager
def _learning() -> Iterator[None]:
    """Ends the command with the reason when nothing can be learned or tested."""
    from training_service.learning.history import LearningError

    try:
        yield
    except LearningError as error:
        _print_error(str(error))
        raise typer.Exit(2) from None


@app.command()
def backtest(
    file: ExportedFile,
    out: Annotated[Path, typer.Option(file_okay=False, help="Where the report is written.")],
) -> None:
    """Replay an export and compare who would have forecast each next session best.

    Baselines, rules of progression and learned models, on what came before each session only; and
    whether the recommender would have ranked first what was done.
    Exits with 2 when the file holds too little or a package is missing.
    """
    with _learning():
        from training_service.learning.commands import run_backtest

        run_backtest(file, out, Console())


@app.command()
def train_model(
    file: ExportedFile,
    out: Annotated[Path, typer.Option(file_okay=False, help="Where the model is written.")],
) -> None:
    """Train the model of the next session on an export, and write it with its card.

    The card says off, and why, unless the model beats the baselines when history is replayed.
    Exits with 2 when the file holds too little or a package is missing.
    """
    with _learning():
        from training_service.learning.commands import run_training

        run_training(file, out, datetime.now(UTC), Console())


def _print_ready(port: int) -> None:
    """Prints where the service is, and commands to try it with."""
    # Not on standard output, which has the access records and nothing else.
    say = partial(print, file=sys.stderr, flush=True)
    say(f"\nTraining Service ready on localhost:{port}\n")
    for line in sample_commands(port):
        say(f"  {line}")
    say("\nCtrl-C stops it.\n")


def sample_commands(port: int) -> list[str]:
    """Returns shell commands that list the services, log a session and list sessions."""
    grpcurl = Path(sys.prefix, "bin", "grpcurl")
    program = str(grpcurl) if grpcurl.exists() else "grpcurl"
    if grpcurl.is_relative_to(Path.cwd()):
        program = str(grpcurl.relative_to(Path.cwd()))
    started = datetime.now(UTC) - timedelta(hours=1)
    session = {
        "start_time": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "time_zone": "Europe/Berlin",
        "duration_seconds": 2400,
        "session_rpe": 7,
        "exercises": [
            {
                "exercise_id": str(exercise_id("pull-up")),
                "sets": [{"actual_reps": 8}, {"actual_reps": 7}],
            }
        ],
    }
    call = [program, "-plaintext", "-H", f"x-external-user-id: {SAMPLE_ATHLETE}"]
    service = f"localhost:{port}", "calisthenics.training.v1.SessionService"
    return [
        shlex.join([program, "-plaintext", f"localhost:{port}", "list"]),
        shlex.join(
            [*call, "-d", json.dumps({"session": session}), service[0], f"{service[1]}/LogSession"]
        ),
        shlex.join(
            [*call, "-d", '{"view": "SESSION_VIEW_FULL"}', service[0], f"{service[1]}/ListSessions"]
        ),
    ]
