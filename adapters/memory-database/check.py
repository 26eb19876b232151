"""Replays the recorded cases of the HTTP contract, each on an empty database, and the conformance
suite of usher:database, against components under `wasmtime serve`.

usage: check.py [--resolve] WASMTIME WHOLE [CONFORMANCE]

--resolve   resolve a relative `Location` as clients do (RFC 9110, 10.2.2), for a component that is
            not told the server's name, and say how many there were

The scripts `run` build them first, and call it. The exit code is 0 if everything passes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "contract"))
import replay  # noqa: E402

HOST = "127.0.0.1"
AT_ONCE = 2  # Servers, as many as small machines have cores.

# An instance keeps its database, so it must serve all requests, one after the other.
#
# With several threads a client may have the whole response, and send its next request, before the
# instance is ready for that. wasmtime would then make another instance.
ENVIRONMENT = {**os.environ, "TOKIO_WORKER_THREADS": "1"}
ONE_INSTANCE = [
    *("--max-instance-reuse-count", "1000000"),
    *("--idle-instance-timeout", "3600s"),
    *("--max-concurrent-requests", "1"),
]


class Server:
    """`wasmtime serve` with a component, on a port of its own."""

    def __init__(self, wasmtime: str, component: str, options: list[str]) -> None:
        self.process = subprocess.Popen(
            [wasmtime, "serve", "--allow-precompiled", "--addr", f"{HOST}:0", *options, component],
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        # It says where it listens, and little else.
        said = ""
        while not (found := re.search(r"http://[\d.]+:(\d+)", said)):
            line = self.process.stderr.readline()
            if not line:
                raise RuntimeError(f"wasmtime serve has ended: {said}")
            said += line
        self.address = f"{HOST}:{found[1]}"
        # Otherwise it would wait once the pipe is full.
        Thread(target=self.process.stderr.read, daemon=True).start()

    relative = 0
    """Locations that were resolved, in all servers."""
    resolves = False

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def send(self, request: dict[str, Any]) -> replay.Response:
        status, headers, body = replay.send(request, self.address)
        if self.resolves and headers.get("location", "").startswith("/"):
            Server.relative += 1
            headers["location"] = f"http://{self.address}{headers['location']}"
        return status, headers, body


def lines(users: int, server: Server) -> str | None:
    """The difference of an NDJSON list, which no recorded case has: of several batches, or none."""
    for number in range(1, users + 1):
        user = {"name": f"user {number}", "email": f"user{number}@example.org"}
        request = {
            "method": "POST",
            "path": "/users/",
            "headers": {"content-type": "application/json"},
            "body": json.dumps(user),
        }
        if (status := server.send(request)[0]) != 200:
            return f"setup request {number}: {status}"
    status, _, body = server.send({"method": "GET", "path": "/users.ndjson"})
    ids = [json.loads(line)["id"] for line in body.splitlines()]
    if status == 200 and ids == list(range(1, users + 1)):
        return None
    return f"{users} users as lines: {status} {body[:200]!r}"


def conformance(name: str, server: Server) -> str | None:
    status, _, body = server.send({"method": "POST", "path": f"/{name}"})
    return None if status == 200 else f"{status} {body.decode(errors='replace')}"


def count(title: str, checks: list[tuple[str, Any]]) -> bool:
    """Runs checks, prints those that fail and how many pass. Returns whether all do."""

    def outcome(check: Any) -> str | None:
        try:
            return check()
        except (OSError, ValueError, RuntimeError, LookupError, TypeError) as error:
            return f"no response to compare: {error}"

    passed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for (name, _), why in zip(checks, pool.map(lambda check: outcome(check[1]), checks)):
            if why is None:
                passed += 1
            else:
                print(f"{name}: {why}")
    print(f"{passed} of {len(checks)} {title}", flush=True)
    return passed == len(checks) > 0


def main() -> int:
    arguments = sys.argv[1:]
    Server.resolves = arguments[:1] == ["--resolve"]
    if Server.resolves:
        arguments.pop(0)
    if len(arguments) not in (2, 3):
        print("usage: check.py [--resolve] WASMTIME WHOLE [CONFORMANCE]", file=sys.stderr)
        return 2
    wasmtime, whole, *suites = arguments
    version = subprocess.run([wasmtime, "--version"], capture_output=True, text=True, check=True)
    print(f"under {version.stdout.strip()} serve:")

    def alone(check: Any, subject: Any) -> Any:
        def run() -> str | None:
            with Server(wasmtime, whole, ONE_INSTANCE) as server:
                return check(subject, server)

        return run

    def recorded(case: dict[str, Any], server: Server) -> str | None:
        return replay.replay(case, server.send, server.address)

    cases = replay.cases()
    named = [(f"{case['group']}/{case['name']}", alone(recorded, case)) for case in cases]
    passed = count("recorded cases pass", named)
    if Server.resolves:
        print(f"in {Server.relative} of them the location was relative")
    passed &= count("lists as lines", [(str(n), alone(lines, n)) for n in (0, 300)])

    # By default an instance serves one request, so that each case has a database of its own.
    for suite in suites:
        with Server(wasmtime, suite, []) as server:
            names = server.send({"method": "GET", "path": "/"})[2].decode().split()
            named = [(name, lambda name=name: conformance(name, server)) for name in names]
            passed &= count("conformance cases pass", named)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
