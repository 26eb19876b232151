"""The component: loaded once in a process, and instantiated for each application."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import wasmtime
from wasmtime.component import Component, Linker, ResourceHost, ResourceType, Variant

from .database import Database, DatabaseError, lift, lower, record

DATABASE = "usher:database/database@0.2.0"
STREAMING = "usher:database/streaming@0.2.0"
MIGRATIONS = "usher:service/migrations@0.2.0"
HANDLER = "usher:service/buffered-handler@0.2.0"
STREAMED = "usher:service/streamed-handler@0.2.0"
USERS = "usher:users/users@0.2.0"

_TRANSACTION, _CURSOR = 1, 2

_BUNDLED = pathlib.Path(__file__).with_name("users.wasm")


def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    try:
        # Compiled code is kept between processes: each worker of `pytest -n auto` is one.
        config.cache = True
    except wasmtime.WasmtimeError:
        pass  # No directory for it; compiling takes a second.
    return wasmtime.Engine(config)


ENGINE = _engine()
_loaded: dict[pathlib.Path, Component] = {}


def find(path: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """The file of the component: `path`, `USHER_COMPONENT`, or the one in this package."""
    named = path or os.environ.get("USHER_COMPONENT")
    file = pathlib.Path(named) if named else _BUNDLED
    if not file.exists():
        raise FileNotFoundError(
            f"there is no component {file}: write it with `usher component --output users.wasm`, "
            "and name it by USHER_COMPONENT or usher_component in pytest's configuration"
        )
    return file.resolve()


def load(path: str | os.PathLike[str] | None = None) -> Component:
    file = find(path)
    if file not in _loaded:
        _loaded[file] = Component.from_file(ENGINE, str(file))
    return _loaded[file]


class Instance:
    """One instance of a component over a database."""

    def __init__(self, component: Component, database: Database) -> None:
        self.component, self.database = component, database
        self.store = wasmtime.Store(ENGINE)
        self._cursors: dict[int, Any] = {}
        self._next = 0
        self._aborted = False
        linker = Linker(ENGINE)
        linker.allow_shadowing = True
        # The interfaces of wasi: the buffered handler calls none of them.
        linker.define_unknown_imports_as_traps(component)
        with linker.root() as root:
            with root.add_instance(DATABASE) as interface:
                self._define_database(interface)
            with root.add_instance(STREAMING) as interface:
                self._define_streaming(interface)
        self.instance = linker.instantiate(self.store, component)

    def call(self, interface: str, name: str, *arguments: Any) -> Any:
        """Calls an export. An error is a `Variant`; whatever is none is the result."""
        within = self.component.get_export_index(interface)
        index = within and self.component.get_export_index(name, within)
        if index is None:
            raise LookupError(f"the component does not export {name} of {interface}")
        function = self.instance.get_func(self.store, index)
        return function(self.store, *arguments)

    def coverage(self) -> bytes | None:
        """What of the component has run, if it is one that counts that: see docs/testing.md."""
        index = self.component.get_export_index("coverage")
        function = index and self.instance.get_func(self.store, index)
        return bytes(function(self.store)) if function else None

    def exports(self, interface: str) -> bool:
        return self.component.get_export_index(interface) is not None

    def _run(self, statement: str, params: list[Any], want: str, within: bool = False) -> Any:
        values = [lower(param) for param in params]

        def work() -> tuple[Any, str]:
            (columns, rows), affected = self.database.run(statement, values, within)
            if want == "count":
                count = max(affected, len(rows))
                return count, f"{_rows(count)} affected"
            lifted = [[lift(value) for value in row] for row in rows]
            return record(columns=list(columns), rows=lifted), _rows(len(lifted))

        return self.database.call(statement, values, work)

    def _control(self, name: str, work: Any) -> Any:
        def done() -> tuple[None, str]:
            work()
            return None, "done"

        return self.database.call(name, [], done)

    def _define_database(self, interface: Any) -> None:
        database = self.database

        def begin(store: Any, isolation: str, read_only: bool) -> Any:
            failed = self._control("BEGIN", lambda: database.begin(isolation, read_only))
            if isinstance(failed, Variant):
                return failed
            self._aborted = False
            return ResourceHost.own(1, _TRANSACTION).to_any(store)

        def within(want: str) -> Any:
            def call(store: Any, this: Any, statement: str, params: list[Any]) -> Any:
                # wasmtime traps if a borrow is not given back.
                this.drop(store)
                if self._aborted:
                    return self.database.call(statement, [], _refuse_aborted)
                result = self._run(statement, params, want, True)
                if isinstance(result, Variant) and result.tag in ("refused", "timeout"):
                    self._aborted = True
                return result

            return call

        def end(name: str, work: Any) -> Any:
            def call(store: Any, this: Any) -> Any:
                aborted = self._aborted and name == "COMMIT"
                if aborted:
                    database.rollback()
                    result = self.database.call(name, [], _refuse_aborted)
                else:
                    result = self._control(name, work)
                # Runs the destructor, which rolls back what is still open.
                this.drop(store)
                return result

            return call

        def dropped(store: Any, number: int) -> None:
            database.rollback()

        interface.add_resource("transaction", ResourceType.host(_TRANSACTION), dropped)
        interface.add_func("dialect", lambda store: database.dialect)
        interface.add_func("query", lambda store, s, p: self._run(s, p, "rows"))
        interface.add_func("execute", lambda store, s, p: self._run(s, p, "count"))
        interface.add_func("[static]transaction.begin", begin)
        interface.add_func("[method]transaction.query", within("rows"))
        interface.add_func("[method]transaction.execute", within("count"))
        interface.add_func("[static]transaction.commit", end("COMMIT", database.commit))
        interface.add_func("[static]transaction.rollback", end("ROLLBACK", database.rollback))

    def _define_streaming(self, interface: Any) -> None:
        def opened(store: Any, statement: str, params: list[Any]) -> Any:
            result = self._run(statement, params, "rows")
            if isinstance(result, Variant):
                return result
            self._next += 1
            self._cursors[self._next] = result
            return ResourceHost.own(self._next, _CURSOR).to_any(store)

        def cursor(store: Any, this: Any) -> Any:
            # This gives the borrow back, too.
            return self._cursors[this.to_host(store).rep]

        def rows(store: Any, this: Any, at_most: int) -> Any:
            result = cursor(store, this)

            def work() -> tuple[Any, str]:
                batch, result.rows = result.rows[:at_most], result.rows[at_most:]
                return batch, _rows(len(batch))

            return self.database.call("FETCH", [], work)

        def dropped(store: Any, number: int) -> None:
            self._cursors.pop(number, None)

        interface.add_resource("cursor", ResourceType.host(_CURSOR), dropped)
        interface.add_func("[static]cursor.open", opened)
        interface.add_func("[method]cursor.columns", lambda s, this: cursor(s, this).columns)
        interface.add_func("[method]cursor.next", rows)


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"


def _refuse_aborted() -> Any:
    raise DatabaseError.refused("25P02", "current transaction is aborted")
