// Replays the recorded cases of the HTTP contract, each on an empty database, against a component
// under `jco serve`.
//
// usage: node check.mjs COMPONENT.wasm
//
// `run` beside it installs the dependencies first, and calls it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const CASES = here('../../tests/contract/cases.jsonl');
const HOST = '127.0.0.1';
const RESPONSE_LIMIT = 30_000; // ms, for an answer

const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** As JSON.parse, but integers that a double cannot hold stay what they are. */
function parse(json) {
  const token = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  const whole = (found) => (/^-?\d{16,}$/.test(found) ? `{"an integer":"${found}"}` : found);
  return JSON.parse(json.replaceAll(token, whole));
}

/** A request's bytes as they are recorded. An HTTP client would mend some of them. */
function bytes(request, host) {
  const given = Object.entries(request.headers ?? {});
  const has = (name) => given.some(([key]) => key.toLowerCase() === name);
  const recorded = request.body_b64 ?? request.body ?? undefined;
  let body = Buffer.from(recorded ?? '', request.body_b64 === undefined ? 'utf8' : 'base64');
  const headers = [...given, ['connection', 'close']];
  if (!has('host')) headers.unshift(['host', host]);
  if (has('transfer-encoding')) {
    body = Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')]);
  } else if (recorded !== undefined && !has('content-length')) {
    headers.push(['content-length', body.length]);
  }
  const lines = [`${request.method} ${request.path} HTTP/1.1`, ...headers.map(([name, value]) => `${name}: ${value}`)];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body]);
}

/** The answer to one request on a connection of its own, whose end is the answer's end. */
async function send(request, port) {
  const socket = connect(port, HOST).setTimeout(RESPONSE_LIMIT, () => socket.destroy(new Error('no answer in time')));
  const parts = [];
  socket.on('data', (part) => parts.push(part));
  socket.write(bytes(request, `${HOST}:${port}`));
  await once(socket, 'end');
  socket.destroy();
  return answer(Buffer.concat(parts), request.method === 'HEAD');
}

function answer(raw, headOnly) {
  const end = raw.indexOf('\r\n\r\n');
  const [first, ...lines] = raw.subarray(0, end).toString('latin1').split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})( |$)/.exec(first)?.[1]);
  if (end < 0 || !status) throw new Error(`not an HTTP response: ${raw.subarray(0, 100)}`);
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  let body = raw.subarray(end + 4);
  if (headers['transfer-encoding']) body = unchunked(body);
  else if (!headOnly && body.length !== Number(headers['content-length'] ?? 0)) throw new Error('the body has another length');
  return { status, headers, body: text.decode(body) };
}

function unchunked(rest) {
  const parts = [];
  for (;;) {
    const start = rest.indexOf('\r\n') + 2;
    const length = Number.parseInt(rest.toString('latin1', 0, start), 16);
    if (start < 2 || !(rest.length >= start + length + 2)) throw new Error('the body is cut short');
    if (length === 0) return Buffer.concat(parts);
    parts.push(rest.subarray(start, start + length));
    rest = rest.subarray(start + length + 2);
  }
}

const contentType = (value) => value?.toLowerCase().split(';').map((part) => part.trim()).join(';');

/** The type and place of every error, or only the beginning of the first. */
function errors({ detail }, all) {
  if (!Array.isArray(detail)) return undefined;
  return detail.slice(0, all ? undefined : 1).map(({ type, loc }) => [type, all ? loc : loc.slice(0, 1)]);
}

/** The difference of a response, by the case's level: `exact`, `shape`, `type` or `status`. */
function fault({ level, response: want }, got, host) {
  const differ = (what, a, b) =>
    isDeepStrictEqual(a, b) ? undefined : `${what} ${JSON.stringify(b)} in place of ${JSON.stringify(a)}`;
  const status = differ('status', want.status, got.status);
  if (status || level === 'status') return status && `${status}: ${got.body}`;
  const { 'content-type': type, location } = want.headers ?? {};
  const headers =
    differ('content type', contentType(type), contentType(got.headers['content-type'])) ??
    (location && differ('location', location.replace('{host}', host), got.headers.location));
  if (headers) return headers;
  if (!('json' in want)) return differ('body', want.text ?? '', got.body);
  const body = parse(got.body);
  if (level === 'exact') return differ('body', want.json, body);
  return differ('errors', errors(want.json, level === 'shape'), errors(body, level === 'shape') ?? body);
}

async function run(recorded, port) {
  for (const [number, request] of recorded.setup.entries()) {
    const got = await send(request, port);
    const id = recorded.setup_ids?.[number] ?? undefined;
    if (id !== undefined && (got.status !== 200 || parse(got.body).id !== id)) {
      return `setup request ${number} is to store user ${id}: ${got.status} ${got.body}`;
    }
  }
  return fault(recorded, await send(recorded.request, port), `${HOST}:${port}`);
}

/** The difference of an NDJSON list, which no recorded case has: of several batches, or empty. */
async function streamed(port, users) {
  for (let number = 1; number <= users; number += 1) {
    const body = JSON.stringify({ name: `user ${number}`, email: `user${number}@example.org` });
    const { status } = await send({ method: 'POST', path: '/users/', headers: { 'content-type': 'application/json' }, body }, port);
    if (status !== 200) return `setup request ${number}: ${status}`;
  }
  const got = await send({ method: 'GET', path: '/users/', headers: { accept: 'application/x-ndjson' } }, port);
  const ids = got.body.split('\n').filter(Boolean).map((line) => parse(line).id);
  const want = Array.from({ length: users }, (_, index) => index + 1);
  return got.status === 200 && isDeepStrictEqual(ids, want) ? undefined : `${users} users as lines: ${got.status} ${got.body.slice(0, 200)}`;
}

async function freePort() {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function serve(component, folder) {
  const port = await freePort();
  const server = spawn(
    process.execPath,
    [
      here('node_modules/@bytecodealliance/jco/dist/jco.js'),
      ...['serve', component, '--host', HOST, '--port', port, '--jco-dir', folder],
      ...['database', 'streaming'].flatMap((name) => ['--jco-map', `usher:database/${name}=${here('database.mjs')}`]),
      ...['--jco-import', here('fresh.mjs')],
    ],
    // The server is a grandchild of this process and outlives its parent. In a process group of
    // their own both can be ended together.
    { detached: true, stdio: 'pipe' },
  );
  const stop = () => {
    try {
      process.kill(-server.pid, 'SIGKILL');
    } catch {
      // The group has already ended.
    }
  };
  process.once('exit', stop);
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  const ended = once(server, 'exit').then(() => Promise.reject(new Error('jco serve has ended')));
  const listening = new Promise((resolve) => {
    let said = '';
    server.stderr.on('data', (part) => {
      process.stderr.write(part);
      if ((said += part).includes('Server listening')) resolve();
    });
  });
  server.stdin.on('error', () => {}); // As `ended` says.
  await Promise.race([listening, ended]);
  const reset = () => {
    server.stdin.write('.');
    return Promise.race([once(server.stdout, 'data'), ended]);
  };
  return { port, reset };
}

const [component, ...rest] = process.argv.slice(2);
if (!component || rest.length) {
  console.error('usage: node check.mjs COMPONENT.wasm');
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'usher-jco-'));
process.once('exit', () => rmSync(folder, { recursive: true }));
const { port, reset } = await serve(resolve(component), folder);
const cases = readFileSync(CASES, 'utf8').split('\n').filter(Boolean).map(parse);
let passed = 0;
for (const recorded of cases) {
  await reset();
  const why = await run(recorded, port).catch((error) => `no answer to compare: ${error.message}`);
  if (why) console.log(`${recorded.group}/${recorded.name}: ${why}`);
  else passed += 1;
}
let lines = 0;
for (const users of [0, 300]) {
  await reset();
  const why = await streamed(port, users).catch((error) => `no answer to compare: ${error.message}`);
  if (why) console.log(why);
  else lines += 1;
}
console.log(
  `under jco serve, on Node.js ${process.versions.node}: ${passed} of ${cases.length} recorded cases pass, and ${lines} of 2 lists as lines`,
);
process.exit(cases.length > 0 && passed === cases.length && lines === 2 ? 0 : 1);
