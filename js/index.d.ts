/** A value that a database returns. Whole numbers are integers; use `{ tag, val }` for others. */
export type Value =
    | null
    | boolean
    | number
    | bigint
    | string
    | Uint8Array
    | { tag: 'uuid'; val: [bigint, bigint] }
    | { tag: 'timestamp'; val: bigint }
    | { tag: 'decimal' | 'json'; val: string };

/** A parameter as the component passes it. */
export type Parameter = { tag: string; val?: unknown };

/** An error of `usher:database`, as the component sees it. */
export class DatabaseError extends Error {
    readonly tag: string;
    readonly val: unknown;
    /** No connection; the statement had no effect. */
    static unavailable(why?: string): DatabaseError;
    /** No connection came free in time. */
    static overloaded(): DatabaseError;
    /** The statement was cancelled at its deadline. */
    static timeout(): DatabaseError;
    /** The connection was lost; whether the write took effect is unknown. */
    static inDoubt(): DatabaseError;
    /** The host's policy denies the statement. */
    static denied(why: string): DatabaseError;
    /** The parameters are wrong. */
    static invalid(why: string): DatabaseError;
    /** The result is larger than the host's limit, in bytes. */
    static tooLarge(limit: number): DatabaseError;
    /** The database's own error, by its SQLSTATE. */
    static refused(
        code: string,
        details?: { message?: string; constraint?: string; column?: string },
    ): DatabaseError;
}

/** The result of one statement. */
export interface Result {
    columns: string[];
    rows: Value[][];
    affected: number;
}

/** A database of a test's own. It throws a `DatabaseError`; any other error traps the component. */
export interface Database {
    readonly dialect: 'postgres' | 'sqlite';
    /** Runs one statement, in the transaction or outside of one. */
    run(statement: string, params: Parameter[], inTransaction: boolean): Result;
    begin(isolation: string, readOnly: boolean): void;
    commit(): void;
    rollback(): void;
    snapshot?(): unknown;
    restore?(snapshot: unknown): void;
    close?(): void;
}

/** Rows, the number of affected rows, an error, or a function of the parameters. */
export type Answer =
    | Record<string, Value>[]
    | number
    | DatabaseError
    | ((...params: any[]) => Record<string, Value>[] | number | DatabaseError);

/**
 * A database of canned answers: each statement gets that of the first pattern it matches, in which
 * `*` stands for any text.
 */
export function canned(answers: Record<string, Answer>, dialect?: 'postgres' | 'sqlite'): Database;

/** One call of the component on its database. */
export interface Call {
    statement: string;
    params: unknown[];
    outcome: string;
}

export interface Options {
    /** The database: a new one in memory (the default), canned answers, or one of the test's own. */
    database?: 'memory' | Database;
    /** The component's file; by default the one that `USHER_COMPONENT` names. */
    component?: string;
    /** Whether its migrations are applied. The default is yes, but not for canned answers. */
    migrate?: boolean;
    /** Which SQLite is in memory. The default is `node:sqlite` where Node.js has it. */
    sqlite?: 'auto' | 'node:sqlite' | 'sql.js';
}

/** As for `fetch`; `json` is sent as the body. */
export interface Init extends Omit<RequestInit, 'method'> {
    json?: unknown;
}

/** A component over a database of its own, in this process. No socket is opened. */
export interface TestApp {
    /** As the global `fetch`. A path is enough; the host is then `test`. */
    fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
    get(path: string, init?: Init): Promise<Response>;
    post(path: string, init?: Init): Promise<Response>;
    put(path: string, init?: Init): Promise<Response>;
    patch(path: string, init?: Init): Promise<Response>;
    delete(path: string, init?: Init): Promise<Response>;
    /** The database behind the component. */
    readonly database: Database;
    /** The component's calls on it, in order. */
    readonly statements: Call[];
    /** The component's exports, such as `migrations`. */
    readonly exports: Record<string, any>;
    /** The service as typed calls, without HTTP. An error is thrown as `{ payload }`. */
    readonly users: any;
    /** Has the next call on the database fail, or a later one. */
    fail(error: DatabaseError, options?: { after?: number; takesEffect?: boolean }): void;
    /** The contents of the database as they are now. */
    snapshot(): unknown;
    /** Replaces the contents of the database. */
    restore(snapshot: unknown): void;
    /** Goes back to the contents after the migrations. */
    reset(): void;
    /** Ends it and its database. */
    close(): void;
}

export function createTestApp(options?: Options): Promise<TestApp>;
