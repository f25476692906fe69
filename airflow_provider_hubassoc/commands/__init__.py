"""The commands of ``hubassoc``: one module per command, and shared modules."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_hubassoc.commands import apply, demo, export, labels, plan, schema, validate
from airflow_provider_hubassoc.commands.messages import error_text
from airflow_provider_hubassoc.commands.session import Session

__all__ = ["COMMANDS", "Session", "error_text"]

COMMANDS: dict[str, Callable[[Session], int]] = {
    "export": export.run,
    "validate": validate.run,
    "plan": plan.run,
    "apply": apply.run,
    "labels": labels.run,
    "schema": schema.run,
    "demo": demo.run,
}
"""Name of each command -> function that runs it and returns the exit code."""
