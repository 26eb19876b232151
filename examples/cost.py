#!/usr/bin/env python3
"""Measures what services of items cost, side by side.

usage: cost.py USHER NAME=COMPONENT.wasm...

Starts one server on one core for each component, with a database in memory, and sends requests to
them in turns on one connection each. Prints a table: the size of the component, how long the first
start takes (which compiles it) and how long a later one does, and the processor time of the server,
user and system, for each request. Linux only. Needs Python's standard library.
"""

import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

READY = "listening on http://"
ROUNDS = 7
SECONDS = 1.0
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A server, and a connection to it."""

    def __init__(self, usher: str, component: str, cache: str) -> None:
        command = [usher, "serve", "--component", component, "--listen", "127.0.0.1:0"]
        command += ["--database", "memory:", "--workers", "1", "--compile-cache", cache]
        command += ["--log-format", "text"]
        began = time.monotonic()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if READY in line:
                address = line.split(READY)[1].split()[0].rstrip("/")
                break
        else:
            sys.exit(f"{component} is not served")
        self.start = time.monotonic() - began
        self.connection = http.client.HTTPConnection(address, timeout=60)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def send(self, method: str, path: str, status: int, body: object = None) -> None:
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        self.connection.request(method, path, content, headers)
        response = self.connection.getresponse()
        text = response.read()
        if response.status != status:
            sys.exit(f"{method} {path}: {response.status} {text!r}")

    def processor_time(self) -> float:
        """Seconds, user and system, of all threads."""
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def measure(server: Server, name: str, number: int) -> tuple[float, float]:
    """Microseconds of processor time for each GET and each POST of a round."""
    results = []
    for method in ("GET", "POST"):
        count, began, before = 0, time.monotonic(), server.processor_time()
        while time.monotonic() - began < SECONDS:
            if method == "GET":
                server.send("GET", "/items/1", 200)
            else:
                item = {"name": f"{name} {number} {count}", "quantity": count}
                server.send("POST", "/items", 201, item)
            count += 1
        results.append((server.processor_time() - before) / count * 1e6)
    return results[0], results[1]


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    usher = os.path.abspath(sys.argv[1])
    components = dict(one.split("=", 1) for one in sys.argv[2:])
    with tempfile.TemporaryDirectory() as cache:
        first = {}
        for name, component in components.items():
            server = Server(usher, component, cache)
            first[name] = server.start
            server.end()
        servers = {name: Server(usher, file, cache) for name, file in components.items()}
        for server in servers.values():
            server.send("POST", "/items", 201, {"name": "tea", "quantity": 3})
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in components}
        for number in range(ROUNDS):
            for name, server in servers.items():
                costs[name].append(measure(server, name, number))
        print("| | component | first start | later starts | a GET | a POST |")
        print("|---|---:|---:|---:|---:|---:|")
        for name, server in servers.items():
            size = os.path.getsize(components[name]) / 1e6
            get, post = (statistics.median(costs) for costs in zip(*costs[name]))
            print(f"| {name} | {size:.1f} MB | {first[name]:.1f} s | {server.start * 1000:.0f} ms "
                  f"| {get:.0f} µs | {post:.0f} µs |")
            server.end()


if __name__ == "__main__":
    main()
