"""Mutation tests of ``limits/`` and ``hubspot/``: change one place of the code, and see whether a test fails.

``make mutants`` runs it; ``make mutants ARGS="100 --seed 7"`` takes another sample. Each mutant runs in a copy of the
checkout, against the tests that need neither a real Airflow nor the fault matrix. Mutants come from mutmut. Changed
texts are left out: most of them are messages, which the tests rightly do not repeat word for word.
"""

from __future__ import annotations

import argparse
import difflib
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import libcst as cst
from mutmut.configuration import config
from mutmut.mutation.file_mutation import create_mutations

from tests.support.environment import REPOSITORY, STATE
from tests.support.sessions import Sessions

TESTS = ("tests/limits", "tests/hubspot", "tests/airflow", "tests/cli")
TIMEOUT_SECONDS = 600


def sample(number: int, seed: int) -> list[tuple[Path, str, str]]:
    """Choose mutants: the file in the checkout, its code, and its mutated code."""
    everything = []
    for folder in config().source_paths:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            module, mutations, *_ = create_mutations(str(path), path.read_text())
            everything += [
                (path, module, mutation)
                for mutation in mutations
                if not isinstance(mutation.original_node, cst.BaseString)
            ]
    print(f"{number} of {len(everything)} mutants", flush=True)
    chosen = []
    for path, module, mutation in random.Random(seed).sample(everything, number):
        mutated: Any = module.deep_replace(mutation.original_node, mutation.mutated_node)
        chosen.append((path, module.code, mutated.code))
    return chosen


def is_noticed(checkout: Path, tests: list[str]) -> bool:
    """Run the tests in a copy of the checkout, and return True if one fails or they take too long."""
    sessions = Sessions()
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "4", "-m", "not slow", *tests]
    process = sessions.start(command, cwd=checkout, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return process.wait(TIMEOUT_SECONDS) != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        sessions.kill()
        process.wait()
        sessions.close()


def main() -> int:
    """Test a sample of mutants, and print those that no test notices."""
    parser = argparse.ArgumentParser(prog="make mutants", description=main.__doc__)
    parser.add_argument("number", type=int, nargs="?", default=36, help="how many mutants to test")
    parser.add_argument("--seed", type=int, default=1, help="chooses the sample")
    arguments = parser.parse_args()
    checkout = STATE / "mutants"
    shutil.rmtree(checkout, ignore_errors=True)
    ignored = shutil.ignore_patterns(".venv", ".airflow", ".git", "dist", "__pycache__")
    shutil.copytree(REPOSITORY, checkout, ignore=ignored)
    chosen = sample(arguments.number, arguments.seed)
    if is_noticed(checkout, list(TESTS)):
        print("The tests fail without a mutant: run make test-quick", file=sys.stderr)
        return 1

    noticed = 0
    for path, code, mutated in chosen:
        target = checkout / path.relative_to(REPOSITORY)
        target.write_text(mutated)
        # The tests of the same folder first: they notice most mutants, and soonest.
        own_first = sorted(TESTS, key=lambda folder: Path(folder).name not in path.parts)
        if is_noticed(checkout, own_first):
            noticed += 1
        else:
            name = str(path.relative_to(REPOSITORY))
            difference = difflib.unified_diff(code.splitlines(), mutated.splitlines(), name, name, n=2, lineterm="")
            print("\nSurvived:", *difference, sep="\n")
        target.write_text(code)
        print(".", end="", flush=True)
    print(f"\n{noticed} of {arguments.number} mutants noticed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
