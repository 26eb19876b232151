// For `jco serve --jco-import`: gives the database its schema before the first request, by the component's own migrations.
//
// `jco serve` itself calls nothing but `wasi:http/incoming-handler`. The module it made of the component lies beside the one that
// it runs, and whoever imports it in this process gets the same instance.

import './strings.mjs';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = dirname(process.argv[1]);
// What begins with `_` is jco's.
const component = readdirSync(folder).find((name) => name.endsWith('.js') && !name.startsWith('_'));
const { migrations } = await import(pathToFileURL(join(folder, component)));
migrations.apply();
