"""A search for secrets in everything that an Airflow leaves behind: byte for byte, and in the usual spellings."""

import base64
import json
import math
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from cryptography.fernet import Fernet

from tests.support import figures
from tests.support.stack import Stack

_SQLITE = b"SQLite format 3\0"
_OAUTH_TOKEN_PREFIX = "simulator-oauth-"
"""Prefix of every access token that the simulator issues for a refresh token."""


def secrets_of(stack: Stack) -> dict[str, str]:
    """Return the secrets for the simulator of a stack, by name."""
    oauth = stack.hubspot.oauth
    return {
        "access token": stack.token,
        "default access token": stack.hubspot.token,
        "client secret": oauth.client_secret,
        "refresh token": oauth.refresh_token,
        "refreshed access token": _OAUTH_TOKEN_PREFIX,
    }


def spellings(secret: str) -> dict[str, bytes]:
    """Return how a secret may be written, by the name of the spelling."""
    raw = secret.encode()
    found = {
        "as it is": raw,
        "in UTF-16": secret.encode("utf-16-le"),
        "in a URL": quote(secret, safe="").encode(),
        "in JSON": json.dumps(secret)[1:-1].encode(),
        "in hex": raw.hex().encode(),
        "in upper hex": raw.hex().upper().encode(),
    }
    for shift in range(3):
        # In the midst of a longer text, the signs at both ends also depend on what stands around it.
        begin, end = math.ceil(8 * shift / 6), 8 * (shift + len(raw)) // 6
        text = bytes(shift) + raw
        found[f"in base64, shifted by {shift}"] = base64.b64encode(text)[begin:end]
        found[f"in base64 for URLs, shifted by {shift}"] = base64.urlsafe_b64encode(text)[begin:end]
    return found


class Search:
    """A search for some secrets; it counts what it has read.

    :param secrets: the secrets, by what they are.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._needles = [
            (name, spelling, needle)
            for name, secret in secrets.items()
            for spelling, needle in spellings(secret).items()
        ]
        self.secrets = len(secrets)
        self.bytes = 0
        self.found: list[str] = []

    def look_at(self, place: str, content: bytes) -> None:
        """Search some bytes."""
        self.bytes += len(content)
        self.found += [
            f"the {name} {spelling}, in {place}" for name, spelling, needle in self._needles if needle in content
        ]

    def look_into(self, folder: Path) -> None:
        """Search every file below a folder. Databases are searched a second time, value by value.

        SQLite breaks long values into pieces; in the bytes of the file alone a secret could lie on both sides.
        """
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            content = path.read_bytes()
            self.look_at(str(path.relative_to(folder)), content)
            if content.startswith(_SQLITE):
                for table, values in _tables(path):
                    self.look_at(f"the table {table}", values)


def search(stack: Stack, secrets: Mapping[str, str], titles: Iterable[bytes]) -> None:
    """Search the data that a stopped stack has left behind.

    :param stack: the stack.
    :param secrets: what must not be found, by what it is.
    :param titles: the process titles that were seen.
    :raises AssertionError: with every place where something was found.
    """
    search = Search(secrets)
    search.look_into(stack.home)
    search.look_at("the process titles", b"\n".join(titles))
    figures.count("Airflows searched for secrets", 1)
    figures.count(f"secrets searched for, in {len(spellings('any'))} spellings each", search.secrets)
    figures.count("bytes searched for secrets", search.bytes)
    if search.found:
        raise AssertionError("Secrets were left behind:\n" + "\n".join(search.found))


def trigger_rows(stack: Stack) -> list[tuple[str, bytes]]:
    """Read what the metadata database has of each trigger now: its class and its arguments.

    Airflow encrypts the arguments on some ways into the database; they are returned decrypted.
    """
    fernet = Fernet(stack.environment["AIRFLOW__CORE__FERNET_KEY"])
    with closing(sqlite3.connect(stack.home / "airflow.db", timeout=30)) as database:
        rows = database.execute("select classpath, kwargs from trigger").fetchall()
    return [
        (class_path, kwargs.encode() if kwargs.startswith("{") else fernet.decrypt(kwargs.encode()))
        for class_path, kwargs in rows
    ]


class Titles:
    """Watches the titles of a stack's processes, while it is entered.

    :param stack: the stack.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="process titles")
        self.seen: set[bytes] = set()

    def __enter__(self) -> "Titles":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(0.5):
            for pid in self._stack.processes():
                with suppress(OSError):  # it has just ended
                    self.seen.add(Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0"))


@contextmanager
def searched(stack: Stack, secrets: Mapping[str, str]) -> Iterator[Stack]:
    """Run a stack, and search the data that it leaves behind.

    :param stack: not entered yet.
    :param secrets: what must not be found, by what it is; it may grow meanwhile.
    """
    with Titles(stack) as titles, stack:
        yield stack
    search(stack, secrets, titles.seen)


def _tables(path: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(path, timeout=30)) as database:
        database.text_factory = bytes
        names = [name.decode() for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        for name in names:
            values = (value for row in database.execute(f'select * from "{name}"') for value in row)
            yield name, b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)
