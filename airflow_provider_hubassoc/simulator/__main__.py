"""``python -m airflow_provider_hubassoc.simulator``: a HubSpot to point a connection at."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from airflow_provider_hubassoc.simulator.settings import SPEC_VERSIONS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_hubassoc.simulator",
        description="Serve an embedded HubSpot (CRM Associations Schema API) on 127.0.0.1 until Ctrl-C.",
    )
    add = parser.add_argument
    add("--port", type=int, default=0, help="0 takes a free one (default)")
    add("--processing-seconds", type=float, default=0.0, help="how long a batch is PENDING and PROCESSING")
    add("--stale-seconds", type=float, default=0.0, help="how long reads show the state before a change")
    add("--flip-flop", action="store_true", help="stale reads alternate between old and new")
    add("--spec-version", default="2026-03", choices=SPEC_VERSIONS, help="version of status links and label rows")
    add("--latency-seconds", type=float, default=0.0, help="added to every answer")
    add(
        "--no-status-links",
        dest="status_links",
        action="store_false",
        help="slow batches carry no status link",
    )
    add("--canceled", action="store_true", help="every batch ends in CANCELED")
    add(
        "--partial-status",
        default="COMPLETE",
        choices=("COMPLETE", "CANCELED"),
        help="status of a mixed batch",
    )
    add(
        "--limit-rule-status",
        type=int,
        default=207,
        choices=(207, 400),
        help="how a label limit too high is refused",
    )
    add(
        "--no-equal-limits",
        dest="equal_limits_allowed",
        action="store_false",
        help="label limits must be lower",
    )
    add(
        "--create-existing",
        default="overwrite",
        choices=("overwrite", "error"),
        help="create where a limit is set",
    )
    add("--purge-answer", default="204", help='204, or the results of a 200: [], [{}] or ["<unknown>"]')
    add("--rate-limit", type=int, help="requests per 10 seconds (default: unlimited)")
    add("--daily-limit", type=int, help="requests per day (default: unlimited)")
    add("--portal-id", type=int, default=12345678)
    add("--time-zone", default="America/New_York", help="of the portal")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM.

    :param arguments: the command line, without the program.
    :return: exit code
    """
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    from airflow_provider_hubassoc.simulator.server import Simulator

    try:
        simulator = Simulator(**options)
        simulator.start()
    except (OSError, OverflowError, ValueError) as error:
        parser.exit(1, f"The simulator cannot start: {error}\n")
    stop = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        stop.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, end)
    try:
        connection = {"conn_type": "hubspot", "host": simulator.url, "password": simulator.token}
        print(
            f"HubSpot simulator (portal {simulator.portal_id}, API {simulator.settings.spec_version})\n"
            f"  URL:   {simulator.url}\n"
            f"  token: {simulator.token}\n"
            f"  state: {simulator.url}/_simulator/portal\n"
            f"export AIRFLOW_CONN_HUBSPOT_DEFAULT='{json.dumps(connection)}'\n"
            "Ctrl-C ends it.",
            flush=True,
        )
        stop.wait()
    finally:
        simulator.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
