// A service of items in JavaScript, against the same interfaces as the services in Rust.
//
// `jco componentize` makes one component of this file and an engine, and runs the file's top level
// at build time: an instance begins with everything loaded.

import * as database from 'usher:database/database@0.2.0';
import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from 'wasi:http/types@0.2.12';

import * as statements from './statements.js';

const TITLES = {
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};

/** An error response (RFC 9457). */
class Problem {
  constructor(status, detail, headers = {}) {
    Object.assign(this, { status, detail, headers });
  }
}

// The database.

const value = (plain) =>
  typeof plain === 'string' ? { tag: 'text', val: plain } : { tag: 'integer', val: plain };

/** The rows of a statement, each by the names of its columns. Integers are `BigInt`. */
function query(statement, ...params) {
  let result;
  try {
    result = database.query(statement, params.map(value));
  } catch (error) {
    throw refused(error.payload ?? error);
  }
  const { columns, rows } = result;
  return rows.map((row) => Object.fromEntries(row.map((cell, at) => [columns[at], cell.val])));
}

function refused(error) {
  switch (error.tag) {
    case 'refused':
      if (error.val.kind === 'unique-violation') {
        return new Problem(409, 'another item has this name');
      }
      break;
    case 'unavailable':
    case 'overloaded':
      return new Problem(503, 'the database is not available', { 'retry-after': '1' });
    case 'in-doubt':
      return new Problem(503, 'whether it was done is unknown', { 'retry-after': '1' });
    case 'timeout':
      return new Problem(504, 'the database took too long');
  }
  console.error(`the database failed: ${error.tag ?? error}`);
  return new Problem(500);
}

// The routes.

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** JSON in which a `BigInt` is a number of all its digits. */
function json(found) {
  if (typeof found === 'bigint') {
    return String(found);
  }
  if (Array.isArray(found)) {
    return `[${found.map(json).join(',')}]`;
  }
  if (found !== null && typeof found === 'object') {
    const fields = Object.entries(found).filter(([, field]) => field !== undefined);
    return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${json(field)}`).join(',')}}`;
  }
  return JSON.stringify(found);
}

function answer(status, body, headers = {}, contentType = 'application/json') {
  return { status, contentType, headers, body: encoder.encode(json(body)) };
}

function createItem(contentType, body) {
  if (contentType.split(';')[0].trim().toLowerCase() !== 'application/json') {
    throw new Problem(415, 'application/json is expected');
  }
  let fields;
  try {
    fields = JSON.parse(decoder.decode(body));
  } catch (error) {
    throw new Problem(400, `the body is no JSON: ${error.message}`);
  }
  const { name, quantity } = fields ?? {};
  if (typeof name !== 'string' || !name.trim()) {
    throw new Problem(422, 'a name is expected');
  }
  // A number of JavaScript is exact only up to 2^53.
  if (!Number.isInteger(quantity) || quantity < 0 || quantity > 2 ** 53) {
    throw new Problem(422, 'a quantity from 0 to 2^53 is expected');
  }
  const [item] = query(statements.CREATE, name, BigInt(quantity));
  return answer(201, item, { location: `/items/${item.id}` });
}

function readItem(number) {
  if (!/^[0-9]{1,18}$/.test(number)) {
    throw new Problem(422, 'the id is no number');
  }
  const [item] = query(statements.READ, BigInt(number));
  if (!item) {
    throw new Problem(404, 'there is no such item');
  }
  return answer(200, item);
}

function route(method, target, contentType, body) {
  const path = target.split('?')[0];
  const isRead = method === 'get' || method === 'head';
  if (path === '/items') {
    if (method === 'post') {
      return createItem(contentType, body);
    }
    if (isRead) {
      return answer(200, query(statements.LIST));
    }
    throw new Problem(405, undefined, { allow: 'GET, HEAD, POST' });
  }
  const found = /^\/items\/([^/]+)$/.exec(path);
  if (!found) {
    throw new Problem(404);
  }
  if (isRead) {
    return readItem(found[1]);
  }
  throw new Problem(405, undefined, { allow: 'GET, HEAD' });
}

function respond(method, target, contentType, body) {
  try {
    return route(method, target, contentType, body);
  } catch (error) {
    if (!(error instanceof Problem)) {
      console.error(`${error}\n${error.stack}`);
    }
    const { status, detail, headers } = error instanceof Problem ? error : new Problem(500);
    const parts = { title: TITLES[status], status, detail };
    return answer(status, parts, headers, 'application/problem+json');
  }
}

// The exports.

/** A request and its response in one call. */
export const bufferedHandler = {
  headerFields: () => [{ name: 'content-type' }],

  handle({ method, target, fields, body }) {
    const contentType = decoder.decode(new Map(fields).get('content-type') ?? new Uint8Array());
    const response = respond(method, target, contentType, body ?? new Uint8Array());
    const isJson = response.contentType === 'application/json';
    return {
      status: response.status,
      contentType: isJson ? { tag: 'json' } : { tag: 'other', val: response.contentType },
      fields: Object.entries(response.headers),
      body: response.body,
    };
  },
};

/** The same in many calls, for hosts that do not know `buffered-handler`. */
export const incomingHandler = {
  handle(request, responseOut) {
    const [contentType] = request.headers().get('content-type');
    const parts = [];
    const incoming = request.consume();
    const input = incoming.stream();
    for (;;) {
      try {
        parts.push(...input.blockingRead(65536n));
      } catch {
        break;
      }
    }
    const response = respond(
      request.method().tag,
      request.pathWithQuery() ?? '/',
      decoder.decode(contentType ?? new Uint8Array()),
      new Uint8Array(parts),
    );
    const headers = { 'content-type': response.contentType, ...response.headers };
    const fields = Object.entries(headers).map(([name, text]) => [name, encoder.encode(text)]);
    const outgoing = new OutgoingResponse(Fields.fromList(fields));
    outgoing.setStatusCode(response.status);
    const body = outgoing.body();
    ResponseOutparam.set(responseOut, { tag: 'ok', val: outgoing });
    const output = body.write();
    for (let start = 0; start < response.body.length; start += 4096) {
      output.blockingWriteAndFlush(response.body.subarray(start, start + 4096));
    }
    output[Symbol.dispose]();
    OutgoingBody.finish(body, undefined);
  },
};

/** One migration, which can be applied any number of times. */
export const migrations = {
  apply() {
    const dialect = database.dialect();
    try {
      if (database.query(statements.EXISTS[dialect], []).rows.length > 0) {
        return [];
      }
      database.execute(statements.TABLE[dialect], []);
    } catch (error) {
      const { tag, val } = error.payload ?? error;
      throw { tag: 'unavailable', val: `${tag}: ${JSON.stringify(val ?? null)}` };
    }
    return [{ version: 1, name: 'items' }];
  },
};
