"""DAG files are parsed all day: what they import must not load what only a running task needs."""

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
    "modules": """
        import airflow_provider_hubassoc.links, airflow_provider_hubassoc.operators, airflow_provider_hubassoc.sensors
        from airflow_provider_hubassoc.hooks import HubSpotHook
        HubSpotHook()
        """,
    "a DAG file": """
        from airflow.sdk import DAG
        from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator
        from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor
        with DAG("a"):
            submit = HubSpotAssociationLimitsOperator(
                task_id="submit",
                from_object_type="contacts",
                to_object_type="companies",
                inputs=[{"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5}],
            )
            HubSpotAssociationLimitsSensor(task_id="wait", operation=submit.output)
        """,
    "a request": "import airflow_provider_hubassoc.hubspot.client",
}

LOWER_HALF = ["hubspot.errors", "hubspot.client", "limits.operation", "limits.inputs", "simulator"]


def run(*lines: str) -> str:
    """Run a script in a process of its own; return what it printed."""
    finished = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:airflow_provider_hubassoc", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_what_a_dag_file_imports_is_light() -> None:
    script = ["import json, sys", "loaded, before = {}, set(sys.modules)"]
    for name, code in STAGES.items():
        script += [textwrap.dedent(code), f"loaded[{name!r}] = sorted(set(sys.modules) - before)"]
        script += ["before = set(sys.modules)"]
    loaded = json.loads(run(*script, "print(json.dumps(loaded))").splitlines()[-1])
    own = "airflow_provider_hubassoc."
    heavy = {"requests", "urllib3", "tenacity", "pydantic", f"{own}simulator", f"{own}hubspot.client"}
    assert not heavy & {*loaded["provider info"], *loaded["modules"]}
    assert not heavy - {"pydantic"} & set(loaded["a DAG file"])
    assert heavy & {*loaded["Airflow's own"], *loaded["a request"]} > {f"{own}hubspot.client"}


def test_the_lower_half_needs_no_airflow() -> None:
    imports = [f"import airflow_provider_hubassoc.{name}" for name in LOWER_HALF]
    assert run("import sys", *imports, "print('airflow' in sys.modules)").strip() == "False"
