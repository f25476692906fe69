"""The command line: ``hubassoc``, or ``python -m airflow_provider_hubassoc``.

Exit codes: 0 nothing to do, or done; 1 error; 2 changes pending (``plan``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rich.console import RenderableType

    from airflow_provider_hubassoc.hubspot.client import HubSpotClient
    from airflow_provider_hubassoc.limits.apply import Progress
    from airflow_provider_hubassoc.limits.config import LimitsConfig
    from airflow_provider_hubassoc.limits.plan import Plan

DONE, ERROR, PENDING, INTERRUPTED = 0, 1, 2, 130

_CONNECTION_HELP = """\
connection: --conn-id names an Airflow connection; without it HUBSPOT_ACCESS_TOKEN is used
(and HUBSPOT_BASE_URL, if HubSpot is somewhere else, such as a simulator).
exit codes: 0 nothing to do, or done; 1 error; 2 changes pending (plan)."""


class UsageError(Exception):
    """The command line, or what it says about the connection, cannot work."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Leave with 1: argparse's own 2 means "changes pending" here."""
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hubassoc",
        description="HubSpot association limits as code.",
        epilog=_CONNECTION_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command", parser_class=_Parser)

    def add(name: str, run: Any, help_text: str, *, connects: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=help_text,
            description=f"{help_text[0].upper()}{help_text[1:]}.",
            epilog=_CONNECTION_HELP if connects else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="print JSON, for programs")
        if connects:
            command.add_argument("--conn-id", help="Airflow connection to use")
            command.add_argument(
                "--max-concurrency", type=_at_least_one, default=8, help="requests at the same time (default 8)"
            )
        return command

    def add_file(command: argparse.ArgumentParser, **options: Any) -> None:
        command.add_argument("file", help="YAML or JSON file with the declared limits; - for stdin", **options)

    def add_portal(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--portal", help="use the overrides under this name in the file (default: --conn-id, or the portal's id)"
        )
        command.add_argument("--prune", action="store_true", help="purge limits that the file does not mention")

    export = add("export", _export, "write the portal's present limits as a file")
    export.add_argument(
        "--object",
        action="append",
        default=[],
        metavar="TYPE",
        help="custom object to look at, p_<name> or 2-<n>; may be repeated",
    )
    export.add_argument("-o", "--output", type=Path, help="file to write (default: stdout)")

    validate = add("validate", _validate, "check a file, without a portal", connects=False)
    add_file(validate)

    plan = add("plan", _plan, "show what would change; write nothing to the portal")
    add_file(plan)
    add_portal(plan)
    plan.add_argument("-o", "--output", type=Path, help="also write the plan as JSON, for apply --plan")
    plan.add_argument("--markdown", action="store_true", help="print Markdown")
    plan.add_argument("--all", action="store_true", help="list unchanged limits, too")

    apply = add("apply", _apply, "make the portal as declared, and see it settled")
    add_file(apply, nargs="?")
    add_portal(apply)
    apply.add_argument("--plan", type=Path, help="apply this plan, if the portal has not changed since")
    apply.add_argument("--yes", action="store_true", help="do not ask")
    apply.add_argument(
        "--verify-timeout", type=float, default=60.0, metavar="SECONDS", help="0: do not verify (default 60)"
    )

    schema = add("schema", _schema, "print the JSON Schema of the file, for editors", connects=False)
    schema.add_argument("-o", "--output", type=Path, help="file to write (default: stdout)")

    # Its own options are its own business (see main); here it is for the list of commands.
    commands.add_parser("simulator", help="serve an embedded HubSpot for trying things out")
    return parser


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :param arguments: the command line, without the program.
    :return: exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["simulator"]:
        return _simulator(given[1:])
    options = _parser().parse_args(given)
    from airflow_provider_hubassoc.hubspot.errors import HubSpotError
    from airflow_provider_hubassoc.limits.config import ConfigError
    from airflow_provider_hubassoc.limits.plan import StalePlanError

    try:
        return int(options.run(options))
    except (ConfigError, StalePlanError, HubSpotError, UsageError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # Whoever reads has seen enough; Python must not try to flush on its way out.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ERROR
        if options.json:
            _print_json({"error": str(error), "type": type(error).__name__})
        else:
            print(f"Error: {error}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        print("Interrupted. Running it again goes on where this ended.", file=sys.stderr)
        return INTERRUPTED


# -- commands --------------------------------------------------------------------------------------------------


def _export(options: argparse.Namespace) -> int:
    from airflow_provider_hubassoc.limits.export import export_limits

    with _client(options) as client, _progress() as progress:
        portal = client.account_info().portal_id
        export = export_limits(
            client, object_types=options.object, max_concurrency=options.max_concurrency, progress=progress
        )
    if options.json:
        text = json.dumps(export.config, indent=2, ensure_ascii=False) + "\n"
    else:
        text = export.to_yaml(f"HubSpot association limits of portal {portal}")
    _write(options.output, text)
    for row in export.missing:
        name = f' "{row.label}"' if row.label else ""
        print(
            f"Error: not exported: {row.category} {row.type_id}{name}, limit {row.max_to_object_ids}; "
            "name the custom objects it may belong to with --object",
            file=sys.stderr,
        )
    for direction, reason in export.skipped:
        print(f"Error: skipped {direction}: {reason}", file=sys.stderr)
    return ERROR if export.missing or export.skipped else DONE


def _validate(options: argparse.Namespace) -> int:
    from airflow_provider_hubassoc.limits.config import check_config

    config, problems = check_config(_source(options.file))
    if options.json:
        rows = [
            {
                "severity": each.severity,
                "line": each.line,
                "path": each.path,
                "found": each.found,
                "message": each.message,
            }
            for each in problems
        ]
        _print_json({"valid": config is not None, "problems": rows})
    else:
        for problem in problems:
            print(f"{problem.severity}: {problem}")
        if config is not None:
            print(f"{options.file}: valid, {len(config.for_portal().associations)} direction(s)")
    return ERROR if config is None else DONE


def _plan(options: argparse.Namespace) -> int:
    with _client(options) as client, _progress() as progress:
        plan = _make_plan(options, client, progress)
    if options.output:
        _write(options.output, json.dumps(plan.to_json(), indent=2, ensure_ascii=False) + "\n")
    if options.json:
        _print_json(plan.to_json())
    elif options.markdown:
        print(plan.to_markdown(), end="")
    else:
        _print_rich(plan.to_rich(show_unchanged=options.all))
    if plan.unread or plan.unfit:
        return ERROR
    return DONE if plan.is_empty else PENDING


def _apply(options: argparse.Namespace) -> int:
    from airflow_provider_hubassoc.limits.apply import apply_plan, read_again
    from airflow_provider_hubassoc.limits.plan import Plan

    if (options.file is None) == (options.plan is None):
        raise UsageError("give either a file or --plan")
    if options.plan is not None and (options.prune or options.portal):
        raise UsageError("--prune and --portal are decided when the plan is made")
    with _client(options) as client:
        with _progress() as progress:
            if options.plan is not None:
                try:
                    plan = Plan.from_json(options.plan.read_bytes())
                except ValueError as error:
                    raise UsageError(f"{options.plan}: {error}") from None
                state = read_again(plan, client, max_concurrency=options.max_concurrency, progress=progress)
                plan = plan.rebased(replace(state, portal_id=_portal_id(client)))
            else:
                plan = _make_plan(options, client, progress)
        if not options.json:
            _print_rich(plan.to_rich())
        if not plan.is_empty and not options.yes and not _confirmed(options):
            print("Nothing was changed.", file=sys.stderr)
            return ERROR
        with _progress() as progress:
            report = apply_plan(
                plan,
                client,
                max_concurrency=options.max_concurrency,
                verify_timeout=options.verify_timeout or None,
                progress=progress,
            )
    if options.json:
        _print_json({"plan": plan.to_json(), "report": report.to_dict()})
    elif not plan.is_empty:
        print("\n".join(report.lines()))
    return DONE if report.ok else ERROR


def _schema(options: argparse.Namespace) -> int:
    from airflow_provider_hubassoc.limits.config import schema_text

    _write(options.output, schema_text())
    return DONE


def _simulator(arguments: Sequence[str]) -> int:
    from airflow_provider_hubassoc.simulator.__main__ import main as serve

    return serve(arguments)


# -- what commands share ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _client(options: argparse.Namespace) -> Iterator[HubSpotClient]:
    if options.conn_id:
        client = _client_from_airflow(options.conn_id)
    else:
        from airflow_provider_hubassoc.hubspot.client import HubSpotClient
        from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings

        token = os.environ.get("HUBSPOT_ACCESS_TOKEN")
        if not token:
            raise UsageError("no connection: set HUBSPOT_ACCESS_TOKEN, or name an Airflow connection with --conn-id")
        settings = {"access_token": token, "base_url": os.environ.get("HUBSPOT_BASE_URL")}
        client = HubSpotClient(HubSpotSettings.parse(settings))
    with client:
        yield client


def _client_from_airflow(conn_id: str) -> HubSpotClient:
    # As Airflow's own command line does it; without it Airflow looks for connections everywhere but in its database.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    try:
        from airflow.sdk.exceptions import AirflowException

        from airflow_provider_hubassoc.hooks import HubSpotHook
    except ImportError:
        raise UsageError("--conn-id needs Airflow; without it set HUBSPOT_ACCESS_TOKEN") from None
    try:
        return HubSpotHook(hubspot_conn_id=conn_id).get_conn()
    except AirflowException as error:
        raise UsageError(f"Airflow has no usable connection {conn_id}: {error}") from None


def _make_plan(options: argparse.Namespace, client: HubSpotClient, progress: Progress) -> Plan:
    from airflow_provider_hubassoc.limits.apply import read_state
    from airflow_provider_hubassoc.limits.plan import build_plan

    config = _load(options.file)
    # Without looking which portal this is, its overrides would go unnoticed.
    by_id = options.portal is None and bool(config.portals) and options.conn_id not in config.portals
    portal_id = _portal_id(client, required=by_id)
    config = _for_portal(config, options, portal_id)
    state = read_state(config, client, max_concurrency=options.max_concurrency, progress=progress)
    return build_plan(config, replace(state, portal_id=portal_id), prune=options.prune)


def _portal_id(client: HubSpotClient, *, required: bool = False) -> int | None:
    """Return which portal it is, as far as the token may know."""
    from airflow_provider_hubassoc.hubspot.errors import HubSpotMissingScopesError

    try:
        return client.account_info().portal_id
    except HubSpotMissingScopesError:
        if required:
            raise
        return None


def _for_portal(config: LimitsConfig, options: argparse.Namespace, portal_id: int | None) -> LimitsConfig:
    if options.portal is not None:
        if options.portal not in config.portals:
            raise UsageError(f"the file has no portal {options.portal}; it has {', '.join(config.portals) or 'none'}")
        return config.for_portal(options.portal)
    return config.for_portal(options.conn_id, portal_id)


def _load(file: str) -> LimitsConfig:
    from airflow_provider_hubassoc.limits.config import load_config

    return load_config(_source(file))


def _source(file: str) -> str | Path:
    # The line break tells text from a path.
    return f"{sys.stdin.read()}\n" if file == "-" else Path(file)


def _confirmed(options: argparse.Namespace) -> bool:
    """Ask, where somebody is there to answer; a pipeline has decided by running the command."""
    if options.file == "-" or not sys.stdin.isatty():
        return True
    print("Apply these changes? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _write(path: Path | None, text: str) -> None:
    if path is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        path.write_text(text, encoding="utf-8")


def _print_json(data: Any) -> None:
    _write(None, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def _print_rich(renderable: RenderableType) -> None:
    from rich.console import Console

    # A file or pipe has no width; rich would take 80 columns and fold what a program may want to find.
    Console(width=None if sys.stdout.isatty() else 160).print(renderable)


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """Show progress on stderr: a bar for a person, now and then a line for a log."""
    if not sys.stderr.isatty():
        yield _PlainProgress(sys.stderr)
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    with Bar(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        yield update


class _PlainProgress:
    """A line at most every few seconds; none for short work."""

    _EVERY = 5.0

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._last = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= self._EVERY:
            self._last = now
            print(f"{what}: {done} of {total}", file=self._stream, flush=True)
