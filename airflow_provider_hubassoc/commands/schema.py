"""``hubassoc schema``."""

from __future__ import annotations

from airflow_provider_hubassoc.commands.files import output_path, refuse_limits_file
from airflow_provider_hubassoc.commands.session import Session
from airflow_provider_hubassoc.limits.config.schema import schema_text
from airflow_provider_hubassoc.terminal import DONE


def run(session: Session) -> int:
    """Print the JSON Schema of limits files."""
    output = output_path(session.options.output)
    if output is not None:
        refuse_limits_file(output)
    session.write(output, schema_text())
    return DONE
