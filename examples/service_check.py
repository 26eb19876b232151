#!/usr/bin/env python3
"""Checks a service of items from outside, whatever language it is written in.

usage: service_check.py USHER COMPONENT.wasm [DATABASE]

Serves the component on a new SQLite file, or on the empty database of this URL, tries every route,
starts it again on the same database, and ends with 1 at the first difference. Needs nothing but
Python's standard library.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading

READY = "listening on http://"


class Server:
    """A running server, ended with the block."""

    def __init__(self, usher: str, component: str, database: str, *options: str) -> None:
        command = [usher, "serve", "--component", component, "--listen", "127.0.0.1:0"]
        command += ["--database", database, "--log-format", "text", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log: list[str] = []
        self.address = ""
        for line in self.process.stderr:
            self.log.append(line)
            if READY in line:
                self.address = line.split(READY)[1].split()[0].rstrip("/")
                break
        else:
            sys.exit("the server did not start:\n" + "".join(self.log))
        threading.Thread(target=self.log.extend, args=[self.process.stderr], daemon=True).start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def send(self, method: str, path: str, body: object = None, raw: bytes | None = None,
             media_type: str = "application/json") -> tuple[int, dict[str, str], object]:
        """The status, the headers, and the body as JSON if it is JSON."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        content = json.dumps(body).encode() if body is not None else raw
        headers = {"content-type": media_type} if content is not None else {}
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        text = response.read()
        connection.close()
        is_json = "json" in fields.get("content-type", "")
        return response.status, fields, json.loads(text) if is_json and text else text

    def expect(self, status: int, method: str, path: str, **content: object) -> object:
        """Sends a request, compares the status, and returns the body."""
        found, fields, body = self.send(method, path, **content)
        if found != status:
            sys.exit(f"{method} {path} {content}: {found} in place of {status}: {body!r}\n"
                     + "".join(self.log))
        if status >= 400 and status != 405:
            same(fields.get("content-type"), "application/problem+json", f"{method} {path}")
            same(body["status"], status, f"{method} {path}")
        return body


def same(found: object, expected: object, what: str) -> None:
    if found != expected:
        sys.exit(f"{what}: {found!r} in place of {expected!r}")


def check_new(server: Server) -> None:
    """Everything, on an empty database."""
    same(server.expect(200, "GET", "/items"), [], "an empty list")
    tea = {"name": "tea", "quantity": 3}
    status, fields, body = server.send("POST", "/items", tea)
    same((status, fields.get("location")), (201, "/items/1"), "POST /items")
    same(body, {"id": 1, **tea}, "POST /items")
    same(server.expect(200, "GET", "/items/1"), {"id": 1, **tea}, "GET /items/1")
    server.expect(409, "POST", "/items", body=tea)

    # Text of any kind, which is a parameter and no part of a statement.
    odd = {"name": "'; DROP TABLE items; -- é 🍵 \u0001\n\"", "quantity": 2**53}
    made = server.expect(201, "POST", "/items", body=odd)
    same(made, {"id": made["id"], **odd}, "a name of any text")
    same(server.expect(200, "GET", f"/items/{made['id']}"), made, "a name of any text")
    same(server.expect(200, "GET", "/items"), [{"id": 1, **tea}, made], "the list")

    for path in ("/items/999", "/elsewhere", "/items/1/more", "/"):
        server.expect(404, "GET", path)
    status, fields, _ = server.send("DELETE", "/items")
    same(status, 405, "DELETE /items")
    same("POST" in fields.get("allow", ""), True, "Allow")
    server.expect(422, "GET", "/items/one")
    server.expect(415, "POST", "/items", raw=b"{}", media_type="text/plain")
    server.expect(400, "POST", "/items", raw=b"{")
    for wrong in ({}, [], {"name": "a"}, {"name": 1, "quantity": 1}, {"name": "", "quantity": 1},
                  {"name": "a", "quantity": -1}, {"name": "a", "quantity": "1"}):
        server.expect(422, "POST", "/items", body=wrong)
    same(len(server.expect(200, "GET", "/items")), 2, "the list after refused requests")


def check_many(server: Server) -> None:
    """Clients at the same time: each name is taken once."""
    results: list[int] = []

    def client(number: int) -> None:
        item = {"name": f"item {number % 10}", "quantity": number}
        results.append(server.send("POST", "/items", item)[0])

    threads = [threading.Thread(target=client, args=[number]) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(sorted(results), [201] * 10 + [409] * 30, "40 clients with 10 names")


def main() -> None:
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    usher, component = map(os.path.abspath, sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder:
        database = sys.argv[3] if len(sys.argv) == 4 else f"sqlite:{folder}/items.db"
        with Server(usher, component, database) as server:
            check_new(server)
            check_many(server)
        # Its migration is not applied a second time.
        with Server(usher, component, database) as server:
            same(len(server.expect(200, "GET", "/items")), 12, "the list after a start")
    print(f"{component}: every check passed")


if __name__ == "__main__":
    main()
