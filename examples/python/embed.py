"""Embeds the component in a program without HTTP: wasmtime, and a database of sqlite3.

usage: embed.py COMPONENT.wasm

The component gets only the `Database` below. Every other import traps. For tests of a service there
is a package that does more: see python/ in this repository.
"""

import re
import sqlite3
import sys

from wasmtime import Engine, Store
from wasmtime.component import Component, Linker, Record, ResourceHost, ResourceType, Variant

DATABASE = "usher:database/database@0.2.0"
USERS, MIGRATIONS = "usher:users/users@0.2.0", "usher:service/migrations@0.2.0"
TRANSACTION = 1  # A number for the type of the resource.
TAGS = {type(None): "null", int: "integer", float: "real", str: "text", bytes: "bytes"}


def record(**fields):
    made = Record()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class Database:
    """One SQLite database with one user at a time. An error is returned as a `Variant`."""

    def __init__(self):
        self.sqlite = sqlite3.connect(":memory:", isolation_level=None)

    def run(self, statement, params=()):
        # `$2` is the second parameter wherever it is; sqlite3 knows it as `:p2`.
        values = {f"p{number}": param.payload for number, param in enumerate(params, 1)}
        before = self.sqlite.total_changes
        try:
            cursor = self.sqlite.execute(re.sub(r"\$(\d+)", r":p\1", statement), values)
            rows = [[Variant(TAGS[type(v)], v) for v in row] for row in cursor.fetchall()]
        except sqlite3.Error as error:
            return refused(str(error))
        columns = [column[0] for column in cursor.description or ()]
        return record(columns=columns, rows=rows), self.sqlite.total_changes - before

    def rows(self, statement, params):
        result = self.run(statement, params)
        return result if isinstance(result, Variant) else result[0]

    def count(self, statement, params):
        result = self.run(statement, params)
        return result if isinstance(result, Variant) else result[1]

    def control(self, statement):
        result = self.run(statement)
        return result if isinstance(result, Variant) else None

    def define(self, root):
        """Defines the import. wasmtime traps if a borrowed resource is not dropped."""

        def begin(store, isolation, read_only):
            failed = self.control("BEGIN")
            return failed or ResourceHost.own(1, TRANSACTION).to_any(store)

        def within(run):
            def call(store, this, statement, params):
                this.drop(store)
                return run(statement, params)

            return call

        def end(statement):
            def call(store, this):
                failed = self.control(statement)
                this.drop(store)
                return failed

            return call

        def dropped(store, number):
            if self.sqlite.in_transaction:
                self.sqlite.rollback()

        with root.add_instance(DATABASE) as interface:
            interface.add_resource("transaction", ResourceType.host(TRANSACTION), dropped)
            interface.add_func("dialect", lambda store: "sqlite")
            interface.add_func("query", lambda store, s, p: self.rows(s, p))
            interface.add_func("execute", lambda store, s, p: self.count(s, p))
            interface.add_func("[static]transaction.begin", begin)
            interface.add_func("[method]transaction.query", within(self.rows))
            interface.add_func("[method]transaction.execute", within(self.count))
            interface.add_func("[static]transaction.commit", end("COMMIT"))
            interface.add_func("[static]transaction.rollback", end("ROLLBACK"))


def refused(message):
    """An error of SQLite. The service knows a taken address by the name of the key."""
    kind, code, constraint = "other", "XX000", None
    if unique := re.search(r"UNIQUE constraint failed: (\w+)\.(\w+)$", message):
        kind, code, constraint = "unique-violation", "23505", f"{unique[1]}_{unique[2]}_key"
    elif message.startswith("no such table"):
        code = "42P01"
    return Variant(
        "refused",
        record(kind=kind, code=code, message=message, constraint=constraint, column=None),
    )


class Service:
    def __init__(self, path, database):
        engine = Engine()
        self.component, self.store = Component.from_file(engine, path), Store(engine)
        linker = Linker(engine)
        linker.allow_shadowing = True
        linker.define_unknown_imports_as_traps(self.component)
        with linker.root() as root:
            database.define(root)
        self.instance = linker.instantiate(self.store, self.component)

    def call(self, interface, name, *arguments):
        """Calls an export. An error is a `Variant`; whatever is none is the result."""
        within = self.component.get_export_index(interface)
        index = self.component.get_export_index(name, within)
        return self.instance.get_func(self.store, index)(self.store, *arguments)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: embed.py COMPONENT.wasm")
    service = Service(sys.argv[1], Database())
    applied = service.call(MIGRATIONS, "apply")
    if isinstance(applied, Variant):
        sys.exit(f"the migrations failed: {applied.tag}")
    ann = record(name="Ann", email="Ann@Example.com")
    user = service.call(USERS, "create", ann)
    print(f"created {user.id}: {user.name} <{user.email}>")
    print(f"again: {service.call(USERS, 'create', ann).tag}")
    page = service.call(USERS, "list", record(limit=10, after=0, email=None))
    print(f"listed {len(page.users)}")


if __name__ == "__main__":
    main()
