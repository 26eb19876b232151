// Only compiled: the types as a test in TypeScript uses them.

import { canned, createTestApp, DatabaseError, type TestApp } from 'usher-testing';

const app: TestApp = await createTestApp({ database: 'memory', sqlite: 'auto' });
const created: Response = await app.post('/users/', { json: { name: 'Ann' } });
const { id } = (await created.json()) as { id: number };
await app.fetch(`/users/${id}`, { method: 'PATCH', headers: { 'if-match': '"1"' } });
app.fail(DatabaseError.inDoubt(), { takesEffect: true });
app.restore(app.snapshot());

const answers = canned({ 'SELECT *': [{ id: 1n, name: 'Ann' }], 'DELETE *': 1 });
await createTestApp({ database: answers });
// @ts-expect-error There is no such option.
await createTestApp({ databse: 'memory' });
