"""The picture of a plan in README and docs, drawn by ``python -m tests.docs.generate``."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.plan import Plan, build_plan
from airflow_provider_hubassoc.limits.plan.render import render_terminal
from airflow_provider_hubassoc.limits.snapshot import read_state
from airflow_provider_hubassoc.simulator import Simulator

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURE = REPOSITORY / ".github" / "images" / "plan.svg"
COMMAND = "hubassoc plan limits.yaml"
WIDTH = 90

_LIMITS = (
    ("companies", "contacts", 280, 1000),
    ("contacts", "companies", 279, 3),
    ("contacts", "companies", 1, 1),
    ("deals", "companies", 5, 1),
)
"""Limits of the portal in the picture: direction, typeId, limit."""


def example_plan() -> Plan:
    """Return the plan of the example file for a portal that differs from it."""
    with Simulator() as hubspot:
        for from_object_type, to_object_type, type_id, limit in _LIMITS:
            hubspot.set_limit(from_object_type, to_object_type, "HUBSPOT_DEFINED", type_id, limit)
        settings = HubSpotSettings.parse({"base_url": hubspot.url, "access_token": hubspot.token})
        with HubSpotClient(settings) as client:
            config = load_config(str(REPOSITORY / "example_dags" / "limits.yaml")).resolve()
            return build_plan(config, read_state(config, client))


def picture() -> str:
    """Draw a terminal that shows the plan."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text(f"$ {COMMAND}", style="bold"))
    console.print(render_terminal(example_plan()))
    svg = console.export_svg(title=COMMAND, unique_id="plan")
    # Fonts of the reader's system: a picture may not load any from elsewhere.
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    fonts = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace"
    svg = svg.replace("font-family: Fira Code, monospace", f"font-family: {fonts}")
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines())


def visible_text(svg: str) -> list[str]:
    """Return the texts of a picture, in order."""
    return [html.unescape(text).replace("\xa0", " ") for text in re.findall(r"<text[^>]*>([^<]+)</text>", svg)]
