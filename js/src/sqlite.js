// SQLite in memory: `node:sqlite` where Node.js has enough of it, or else sql.js.
//
// A driver prepares and runs one statement, and copies its contents. It throws Errors of SQLite.

import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** Loads a driver: `node:sqlite`, `sql.js`, or the first of them that is there. */
export async function loadSqlite(name = 'auto') {
    if (name !== 'sql.js') {
        const found = nodeSqlite();
        if (found) return found;
        if (name === 'node:sqlite')
            throw new Error(`Node.js ${process.versions.node} has no usable node:sqlite`);
    }
    return sqlJs();
}

function nodeSqlite() {
    let found;
    try {
        found = require('node:sqlite');
    } catch {
        return undefined;
    }
    // Without arrays two columns of one name cannot be told apart.
    if (!found.StatementSync.prototype.setReturnArrays || !found.StatementSync.prototype.columns)
        return undefined;
    return (snapshot) => new NodeSqlite(found, snapshot);
}

let loading;

async function sqlJs() {
    loading ??= (await import('sql.js')).default();
    const SQL = await loading;
    return (snapshot) => new SqlJs(SQL, snapshot);
}

class NodeSqlite {
    name = 'node:sqlite';
    #database;

    constructor(sqlite, snapshot) {
        this.#database = new sqlite.DatabaseSync(':memory:');
        if (snapshot) this.#fill(snapshot);
        this.exec('PRAGMA foreign_keys = on');
    }

    exec(statement) {
        this.#database.exec(statement);
    }

    all(statement, values) {
        const prepared = this.#database.prepare(statement);
        prepared.setReadBigInts(true);
        prepared.setReturnArrays(true);
        const rows = prepared.all(values);
        return { columns: prepared.columns().map(({ name }) => name), rows };
    }

    changes() {
        return Number(this.all('SELECT total_changes()', {}).rows[0][0]);
    }

    // SQLite's own serialisation is not in every version that has the rest.
    snapshot() {
        const { rows: schema } = this.all(
            `SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        ORDER BY type <> 'table', rowid`,
            {},
        );
        const tables = schema.filter(([type]) => type === 'table').map(([, name]) => name);
        const counters = this.all(
            "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'",
            {},
        ).rows;
        if (counters.length) tables.push('sqlite_sequence');
        const contents = tables.map((table) => [
            table,
            this.all(`SELECT * FROM ${quoted(table)}`, {}).rows,
        ]);
        return { schema, contents };
    }

    #fill({ schema, contents }) {
        const create = (wanted) =>
            schema
                .filter(([type]) => (type === 'table') === wanted)
                .forEach(([, , sql]) => this.exec(sql));
        create(true);
        for (const [table, rows] of contents) {
            if (table === 'sqlite_sequence') this.exec('DELETE FROM sqlite_sequence');
            if (!rows.length) continue;
            const insert = this.#database.prepare(
                `INSERT INTO ${quoted(table)} VALUES (${rows[0].map(() => '?').join(', ')})`,
            );
            for (const row of rows) insert.run(...row);
        }
        create(false);
    }

    close() {
        this.#database.close();
    }
}

const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

class SqlJs {
    name = 'sql.js';
    #database;

    constructor(SQL, snapshot) {
        this.#database = new SQL.Database(snapshot);
        this.exec('PRAGMA foreign_keys = on');
    }

    exec(statement) {
        this.#database.run(statement);
    }

    all(statement, values) {
        const prepared = this.#database.prepare(statement);
        try {
            prepared.bind(values);
            const rows = [];
            while (prepared.step()) rows.push(prepared.get(null, { useBigInt: true }));
            return { columns: prepared.getColumnNames(), rows };
        } finally {
            prepared.free();
        }
    }

    changes() {
        return this.#database.exec('SELECT total_changes()')[0].values[0][0];
    }

    snapshot() {
        const bytes = this.#database.export();
        // The export closes and opens the database, which forgets its settings.
        this.exec('PRAGMA foreign_keys = on');
        return bytes;
    }

    close() {
        this.#database.close();
    }
}
