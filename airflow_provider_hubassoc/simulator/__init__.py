"""Simulator of HubSpot: the CRM Associations Schema API of one portal, served on a loopback socket.

It serves tests, demos and benchmarks. It shares no code with ``hubspot/`` and ``limits/``: if client and simulator
shared a misunderstanding of HubSpot, no test would notice it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_hubassoc.simulator.server import Simulator

__all__ = ["Simulator"]


def __getattr__(name: str) -> object:
    # FastAPI takes a second to import. The command line must not wait for it to show help or a mistake.
    if name == "Simulator":
        from airflow_provider_hubassoc.simulator.server import Simulator

        return Simulator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
