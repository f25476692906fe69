"""Checks the wheel in ``dist``: its files, what it declares, that Airflow discovers it, and that the demo runs.

Run by ``.ci/run`` with the Python of ``.venv``, after ``make build``.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DISTRIBUTION = "airflow-provider-hubassoc"
PACKAGE = "airflow_provider_hubassoc"
DATA = ("py.typed", "association_types.json", "limits/schema.json")
#: What `airflow providers` has to show: arguments, and what must be in their output.
DISCOVERED = {
    ("get", DISTRIBUTION): DISTRIBUTION,
    ("hooks", "--output", "json"): f"{PACKAGE}.hooks.HubSpotHook",
    ("widgets", "--output", "json"): "extra__hubspot__refresh_token",
    ("behaviours", "--output", "json"): "hubspot",
}
IMPORT_EVERYTHING = f"""
import importlib, pkgutil, {PACKAGE}
for module in pkgutil.walk_packages({PACKAGE}.__path__, "{PACKAGE}."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def check_files(wheel: zipfile.ZipFile) -> None:
    """Check that the wheel contains only this package, with its data and its license."""
    names = wheel.namelist()
    foreign = [name for name in names if not re.match(rf"{PACKAGE}(-[^/]+\.dist-info)?/", name)]
    missing = [name for name in DATA if f"{PACKAGE}/{name}" not in names]
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        missing.append("LICENSE")
    if foreign or missing:
        sys.exit(f"Unexpected files in the wheel: {foreign}; missing files: {missing}.")


def check_declared(wheel: zipfile.ZipFile) -> None:
    """Check that exactly the imported packages are declared."""
    imported = set()
    for name in wheel.namelist():
        if name.endswith(".py"):
            for node in ast.walk(ast.parse(wheel.read(name))):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    imported.add(node.module.partition(".")[0])
    imported -= sys.stdlib_module_names | {PACKAGE}
    known = packages_distributions()
    needed = {"apache-airflow" if name == "airflow" else normal(known[name][0]) for name in imported}

    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    declared = {
        normal(re.split(r"[^\w.-]", requirement)[0])
        for requirement in re.findall(r"^Requires-Dist: (.+)$", wheel.read(metadata).decode(), re.MULTILINE)
    }
    if needed != declared:
        sys.exit(
            f"Imported but not declared: {sorted(needed - declared)}; "
            f"declared but not imported: {sorted(declared - needed)}."
        )


def normal(name: str) -> str:
    """Return the one spelling of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_installed(wheel: Path) -> None:
    """Check in an empty environment that every module can be imported and that Airflow finds the provider."""
    uv = [sys.executable, "-m", "uv"]
    with tempfile.TemporaryDirectory() as folder:
        python = str(Path(folder) / "venv" / "bin" / "python")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        environment |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "UV_SYSTEM_CERTS": "true",
        }

        def run(*command: str) -> str:
            # Not in the checkout, whose modules would be found first.
            finished = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
            if finished.returncode:
                sys.exit(f"{' '.join(command)} failed:\n{finished.stdout}")
            return finished.stdout

        run(*uv, "venv", "--quiet", "--python", sys.executable, "venv")
        constraints = str(REPOSITORY / "constraints.txt")
        run(*uv, "pip", "install", "--quiet", "--python", python, "--constraints", constraints, str(wheel))
        run(*uv, "pip", "check", "--quiet", "--python", python)
        run(python, "-W", "error::DeprecationWarning:airflow_provider_hubassoc", "-c", IMPORT_EVERYTHING)
        for arguments, expected in DISCOVERED.items():
            output = run(python, "-m", "airflow", "providers", *arguments)
            if expected not in output:
                sys.exit(f"airflow providers {' '.join(arguments)} does not show {expected}:\n{output}")
            print(f"airflow providers {arguments[0]} shows {expected}")
        hubassoc = str(Path(python).with_name("hubassoc"))
        if "What happened" not in (output := run(hubassoc, "demo")):
            sys.exit(f"hubassoc demo does not say what happened:\n{output}")
        print("hubassoc demo runs its DAG")


def main() -> None:
    """Check the one wheel in ``dist``."""
    (path,) = (REPOSITORY / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        check_files(wheel)
        check_declared(wheel)
    check_installed(path)
    print(f"{path.name} passed all checks")


if __name__ == "__main__":
    main()
