"""JSON Schema of the file, for editors and for the documentation."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_hubassoc.limits.config.models import LimitsConfig


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors (``# yaml-language-server: $schema=...``)."""
    schema = LimitsConfig.model_json_schema(by_alias=True)
    for definition in (schema, *schema["$defs"].values()):
        # Editors show descriptions. They need the first paragraph of a docstring; the rest is for developers.
        for part in (definition, *definition.get("anyOf", [])):
            if "description" in part:
                part["description"] = part["description"].split("\n\n")[0]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """Return the JSON Schema as the text that the package ships."""
    return json.dumps(json_schema(), indent=2) + "\n"
