// The examples of docs/testing.md, as whoever copies them runs them.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const tutorial = readFileSync(new URL('../../docs/testing.md', import.meta.url), 'utf8');
const examples = [...tutorial.matchAll(/^```js\n(.*?)^```/gms)].map(([, example]) => example);

test('the tutorial has examples', () => assert.ok(examples.length >= 2));

for (const [index, example] of examples.entries()) {
  test(`example ${index + 1} of the tutorial passes`, () => {
    // Inside of the package, whose own name resolves there.
    const folder = mkdtempSync(join(fileURLToPath(new URL('..', import.meta.url)), '.tutorial-'));
    try {
      const file = join(folder, 'example.test.mjs');
      writeFileSync(file, example);
      const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
      const ended = spawnSync(process.execPath, ['--test', file], { encoding: 'utf8', env });
      assert.equal(ended.status, 0, ended.stdout + ended.stderr);
      assert.match(ended.stdout, /pass 1/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
