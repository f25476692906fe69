"""The command line: ``hubassoc``, or ``python -m airflow_provider_hubassoc``.

Exit codes: 0 success; 1 error; 130 interrupted. ``plan --detailed-exitcode``: 2 if there are changes to apply.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from typing import IO

from airflow_provider_hubassoc import __version__, terminal
from airflow_provider_hubassoc.errors import HubassocError
from airflow_provider_hubassoc.terminal import DONE, ERROR, INTERRUPTED, Interruption, Parser, say

_DESCRIPTION = "Manage HubSpot association limits as code."

_CONNECTION_HELP = """\
connection (the first that is set):
  --conn-id ID             an Airflow connection
  HUBSPOT_ACCESS_TOKEN     environment variable with an access token; set HUBSPOT_BASE_URL to use a simulator
  hubspot_default          this Airflow connection, if Airflow is installed and has it"""

_EXIT_CODES = "exit codes: 0 success; 1 error; 130 interrupted"

_PLAN_EXIT_CODES = f"{_EXIT_CODES}; with --detailed-exitcode 2 if there are changes to apply"


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
        from airflow_provider_hubassoc.simulator.__main__ import main as serve  # it takes a second to import

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
    # Not at the top: help and mistakes on the command line need no HTTP and models.
    from airflow_provider_hubassoc.commands import COMMANDS, Session, error_text

    session = Session(options, document, interruption)
    try:
        return COMMANDS[options.command](session)
    except (HubassocError, OSError) as error:
        if options.json:
            message = error_text(error, session.connection_name)
            with terminal.writing(document):
                document.write(json.dumps({"error": message, "type": type(error).__name__}, indent=2) + "\n")
        else:
            say(f"Error: {error_text(error, session.connection_name, say_problems=say)}")
        return ERROR
    except KeyboardInterrupt:
        say(f"Interrupted. {session.progress}")
        return INTERRUPTED


def build_parser() -> Parser:
    """Return the parser of the whole command line. ``docs/command-line.md`` is written from it."""
    parser = Parser(
        prog="hubassoc",
        description=_DESCRIPTION,
        epilog=f"{_CONNECTION_HELP}\n\n{_EXIT_CODES}\nhelp for a command: hubassoc COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hubassoc {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for add in (_add_export, _add_validate, _add_plan, _add_apply, _add_labels, _add_schema, _add_demo):
        add(commands)
    # The simulator has a separate parser (see main); here it is only listed.
    commands.add_parser("simulator", help="run a local stand-in for HubSpot", add_help=False)
    return parser


# -- one function per command ----------------------------------------------------------------------------------

_Commands = argparse._SubParsersAction  # argparse has no public name for it


def _add_export(commands: _Commands[Parser]) -> None:
    command = _add_command(commands, "export", "write the limits of the portal to a file")
    command.add_argument(
        "--object",
        type=terminal.text,
        action="append",
        default=[],
        metavar="TYPE",
        help="also export this custom object, p_<name> or 2-<n>; may be repeated",
    )
    _add_output(command, "file to write, as JSON if its name ends in .json (default: standard output)")
    command.add_argument("--force", action="store_true", help="replace the file if it exists")


def _add_validate(commands: _Commands[Parser]) -> None:
    command = _add_command(commands, "validate", "check limits files without connecting to HubSpot", connects=False)
    command.add_argument("file", type=terminal.text, nargs="+", help=_FILE_HELP)


def _add_plan(commands: _Commands[Parser]) -> None:
    command = _add_command(commands, "plan", "show what would change, without changing it", exit_codes=_PLAN_EXIT_CODES)
    command.add_argument("file", type=terminal.text, help=_FILE_HELP)
    _add_plan_options(command)
    _add_output(command, "also write the plan as JSON, for apply --plan; replaces an earlier plan")
    command.add_argument("--markdown", action="store_true", help="print Markdown")
    command.add_argument(
        "--summary", action="store_true", help="with --markdown: shorten it for a pull-request comment"
    )
    command.add_argument("--all", action="store_true", help="also list unchanged limits")
    command.add_argument(
        "--detailed-exitcode", action="store_true", help="exit with 2 if there are changes to apply (default: 0)"
    )


def _add_apply(commands: _Commands[Parser]) -> None:
    command = _add_command(commands, "apply", "change the portal to match the file, and wait until it does")
    command.add_argument("file", type=terminal.text, nargs="?", help=_FILE_HELP)
    _add_plan_options(command)
    command.add_argument(
        "--plan",
        type=terminal.text,
        metavar="FILE",
        help="apply this plan (from plan -o), unless the portal has changed since; - reads standard input",
    )
    command.add_argument("--yes", action="store_true", help="do not ask; required without a terminal")
    command.add_argument(
        "--verify-timeout",
        type=terminal.seconds(),
        default=60.0,
        metavar="SECONDS",
        help="how long to wait until the changes are in force; 0 does not wait (default 60)",
    )


def _add_labels(commands: _Commands[Parser]) -> None:
    command = _add_command(commands, "labels", "list the association types of a direction: ids, labels and limits")
    command.add_argument("from_object_type", type=terminal.text, metavar="FROM", help="object type, such as contacts")
    command.add_argument("to_object_type", type=terminal.text, metavar="TO", help="object type, such as companies")


def _add_schema(commands: _Commands[Parser]) -> None:
    command = _add_command(commands, "schema", "print the JSON Schema of limits files, for editors", connects=False)
    _add_output(command, "file to write; replaces an existing one (default: standard output)")


def _add_demo(commands: _Commands[Parser]) -> None:
    summary = "run a DAG in Airflow against a simulated portal (about 10 seconds)"
    command = _add_command(commands, "demo", summary, connects=False, has_json=False)
    command.add_argument("--canceled", action="store_true", help="let HubSpot cancel the batch, so that the DAG fails")
    command.add_argument(
        "--log", type=terminal.path, metavar="FILE", help="write the log of Airflow to this file (default: not kept)"
    )


# -- options of several commands -------------------------------------------------------------------------------

_FILE_HELP = "limits file, YAML or JSON; - reads standard input"


def _add_command(
    commands: _Commands[Parser],
    name: str,
    summary: str,
    *,
    connects: bool = True,
    has_json: bool = True,
    exit_codes: str = _EXIT_CODES,
) -> Parser:
    """Add a command with the options that most commands have.

    :param summary: phrase in lower case, without a period.
    :param connects: whether the command connects to HubSpot.
    :param has_json: whether the command can print JSON.
    """
    command: Parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"{_CONNECTION_HELP}\n\n{exit_codes}" if connects else exit_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(command=name, json=False)
    if has_json:
        command.add_argument("--json", action="store_true", help="print JSON")
    if connects:
        command.add_argument("--conn-id", type=terminal.text, metavar="ID", help="Airflow connection to use")
        command.add_argument(
            "--max-concurrency",
            type=terminal.whole_number(1, 32),
            default=8,
            metavar="N",
            help="number of concurrent requests, 1 to 32 (default 8)",
        )
    return command


def _add_plan_options(command: Parser) -> None:
    command.add_argument(
        "--portal",
        metavar="NAME",
        help="apply the overrides under portals.NAME of the file "
        "(default: those named after the connection or the portal id, if any)",
    )
    command.add_argument(
        "--prune", action="store_true", help="remove limits that the file does not declare, in the directions it has"
    )
    command.add_argument(
        "--target",
        type=terminal.text,
        action="append",
        default=[],
        metavar="FROM:TO",
        help="only handle this direction of the file, such as contacts:companies; may be repeated",
    )


def _add_output(command: Parser, help_text: str) -> None:
    command.add_argument("-o", "--output", type=terminal.path, metavar="FILE", help=help_text)


if __name__ == "__main__":
    sys.exit(main())
