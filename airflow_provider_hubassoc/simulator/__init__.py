"""An embedded HubSpot: the CRM Associations Schema API of one portal, served on a loopback socket.

It is for tests, demos and benchmarks. It shares no code with the rest of the package, so that a
misunderstanding of HubSpot cannot be made twice and cancel itself out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_hubassoc.simulator.server import Simulator

__all__ = ["Simulator"]


def __getattr__(name: str) -> object:
    # FastAPI takes a second to import; the command line's --help and its mistakes need not wait for it.
    if name == "Simulator":
        from airflow_provider_hubassoc.simulator.server import Simulator

        return Simulator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
