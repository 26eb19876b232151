// What stands behind `usher:database` in a test: SQLite in memory, canned answers, or an object of
// the test's own with the same methods.
//
// A database runs one statement (`run`), and begins and ends the only transaction at a time. It
// throws a DatabaseError; any other Error is a bug of the database and traps the component.

import { DatabaseError } from './errors.js';

const REFUSALS = [
    ['FOREIGN KEY constraint', '23503'],
    ['NOT NULL constraint', '23502'],
    ['CHECK constraint', '23514'],
    ['attempt to write a readonly database', '25006'],
    ['no such table', '42P01'],
    ['no such column', '42703'],
];

function refusal({ message }) {
    const [, table, columns] =
        /UNIQUE constraint failed: (\w+)\.(\w+(?:, \w+\.\w+)*)$/.exec(message) ?? [];
    if (table) {
        // SQLite names the columns; the service expects the name that PostgreSQL gives by default.
        const constraint = `${table}_${columns.replaceAll(/, \w+\./g, '_')}_key`;
        return DatabaseError.refused('23505', { message, constraint });
    }
    const [, code] = REFUSALS.find(([start]) => message.includes(start)) ?? [undefined, 'XX000'];
    return DatabaseError.refused(code, { message });
}

function lower({ tag, val }) {
    switch (tag) {
        case 'null':
            return null;
        case 'boolean':
            return val ? 1 : 0;
        case 'integer':
            // sql.js binds a BigInt as text.
            return BigInt.asIntN(32, val) === val ? Number(val) : val;
        case 'text':
        case 'json':
        case 'decimal':
            if (val.includes('\0')) throw DatabaseError.invalid('a text has U+0000 in it');
            return val;
        case 'real':
        case 'bytes':
            return val;
        default:
            throw DatabaseError.invalid(`SQLite has no ${tag}`);
    }
}

/** SQLite in memory. */
export class Memory {
    dialect = 'sqlite';
    #open;
    #driver;
    #inTransaction = false;

    constructor(open, snapshot) {
        this.#open = open;
        this.#driver = open(snapshot);
    }

    get driver() {
        return this.#driver.name;
    }

    run(statement, params, within) {
        // There is one connection, and no call waits for it.
        if (this.#inTransaction !== within) throw DatabaseError.overloaded();
        const wanted = Math.max(
            0,
            ...Array.from(statement.matchAll(/\$(\d+)/g), ([, number]) => Number(number)),
        );
        if (params.length !== wanted)
            throw DatabaseError.invalid(`${params.length} parameters for ${wanted}`);
        const values = Object.fromEntries(
            params.map((param, index) => [`$${index + 1}`, lower(param)]),
        );
        const before = this.#driver.changes();
        const result = this.#refusing(() => this.#driver.all(statement, values));
        return { ...result, affected: this.#driver.changes() - before };
    }

    begin(_isolation, readOnly) {
        if (this.#inTransaction) throw DatabaseError.overloaded();
        this.#driver.exec(`PRAGMA query_only = ${readOnly ? 'on' : 'off'}`);
        this.#driver.exec('BEGIN');
        this.#inTransaction = true;
    }

    commit() {
        try {
            this.#refusing(() => this.#driver.exec('COMMIT'));
        } catch (error) {
            this.rollback();
            throw error;
        }
        this.#end();
    }

    rollback() {
        if (!this.#inTransaction) return;
        this.#driver.exec('ROLLBACK');
        this.#end();
    }

    #end() {
        this.#inTransaction = false;
        this.#driver.exec('PRAGMA query_only = off');
    }

    snapshot() {
        return this.#driver.snapshot();
    }

    restore(snapshot) {
        this.#driver.close();
        this.#driver = this.#open(snapshot);
        this.#inTransaction = false;
    }

    close() {
        this.#driver.close();
    }

    #refusing(call) {
        try {
            return call();
        } catch (error) {
            throw refusal(error);
        }
    }
}

/** A database that is an object of answers: see `canned` in index.d.ts. */
export class Canned {
    #answers;

    constructor(answers, dialect = 'postgres') {
        this.dialect = dialect;
        this.#answers = Object.entries(answers).map(([pattern, answer]) => [
            matcher(pattern),
            answer,
        ]);
    }

    run(statement, params) {
        const text = normalised(statement);
        const found = this.#answers.find(([matches]) => matches.test(text));
        if (!found) throw DatabaseError.invalid(`there is no answer for: ${text}`);
        let [, answer] = found;
        if (typeof answer === 'function') answer = answer(...params.map(({ val }) => val ?? null));
        if (answer instanceof DatabaseError) throw answer;
        if (typeof answer === 'number') return { columns: [], rows: [], affected: answer };
        const columns = Object.keys(answer[0] ?? {});
        return {
            columns,
            rows: answer.map((row) => columns.map((name) => row[name])),
            affected: answer.length,
        };
    }

    begin() {}

    commit() {}

    rollback() {}
}

const normalised = (text) => text.trim().replaceAll(/\s+/g, ' ');

function matcher(pattern) {
    const parts = normalised(pattern)
        .split('*')
        .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${parts.join('.*')}$`, 's');
}
