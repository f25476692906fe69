"""What the commands of ``hubassoc`` do."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_hubassoc import terminal
from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotError, HubSpotMissingScopesError
from airflow_provider_hubassoc.hubspot.object_types import is_object_type
from airflow_provider_hubassoc.hubspot.settings import DEFAULT_BASE_URL, HubSpotSettings
from airflow_provider_hubassoc.limits.apply import Outcome, apply_plan
from airflow_provider_hubassoc.limits.config import LimitsConfig, check_config, schema_text
from airflow_provider_hubassoc.limits.config.sources import SUFFIXES, read
from airflow_provider_hubassoc.limits.config.yaml_text import MAX_BYTES
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan.build import build_plan
from airflow_provider_hubassoc.limits.plan.model import Plan
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.plan.render import render_comment, render_markdown, render_terminal
from airflow_provider_hubassoc.limits.problems import ConfigError, Place, Problem
from airflow_provider_hubassoc.limits.snapshot import read_again, read_state
from airflow_provider_hubassoc.limits.targets import check_targets, narrowed, parse_target
from airflow_provider_hubassoc.limits.wording import count_of, limit_text, one_line
from airflow_provider_hubassoc.terminal import DONE, ERROR, INTERRUPTED, PENDING, Interruption, UsageError, say

if TYPE_CHECKING:
    from rich.console import RenderableType

_TOKEN_VARIABLE = "HUBSPOT_ACCESS_TOKEN"
_ADDRESS_VARIABLE = "HUBSPOT_BASE_URL"
_DEFAULT_CONNECTION = "hubspot_default"
_NO_CONNECTION = (
    f"no connection to HubSpot: set {_TOKEN_VARIABLE}, name an Airflow connection with --conn-id, "
    f"or create the Airflow connection {_DEFAULT_CONNECTION}"
)
_STDIN = "<stdin>"
_NOTHING_CHANGED = "Nothing was changed."
_WAITS_FOR_REQUESTS = "Interrupted: waiting until HubSpot has answered the requests under way."
_WAITS_FOR_WRITES = (
    "Interrupted: waiting until HubSpot has answered the writes under way, so that their outcome is known. "
    "No further writes are sent."
)


class Command:
    """One run of the command line.

    :param options: the parsed command line.
    :param document: where the document of the command goes.
    :param interruption: how Ctrl-C is handled.
    """

    def __init__(self, options: argparse.Namespace, document: IO[str], interruption: Interruption) -> None:
        self._options = options
        self._document = document
        self._interruption = interruption
        self._writes = 0
        self._applied = 0
        self.connection_name = ""
        """What the connection in use is called, for messages."""

    @property
    def progress(self) -> str:
        """What the command has done so far, for a user who interrupts it."""
        if not self._writes:
            return _NOTHING_CHANGED
        return (
            f"{self._applied} of {count_of(self._writes, 'change')} are known to be applied. "
            "Run the command again to continue."
        )

    # -- commands --

    def export(self) -> int:
        """Write the portal's limits as a file."""
        from airflow_provider_hubassoc.limits.export import export_limits

        options = self._options
        _check_object_types("--object", options.object)
        output = _output_path(options.output)
        if output is not None:
            _check_export_target(output, force=options.force)
        with self._client() as client, terminal.progress() as progress:
            portal_id = self._portal_id(client)
            export = export_limits(
                client, object_types=options.object, max_concurrency=options.max_concurrency, progress=progress
            )
        if options.json or (output is not None and output.suffix.lower() == ".json"):
            content = self._json(export.config, for_file=output is not None)
        else:
            title = f"HubSpot association limits{'' if portal_id is None else f' of portal {portal_id}'}"
            content = export.to_yaml(title)
            if output is None and not terminal.can_encode(self._document, content):
                content = export.to_yaml(title, allow_unicode=False)
        if output is not None:
            _check_export_target(output, force=options.force)
        self._write(output, content)
        for row in export.missing:
            name = f' "{row.label}"' if row.label else ""
            say(
                f"Error: not exported: {row.category} {row.type_id}{name}, limit {row.max_to_object_ids}; "
                "name the custom objects it may belong to with --object"
            )
        for what, reason in export.skipped:
            say(f"Error: not read: {what}: {reason}")
        return ERROR if export.missing or export.skipped else DONE

    def validate(self) -> int:
        """Check files of limits."""
        rows: list[dict[str, Any]] = []
        lines: list[str] = []
        is_valid = True
        for file in self._options.file:
            config, problems = check_config(_source(file))
            name = _name(file)
            rows += [_problem_json(name, problem) for problem in problems]
            lines += [_problem_line(name, problem) for problem in problems]
            if config is None:
                is_valid = False
            else:
                lines.append(f"{name}: valid, {count_of(len(config.resolve().associations), 'direction')}")
        if self._options.json:
            self._write(None, self._json({"valid": is_valid, "problems": rows}))
        else:
            self._write(None, "".join(f"{line}\n" for line in lines))
        return DONE if is_valid else ERROR

    def plan(self) -> int:
        """Show what would change."""
        options = self._options
        if options.json and options.markdown:
            raise UsageError("give one of --json and --markdown")
        if options.summary and not options.markdown:
            raise UsageError("--summary shortens --markdown: give both")
        output = _output_path(options.output)
        if output is not None:
            _check_plan_target(output, options.file)
        config = self._load(options.file)
        with self._client() as client:
            plan = self._make_plan(config, client)
        if output is not None:
            self._write(output, self._json(plan.to_json(), for_file=True))
        if options.json:
            self._write(None, self._json(plan.to_json()))
        elif options.markdown:
            self._write(None, render_comment(plan) if options.summary else render_markdown(plan))
        else:
            self._print(render_terminal(plan, show_unchanged=options.all), self._document)
        if options.json or options.markdown:
            for place, text in (located for unfit in plan.unfit for located in unfit.located_problems):
                say(f"{place}: error: {text}" if place else f"Error: {text}")
        if plan.unread or plan.unfit:
            return ERROR
        return PENDING if options.detailed_exitcode and not plan.is_empty else DONE

    def apply(self) -> int:
        """Bring the portal in line with the file."""
        options = self._options
        if (options.file is None) == (options.plan is None):
            raise UsageError("name either a file of limits or a plan with --plan")
        if options.plan is not None and (options.prune or options.portal is not None or options.target):
            raise UsageError("--prune, --portal and --target are for making a plan; with --plan they have no effect")
        is_from_stdin = "-" in (options.file, options.plan)
        config = None if options.file is None else self._load(options.file)
        approved = None if options.plan is None else _read_plan(options.plan)
        with self._client() as client:
            if approved is not None:
                plan = self._held_against_the_portal(approved, client, self._portal_id(client))
            elif config is not None:
                plan = self._make_plan(config, client)
            if not plan.is_empty and not options.yes:
                self._ask(plan, is_from_stdin)
                # Somebody may have changed the portal meanwhile.
                plan = self._held_against_the_portal(plan, client, plan.portal_id)
            elif not options.json:
                self._print(render_terminal(plan), self._document)
            self._writes = len(plan.writes) + len(plan.new_labels)
            self._interruption.notice = _WAITS_FOR_WRITES
            with terminal.progress() as progress:
                report = apply_plan(
                    plan,
                    client,
                    max_concurrency=options.max_concurrency,
                    verify_timeout=options.verify_timeout or None,
                    progress=progress,
                    sleep=self._interruption.sleep,
                    on_outcomes=self._note,
                )
            self._interruption.notice = ""
        try:
            if options.json:
                self._write(None, self._json({"plan": plan.to_json(), "report": report.to_dict()}))
            elif not plan.is_empty:
                self._write(None, "\n".join(report.lines()) + "\n")
        except UsageError:
            say("\n".join(report.lines()))  # what was done must not be lost with the output
            raise
        return DONE if report.ok else ERROR

    def labels(self) -> int:
        """List the association types of a direction."""
        options = self._options
        direction = Direction(options.from_object_type, options.to_object_type)
        _check_object_types("FROM and TO", direction)
        with self._client() as client:
            self._portal_id(client)
            labels = client.get_labels(*direction)
            limits = {row.identity: row for row in client.get_limits(*direction)}
        texts = {row.identity: row.label for row in limits.values()} | {row.identity: row.label for row in labels}
        rows = [
            {
                "category": category,
                "typeId": type_id,
                "label": label or None,
                "limit": limits[category, type_id].max_to_object_ids if (category, type_id) in limits else None,
            }
            for (category, type_id), label in sorted(texts.items(), key=lambda item: (bool(item[1]), item[0]))
        ]
        if options.json:
            self._write(None, self._json({"from": direction[0], "to": direction[1], "types": rows}))
        else:
            self._print(_types_table(direction, rows), self._document)
        return DONE

    def schema(self) -> int:
        """Print the JSON Schema of the file."""
        output = _output_path(self._options.output)
        if output is not None:
            _refuse_limits_file(output)
        self._write(output, schema_text())
        return DONE

    def demo(self) -> int:
        """Run a DAG in Airflow against a simulated portal."""
        from airflow_provider_hubassoc.demo import run_demo

        try:
            return DONE if run_demo(self._document, canceled=self._options.canceled, log=self._options.log) else ERROR
        except KeyboardInterrupt:
            say("Interrupted.")
            os._exit(INTERRUPTED)  # what an interrupted Airflow runs at exit may hang, and prints tracebacks

    # -- connection --

    @contextlib.contextmanager
    def _client(self) -> Iterator[HubSpotClient]:
        with self._open() as client:
            self._interruption.notice = _WAITS_FOR_REQUESTS
            yield client
        self._interruption.notice = ""

    def _open(self) -> HubSpotClient:
        conn_id = self._options.conn_id
        token = (os.environ.get(_TOKEN_VARIABLE) or "").strip()
        if conn_id is None and token:
            self.connection_name = _TOKEN_VARIABLE
            if os.environ.get("AIRFLOW_CONN_HUBSPOT_DEFAULT"):
                say(f"{_TOKEN_VARIABLE} takes precedence over the Airflow connection {_DEFAULT_CONNECTION}.")
            settings = {"access_token": token, "base_url": os.environ.get(_ADDRESS_VARIABLE)}
            return HubSpotClient(
                HubSpotSettings.parse(settings), connection_name=_TOKEN_VARIABLE, sleep=self._interruption.sleep
            )
        if os.environ.get(_ADDRESS_VARIABLE):
            say(f"Warning: {_ADDRESS_VARIABLE} is ignored: it is used with {_TOKEN_VARIABLE} only.")
        self.connection_name = conn_id or _DEFAULT_CONNECTION
        return self._open_from_airflow(self.connection_name, is_named=conn_id is not None)

    def _open_from_airflow(self, conn_id: str, *, is_named: bool) -> HubSpotClient:
        # As Airflow's own command line does it; without it Airflow does not look into its database.
        os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
        try:
            from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

            from airflow_provider_hubassoc.hooks import HubSpotHook
        except ImportError:
            message = f"--conn-id needs Airflow, which is not installed here; set {_TOKEN_VARIABLE} instead"
            raise UsageError(message if is_named else _NO_CONNECTION) from None
        try:
            return HubSpotHook(hubspot_conn_id=conn_id, sleep=self._interruption.sleep).get_conn()
        except AirflowNotFoundException as error:
            self.connection_name = ""
            message = f"Airflow has no usable connection {conn_id}: {error}"
            raise UsageError(message if is_named else _NO_CONNECTION) from None
        except AirflowException as error:
            raise UsageError(f"Airflow has no usable connection {conn_id}: {error}") from None

    def _portal_id(self, client: HubSpotClient, *, required: bool = False) -> int | None:
        """Return the id of the portal, None if the token may not know it, and say which connection is used."""
        address = "" if client.base_url == DEFAULT_BASE_URL else f" at {client.base_url}"
        try:
            portal_id = client.account_info().portal_id
        except HubSpotMissingScopesError:
            if required:
                raise
            say(f"Using {self.connection_name}{address}. The token may not read which portal it belongs to.")
            return None
        say(f"Using {self.connection_name}: portal {portal_id}{address}.")
        return portal_id

    # -- plans --

    def _load(self, file: str) -> LimitsConfig:
        """Read the file, and check what the command line says about it before anything is sent."""
        config, problems = check_config(_source(file))
        errors = [problem for problem in problems if problem.severity == "error"]
        for problem in problems:
            if problem not in errors:
                say(_problem_line(_name(file), problem))
        if config is None:
            raise ConfigError(errors, _name(file))
        try:
            config.resolve(named=self._options.portal)
            check_targets(config, self._targets())
        except ConfigError as error:
            raise ConfigError(error.problems, _name(file)) from None
        return config

    def _targets(self) -> list[Direction]:
        try:
            return [parse_target(target) for target in self._options.target]
        except ValueError as error:
            raise UsageError(f"--target {error}") from None

    def _make_plan(self, config: LimitsConfig, client: HubSpotClient) -> Plan:
        options = self._options
        conn_id = None if self.connection_name == _TOKEN_VARIABLE else self.connection_name
        required = config.resolve(conn_id=conn_id, named=options.portal).needs_portal_id
        portal_id = self._portal_id(client, required=required)
        resolved = config.resolve(conn_id=conn_id, portal_id=portal_id, named=options.portal)
        if resolved.note and options.portal is None:
            say(resolved.note)
        try:
            resolved = narrowed(resolved, self._targets(), portal_id=portal_id)
            with terminal.progress() as progress:
                state = read_state(
                    resolved,
                    client,
                    max_concurrency=options.max_concurrency,
                    progress=progress,
                    sleep=self._interruption.sleep,
                )
            return build_plan(resolved, replace(state, portal_id=portal_id), prune=options.prune)
        except ConfigError as error:
            raise ConfigError(error.problems, error.source or _name(options.file)) from None

    def _held_against_the_portal(self, plan: Plan, client: HubSpotClient, portal_id: int | None) -> Plan:
        """Read the portal again.

        :param portal_id: of the portal that is read; None if it is not known.
        :raises StalePlanError: if it has changed since the plan was made.
        """
        with terminal.progress() as progress:
            state = read_again(
                plan,
                client,
                max_concurrency=self._options.max_concurrency,
                progress=progress,
                sleep=self._interruption.sleep,
            )
        return rebase(plan, replace(state, portal_id=portal_id))

    def _ask(self, plan: Plan, is_from_stdin: bool) -> None:
        """Show the plan and ask for a yes.

        :raises UsageError: without a yes, or if there is nobody to ask.
        """
        is_seen = not self._options.json and terminal.is_terminal(self._document)
        can_ask = not is_from_stdin and terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stderr)
        if not self._options.json:
            self._print(render_terminal(plan), self._document)
        if not can_ask:
            reason = "the standard input is the file" if is_from_stdin else "this is not a terminal"
            raise UsageError(f"nothing was changed: nobody can be asked, as {reason}. Use --yes to apply the changes")
        if not is_seen:
            self._print(render_terminal(plan), sys.stderr)
        portal = "the portal" if plan.portal_id is None else f"portal {plan.portal_id}"
        self._interruption.notice = ""
        print(f"Apply these changes to {portal}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError("nothing was changed: the answer was not yes")

    def _note(self, outcomes: Sequence[Outcome]) -> None:
        self._applied += sum(outcome.status == "applied" for outcome in outcomes)

    # -- output --

    def _write(self, output: Path | None, content: str) -> None:
        if output is not None:
            terminal.write_file(output, content)
            return
        with terminal.writing(self._document):
            self._document.write(content)

    def _json(self, data: Any, *, for_file: bool = False) -> str:
        content = json.dumps(data, indent=2, ensure_ascii=False)
        if not for_file and not terminal.can_encode(self._document, content):
            content = json.dumps(data, indent=2)
        return f"{content}\n"

    def _print(self, renderable: RenderableType, stream: IO[str]) -> None:
        from rich.console import Console

        # A file or pipe has no width, and the default of 80 columns would fold what a program may look for.
        console = Console(file=stream, width=None if terminal.is_terminal(stream) else 160)
        with terminal.writing(stream):
            console.print(renderable)


# -- words -----------------------------------------------------------------------------------------------------


def error_text(error: Exception, connection_name: str, *, say_problems: Callable[[str], None] | None = None) -> str:
    """Return the sentence for an error that a person can do something about.

    :param error: what was raised.
    :param connection_name: of the connection in use; empty if there is none.
    :param say_problems: prints a mistake that has a line of its own in a file; None to have all of it in the text.
    """
    if isinstance(error, ConfigError):
        return _config_error_text(error, say_problems)
    message = str(error)
    if isinstance(error, OSError):
        message = ": ".join(str(part) for part in (error.filename, error.strerror or message) if part)
    if isinstance(error, HubSpotError) and connection_name and connection_name not in message:
        message += f" (connection {connection_name})"
    return message


def _config_error_text(error: ConfigError, say_problems: Callable[[str], None] | None) -> str:
    source = error.source or "the declared limits"
    if say_problems is not None and any(problem.line is not None for problem in error.problems):
        for problem in error.problems:
            say_problems(_problem_line(source, problem))
        return f"{count_of(len(error.problems), 'mistake')} in {source}; nothing was changed."
    if len(error.problems) == 1:
        return f"{_place(source, error.problems[0])}: {_problem_text(error.problems[0])}"
    return str(error)


def _place(file: str, problem: Problem) -> str:
    """Return where a problem is, in the form that editors and CI systems know: ``limits.yaml:12:7``."""
    return str(Place(problem.source or file, problem.line, problem.column))


def _problem_text(problem: Problem) -> str:
    found = f"found {problem.found}; " if problem.found is not None else ""
    return f"{f'{problem.path}: ' if problem.path else ''}{found}{problem.message}"


def _problem_line(file: str, problem: Problem) -> str:
    return f"{_place(file, problem)}: {problem.severity}: {_problem_text(problem)}"


def _problem_json(file: str, problem: Problem) -> dict[str, Any]:
    return {
        "file": file,
        "severity": problem.severity,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "found": problem.found,
        "message": problem.message,
    }


def _types_table(direction: Direction, rows: Sequence[dict[str, Any]]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("Category", "left"), ("typeId", "right"), ("Label", "left"), ("Limit", "right")):
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]  # a literal, widened
    for row in rows:
        cells = [row["category"], str(row["typeId"]), row["label"] or "(unlabeled)", limit_text(row["limit"])]
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    count = count_of(len(rows), "association type")
    return Group(table, Text(), Text(f"{direction[0]} -> {direction[1]}: {count}.", style="bold"))


# -- files -----------------------------------------------------------------------------------------------------


def _source(file: str) -> str | Path:
    """Return a file, or the text of standard input, as the readers of limits take it."""
    if file != "-":
        return Path(file)
    content = terminal.read_stdin(MAX_BYTES)
    try:
        return f"{content.decode('utf-8-sig')}\n"  # the line break tells text from a path
    except UnicodeDecodeError:
        raise ConfigError([Problem("is not UTF-8 text")], _STDIN) from None


def _name(file: str) -> str:
    return _STDIN if file == "-" else file


def _read_plan(file: str) -> Plan:
    try:
        content = terminal.read_stdin(100 * MAX_BYTES) if file == "-" else Path(file).read_bytes()
        return Plan.from_json(content)
    except OSError as error:
        raise UsageError(f"the plan {_name(file)} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{_name(file)}: {error}. Make a plan with hubassoc plan -o FILE") from None


def _output_path(output: Path | None) -> Path | None:
    """Return where to write to; None for standard output, which may be spelled out."""
    return None if output is None or str(output) in ("-", "/dev/stdout", "/dev/fd/1") else output


def _check_export_target(output: Path, *, force: bool) -> None:
    terminal.check_target(output)
    if not terminal.is_replaceable(output):
        return
    if os.path.lexists(output) and not force:
        raise UsageError(f"{output} exists; use --force to replace it, or name another file")
    if output.suffix.lower() not in SUFFIXES:
        say(f"Warning: {output}: plan and validate only read files whose name ends in {', '.join(SUFFIXES)}.")


def _check_plan_target(output: Path, file: str) -> None:
    terminal.check_target(output)
    if file != "-" and os.path.exists(file) and os.path.exists(output) and os.path.samefile(file, output):
        raise UsageError(f"{output} is the file of limits itself; write the plan to another file")
    _refuse_limits_file(output)


def _refuse_limits_file(output: Path) -> None:
    """Refuse to replace a file of limits by something else."""
    terminal.check_target(output)
    if terminal.is_replaceable(output) and output.exists():
        with contextlib.suppress(ConfigError):
            read(output)
            raise UsageError(f"{output} is a file of limits; name another file")


def _check_object_types(argument: str, object_types: Sequence[str]) -> None:
    for object_type in object_types:
        if not is_object_type(object_type):
            raise UsageError(
                f'{argument}: "{object_type}" is not an object type; use a name such as contacts, or an id'
            )
