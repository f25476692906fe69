"""The command line: ``hubassoc``, or ``python -m airflow_provider_hubassoc``.

Exit codes: 0 success; 1 error; 130 interrupted. ``plan --detailed-exitcode``: 2 if there are changes to apply.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any

from airflow_provider_hubassoc import __version__, terminal
from airflow_provider_hubassoc.terminal import DONE, ERROR, INTERRUPTED, Interruption, Parser, UsageError, say

_DESCRIPTION = "Manage HubSpot association limits as code."

_CONNECTION_HELP = """\
connection (the first of these that is there):
  --conn-id ID             an Airflow connection
  HUBSPOT_ACCESS_TOKEN     environment variable; HUBSPOT_BASE_URL is the address of a simulator, say
  hubspot_default          Airflow connection, if Airflow is installed and has it"""

_EXIT_CODES = "exit codes: 0 success; 1 error; 130 interrupted"

_PLAN_EXIT_CODES = f"{_EXIT_CODES}; with --detailed-exitcode 2 if there are changes to apply"


def build_parser() -> Parser:
    """Return the parser of the whole command line. ``docs/command-line.md`` is written from it."""
    parser = Parser(
        prog="hubassoc",
        description=_DESCRIPTION,
        epilog=f"{_CONNECTION_HELP}\n\n{_EXIT_CODES}\nhelp for a command: hubassoc COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hubassoc {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)

    def add(name: str, help_text: str, *, connects: bool = True, exit_codes: str = _EXIT_CODES) -> Parser:
        command: Parser = subparsers.add_parser(
            name,
            help=help_text,
            description=f"{help_text[0].upper()}{help_text[1:]}.",
            epilog=f"{_CONNECTION_HELP}\n\n{exit_codes}" if connects else exit_codes,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(command=name)
        command.add_argument("--json", action="store_true", help="print JSON")
        if connects:
            command.add_argument("--conn-id", type=terminal.text, metavar="ID", help="Airflow connection to use")
            command.add_argument(
                "--max-concurrency",
                type=terminal.whole_number(1, 32),
                default=8,
                metavar="N",
                help="requests at the same time, 1 to 32 (default 8)",
            )
        return command

    def add_file(command: Parser, **options: Any) -> None:
        command.add_argument(
            "file", type=terminal.text, help="YAML or JSON file of limits; - reads standard input", **options
        )

    def add_plan_options(command: Parser) -> None:
        command.add_argument(
            "--portal",
            metavar="NAME",
            help="apply the overrides with this name under portals in the file "
            "(default: those named like the connection or the portal's id, if there are any)",
        )
        command.add_argument(
            "--prune", action="store_true", help="remove limits that the file does not mention, in its directions"
        )
        command.add_argument(
            "--target",
            type=terminal.text,
            action="append",
            default=[],
            metavar="FROM:TO",
            help="only this direction of the file, such as contacts:companies; may be repeated",
        )

    def add_output(command: Parser, help_text: str) -> None:
        command.add_argument("-o", "--output", type=terminal.path, metavar="FILE", help=help_text)

    export = add("export", "write the portal's limits as a file")
    export.add_argument(
        "--object",
        type=terminal.text,
        action="append",
        default=[],
        metavar="TYPE",
        help="custom object to read, p_<name> or 2-<n>; may be repeated",
    )
    add_output(export, "file to write, as JSON if its name ends in .json (default: standard output)")
    export.add_argument("--force", action="store_true", help="replace the file if it exists")

    validate = add("validate", "check files of limits, without a portal", connects=False)
    add_file(validate, nargs="+")

    plan = add("plan", "show what would change; the portal is only read", exit_codes=_PLAN_EXIT_CODES)
    add_file(plan)
    add_plan_options(plan)
    add_output(plan, "also write the plan as JSON, for apply --plan; an earlier plan is replaced")
    plan.add_argument("--markdown", action="store_true", help="print Markdown")
    plan.add_argument("--summary", action="store_true", help="with --markdown: fit a pull-request comment")
    plan.add_argument("--all", action="store_true", help="also list unchanged limits")
    plan.add_argument(
        "--detailed-exitcode", action="store_true", help="exit with 2 if there are changes to apply (default: 0)"
    )

    apply = add("apply", "bring the portal in line with the file, and wait until the changes are in force")
    add_file(apply, nargs="?")
    add_plan_options(apply)
    apply.add_argument(
        "--plan", type=terminal.text, metavar="FILE", help="apply this plan, unless the portal has changed since"
    )
    apply.add_argument("--yes", action="store_true", help="do not ask; required without a terminal")
    apply.add_argument(
        "--verify-timeout",
        type=terminal.seconds(),
        default=60.0,
        metavar="SECONDS",
        help="how long to wait until the changes are in force; 0 does not wait (default 60)",
    )

    labels = add("labels", "list the association types of a direction, with their ids, labels and limits")
    labels.add_argument("from_object_type", type=terminal.text, metavar="FROM", help="object type, such as contacts")
    labels.add_argument("to_object_type", type=terminal.text, metavar="TO", help="object type, such as companies")

    schema = add("schema", "print the JSON Schema of the file, for editors", connects=False)
    add_output(schema, "file to write; an existing one is replaced (default: standard output)")

    # It has a parser of its own (see main); here it is for the list of commands.
    subparsers.add_parser("simulator", help="serve a local stand-in for HubSpot, to try things out", add_help=False)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :param arguments: the command line, without the program.
    :return: exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["help"]:
        given = [*given[1:2], "--help"]
    terminal.replace_unencodable()
    if given[:1] == ["simulator"]:
        from airflow_provider_hubassoc.simulator.__main__ import main as serve

        return serve(given[1:], program="hubassoc simulator")
    with terminal.writing(sys.stdout) if sys.stdout else contextlib.nullcontext():
        parser = build_parser()
        options = parser.parse_args(given)
        if "command" not in options:
            parser.print_help()
            return DONE
    interruption = Interruption()
    with terminal.document_stream() as document, interruption.handled():
        return _run(options, document, interruption)


def _run(options: argparse.Namespace, document: IO[str], interruption: Interruption) -> int:
    from airflow_provider_hubassoc.commands import Command, error_text
    from airflow_provider_hubassoc.hubspot.errors import HubSpotError
    from airflow_provider_hubassoc.limits.config import ConfigError
    from airflow_provider_hubassoc.limits.plan.model import StalePlanError

    command = Command(options, document, interruption)
    run: Callable[[], int] = getattr(command, options.command)
    try:
        return run()
    except (ConfigError, StalePlanError, HubSpotError, UsageError, OSError) as error:
        if options.json:
            message = error_text(error, command.connection_name)
            with terminal.writing(document):
                document.write(json.dumps({"error": message, "type": type(error).__name__}, indent=2) + "\n")
        else:
            say(f"Error: {error_text(error, command.connection_name, say_problems=say)}")
        return ERROR
    except KeyboardInterrupt:
        say(f"Interrupted. {command.account}")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
