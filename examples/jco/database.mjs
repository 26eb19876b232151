// Both interfaces of `usher:database` (see wit/deps/usher-database.wit) over sql.js: SQLite in
// memory, which is synchronous like them.
//
// There is one connection, and no call waits for it, because each call into the component ends
// before the next begins: a call while a transaction or a cursor holds the connection is
// `overloaded`. A thrown object that is not an Error is the interface's `error`; an Error is a bug
// in this file and traps the component.

import initSqlJs from 'sql.js';

const SQLite = await initSqlJs();
let connection = open();
let holder; // The transaction or the cursor that has the connection to itself.

function open(bytes) {
  const opened = new SQLite.Database(bytes);
  opened.run('PRAGMA foreign_keys = on');
  return opened;
}

/** The whole database, as the bytes of an SQLite file. */
export const save = () => connection.export();

/** Puts another database in this one's place. */
export function load(bytes) {
  connection.close();
  [connection, holder] = [open(bytes), undefined];
}

// Statements whose effect outlives them or their transaction.
const SESSION = /^(?:\s|--.*|\/\*[^]*?\*\/)*(?:analyze|attach|begin|commit|detach|end|pragma|reindex|release|rollback|savepoint|vacuum)\b/i;

const REFUSALS = [
  ['UNIQUE constraint', 'unique-violation', '23505'],
  ['FOREIGN KEY constraint', 'foreign-key-violation', '23503'],
  ['NOT NULL constraint', 'not-null-violation', '23502'],
  ['CHECK constraint', 'check-violation', '23514'],
  ['attempt to write a readonly database', 'other', '25006'],
  ['no such table', 'other', '42P01'],
  ['no such column', 'other', '42703'],
  ['', 'other', 'XX000'],
];

function refused({ message }) {
  const [, kind, code] = REFUSALS.find(([start]) => message.startsWith(start));
  const [, table, columns] = /failed: (\w+)\.(\w+(?:, \w+\.\w+)*)$/.exec(message) ?? [];
  // SQLite names the columns; the service expects the name that PostgreSQL gives the constraint.
  const constraint = kind === 'unique-violation' && table && `${table}_${columns.replaceAll(/, \w+\./g, '_')}_key`;
  const column = kind === 'not-null-violation' && columns;
  return { tag: 'refused', val: { kind, code, message, constraint: constraint || undefined, column: column || undefined } };
}

function lower({ tag, val }) {
  switch (tag) {
    case 'null':
      return null;
    case 'text':
    case 'json':
    case 'decimal':
      if (val.includes('\0')) throw { tag: 'invalid', val: 'a text has U+0000 in it' };
      return val;
    case 'integer':
      // sql.js binds a BigInt as text, which a column's affinity converts back. A number avoids
      // that.
      return BigInt.asIntN(32, val) === val ? Number(val) : val;
    case 'boolean':
    case 'real':
    case 'bytes':
      return val;
    default:
      throw { tag: 'invalid', val: `SQLite has no ${tag}` };
  }
}

function lift(value) {
  if (value === null) return { tag: 'null' };
  if (value instanceof Uint8Array) return { tag: 'bytes', val: value };
  return { tag: { bigint: 'integer', number: 'real', string: 'text' }[typeof value], val: value };
}

/** Makes one statement ready to be stepped through. */
function prepare(statement, params, within) {
  if (holder !== within) throw { tag: 'overloaded' };
  if (SESSION.test(statement)) throw { tag: 'denied', val: 'it would change the state of the session' };
  // No statement of the service has a quoted dollar sign.
  const wanted = Math.max(0, ...Array.from(statement.matchAll(/\$(\d+)/g), ([, number]) => Number(number)));
  if (params.length !== wanted) throw { tag: 'invalid', val: `${params.length} parameters for ${wanted}` };
  const values = Object.fromEntries(params.map((param, index) => [`$${index + 1}`, lower(param)]));
  const statements = connection.iterateStatements(statement);
  try {
    const { value: prepared, done } = refusing(() => statements.next());
    if (done || statements.getRemainingSQL().trim()) throw { tag: 'invalid', val: 'it is not one statement' };
    refusing(() => prepared.bind(values));
    return { prepared, statements };
  } catch (error) {
    statements.return();
    throw error;
  }
}

/** The next rows of a statement. Fewer than asked for are the last. */
function step(prepared, atMost) {
  return refusing(() => {
    const rows = [];
    while (rows.length < atMost && prepared.step()) rows.push(prepared.get(null, { useBigInt: true }).map(lift));
    return rows;
  });
}

function run(statement, params, within) {
  const { prepared, statements } = prepare(statement, params, within);
  try {
    const rows = step(prepared, Infinity);
    return { columns: prepared.getColumnNames(), rows };
  } finally {
    statements.return();
  }
}

function refusing(call) {
  try {
    return call();
  } catch (error) {
    throw refused(error);
  }
}

const changes = () => connection.exec('SELECT total_changes()')[0].values[0][0];

function count(statement, params, within) {
  const before = changes();
  run(statement, params, within);
  return BigInt(changes() - before);
}

export const dialect = () => 'sqlite';
export const query = (statement, params) => run(statement, params);
export const execute = (statement, params) => count(statement, params);

/** The only transaction at a time. Nothing runs beside it, so it has every isolation level. */
export class Transaction {
  static begin(_isolation, readOnly) {
    if (holder) throw { tag: 'overloaded' };
    connection.run(`PRAGMA query_only = ${readOnly ? 'on' : 'off'}`);
    connection.run('BEGIN');
    return (holder = new Transaction());
  }

  static commit(ended) {
    try {
      refusing(() => connection.run('COMMIT'));
    } catch (error) {
      Transaction.rollback(ended);
      throw error;
    }
    ended.#end();
  }

  static rollback(ended) {
    connection.run('ROLLBACK');
    ended.#end();
  }

  query(statement, params) {
    return run(statement, params, this);
  }

  execute(statement, params) {
    return count(statement, params, this);
  }

  /** The component dropped it. */
  [Symbol.dispose ?? Symbol.for('dispose')]() {
    if (holder === this) Transaction.rollback(this);
  }

  #end() {
    holder = undefined;
    connection.run('PRAGMA query_only = off');
  }
}

/** A result that is read in steps. Its end finishes the statement and releases the connection. */
export class Cursor {
  #prepared;
  #statements;
  #columns;

  static open(statement, params) {
    const cursor = new Cursor();
    ({ prepared: cursor.#prepared, statements: cursor.#statements } = prepare(statement, params));
    cursor.#columns = cursor.#prepared.getColumnNames();
    return (holder = cursor);
  }

  columns() {
    return this.#columns;
  }

  next(atMost) {
    if (holder !== this) return [];
    let rows = [];
    try {
      return (rows = step(this.#prepared, atMost));
    } finally {
      if (rows.length < atMost) this.#end();
    }
  }

  /** The component dropped it. */
  [Symbol.dispose ?? Symbol.for('dispose')]() {
    if (holder === this) this.#end();
  }

  #end() {
    holder = undefined;
    this.#statements.return();
  }
}
