"""Compares our text of Spin's interface with the one in Spin's SDK for Rust.

usage: cargo metadata … | interface.py

Reads the metadata of a package that depends on the crate `spin-sdk`. Comments do not count, and
ours may leave out functions and a resource. The exit code is 0 if all else is the same.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

OURS = Path(__file__).with_name("wit") / "spin-postgres.wit"
THEIRS = Path("wit", "deps", "spin-postgres@4.2.0", "postgres.wit")


def definitions(text: str) -> dict[str, str]:
    """The types and functions of an interface by their names, without spaces and comments."""
    text = re.sub(r"//.*", "", text)
    text = re.sub(r"@since\([^)]*\)", "", text)
    text = re.sub(r",?\s+([)}])", r"\1", re.sub(r"\s+", " ", text))
    text = re.sub(r"(?<=[({]) ", "", text)
    found = {}
    for kind, name, body in re.findall(r"\b(variant|enum|record) ([\w-]+) (\{.*?\})", text):
        found[f"{kind} {name}"] = body.replace(" ", "").replace(",}", "}")
    for name, body in re.findall(r"\b([\w-]+): ((?:static )?func\(.*?\) -> [^;]+);", text):
        found[f"func {name}"] = body.replace(" ", "")
    for name, body in re.findall(r"\btype ([\w-]+) = ([^;]+);", text):
        found[f"type {name}"] = body.replace(" ", "")
    return found


def main() -> int:
    packages = json.load(sys.stdin)["packages"]
    sdk = next(package for package in packages if package["name"] == "spin-sdk")
    theirs = definitions((Path(sdk["manifest_path"]).parent / THEIRS).read_text())
    ours = definitions(OURS.read_text())
    differ = [name for name, body in ours.items() if theirs.get(name) != body]
    missing = [name for name in theirs if name not in ours and not name.startswith("func ")]
    for name in differ + missing:
        print(f"{name}: {ours.get(name)} in place of {theirs.get(name)}", file=sys.stderr)
    print(f"{len(ours)} definitions are as in spin-sdk {sdk['version']}")
    return 1 if differ or missing or not ours else 0


if __name__ == "__main__":
    sys.exit(main())
