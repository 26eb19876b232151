// A test application: a component over a database of its own, in this process.

import { Capability } from './capability.js';
import { loadComponent } from './component.js';
import { Canned, Memory } from './databases.js';
import { DatabaseError } from './errors.js';
import { loadSqlite } from './sqlite.js';
import { handle, imports as wasi } from './wasi-http.js';

export { DatabaseError };

/** A database of canned answers. */
export const canned = (answers, dialect) => new Canned(answers, dialect);

const METHODS = new Set([
    'get',
    'head',
    'post',
    'put',
    'delete',
    'connect',
    'options',
    'trace',
    'patch',
]);

// The migrated databases of this process, by component and driver.
const migrated = new Map();

export async function createTestApp({ database = 'memory', component, migrate, sqlite } = {}) {
    const instantiate = await loadComponent(component);
    const open = database === 'memory' ? await loadSqlite(sqlite) : undefined;
    const isCanned = database instanceof Canned;
    const app = new TestApp(instantiate, open ? new Memory(open) : database);
    if (migrate ?? !isCanned) app.migrateOnce(open);
    return app;
}

class TestApp {
    #instantiate;
    #instance;
    #capability;
    #first;

    constructor(instantiate, database) {
        this.#instantiate = instantiate;
        this.#capability = new Capability(database);
        this.#start();
    }

    #start() {
        this.#instance = this.#instantiate({ ...wasi, ...this.#capability.imports() });
    }

    migrateOnce(open) {
        const key = open && `${this.database.driver}`;
        const known = migrated.get(this.#instantiate)?.get(key);
        if (open && known) {
            this.restore(known);
        } else {
            this.migrate();
            if (open) {
                const snapshots = migrated.get(this.#instantiate) ?? new Map();
                migrated.set(this.#instantiate, snapshots.set(key, this.snapshot()));
            }
        }
        this.#first = migrated.get(this.#instantiate)?.get(key);
        this.statements.length = 0;
    }

    migrate() {
        this.#instance.migrations?.apply();
    }

    get database() {
        return this.#capability.database;
    }

    get statements() {
        return this.#capability.log;
    }

    get exports() {
        return this.#instance;
    }

    get users() {
        return this.#instance.users;
    }

    fail(error, options) {
        this.#capability.fail(error, options);
    }

    snapshot() {
        return this.database.snapshot();
    }

    restore(snapshot) {
        this.database.restore(snapshot);
    }

    reset() {
        if (!this.#first) throw new Error('this database has no first contents to go back to');
        this.restore(this.#first);
        this.statements.length = 0;
    }

    close() {
        this.database.close?.();
    }

    /** As the global `fetch`, without a socket. */
    fetch = async (input, init) => {
        const request = new Request(
            input instanceof Request ? input : new URL(input, 'http://test'),
            init,
        );
        const { host, pathname, search, protocol } = new URL(request.url);
        const body = new Uint8Array(await request.arrayBuffer());
        const method = request.method.toLowerCase();
        const encoder = new TextEncoder();
        const passed = {
            method: METHODS.has(method) ? method : 'other',
            methodName: request.method,
            scheme: protocol === 'https:' ? 'https' : 'http',
            authority: request.headers.get('host') ?? host,
            target: pathname + search,
            fields: [...request.headers].map(([name, value]) => [name, encoder.encode(value)]),
            body,
        };
        try {
            return this.#respond(passed);
        } catch (error) {
            // The component trapped. The next request gets a new instance.
            this.database.rollback();
            this.#start();
            throw error;
        }
    };

    #respond(request) {
        const { fields, body } = request;
        const buffered = this.#instance.bufferedHandler?.handle({
            ...request,
            fields: fields.length ? fields : undefined,
            body: body.length ? body : undefined,
        });
        if (buffered) {
            const headers = new Headers(buffered.fields);
            const { contentType, etag, status } = buffered;
            if (contentType)
                headers.set(
                    'content-type',
                    contentType.tag === 'json' ? 'application/json' : contentType.val,
                );
            if (etag !== undefined) headers.set('etag', etag);
            return response(request, status, headers, [buffered.body]);
        }
        const { status, headers, chunks } = handle(this.#instance.incomingHandler, request);
        const decoder = new TextDecoder('latin1');
        const decoded = headers.map(([name, value]) => [name, decoder.decode(value)]);
        return response(request, status, new Headers(decoded), chunks);
    }

    #send(method, path, { json, headers, ...init } = {}) {
        const all = new Headers(headers);
        if (json !== undefined && !all.has('content-type'))
            all.set('content-type', 'application/json');
        const body = json === undefined ? init.body : JSON.stringify(json);
        return this.fetch(path, { ...init, method, headers: all, body });
    }

    get = (path, init) => this.#send('GET', path, init);
    post = (path, init) => this.#send('POST', path, init);
    put = (path, init) => this.#send('PUT', path, init);
    patch = (path, init) => this.#send('PATCH', path, init);
    delete = (path, init) => this.#send('DELETE', path, init);

    [Symbol.dispose ?? Symbol.for('dispose')]() {
        this.close();
    }
}

function response(request, status, headers, chunks) {
    const isEmpty = request.method === 'head' || status === 204 || status === 304;
    const body = isEmpty
        ? null
        : new ReadableStream({
              start(controller) {
                  for (const chunk of chunks) if (chunk.length) controller.enqueue(chunk);
                  controller.close();
              },
          });
    return new Response(body, { status, headers });
}
