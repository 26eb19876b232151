// For `jco serve --jco-import`: runs the component's migrations before the first request.
//
// `jco serve` calls only `wasi:http/incoming-handler`. The module that it generated from the
// component is beside the one that it runs, and importing it in this process gives the same
// instance.

import './strings.mjs';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = dirname(process.argv[1]);
// Names that begin with `_` are jco's.
const component = readdirSync(folder).find((name) => name.endsWith('.js') && !name.startsWith('_'));
const { migrations } = await import(pathToFileURL(join(folder, component)));
migrations.apply();
