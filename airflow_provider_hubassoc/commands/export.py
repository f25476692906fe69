"""``hubassoc export``."""

from __future__ import annotations

from airflow_provider_hubassoc import terminal
from airflow_provider_hubassoc.commands.files import check_export_target, check_object_types, output_path
from airflow_provider_hubassoc.commands.session import Session
from airflow_provider_hubassoc.limits.export import export_limits
from airflow_provider_hubassoc.terminal import DONE, ERROR, say


def run(session: Session) -> int:
    """Write the limits of the portal to a file."""
    options = session.options
    check_object_types("--object", options.object)
    output = output_path(options.output)
    if output is not None:
        check_export_target(output, force=options.force)
    with session.client() as client, terminal.progress() as progress:
        portal_id = session.portal_id(client)
        export = export_limits(
            client, object_types=options.object, max_concurrency=options.max_concurrency, progress=progress
        )
    if options.json or (output is not None and output.suffix.lower() == ".json"):
        content = session.json(export.config, for_file=output is not None)
    else:
        title = f"HubSpot association limits{'' if portal_id is None else f' of portal {portal_id}'}"
        content = export.to_yaml(title)
        if output is None and not terminal.can_encode(session.document, content):
            content = export.to_yaml(title, allow_unicode=False)
    if output is not None:
        check_export_target(output, force=options.force)
    session.write(output, content)
    for row in export.missing:
        label = f' "{row.label}"' if row.label else ""
        say(
            f"Error: not exported: {row.category} {row.type_id}{label}, limit {row.max_to_object_ids}; "
            "name the custom objects it may belong to with --object"
        )
    for what, reason in export.skipped:
        say(f"Error: not read: {what}: {reason}")
    return ERROR if export.missing or export.skipped else DONE
