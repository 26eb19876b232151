// The component: translated by jco once, and kept on disk for other processes.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const loaded = new Map();

/** Loads the component of a file, or the one that `USHER_COMPONENT` names. */
export function loadComponent(file = process.env.USHER_COMPONENT) {
    if (!file || !existsSync(file)) {
        throw new Error(
            `there is no component ${file ?? ''}: write it with \`usher component --output users.wasm\`, and pass its path ` +
                'as `component` or in USHER_COMPONENT',
        );
    }
    const bytes = readFileSync(file);
    const digest = createHash('sha256').update(bytes).digest('hex');
    if (!loaded.has(digest)) loaded.set(digest, translate(bytes, digest));
    return loaded.get(digest);
}

// What jco 1.35 generates is corrected in two places. It lifts strings with a TextDecoder that drops
// a byte order mark at the beginning, which the canonical ABI keeps. And it catches the error of
// calling `WebAssembly.promising` where Node.js has none, which takes V8 ten milliseconds a call.
const PRELUDE = `const promising = WebAssembly.promising ?? ((call) => call);
const TextDecoder = class extends globalThis.TextDecoder {
  constructor(label, options) {
    super(label, { ignoreBOM: true, ...options });
  }
};
`;

const corrected = (source) => PRELUDE + source.replaceAll('WebAssembly.promising(', 'promising(');

async function translate(bytes, digest) {
    const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
    const folder = join(cache, 'usher-testing', `jco-1.35-1-${digest.slice(0, 32)}`);
    if (!existsSync(folder)) await write(bytes, folder);
    const { instantiate } = await import(pathToFileURL(join(folder, 'component.js')));
    const cores = new Map();
    const core = (name) => {
        if (!cores.has(name))
            cores.set(name, new WebAssembly.Module(readFileSync(join(folder, name))));
        return cores.get(name);
    };
    const instance = (module, imports) => new WebAssembly.Instance(module, imports);
    return (imports) => instantiate(core, imports, instance);
}

async function write(bytes, folder) {
    const { transpile } = await import('@bytecodealliance/jco');
    const { files } = await transpile(bytes, {
        name: 'component',
        instantiation: 'sync',
        noNodejsCompat: true,
        noTypescript: true,
    });
    const made = `${folder}.${process.pid}`;
    for (const [name, content] of Object.entries(files)) {
        mkdirSync(dirname(join(made, name)), { recursive: true });
        const text = name === 'component.js' ? corrected(Buffer.from(content).toString()) : content;
        writeFileSync(join(made, name), text);
    }
    writeFileSync(join(made, 'package.json'), '{"type":"module"}');
    try {
        renameSync(made, folder);
    } catch (error) {
        // Another process was first.
        rmSync(made, { recursive: true });
        if (!existsSync(folder)) throw error;
    }
}
