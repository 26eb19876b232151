// Drives every operation of the description through every generated client.
//
// usage: node scenario.js DESCRIPTION
//
// BASE_URL is that of a server whose database may be changed.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import type { Answer, Client, ListedUser, User } from './client';
import { client as heyApi } from './hey-api';
import { client as openapiFetch } from './openapi-fetch';
import { client as orval7 } from './orval-7';
import { client as orval8 } from './orval-8';
import { client as swaggerTypescriptApi } from './swagger-typescript-api';

const clients: Record<string, Client> = {
  'orval-7': orval7,
  'orval-8': orval8,
  'openapi-typescript': openapiFetch,
  'hey-api': heyApi,
  'swagger-typescript-api': swaggerTypescriptApi,
};

const MISSING_ID = 2 ** 40;

/** The value and the entity tag of a success. */
function success<T>(answer: Answer<T>): { value: T; etag: string } {
  assert.equal(answer.status, 200, JSON.stringify(answer));
  assert.ok(answer.value !== undefined);
  return { value: answer.value, etag: answer.headers.get('etag') ?? '' };
}

function failure<T>(answer: Answer<T>, status: number, detail: string) {
  assert.deepEqual([answer.status, answer.detail], [status, detail]);
}

/** Expects a 422 with one fault. */
function invalid<T>(answer: Answer<T>, type: string, loc: (string | number)[]) {
  assert.equal(answer.status, 422);
  assert.ok(Array.isArray(answer.detail), JSON.stringify(answer));
  assert.deepEqual(
    answer.detail.map((fault) => [fault.type, fault.loc]),
    [[type, loc]],
  );
}

async function drive(name: string, client: Client) {
  const create = async (who: string) => {
    const email = `${who}.${name}@EXAMPLE.com`;
    const { value, etag } = success(await client.createUser({ name: who, email }));
    assert.deepEqual(
      value satisfies User,
      { id: value.id, name: who, email: `${who}.${name}@example.com` },
    );
    assert.equal(etag, '"1"');
    return value;
  };
  const ann = await create('Ann');
  failure(await client.createUser(ann), 409, 'Email already registered');
  invalid(await client.createUser({ name: 'Ann', email: 'ann' }), 'value_error', ['body', 'email']);

  const got = await client.getUser(ann.id);
  assert.deepEqual(success(got), { value: ann, etag: '"1"' });
  const unchanged = await client.getUser(ann.id, '"1"');
  assert.deepEqual([unchanged.status, unchanged.headers.get('etag')], [304, '"1"']);
  failure(await client.getUser(MISSING_ID), 404, 'User not found');

  const [bob, cid] = [await create('Bob'), await create('Cid')];
  const after = ann.id - 1;
  const first = await client.listUsers({ limit: 2, after });
  assert.deepEqual(success(first).value satisfies ListedUser[], [ann, bob]);
  const next = /^<\?(.*)>; rel="next"$/.exec(first.headers.get('link') ?? '');
  const query = new URLSearchParams(next?.[1]);
  const second = await client.listUsers({
    limit: Number(query.get('limit')),
    after: Number(query.get('after')),
  });
  assert.deepEqual([success(second).value, second.headers.get('link')], [[cid], null]);
  const found = await client.listUsers({ email: `Bob.${name}@EXAMPLE.com` });
  assert.deepEqual(success(found).value, [bob]);
  invalid(await client.listUsers({ limit: 0 }), 'greater_than_equal', ['query', 'limit']);

  const replacement = { name: 'Anna', email: `Anna.${name}@example.com` };
  const replaced = success(await client.replaceUser(ann.id, replacement, '"1"'));
  assert.deepEqual(replaced, { value: { id: ann.id, ...replacement }, etag: '"2"' });
  failure(await client.replaceUser(ann.id, replacement, '"1"'), 412, 'Precondition Failed');
  failure(await client.replaceUser(ann.id, { ...bob }), 409, 'Email already registered');
  failure(await client.replaceUser(MISSING_ID, replacement), 404, 'User not found');

  failure(await client.updateUser(ann.id, { name: 'Anne' }, '"1"'), 412, 'Precondition Failed');
  failure(await client.updateUser(ann.id, { email: cid.email }), 409, 'Email already registered');
  // The tag of a list is enough to change a user.
  const listed = success(await client.listUsers({ limit: 1, after, etag: true })).value;
  assert.deepEqual(listed, [{ ...replaced.value, etag: '"2"' }]);
  const changed = success(await client.updateUser(ann.id, { name: 'Anne' }, listed[0]?.etag));
  assert.deepEqual(changed, { value: { ...replaced.value, name: 'Anne' }, etag: '"3"' });
  const addressed = success(await client.updateUser(ann.id, { email: ann.email }));
  assert.deepEqual(addressed.value, { id: ann.id, name: 'Anne', email: ann.email });

  const all = [addressed.value, bob, cid];
  const lines = (users: object[]) => users.map((user) => JSON.stringify(user) + '\n').join('');
  assert.equal(success(await client.streamUsers({ after })).value, lines(all));
  const tags = ['"4"', '"1"', '"1"'];
  assert.equal(
    success(await client.streamUsers({ after, etag: true })).value,
    lines(all.map((user, i) => ({ ...user, etag: tags[i] }))),
  );
  assert.equal((await client.streamUsers({ limit: 0 })).status, 422);

  failure(await client.deleteUser(ann.id, '"1"'), 412, 'Precondition Failed');
  assert.equal((await client.deleteUser(ann.id, '"4"')).status, 204);
  failure(await client.deleteUser(ann.id), 404, 'User not found');
  failure(await client.getUser(ann.id), 404, 'User not found');
  for (const { id } of [bob, cid]) assert.equal((await client.deleteUser(id)).status, 204);
}

function operations(description: string): string[] {
  const { paths } = JSON.parse(readFileSync(description, 'utf8')) as {
    paths: Record<string, Record<string, { operationId: string }>>;
  };
  return Object.values(paths).flatMap((path) =>
    Object.values(path).map(({ operationId }) => operationId),
  );
}

async function main(description: string) {
  const expected = operations(description).sort();
  for (const [name, client] of Object.entries(clients)) {
    const called = new Set<string>();
    const recorded = new Proxy(client, {
      get(target, operation: keyof Client) {
        called.add(operation);
        return target[operation];
      },
    });
    await drive(name, recorded);
    assert.deepEqual([...called].sort(), expected, `${name}: an operation was not called`);
    console.log(`${name}: ${called.size} operations`);
  }
}

main(process.argv[2] ?? '').catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
