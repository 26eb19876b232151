"""Writes the first core module of a component to a file, which is what llvm-cov reads."""

import sys


def leb128(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def main(component, module):
    with open(component, "rb") as file:
        data = file.read()
    at = 8
    while at < len(data):
        kind, (size, start) = data[at], leb128(data, at + 1)
        if kind == 1:
            with open(module, "wb") as file:
                file.write(data[start : start + size])
            return
        at = start + size
    raise SystemExit(f"{component} has no core module")


main(*sys.argv[1:])
