// A byte order mark at the beginning of a string is part of it, for whatever makes its decoder after this is loaded.
//
// The canonical ABI makes no exception of it, but what jco 1.35 generates takes strings out of a component by a TextDecoder that
// drops it, as sql.js 1.16 does where it reads a text that is not short. `create_name/name_bom_inside` fails without this.

globalThis.TextDecoder = class extends TextDecoder {
  constructor(label, options) {
    super(label, { ignoreBOM: true, ...options });
  }
};
