// By vitest, in its worker processes.

import { expect, test } from 'vitest';
import { createTestApp } from '../src/index.js';
import { cases } from './cases.mjs';

for (const [name, run] of Object.entries(cases)) test(name, run);

test('expectations of vitest read a response', async () => {
  const app = await createTestApp({ database: 'memory' });
  const created = await app.post('/users/', { json: { name: 'Ann', email: 'ann@example.com' } });
  expect(created.status).toBe(200);
  expect(await created.json()).toMatchObject({ id: 1, name: 'Ann' });
});
