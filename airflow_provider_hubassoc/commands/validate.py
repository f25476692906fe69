"""``hubassoc validate``."""

from __future__ import annotations

from typing import Any

from airflow_provider_hubassoc.commands.files import limits_source, shown_name
from airflow_provider_hubassoc.commands.messages import problem_json, problem_line
from airflow_provider_hubassoc.commands.session import Session
from airflow_provider_hubassoc.limits.config.load import check_config
from airflow_provider_hubassoc.limits.wording import count_of
from airflow_provider_hubassoc.terminal import DONE, ERROR


def run(session: Session) -> int:
    """Check limits files without connecting to HubSpot."""
    rows: list[dict[str, Any]] = []
    lines: list[str] = []
    is_valid = True
    for file in session.options.file:
        config, problems = check_config(limits_source(file))
        name = shown_name(file)
        rows += [problem_json(name, problem) for problem in problems]
        lines += [problem_line(name, problem) for problem in problems]
        if config is None:
            is_valid = False
        else:
            lines.append(f"{name}: valid, {count_of(len(config.resolve().associations), 'direction')}")
    if session.options.json:
        session.write(None, session.json({"valid": is_valid, "problems": rows}))
    else:
        session.write(None, "".join(f"{line}\n" for line in lines))
    return DONE if is_valid else ERROR
