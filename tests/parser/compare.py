"""Compares the embedded parser with another build of the same grammar: same trees, same errors."""

import argparse
import json
import pathlib
import random
import re
import struct
import sys

import pglast.parser
import wasmtime

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARSER = ROOT / "host/assets/libpg-query/libpg-query.wasm"

# As host/src/database/policy/postgres/grammar.rs has them.
MEMORY, TABLE, INITIALIZE, ALLOCATE, PARSE = "z", "D", "A", "C", "F"
SET_THREW, STACK_RESTORE, STACK_POINTER = "P", "Q", "R"
INVOKES, JUMP, ENDS = set("abdefghijklny"), "p", set("cxmv")


class Jump(Exception):
    """C's longjmp."""


class Embedded:
    """libpg-query.wasm, with the imports that the host provides."""

    def __init__(self):
        self.engine = wasmtime.Engine()
        self.module = wasmtime.Module.from_file(self.engine, str(PARSER))
        self.fresh()

    def fresh(self):
        self.store = wasmtime.Store(self.engine)
        imports = [
            wasmtime.Func(self.store, one.type, self.importing(one.name, one.type))
            for one in self.module.imports
        ]
        self.exports = wasmtime.Instance(self.store, self.module, imports).exports(self.store)
        self.exports[INITIALIZE](self.store)

    def importing(self, name, kind):
        results = len(kind.results)

        def invoke(index, *params):
            before = self.exports[STACK_POINTER](self.store)
            try:
                return self.exports[TABLE].get(self.store, index)(self.store, *params)
            except BaseException as error:
                if not isinstance(error, Jump) and "longjmp" not in str(error):
                    raise
                self.exports[STACK_RESTORE](self.store, before)
                self.exports[SET_THREW](self.store, 1, 0)
                return 0 if results else None

        def jump(*_):
            raise Jump("longjmp")

        def end(*_):
            raise RuntimeError("the parser gave up")

        def nothing(*_):
            return 0 if results else None

        if name in INVOKES:
            return invoke
        return jump if name == JUMP else end if name in ENDS else nothing

    def parse(self, text):
        memory = self.exports[MEMORY]
        data = text.encode() + b"\0"
        place = self.exports[ALLOCATE](self.store, len(data))
        memory.write(self.store, data, place)
        result = self.exports[PARSE](self.store, place)
        tree, _, error = struct.unpack("<III", memory.read(self.store, result, result + 12))
        if error:
            return None
        return json.loads(self.text(memory, tree))

    def text(self, memory, start):
        end, size = start, memory.data_len(self.store)
        while end < size:
            part = memory.read(self.store, end, min(end + 65536, size))
            zero = part.find(b"\0")
            if zero >= 0:
                return bytes(memory.read(self.store, start, end + zero)).decode()
            end += len(part)
        raise RuntimeError("a text without an end")


def parse(text):
    """The other build's tree."""
    try:
        return json.loads(pglast.parser.parse_sql_json(text))
    except pglast.parser.ParseError:
        return None


def plain(tree):
    """A tree without the minor version and a location that the parser never sets."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items() if key not in ("version", "arg_location")}
    if isinstance(tree, list):
        return [plain(value) for value in tree]
    return tree


def repository():
    """Whatever stands between quotes in the sources of tests and statements, and the migrations."""
    for path in sorted(ROOT.glob("**/*.rs")):
        if "target" in path.parts:
            continue
        for text in re.findall(r'"((?:[^"\\]|\\.)*)"', path.read_text(), re.S):
            text = re.sub(r"\\\n\s*", "", text)
            text = text.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
            if " " in text and "\\u{" not in text and "\0" not in text:
                yield text
    for path in sorted(ROOT.glob("guest/migrations/postgres/*.sql")):
        yield path.read_text()


def files(paths):
    """Statements of files, split at semicolons that end lines, without psql's own commands."""
    for path in paths:
        text = pathlib.Path(path).read_text(errors="replace")
        yield from (part for part in re.split(r";[ \t]*\n", text) if part.strip())


PIECES = """SELECT FROM WHERE INSERT INTO VALUES UPDATE SET DELETE WITH RECURSIVE AS MATERIALIZED ( ) , . ; * + - / < > = <> != :: [ ]
$1 $2 'a' 'it''s' E'\\\\n' U&'\\\\0061' $$b$$ $q$ $q$ "Quoted" U&"\\\\0061" 1 1.5 1e5 0x1f 1_000 B'01' X'1f' N'n' a b t users pg_class
pg_catalog lower count( nextval( ) JOIN LEFT ON USING GROUP BY ORDER LIMIT OFFSET FOR UPDATE SHARE UNION ALL EXCEPT CASE WHEN THEN ELSE END
NOT NULL IS IN LIKE BETWEEN AND OR EXISTS ANY ARRAY ROW CAST int text OVER PARTITION FILTER EXPLAIN ANALYZE VERBOSE CREATE TEMP TABLE VIEW
INDEX UNIQUE TRIGGER FUNCTION RETURNS LANGUAGE DROP ALTER ADD COLUMN RETURNING ON CONFLICT DO NOTHING MERGE MATCHED -- /* */ current_user
OPERATOR(pg_catalog.+) COLLATE "C" AT TIME ZONE EXTRACT(year INTERVAL '1' day SIMILAR TO ESCAPE LATERAL ROWS UESCAPE '!'""".split()


def generated(count):
    """Statements of this repository's tests with some pieces replaced, and sequences of pieces."""
    chance = random.Random(5)
    statements = [text for text in repository() if parse(text) not in (None, {}) and " " in text]
    for _ in range(count):
        if chance.random() < 0.1:
            yield " ".join(chance.choice(PIECES) for _ in range(chance.randint(1, 14)))
            continue
        words = re.findall(r"\w+|\s+|[^\w\s]", chance.choice(statements))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            place = chance.randrange(len(words) + 1)
            if chance.random() < 0.5 and place < len(words):
                words[place] = chance.choice(PIECES)
            else:
                words.insert(place, " " + chance.choice(PIECES) + " ")
        yield "".join(words)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=20000)
    arguments.add_argument("files", nargs="*")
    options = arguments.parse_args()
    embedded = Embedded()
    failed = 0
    for name, corpus in [
        ("of this repository", repository()),
        ("generated", generated(options.count)),
        ("of files", files(options.files)),
    ]:
        trees = refused = different = 0
        for number, text in enumerate(corpus):
            if number % 500 == 499:
                embedded.fresh()
            try:
                ours = embedded.parse(text)
            except (wasmtime.Trap, wasmtime.WasmtimeError, RuntimeError):
                # Beyond its bounds: the host refuses it.
                embedded.fresh()
                ours = None
            theirs = parse(text)
            if ours is None:
                refused += 1
            else:
                trees += 1
            if ours is not None and plain(ours) != plain(theirs):
                different += 1
                print(f"different: {text!r}", file=sys.stderr)
            elif ours is None and theirs is not None:
                print(f"refused here alone: {text[:200]!r}", file=sys.stderr)
        print(f"{name}: {trees} trees and {refused} refusals, {different} trees of another shape")
        failed += different
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
