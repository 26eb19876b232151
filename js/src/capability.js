// The imports of `usher:database` over a database: values are converted, calls logged, and faults
// injected.

import { DatabaseError } from './errors.js';

const dispose = Symbol.dispose ?? Symbol.for('dispose');

function lift(value) {
    if (value === null || value === undefined) return { tag: 'null' };
    if (value instanceof Uint8Array) return { tag: 'bytes', val: value };
    switch (typeof value) {
        case 'bigint':
            return { tag: 'integer', val: value };
        case 'number':
            return Number.isInteger(value)
                ? { tag: 'integer', val: BigInt(value) }
                : { tag: 'real', val: value };
        case 'string':
            return { tag: 'text', val: value };
        case 'boolean':
            return { tag: 'boolean', val: value };
        default:
            // A value of the interface itself, such as { tag: 'uuid', val: [1n, 2n] }.
            if (typeof value.tag === 'string') return value;
            throw DatabaseError.invalid('a column has a value without a counterpart in SQL');
    }
}

// SQLite returns a real for what it stores as one, even if it is whole.
const liftReal = (value) => (typeof value === 'number' ? { tag: 'real', val: value } : lift(value));

const shown = ({ tag, val }) => (tag === 'null' ? null : val);

export class Capability {
    log = [];
    #database;
    #faults = [];
    #aborted = false;

    constructor(database) {
        this.#database = database;
    }

    get database() {
        return this.#database;
    }

    fail(error, { after = 0, takesEffect = false } = {}) {
        this.#faults.push({ error, after, takesEffect });
    }

    #nextFault() {
        const due = this.#faults.find(({ after }) => after === 0);
        this.#faults = this.#faults
            .filter((fault) => fault !== due)
            .map((fault) => ({ ...fault, after: Math.max(fault.after - 1, 0) }));
        return due;
    }

    #call(statement, params, work) {
        const call = { statement, params: params.map(shown), outcome: 'no result' };
        this.log.push(call);
        const fault = this.#nextFault();
        try {
            if (fault) {
                if (fault.takesEffect) work(call);
                throw fault.error;
            }
            return work(call);
        } catch (error) {
            if (!(error instanceof DatabaseError)) throw error;
            call.outcome = fault ? `${error.message} (injected)` : error.message;
            throw error.payload;
        }
    }

    #run(statement, params, within) {
        const exact = this.#database.dialect === 'sqlite' ? liftReal : lift;
        return this.#call(statement, params, (call) => {
            const { columns, rows, affected } = this.#database.run(statement, params, within);
            const lifted = { columns, rows: rows.map((row) => row.map(exact)) };
            call.outcome = `${rows.length} rows, ${affected} affected`;
            return { ...lifted, affected: BigInt(Math.max(affected, rows.length)) };
        });
    }

    #within(statement, params) {
        if (this.#aborted) return this.#call(statement, params, refuseAborted);
        try {
            return this.#run(statement, params, true);
        } catch (error) {
            if (error.tag === 'refused' || error.tag === 'timeout') this.#aborted = true;
            throw error;
        }
    }

    #control(name, work) {
        this.#call(name, [], (call) => {
            work();
            call.outcome = 'done';
        });
    }

    #begin(isolation, readOnly) {
        this.#control('BEGIN', () => this.#database.begin(isolation, readOnly));
        this.#aborted = false;
    }

    #commit() {
        if (this.#aborted) {
            this.#database.rollback();
            this.#call('COMMIT', [], refuseAborted);
        }
        this.#control('COMMIT', () => this.#database.commit());
    }

    #rollback() {
        this.#control('ROLLBACK', () => this.#database.rollback());
    }

    /** The import objects of `usher:database`. */
    imports() {
        // Private methods, reached from the classes that jco calls.
        const run = (statement, params) => this.#run(statement, params, false);
        const within = (statement, params) => this.#within(statement, params);
        const begin = (isolation, readOnly) => this.#begin(isolation, readOnly);
        const [commit, rollback] = [() => this.#commit(), () => this.#rollback()];
        const fetch = (work) => this.#call('FETCH', [], work);
        const abandon = () => this.#database.rollback();

        class Transaction {
            #open = true;

            static begin(isolation, readOnly) {
                begin(isolation, readOnly);
                return new Transaction();
            }

            static commit(ended) {
                ended.#end(commit);
            }

            static rollback(ended) {
                ended.#end(rollback);
            }

            #end(how) {
                this.#open = false;
                try {
                    how();
                } finally {
                    // After an injected fault nothing has ended it.
                    abandon();
                }
            }

            query(statement, params) {
                return within(statement, params);
            }

            execute(statement, params) {
                return within(statement, params).affected;
            }

            /** The component dropped it. */
            [dispose]() {
                if (this.#open) abandon();
            }
        }

        class Cursor {
            #rows;
            #columns;

            static open(statement, params) {
                const cursor = new Cursor();
                ({ rows: cursor.#rows, columns: cursor.#columns } = run(statement, params));
                return cursor;
            }

            columns() {
                return this.#columns;
            }

            next(atMost) {
                return fetch((call) => {
                    const rows = this.#rows.splice(0, atMost);
                    call.outcome = `${rows.length} rows`;
                    return rows;
                });
            }
        }

        return {
            'usher:database/types': {},
            'usher:database/database': {
                dialect: () => this.#database.dialect,
                query: run,
                execute: (statement, params) => run(statement, params).affected,
                Transaction,
            },
            'usher:database/streaming': { Cursor },
        };
    }
}

function refuseAborted() {
    throw DatabaseError.refused('25P02', { message: 'current transaction is aborted' });
}
