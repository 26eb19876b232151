#!/usr/bin/env python3
"""Adds a custom section to a component: what it declares to its host.

usage: declare.py COMPONENT.wasm SECTION < TEXT

SECTION is usher:statements or usher:routes; the formats are in host/src/database/manifest.rs and
host/src/telemetry/routes.rs. The SDK for Rust writes the same sections.
"""

import sys


def leb128(number: int) -> bytes:
    """An unsigned number as WebAssembly writes it."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(written) + bytes([number])


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    _, component, name = sys.argv
    content = leb128(len(name)) + name.encode() + sys.stdin.buffer.read()
    with open(component, "ab") as file:
        file.write(b"\0" + leb128(len(content)) + content)


if __name__ == "__main__":
    main()
