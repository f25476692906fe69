"""``hubassoc simulator``, or ``python -m airflow_provider_hubassoc.simulator``: a local stand-in for HubSpot."""

from __future__ import annotations

import errno
import json
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from airflow_provider_hubassoc.terminal import Parser, seconds, text, whole_number

if TYPE_CHECKING:
    from airflow_provider_hubassoc.simulator.server import Simulator

_MAX_PORT = 65_535
_MAX_INT32 = 2**31 - 1


def build_parser(program: str) -> Parser:
    """Return the parser of the simulator's options.

    :param program: name of the program in its help.
    """
    parser = Parser(
        prog=program,
        description="Serve a local stand-in for HubSpot (CRM Associations Schema API) on 127.0.0.1 until Ctrl-C.",
    )
    add = parser.add_argument
    add(
        "--port",
        metavar="PORT",
        type=whole_number(0, _MAX_PORT),
        default=0,
        help="port to listen on; 0 takes a free one (default)",
    )
    add("--processing-seconds", metavar="SECONDS", type=seconds(), default=0.0, help="duration of a batch (default 0)")
    add(
        "--stale-seconds",
        metavar="SECONDS",
        type=seconds(),
        default=0.0,
        help="how long reads show the state before a change (default 0)",
    )
    add("--flip-flop", action="store_true", help="stale reads alternate between the old and the new state")
    add(
        "--tracking-lag-seconds",
        metavar="SECONDS",
        type=seconds(),
        default=0.0,
        help="how long the Limits Tracking API shows the state before a change (default 0)",
    )
    add(
        "--latency-seconds",
        metavar="SECONDS",
        type=seconds(3600),
        default=0.0,
        help="delay of every answer (default 0)",
    )
    add(
        "--no-status-links",
        dest="status_links",
        action="store_false",
        help="leave the status link out of the answer to a slow batch",
    )
    add("--canceled", action="store_true", help="end every batch as CANCELED, without changes")
    add(
        "--partial-status",
        default="COMPLETE",
        choices=("COMPLETE", "CANCELED"),
        help="status of a batch with some inputs refused (default COMPLETE)",
    )
    add(
        "--limit-rule-status",
        type=int,
        default=207,
        choices=(207, 400),
        help="answer to a label limit above the object limit: 207 refuses the input, 400 the whole batch (default 207)",
    )
    add(
        "--no-equal-limits",
        dest="equal_limits_allowed",
        action="store_false",
        help="refuse a label limit that equals the object limit",
    )
    add(
        "--create-existing",
        default="overwrite",
        choices=("overwrite", "error"),
        help="effect of a create if a limit exists (default overwrite)",
    )
    add(
        "--purge-answer",
        metavar="ANSWER",
        default="204",
        help='answer to a purge: 204, or the results of a batch: [], [{}] or ["<unknown>"] (default 204)',
    )
    add(
        "--rate-limit",
        metavar="LIMIT",
        type=whole_number(1, _MAX_INT32),
        help="requests per 10 seconds (default: unlimited)",
    )
    add(
        "--daily-limit", metavar="LIMIT", type=whole_number(1, _MAX_INT32), help="requests per day (default: unlimited)"
    )
    add("--portal-id", metavar="ID", type=whole_number(1), default=12345678, help="id of the portal (default 12345678)")
    add(
        "--time-zone",
        metavar="ZONE",
        type=text,
        default="America/New_York",
        help="time zone of the portal (default America/New_York)",
    )
    return parser


def main(
    arguments: Sequence[str] | None = None, *, program: str = "python -m airflow_provider_hubassoc.simulator"
) -> int:
    """Serve until SIGINT or SIGTERM.

    :param arguments: the command line without the program; None takes it from ``sys.argv``.
    :param program: name of the program in its help.
    :return: exit code.
    """
    options = vars(build_parser(program).parse_args(arguments))
    from airflow_provider_hubassoc.simulator.server import Simulator

    try:
        simulator = Simulator(**options)
        simulator.start()
    except (OSError, ValueError) as error:
        print(f"Error: the simulator cannot start: {_reason(error, options['port'])}", file=sys.stderr)
        return 1
    stop = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        stop.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, end)
    try:
        print(_instructions(simulator), flush=True)
        stop.wait()
    finally:
        simulator.stop()
    return 0


def _reason(error: Exception, port: int) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} is in use. Choose another with --port, or leave it out to take a free one"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"port {port} needs more privileges. Choose one from 1024 with --port"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _instructions(simulator: Simulator) -> str:
    """Return the commands to enter in another terminal."""
    connection = {"conn_type": "hubspot", "host": simulator.url, "password": simulator.token}
    limit = {
        "fromObjectType": "contacts",
        "toObjectType": "companies",
        "category": "HUBSPOT_DEFINED",
        "typeId": 279,
        "maxToObjectIds": 9,
    }
    return f"""\
HubSpot simulator (portal {simulator.portal_id})
  URL:   {simulator.url}
  token: {simulator.token}
  state: {simulator.url}/_simulator/portal

For the command line:
export HUBSPOT_ACCESS_TOKEN={shlex.quote(simulator.token)}
export HUBSPOT_BASE_URL={simulator.url}

For Airflow:
export AIRFLOW_CONN_HUBSPOT_DEFAULT={shlex.quote(json.dumps(connection))}

To change a limit outside of Airflow (null removes it):
curl -X POST {simulator.url}/_simulator/limits -d {shlex.quote(json.dumps(limit))}

Press Ctrl-C to stop."""


if __name__ == "__main__":
    sys.exit(main())
