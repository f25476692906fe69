"""``hubassoc demo``."""

from __future__ import annotations

import os

from airflow_provider_hubassoc.commands.session import Session
from airflow_provider_hubassoc.terminal import DONE, ERROR, INTERRUPTED, say


def run(session: Session) -> int:
    """Run a DAG in Airflow against a simulated portal."""
    from airflow_provider_hubassoc.demo import run_demo  # it imports the simulator, which takes a second

    try:
        succeeded = run_demo(session.document, canceled=session.options.canceled, log=session.options.log)
    except KeyboardInterrupt:
        say("Interrupted.")
        os._exit(INTERRUPTED)  # the exit handlers of an interrupted Airflow may hang, and print tracebacks
    return DONE if succeeded else ERROR
