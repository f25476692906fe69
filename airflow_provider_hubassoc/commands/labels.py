"""``hubassoc labels``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from airflow_provider_hubassoc.commands.files import check_object_types
from airflow_provider_hubassoc.commands.session import Session
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.wording import count_of, limit_text, one_line
from airflow_provider_hubassoc.terminal import DONE


def run(session: Session) -> int:
    """List the association types of a direction."""
    options = session.options
    direction = Direction(options.from_object_type, options.to_object_type)
    check_object_types("FROM and TO", direction)
    with session.client() as client:
        session.portal_id(client)
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
        session.write(None, session.json({"from": direction[0], "to": direction[1], "types": rows}))
    else:
        session.print(_table(direction, rows))
    return DONE


def _table(direction: Direction, rows: Sequence[dict[str, Any]]) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("Category", "left"), ("typeId", "right"), ("Label", "left"), ("Limit", "right")):
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]  # a literal, widened
    for row in rows:
        cells = [row["category"], str(row["typeId"]), row["label"] or "(unlabeled)", limit_text(row["limit"])]
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    count = count_of(len(rows), "association type")
    return Group(table, Text(), Text(f"{direction[0]} -> {direction[1]}: {count}.", style="bold"))
