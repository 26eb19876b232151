// Makes every later TextDecoder keep a byte order mark at the beginning of a string.
//
// The canonical ABI keeps it. The code that jco 1.35 generates lifts strings with a TextDecoder
// that drops it, and so does sql.js 1.16 for longer texts. The recorded case
// `create_name/name_bom_inside` fails without this.

globalThis.TextDecoder = class extends TextDecoder {
  constructor(label, options) {
    super(label, { ignoreBOM: true, ...options });
  }
};
