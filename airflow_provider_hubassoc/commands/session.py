"""The session of a command: its options, its connection to HubSpot and its output."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from rich.console import Console, RenderableType

from airflow_provider_hubassoc import terminal
from airflow_provider_hubassoc.commands.connection import TOKEN_VARIABLE, choose_connection, open_client
from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.settings import DEFAULT_BASE_URL
from airflow_provider_hubassoc.limits.apply import Outcome
from airflow_provider_hubassoc.limits.sync import find_portal
from airflow_provider_hubassoc.limits.wording import count_of
from airflow_provider_hubassoc.terminal import Interruption, say

_WAITS_FOR_REQUESTS = "Interrupted: waiting until HubSpot has answered the requests in progress."


class Session:
    """One run of a command.

    :param options: the parsed command line.
    :param document: stream for the document that the command prints.
    :param interruption: how Ctrl-C is handled.
    """

    def __init__(self, options: argparse.Namespace, document: IO[str], interruption: Interruption) -> None:
        self.options = options
        self.document = document
        self.interruption = interruption
        self.connection_name = ""
        """Name of the connection in use, for messages; empty until there is one."""
        self.planned_changes = 0
        """Number of changes that the command is about to apply."""
        self._applied_changes = 0

    # -- connection --

    @contextlib.contextmanager
    def client(self) -> Iterator[HubSpotClient]:
        """Open the client of the connection in use, and close it at the end."""
        conn_id = self.options.conn_id
        self.connection_name = choose_connection(conn_id)
        with open_client(
            self.connection_name, is_required=conn_id is not None, sleep=self.interruption.sleep
        ) as client:
            self.interruption.notice = _WAITS_FOR_REQUESTS
            yield client
        self.interruption.notice = ""

    @property
    def conn_id(self) -> str | None:
        """Id of the Airflow connection in use; None for a token from the environment."""
        return None if self.connection_name == TOKEN_VARIABLE else self.connection_name

    def portal_id(self, client: HubSpotClient) -> int | None:
        """Return the portal's id, and say which connection and portal are used.

        :return: None if the token lacks the scope to read it.
        """
        address = "" if client.base_url == DEFAULT_BASE_URL else f" at {client.base_url}"
        portal = find_portal(client)
        if portal is None:
            say(f"Using {self.connection_name}{address}. The token may not read which portal it belongs to.")
            return None
        say(f"Using {self.connection_name}: portal {portal.portal_id}{address}.")
        return portal.portal_id

    # -- progress --

    def count_applied(self, outcomes: Sequence[Outcome]) -> None:
        """Count the changes that have been applied."""
        self._applied_changes += sum(outcome.status == "applied" for outcome in outcomes)

    @property
    def progress(self) -> str:
        """Sentence about the changes made so far, for a user who interrupts the command."""
        if not self.planned_changes:
            return "Nothing was changed."
        return (
            f"{self._applied_changes} of {count_of(self.planned_changes, 'change')} are known to be applied. "
            "Run the command again to continue."
        )

    # -- output --

    def write(self, output: Path | None, content: str) -> None:
        """Write to a file, or to the document if there is none.

        :raises UsageError: if it cannot be written.
        """
        if output is not None:
            terminal.write_file(output, content)
            return
        with terminal.writing(self.document):
            self.document.write(content)

    def json(self, data: Any, *, for_file: bool = False) -> str:
        """Return data as JSON text that the document, or a file in UTF-8, can hold."""
        content = json.dumps(data, indent=2, ensure_ascii=False)
        if not for_file and not terminal.can_encode(self.document, content):
            content = json.dumps(data, indent=2)
        return f"{content}\n"

    def print(self, renderable: RenderableType, stream: IO[str] | None = None) -> None:
        """Print something rich to a stream; to the document by default."""
        stream = stream or self.document
        # A file or pipe has no width. The default of 80 columns would fold lines that a program searches.
        console = Console(file=stream, width=None if terminal.is_terminal(stream) else 160)
        with terminal.writing(stream):
            console.print(renderable)
