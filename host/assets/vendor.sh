#!/bin/sh
# Fetches PostgreSQL's parser (libpg_query) as WebAssembly from npm, with its licence, and writes
# its checksums to CHECKSUMS. To change the version: edit it below, run this script, look up the
# names of imports and exports in the package's wasm/libpg-query.js, update them in
# src/database/policy/postgres/grammar.rs, and run the tests of the host.
set -eu
libpg_query=18.1.5

cd "$(dirname "$0")/libpg-query"
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# npm checks the package against the registry's own SHA-512.
cd "$work"
tar xzf "$(npm pack --silent "libpg-query@$libpg_query")"
cp package/LICENSE package/wasm/libpg-query.wasm "$here"
cd "$here"
sha256sum libpg-query.wasm > CHECKSUMS
