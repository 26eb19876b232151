"""Runs the conformance suite of usher:database against a server that has it.

usage: conformance.py ADDRESS LOST COMMAND...

LOST is a file with the cases that are known to fail, each on a line, after which an explanation
may follow. COMMAND empties the database; it runs before each case. The exit code is 0 if exactly
the other cases pass.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "contract"))
import replay  # noqa: E402

START_LIMIT = 300  # Seconds, for the first response: a host compiles the component.


def names(address: str) -> list[str]:
    end = time.monotonic() + START_LIMIT
    while True:
        try:
            return replay.send({"method": "GET", "path": "/"}, address)[2].decode().split()
        except (OSError, ValueError) as error:
            if time.monotonic() > end:
                sys.exit(f"{address} does not serve after {START_LIMIT} s: {error}")
        time.sleep(0.2)


def fault(name: str, address: str) -> str | None:
    request: dict[str, Any] = {"method": "POST", "path": f"/{name}"}
    try:
        status, _, body = replay.send(request, address)
    except (OSError, ValueError) as error:
        return f"no response: {error}"
    return None if status == 200 else f"{status} {body.decode(errors='replace')}"


def main() -> int:
    if len(sys.argv) < 4:
        print("usage: conformance.py ADDRESS LOST COMMAND...", file=sys.stderr)
        return 2
    address, known, reset = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    lost = {line.split()[0] for line in known.read_text().splitlines() if line.strip()}
    cases, passed, differ = names(address), 0, 0
    for name in cases:
        subprocess.run(reset, check=True)
        why = fault(name, address)
        passed += why is None
        if (why is not None) != (name in lost):
            differ += 1
            print(f"{name}: {why or 'passes, and is listed as lost'}")
    print(f"{passed} of {len(cases)} conformance cases pass, and {len(lost)} are known to be lost")
    return 1 if differ or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
