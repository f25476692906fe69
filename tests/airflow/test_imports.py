"""Airflow parses DAG files all day, so importing and constructing must not load what only a running task needs."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

STAGES = {
    "Airflow's own": "import airflow.sdk, airflow.sdk.bases.sensor, airflow.sdk.exceptions",
    "provider info": """
        import airflow_provider_hubassoc, airflow_provider_hubassoc.hubspot, airflow_provider_hubassoc.limits
        from airflow_provider_hubassoc.provider_info import get_provider_info
        get_provider_info()
        """,
    "a DAG file": """
        from airflow.sdk import DAG
        from airflow_provider_hubassoc.operators import (
            HubSpotAssociationLimitsOperator,
            HubSpotAssociationLimitsSyncOperator,
        )
        from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor
        with DAG("a"):
            submit = HubSpotAssociationLimitsOperator(
                task_id="submit",
                from_object_type="contacts",
                to_object_type="companies",
                inputs=[
                    {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5},
                    {"category": "HUBSPOT_DEFINED", "typeId": 931, "maxToObjectIds": 1},
                ],
            )
            HubSpotAssociationLimitsSyncOperator(task_id="sync", config="/limits.yaml", prune="false")
            HubSpotAssociationLimitsSensor(task_id="wait", operation=submit.output)
        """,
    "a hook": """
        from airflow_provider_hubassoc.hooks import HubSpotHook
        HubSpotHook()
        """,
    "a request": "import airflow_provider_hubassoc.hubspot.client",
}

OWN = "airflow_provider_hubassoc"
OF_A_DAG_FILE = {
    *("assets", "errors", "links", "operators", "retry_policy", "sensors", "task_state", "templating"),
    *("hubspot.constants", "hubspot.object_types"),
    *("limits.directions", "limits.inputs", "limits.text_data"),
    *("tasks", "tasks.run"),
}
"""The modules of this package that a DAG file loads. None of them defines pydantic models or does HTTP."""

WITHOUT_AIRFLOW = ["hubspot.errors", "hubspot.client", "limits.operation", "limits.inputs", "limits.sync", "simulator"]


def run(*lines: str) -> str:
    """Run a script in a separate process; return its output."""
    finished = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:airflow_provider_hubassoc", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def loaded_by_each_stage() -> dict[str, set[str]]:
    """Return the modules that each stage loads and none before it has loaded."""
    script = ["import json, sys", "loaded, before = {}, set(sys.modules)"]
    for name, code in STAGES.items():
        script += [textwrap.dedent(code), f"loaded[{name!r}] = sorted(set(sys.modules) - before)"]
        script += ["before = set(sys.modules)"]
    output = run(*script, "print(json.dumps(loaded))")
    return {name: set(modules) for name, modules in json.loads(output.splitlines()[-1]).items()}


def test_a_dag_file_loads_no_models_and_no_http() -> None:
    loaded = loaded_by_each_stage()
    heavy = {"requests", "urllib3", "tenacity", "pydantic", "yaml", f"{OWN}.simulator", f"{OWN}.hubspot.client"}
    assert not heavy & {*loaded["provider info"], *loaded["a DAG file"], *loaded["a hook"]}
    own = {name.removeprefix(f"{OWN}.") for name in loaded["a DAG file"] if name.startswith(f"{OWN}.")}
    assert own == OF_A_DAG_FILE
    # The test would see a heavy module: a request loads them, unless Airflow has done it.
    assert heavy & {*loaded["Airflow's own"], *loaded["a request"]} > {f"{OWN}.hubspot.client"}


def test_hubspot_and_limits_need_no_airflow() -> None:
    imports = [f"import airflow_provider_hubassoc.{name}" for name in WITHOUT_AIRFLOW]
    assert run("import sys", *imports, "print('airflow' in sys.modules)").strip() == "False"
