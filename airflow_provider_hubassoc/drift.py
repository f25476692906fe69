"""Find drift, and remember which drift has been reported. The drift trigger uses both."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.state import DirectionState
from airflow_provider_hubassoc.limits.sync import plan_direction
from airflow_provider_hubassoc.limits.wording import limit_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drift:
    """The difference between a direction and its declaration.

    :param lines: one line of text for each difference; empty if there is none.
    :param limits: the limits that differ: ``name``, ``is`` and ``should_be`` of each; None for unlimited.
    """

    lines: list[str]
    limits: list[dict[str, Any]]


def find_drift(association: Mapping[str, Any], state: DirectionState) -> Drift:
    """Compare a direction with its declaration.

    :param association: one entry of ``associations`` of a limits file.
    :param state: the limits and labels of the direction, as read.
    """
    plan = plan_direction(association, state)
    direction = Direction(association["from"], association["to"])
    lines = [str(problem) for unfit in plan.unfit for problem in unfit.problems]
    lines += [f'{direction}, label "{label.label}": is missing' for label in plan.new_labels]
    limits = []
    for change in plan.writes:
        if change.unlabeled:
            name = "object limit"
        else:
            name = f'label "{change.label}"' if change.label is not None else change.name
        current, target = limit_text(change.current), limit_text(change.target)
        lines.append(f"{direction}, {name}: is {current}, should be {target}")
        limits.append({"name": name, "is": change.current, "should_be": change.target})
    return Drift(lines, limits)


@dataclass
class DriftHistory:
    """The latest difference, since when it has been seen, and when it fired; kept in Airflow's asset state store.

    Times are those of ``time.monotonic``. In the store they are seconds since the epoch, because the next process has
    another monotonic clock. Without a store, or if it fails, each process starts with an empty history.

    :param store: asset state store of the trigger (Airflow 3.3); None if there is none.
    :param key: key of the trigger in the store.
    """

    store: Any
    key: str
    lines: list[str] = field(default_factory=list)
    since: float = 0.0
    fired_at: float = -math.inf

    async def load(self) -> None:
        """Load the history that an earlier process has stored."""
        if self.store is None:
            return
        try:
            state = await self.store.aget(self.key)
            if state is not None:
                lines = [str(line) for line in state["drift"]]
                self.since, self.fired_at = _monotonic(state["since"]), _monotonic(state["fired"])
                self.lines = lines
        except Exception as error:  # any error of the store's backend, or of a value in another format
            log.warning("The state of the drift watch could not be read; continuing without it: %s", error)

    async def save(self) -> None:
        """Store the history for the next process."""
        if self.store is None:
            return
        epoch = time.time() - time.monotonic()
        fired = None if self.fired_at == -math.inf else epoch + self.fired_at
        try:
            await self.store.aset(self.key, {"drift": self.lines, "since": epoch + self.since, "fired": fired})
        except Exception as error:  # any error of the store's backend
            log.warning("The state of the drift watch could not be stored; continuing without it: %s", error)


def _monotonic(stored: float | None) -> float:
    """Return a stored time on this process's clock. A time in the future, by a wrong clock, counts as now."""
    return -math.inf if stored is None else time.monotonic() - max(0.0, time.time() - stored)
