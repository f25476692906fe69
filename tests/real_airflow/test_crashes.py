"""Crashes in a whole Airflow: whichever process is killed, each batch is sent once, and no task waits forever.

Processes are killed with SIGKILL, so none of them can clean up. In the end nothing is left behind: no task, no process,
and no secret.
"""

from __future__ import annotations

import base64
import json
import random
import secrets
import socket
import socketserver
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import quote

import psutil
import pytest

from airflow_provider_hubassoc.simulator import Simulator
from tests.real_airflow.conftest import ended_on_sigterm
from tests.real_airflow.test_stack import processes_in
from tests.real_airflow.test_sync_dags import as_declared
from tests.support import environment, figures, leaks
from tests.support.airflow_api import FinishedRun
from tests.support.polling import wait_for
from tests.support.portal import client_of, sent
from tests.support.sessions import members
from tests.support.stack import Stack

DAGS = Path(__file__).parent / "crash_dags"
CONTACT_TO_COMPANY = ("0-1", "0-2", "HUBSPOT_DEFINED", 279)
BILLING_CONTACT = ("0-1", "0-2", "HUBSPOT_DEFINED", 931)


def patience(seconds: int) -> dict[str, str]:
    """Set after how many seconds without a heartbeat Airflow considers a process dead.

    On a busy machine, a scheduler that is only slow would otherwise consider itself dead, and start all its tasks
    a second time.
    """
    return {
        "AIRFLOW__CORE__PARALLELISM": "6",  # two tasks do nothing but wait
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(seconds + 2),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": str(seconds),
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "2",
        "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(seconds),
    }


#: The threads that all waits of a triggerer share, and those that a triggerer has anyway.
POOL_THREADS = 16
OTHER_THREADS = 12


@pytest.fixture(scope="module")
def canaries() -> dict[str, str]:
    """Return the secrets of this module's Airflow by name; tests add their own."""
    return {}


def canary(name: str) -> str:
    """Make a secret that looks different in a URL and in base64 for URLs."""
    return f"canary/{name}+{secrets.token_hex(12)}=="


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, canaries: dict[str, str], full: bool) -> Iterator[Stack]:
    """Start an Airflow that notices dead processes soon."""
    with ended_on_sigterm():
        home = tmp_path_factory.mktemp("crashes") / "airflow"
        stack = Stack(home, dags_folder=DAGS, variables=patience(30 if full else 12))
        stack.hubspot.oauth.client_secret = canary("client-secret")
        stack.hubspot.oauth.refresh_token = canary("refresh-token")
        canaries |= leaks.secrets_of(stack)
        with leaks.searched(stack, canaries):
            yield stack


def connect(stack: Stack, *connections: dict[str, Any]) -> None:
    """Store connections."""
    create = {"action": "create", "entities": list(connections), "action_on_existence": "overwrite"}
    answer = stack.api.call("PATCH", "/connections", json={"actions": [create]})
    assert answer["create"]["errors"] == []


def connection(conn_id: str, url: str, token: str, **more: Any) -> dict[str, Any]:
    return {**environment.connection(url, token), "connection_id": conn_id, **more}


# -- a worker is killed between two requests ---------------------------------------------------------------------


@dataclass(frozen=True)
class Kill:
    """When to kill a task, and whether the whole worker with it.

    :param number: at which of its requests, counted from 1.
    :param moment: before the portal gets the request, or after it has answered and before the task has the answer.
    :param whole: also kill the process above it, so that nothing reports the end to Airflow.
    """

    number: int
    moment: Literal["before", "after"]
    whole: bool


class Gallows(socketserver.ThreadingTCPServer):
    """A proxy between a task and its portal, that kills the task at one of its requests.

    :param portal: where the requests go.
    :param kills: the kills, one for each try; the tries after them are left alone.
    """

    request_queue_size = 64

    def __init__(self, portal: Simulator, kills: Sequence[Kill] = ()) -> None:
        super().__init__(("127.0.0.1", 0), Carrier)
        self.portal = portal
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests = 0
        self.killed: list[Kill] = []
        self._kills = list(kills)
        self._dead: set[int] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="proxy")

    def __enter__(self) -> Gallows:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def owner(self, port: int) -> int | None:
        """Return the id of the process whose port of a connection to here this is; None if it is dead already."""
        # The port alone is not enough: the same one may be in use towards another address.
        ends = (("127.0.0.1", port), self.server_address)
        return next((found.pid for found in psutil.net_connections("tcp4") if (found.laddr, found.raddr) == ends), None)

    def kill_at_request(self, pid: int | None) -> Kill | None:
        """Count a request of a process; return the kill that is meant for it.

        A task sends several at a time. What one that has been killed had sent before does not count for the next try.
        """
        with self._lock:
            if pid is None or pid in self._dead:
                return None
            self.requests += 1
            if not self._kills or self.requests != self._kills[0].number:
                return None
            self.requests = 0
            self._dead.add(pid)
            return self._kills.pop(0)

    def execute(self, kill: Kill, pid: int) -> None:
        """Kill a task."""
        task = psutil.Process(pid)
        worker = task.parent()
        assert worker is not None
        assert "LocalExecutor" in " ".join(worker.cmdline()), worker.cmdline()
        if kill.whole:
            worker.kill()
        task.kill()
        self.killed.append(kill)


class Carrier(socketserver.StreamRequestHandler):
    """Carries the requests of one connection to the portal, and its answers back."""

    server: Gallows

    def handle(self) -> None:
        """Forward bytes until one side closes the connection."""
        pid = self.server.owner(self.client_address[1])
        with (
            # A process that is killed while an answer is on its way to it.
            suppress(ConnectionError),
            socket.create_connection(("127.0.0.1", self.server.portal.port)) as portal,
            portal.makefile("rb") as answers,
        ):
            while request := read_message(self.rfile):
                kill = self.server.kill_at_request(pid)
                if kill is None or kill.moment == "after":
                    portal.sendall(request)
                    answer = read_message(answers)
                if kill and pid:
                    return self.server.execute(kill, pid)
                self.wfile.write(answer)


def read_message(stream: BinaryIO) -> bytes:
    """Read a request or an answer as a whole; empty if the connection ends before."""
    head = b""
    length = 0
    while line := stream.readline():
        head += line
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        if line == b"\r\n":
            body = stream.read(length)
            return head + body if len(body) == length else b""
    return b""


@dataclass
class Victim:
    """A task with a separate portal, and the kills planned for it."""

    kind: str
    portal: Simulator
    proxy: Gallows


def portal_of(kind: str) -> Simulator:
    """Make the portal for a kind of task; the number of a task's requests must not depend on the time they take."""
    portal = Simulator(processing_seconds=0.5 if kind == "create" else 0)
    if kind == "create":
        processing = {"status": "PROCESSING", "results": []}
        portal.inject(path="*/operations/*", status=200, body=processing, times=2)
    else:
        portal.set_limit(*CONTACT_TO_COMPANY, 3)
    return portal


def asked(kind: str, portal: Simulator) -> dict[Any, int]:
    """Return the limits that the task has to set."""
    return as_declared(portal) if kind == "sync" else {CONTACT_TO_COMPANY: 5, BILLING_CONTACT: 1}


@contextmanager
def run_of_victims(stack: Stack, plan: Sequence[tuple[str, list[Kill]]]) -> Iterator[tuple[FinishedRun, list[Victim]]]:
    """Run the DAG with a task for each entry of the plan: a kind of task, and the kills of its tries."""
    with ExitStack() as resources:
        victims = []
        conf: dict[str, Any] = {"create": [], "update": [], "sync": []}
        connections = []
        for number, (kind, kills) in enumerate(plan):
            portal = resources.enter_context(portal_of(kind))
            victim = Victim(kind, portal, resources.enter_context(Gallows(portal, kills)))
            conf[kind].append(f"victim_{number}")
            connections.append(connection(f"victim_{number}", victim.proxy.url, portal.issue_token()))
            victims.append(victim)
        connect(stack, *connections)
        conf["config"] = str(environment.EXAMPLE_DAGS / "limits.yaml")
        yield stack.api.run("killed", conf, timeout=900), victims


@pytest.fixture(scope="module")
def lengths(stack: Stack) -> dict[str, int]:
    """Return the number of requests of each kind of task that nobody disturbs."""
    with run_of_victims(stack, [(kind, []) for kind in ("create", "update", "sync")]) as (run, victims):
        assert run.state == "success", run.summary()
        for victim in victims:
            assert run.instances[victim.kind, 0]["try_number"] == 1
            assert victim.portal.limits() == asked(victim.kind, victim.portal)
        return {victim.kind: victim.proxy.requests for victim in victims}


def draw(lengths: dict[str, int], full: bool) -> list[tuple[str, list[Kill]]]:
    """Draw kills: in the full form every point of every kind of task, else two of each kind.

    One in three takes the whole worker along; one in three is followed by another one in the next try.
    """
    rng = random.Random(20260301)
    plan = []
    for kind, length in lengths.items():
        points: list[tuple[int, Literal["before", "after"]]] = [
            (number, moment) for number in range(1, length + 1) for moment in ("before", "after")
        ]
        for point in points if full else rng.sample(points, 2):
            kills = [Kill(*point, whole=rng.random() < 1 / 3)]
            if rng.random() < 1 / 3:
                kills.append(Kill(rng.randint(1, 3), rng.choice(["before", "after"]), whole=False))
            plan.append((kind, kills))
    return plan


def created(portal: Simulator) -> Counter[Any]:
    """Count how often the portal has created each limit and each label."""
    count: Counter[Any] = Counter()
    for request in portal.requests:
        if request.method == "POST" and request.status in (200, 201, 207):
            if request.path.endswith("/batch/create"):
                count.update(
                    (request.path, limit_input["category"], limit_input["typeId"])
                    for limit_input in request.body["inputs"]
                )
            elif request.path.endswith("/labels"):
                count[request.path, request.body["name"]] += 1
    return count


@pytest.mark.usefixtures("begun")
def test_a_worker_killed_between_any_two_requests_does_what_was_asked_and_nothing_twice(
    stack: Stack, lengths: dict[str, int], full: bool
) -> None:
    plan = draw(lengths, full)
    with run_of_victims(stack, plan) as (run, victims):
        assert run.state == "success", run.summary()
        places: Counter[str] = Counter()
        survived = 0
        for (kind, kills), victim in zip(plan, victims, strict=True):
            instance = run.instances[kind, places[kind]]
            places[kind] += 1
            case = (
                f"{kind} {kills}, killed {victim.proxy.killed}, try {instance['try_number']}: {sent(victim.portal)},"
                f" log: {stack.api.log(instance)}"
            )
            # The second kill is drawn blindly: a try that has little left to do may not get that far.
            assert victim.proxy.killed[:1] == kills[:1], case
            assert instance["state"] == "success", case
            assert instance["try_number"] == 1 + len(victim.proxy.killed), case
            assert set(created(victim.portal).values()) <= {1}, case
            assert victim.portal.limits() == asked(kind, victim.portal), case
            survived += len(victim.proxy.killed)
    figures.report("kills survived", f"{survived} (of {len(plan)} tasks)")
    stack.check()


# -- the triggerer and the scheduler are killed while tasks wait -------------------------------------------------


@pytest.fixture(scope="module")
def endless(stack: Stack, canaries: dict[str, str]) -> Iterator[Simulator]:
    """Start a portal that never finishes a batch by itself; tasks wait until the test sets what they asked for."""
    with Simulator(processing_seconds=7200, status_links=False) as portal:
        canaries["token of the waiting"] = token = portal.issue_token()
        connect(stack, connection("waiting", portal.url, token))
        yield portal
        stack.check()


class Orders:
    """Some batches to wait for, each of another pair of object types.

    :param portal: where they wait.
    :param name: of the custom object types that are made for it.
    :param count: how many.
    """

    def __init__(self, portal: Simulator, name: str, count: int) -> None:
        self._portal = portal
        self.conf: list[dict[str, Any]] = []
        self.released = 0
        with client_of(portal) as client:
            for number in range(count):
                object_type = portal.add_object_type(f"{name}_{number}")
                (row,) = client.get_labels(object_type, "contacts")
                limit = {"category": row.category, "typeId": row.type_id, "maxToObjectIds": 7}
                self.conf.append({"from_object_type": object_type, "inputs": [limit]})

    def release(self, count: int | None = None) -> None:
        """Set the limits that the next ones wait for, or all."""
        which = slice(self.released, None if count is None else self.released + count)
        self.released += len(self.conf[which])
        for batch in self.conf[which]:
            (limit,) = batch["inputs"]
            key = batch["from_object_type"], "contacts", limit["category"], limit["typeId"]
            self._portal.set_limit(*key, limit["maxToObjectIds"])

    def reads(self) -> list[int]:
        """Count the reads of each so far."""
        return self._count("GET", "contacts")

    def submissions(self) -> list[int]:
        """Count how often each was sent, in whatever form."""
        return self._count("POST", "create", "update", "purge")

    def _count(self, method: str, *ends: str) -> list[int]:
        count = Counter(
            next(part for part in request.path.split("/") if part.startswith("2-"))
            for request in self._portal.requests
            if request.method == method and "/configurations/2-" in request.path and request.path.endswith(ends)
        )
        return [count[batch["from_object_type"]] for batch in self.conf]


def read_again(orders: Orders, which: slice = slice(None)) -> None:
    """Wait until each of some orders has been read once more: somebody waits for it now."""
    before = orders.reads()[which]
    wait_for(
        "a read of every order",
        lambda: True if all(now > then for now, then in zip(orders.reads()[which], before, strict=True)) else None,
        timeout=600,
    )


@dataclass
class Waiting:
    """A run whose tasks wait, and the batches they wait for: some in the triggerer, some in workers.

    The tests disturb it one after the other; each can also do so alone.
    """

    stack: Stack
    run_id: str
    deferred: Orders
    working: Orders

    def until(self, task_id: str, state: str, which: slice = slice(None), tries: int = 1) -> None:
        """Wait until some of the tasks are in a state, in one try or a later one."""
        count = len((self.deferred if task_id == "deferred" else self.working).conf)

        def look() -> bool | None:
            instances = {
                instance["map_index"]: instance
                for instance in self.stack.api.task_instances("waiting", self.run_id)
                if instance["task_id"] == task_id
            }
            chosen = [instances.get(index) for index in range(count)[which]]
            return (
                all(instance and instance["state"] == state and instance["try_number"] >= tries for instance in chosen)
                or None
            )

        wait_for(f"the tasks {task_id}, {which}, to be {state}", look, timeout=600)

    def begin(self) -> None:
        """Wait until every task that is not released yet is waiting."""
        released = self.deferred.released
        self.until("deferred", "deferred", slice(released, None))
        self.until("working", "running")
        read_again(self.deferred, slice(released, None))
        read_again(self.working)


@pytest.fixture(scope="module")
def waiting(stack: Stack, endless: Simulator, full: bool) -> Waiting:
    """Start a run whose tasks wait."""
    deferred = Orders(endless, "deferred", 200 if full else 12)
    working = Orders(endless, "working", 2)
    run_id = stack.api.trigger("waiting", {"deferred": deferred.conf, "working": working.conf})
    return Waiting(stack, run_id, deferred, working)


@pytest.fixture(scope="module")
def begun(waiting: Waiting, failing: Failing, timing_out: str) -> None:
    """Let all runs begin at the start: the tests then wait for several things at the same time."""


def threads_of_triggerer(stack: Stack) -> int:
    """Return how many threads the process has that runs the triggers."""
    pids = members({stack.components["triggerer"].pid})
    return max(psutil.Process(pid).num_threads() for pid in pids)


def test_a_wait_marked_failed_is_not_read_any_more_and_goes_on_when_cleared(stack: Stack, waiting: Waiting) -> None:
    waiting.begin()
    orders = waiting.deferred
    which = orders.released
    others = slice(which + 1, None)

    marked = {"dag_id": "waiting", "dag_run_id": waiting.run_id, "task_id": "deferred"}
    stack.api.call("PATCH", f"{stack.api.of_task(marked)}/{which}", json={"new_state": "failed"})
    for _ in range(2):
        read_again(orders, others)  # by now the triggerer has received the change
    before = orders.reads()[which]
    for _ in range(2):
        read_again(orders, others)
    assert orders.reads()[which] == before

    clear = {"dry_run": False, "dag_run_id": waiting.run_id, "task_ids": [["deferred", which]], "only_failed": True}
    stack.api.call("POST", "/dags/waiting/clearTaskInstances", json=clear)
    for _ in range(2):
        read_again(orders, slice(which, None))
    orders.release(1)

    waiting.until("deferred", "success", slice(which, which + 1), tries=2)
    assert orders.submissions() == [1] * len(orders.conf)


def test_a_killed_triggerer_leaves_nobody_waiting_and_sends_nothing_again(stack: Stack, waiting: Waiting) -> None:
    waiting.begin()
    orders = waiting.deferred
    first = orders.released

    killed = stack.components["triggerer"].pid
    stack.kill("triggerer", with_children=False)
    wait_for("the child of the triggerer to end", lambda: None if members({killed}) else True, timeout=60)
    orders.release(len(orders.conf) // 2)  # while nobody looks
    stack.start("triggerer")

    read_again(orders, slice(first, None))
    waiting.until("deferred", "success", slice(first, orders.released))
    assert orders.submissions() == [1] * len(orders.conf)
    assert threads_of_triggerer(stack) <= POOL_THREADS + OTHER_THREADS
    figures.report("waits that survived the triggerer", str(len(orders.conf) - first))


def test_a_killed_scheduler_leaves_nobody_waiting_and_nothing_is_sent_again(
    stack: Stack, waiting: Waiting, full: bool
) -> None:
    waiting.begin()
    for number, with_workers in enumerate((False, True) if full else (False,)):
        # Without their scheduler the workers continue, and the next scheduler starts the same tasks a second time.
        stack.kill("scheduler", with_children=with_workers)
        stack.start("scheduler")
        waiting.until("working", "running", tries=2 + number)
        read_again(waiting.working)
    waiting.working.release()
    waiting.deferred.release()

    run = stack.api.finish("waiting", waiting.run_id, timeout=900)
    assert run.state == "success", run.summary()
    assert waiting.deferred.submissions() == [1] * len(waiting.deferred.conf), run.summary()
    assert waiting.working.submissions() == [1] * len(waiting.working.conf), run.summary()


# -- timeouts ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def timing_out(stack: Stack, endless: Simulator) -> str:
    """Start a run that waits for batches that never end."""
    return stack.api.trigger("timing_out")


def test_a_wait_whose_time_is_up_fails_and_says_so(stack: Stack, timing_out: str) -> None:
    run = stack.api.finish("timing_out", timing_out)

    assert run.state == "failed"
    for task_id, error in (("operator", "HubSpotOperationTimeoutError"), ("sensor", "AirflowSensorTimeout")):
        instance = run.instances[task_id, -1]
        assert instance["state"] == "failed", run.summary()
        log = stack.api.log(instance)
        assert "Pausing task as DEFERRED" in log
        assert error in log


# -- secrets -----------------------------------------------------------------------------------------------------


def oauth_connection(conn_id: str, portal: Simulator) -> dict[str, Any]:
    app = portal.oauth
    extra = {
        "auth_type": "oauth",
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "refresh_token": app.refresh_token,
    }
    return connection(conn_id, portal.url, "", password=None, extra=json.dumps(extra))


@dataclass
class Failing:
    """A run whose tasks fail in every way that may reveal a secret.

    :param stack: where it runs.
    :param run_id: its id.
    :param soon_revoked: the token of a task that waits in the triggerer.
    """

    stack: Stack
    run_id: str
    soon_revoked: str


@pytest.fixture(scope="module")
def failing(stack: Stack, endless: Simulator, canaries: dict[str, str]) -> Iterator[Failing]:
    """Start a run whose tasks use connections that do not work, or not for long."""
    with Simulator() as hubspot:
        for portal in (endless, hubspot):
            portal.oauth.client_secret = canaries[f"client secret of {portal.port}"] = canary("client-secret")
            portal.oauth.refresh_token = canaries[f"refresh token of {portal.port}"] = canary("refresh-token")
        hubspot.revoke(hubspot.oauth.refresh_token)
        names = ("unaccepted", "unusable", "secret of the unusable")
        tokens = {f"{name} token": canary(name.replace(" ", "-")) for name in names}
        tokens |= {"echoed token": hubspot.issue_token(), "soon revoked token": endless.issue_token()}
        canaries |= tokens
        echo = {"status": "error", "category": "VALIDATION_ERROR", "message": f"{tokens['echoed token']} is odd"}
        hubspot.inject(path="*/batch/create", status=400, body=echo)
        unusable = {"auth_type": "nonsense", "timeout": 0, "client_secret": tokens["secret of the unusable token"]}
        connect(
            stack,
            connection("unaccepted", hubspot.url, tokens["unaccepted token"]),
            connection("echoing", hubspot.url, tokens["echoed token"]),
            connection("unusable", hubspot.url, tokens["unusable token"], extra=json.dumps(unusable)),
            connection("soon_revoked", endless.url, tokens["soon revoked token"]),
            oauth_connection("revoked", hubspot),
            oauth_connection("oauth", endless),
        )
        yield Failing(stack, stack.api.trigger("failing"), tokens["soon revoked token"])


SAID = {
    "unaccepted": "HubSpotAuthenticationError",
    "sync": "HubSpotAuthenticationError",
    "revoked": "BAD_REFRESH_TOKEN",
    "unusable": "HubSpotSettingsError",
    "echoing": "is odd",
    "soon_revoked": "HubSpotAuthenticationError",
    "raises_in_the_triggerer": "OperationHandleError",
}
"""Text in the log of each failing task."""


def test_failures_of_every_kind_show_no_secret(
    stack: Stack, endless: Simulator, failing: Failing, canaries: dict[str, str]
) -> None:
    def both_wait() -> bool | None:
        states = {
            instance["task_id"]: instance["state"] for instance in stack.api.task_instances("failing", failing.run_id)
        }
        return True if states["oauth"] == states["soon_revoked"] == "deferred" else None

    wait_for("the tasks in the triggerer", both_wait, timeout=300)
    rows = leaks.trigger_rows(stack)
    search = leaks.Search(canaries)
    for class_path, arguments in rows:
        search.look_at(f"the arguments of a {class_path}", arguments)
    assert b"soon_revoked" in b"".join(arguments for _, arguments in rows)
    assert search.found == []

    endless.revoke(failing.soon_revoked)
    for key, limit in ((CONTACT_TO_COMPANY, 5), (BILLING_CONTACT, 1)):
        endless.set_limit(*key, limit)
    run = stack.api.finish("failing", failing.run_id)

    assert run.instances["oauth", -1]["state"] == "success", run.summary()
    for task_id, error in SAID.items():
        instance = run.instances[task_id, -1]
        assert instance["state"] == "failed", run.summary()
        assert error in stack.api.log(instance), stack.api.log(instance)


def hidden(secret: str, folder: Path) -> Iterable[tuple[str, str]]:
    """Leave a secret behind in several ways; yield the expected findings for each."""
    (folder / "deep").mkdir()
    for name, content, spelling in (
        ("plain.log", f"password={secret}", "as it is"),
        ("deep/header.log", "Basic " + base64.b64encode(f"user:{secret}".encode()).decode(), "in base64, shifted by 2"),
        ("deep/form.log", f"refresh_token={quote(secret, safe='')}&x=1", "in a URL"),
        ("bytes.log", secret.encode().hex(), "in hex"),
    ):
        (folder / name).write_text(content)
        yield f"the canary {spelling}", name
    with closing(sqlite3.connect(folder / "airflow.db")) as database:
        database.execute("create table xcom (value text)")
        # Longer than a page: SQLite breaks it, and puts the pieces where there is room.
        database.execute("insert into xcom values (?)", ["x" * 4050 + secret])
        database.commit()
    yield "the canary as it is", "the table xcom"


def test_the_search_finds_what_was_left_behind_on_purpose(tmp_path: Path) -> None:
    secret = canary("found")
    expected = [f"{what}, in {where}" for what, where in hidden(secret, tmp_path)]

    search = leaks.Search({"canary": secret})
    search.look_into(tmp_path)

    for item in expected:
        assert item in search.found
    assert search.bytes > 4096
    other = leaks.Search({"canary": canary("not there")})
    other.look_into(tmp_path)
    assert other.found == []


# -- the end -----------------------------------------------------------------------------------------------------


def test_in_the_end_no_task_and_no_process_is_left(stack: Stack, endless: Simulator) -> None:
    stack.check()
    unfinished = [
        instance
        for instance in stack.api.task_instances("~", "~")
        if instance["state"] not in ("success", "failed", "skipped", "upstream_failed", "removed")
    ]
    assert unfinished == []
    assert leaks.trigger_rows(stack) == []
    assert threads_of_triggerer(stack) <= POOL_THREADS + OTHER_THREADS

    stack.stop()

    assert processes_in(stack.home) == []
