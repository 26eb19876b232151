"""Replays the recorded cases of the HTTP contract against a server.

usage: replay.py ADDRESS COMMAND...

COMMAND empties the table and restarts its ids; it runs before each case. The scripts `run` start
the server first. The exit code is 0 if all cases pass.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "contract"))
import replay  # noqa: E402

START_LIMIT = 300  # Seconds, for the first response: a host compiles the component.


def wait(address: str) -> None:
    end = time.monotonic() + START_LIMIT
    while True:
        try:
            status, _, body = replay.send({"method": "GET", "path": "/users/"}, address)
            if status == 200:
                return
            why: object = f"{status} {body!r}"
        except (OSError, ValueError) as error:
            why = error
        if time.monotonic() > end:
            sys.exit(f"{address} does not serve after {START_LIMIT} s: {why}")
        time.sleep(0.2)


def main() -> int:
    if len(sys.argv) < 3:
        print("usage: replay.py ADDRESS COMMAND...", file=sys.stderr)
        return 2
    address, reset = sys.argv[1], sys.argv[2:]
    wait(address)
    cases, passed = replay.cases(), 0
    for case in cases:
        subprocess.run(reset, check=True)
        try:
            why = replay.replay(case, lambda request: replay.send(request, address), address)
        except (OSError, ValueError, LookupError, TypeError) as error:
            why = f"no response to compare: {error}"
        if why is None:
            passed += 1
        else:
            print(f"{case['group']}/{case['name']}: {why}")
    print(f"{passed} of {len(cases)} recorded cases pass")
    return 0 if passed == len(cases) else 1


if __name__ == "__main__":
    sys.exit(main())
