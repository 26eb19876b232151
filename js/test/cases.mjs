// The tests, for any runner that has `test` and throws on failure.

import assert from 'node:assert/strict';
import { canned, createTestApp, DatabaseError } from '../src/index.js';

const ANN = { name: 'Ann', email: 'ann@example.com' };

export const cases = {
  async 'request with JSON returns a response of fetch'() {
    const app = await createTestApp({ database: 'memory' });
    const created = await app.post('/users/', { json: ANN });
    assert.ok(created instanceof Response);
    assert.deepEqual([created.status, await created.json()], [200, { id: 1, ...ANN }]);
    const read = await app.fetch('/users/1');
    assert.equal(read.headers.get('etag'), '"1"');
    assert.equal(read.headers.get('content-type'), 'application/json');
    assert.equal((await app.get('/users/1', { headers: { 'if-none-match': '"1"' } })).status, 304);
    assert.equal((await app.get('/users/999')).status, 404);
    app.close();
  },

  async 'database of each application is new'() {
    const [one, other] = [await createTestApp(), await createTestApp()];
    await one.post('/users/', { json: ANN });
    assert.equal((await other.get('/users/1')).status, 404);
    await one.reset();
    assert.equal((await one.get('/users/1')).status, 404);
  },

  async 'sql.js can be chosen'() {
    const app = await createTestApp({ sqlite: 'sql.js' });
    assert.equal(app.database.driver, 'sql.js');
    assert.equal((await app.post('/users/', { json: ANN })).status, 200);
  },

  async 'statements are logged with parameters and outcomes'() {
    const app = await createTestApp();
    await app.post('/users/', { json: ANN });
    await app.post('/users/', { json: ANN });
    const [first, second] = app.statements;
    assert.deepEqual(first.params, ['Ann', 'ann@example.com']);
    assert.match(second.outcome, /refused.*23505/);
  },

  async 'each error of the database has its status'() {
    for (const [error, status] of [
      [DatabaseError.unavailable(), 503],
      [DatabaseError.overloaded(), 503],
      [DatabaseError.timeout(), 504],
      [DatabaseError.inDoubt(), 503],
      [DatabaseError.denied('no'), 503],
      [DatabaseError.invalid('no'), 500],
      [DatabaseError.tooLarge(1), 500],
      [DatabaseError.refused('23505', { constraint: 'users_email_key' }), 409],
      [DatabaseError.refused('23503'), 409],
      [DatabaseError.refused('23514'), 422],
      [DatabaseError.refused('42P01'), 500],
    ]) {
      const app = await createTestApp();
      app.fail(error);
      assert.equal((await app.post('/users/', { json: ANN })).status, status, error.message);
      // Nothing was written, and the instance serves on.
      assert.equal((await (await app.post('/users/', { json: ANN })).json()).id, 1, error.message);
    }
  },

  async 'write in doubt after its effect is not answered as done'() {
    const app = await createTestApp();
    app.fail(DatabaseError.inDoubt(), { takesEffect: true });
    assert.equal((await app.post('/users/', { json: ANN })).status, 503);
    assert.equal((await app.get('/users/1')).status, 200);
  },

  async 'canned answers come from the object'() {
    const row = { name: 'Ann', email: 'ann@example.com', version: 3 };
    const app = await createTestApp({
      database: canned({
        'SELECT * FROM users WHERE id = $1': (id) => (id === 7n ? [row] : []),
        'DELETE *': DatabaseError.inDoubt(),
      }),
    });
    assert.deepEqual(await (await app.get('/users/7')).json(), { id: 7, ...ANN });
    assert.equal((await app.get('/users/8')).status, 404);
    assert.equal((await app.delete('/users/7')).status, 503);
    assert.equal((await app.post('/users/', { json: ANN })).status, 500);
    assert.match(app.statements.at(-1).outcome, /there is no answer for: INSERT/);
  },

  async 'snapshot restores the contents'() {
    const app = await createTestApp();
    await app.post('/users/', { json: ANN });
    const snapshot = app.snapshot();
    await app.delete('/users/1');
    assert.equal((await app.get('/users/1')).status, 404);
    app.restore(snapshot);
    assert.equal((await app.get('/users/1')).status, 200);
    // The ids go on after those of the snapshot.
    const next = await app.post('/users/', { json: { ...ANN, email: 'bo@example.com' } });
    assert.equal((await next.json()).id, 2);
  },

  async 'streamed response is read by lines'() {
    const app = await createTestApp();
    for (const n of [1, 2, 3])
      await app.post('/users/', { json: { name: 'x', email: `x${n}@example.com` } });
    const list = await app.get('/users.ndjson');
    assert.equal(list.headers.get('content-type'), 'application/x-ndjson');
    const lines = (await list.text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).id);
    assert.deepEqual(lines, [1, 2, 3]);
  },

  async 'typed calls return users and throw errors'() {
    const { users } = await createTestApp();
    const ann = users.create({ name: 'Ann', email: 'Ann@EXAMPLE.com' });
    assert.deepEqual(ann, { id: 1n, name: 'Ann', email: 'Ann@example.com', version: 1n });
    assert.throws(
      () => users.get(2n),
      (error) => error.payload.tag === 'not-found',
    );
  },
};
