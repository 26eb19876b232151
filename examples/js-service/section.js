// Prints the statements as the section `usher:statements`.

import * as statements from './statements.js';

for (const [name, text] of Object.entries(statements)) {
  const texts = typeof text === 'string' ? { any: text } : text;
  const purpose = typeof text === 'string' ? 'service' : 'migrations';
  for (const [dialect, one] of Object.entries(texts)) {
    console.log(`${purpose} ${dialect} ${name} ${Buffer.byteLength(one)}\n${one}`);
  }
}
