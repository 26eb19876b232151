#!/bin/sh
# Fetches Swagger UI and ReDoc from npm, and stores the files that the documentation pages need
# here, compressed, with their licences and the checksums of their contents. To update, change a
# version below, run this script (it needs npm and zopfli), and run the tests of the guest.
set -eu
swagger_ui=5.35.0
redoc=2.5.4

cd "$(dirname "$0")"
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# npm checks each package against the registry's own SHA-512.
fetch() {
    mkdir "$work/$1"
    tar xzf "$work/$(cd "$work" && npm pack --silent "$1@$2")" -C "$work/$1" --strip-components 1
}

fetch swagger-ui-dist "$swagger_ui"
fetch redoc "$redoc"

cd "$work/swagger-ui-dist"
cp LICENSE NOTICE swagger-ui-bundle.js.LICENSE.txt oauth2-redirect.html oauth2-redirect.js \
    "$here/swagger-ui"
cp swagger-ui.css swagger-ui-bundle.js oauth2-redirect.html oauth2-redirect.js "$work"

cd "$work/redoc"
cp LICENSE bundles/redoc.standalone.js.LICENSE.txt "$here/redoc"
# The only change: ReDoc would load a logo from its maker's server. It removes an invalid image from
# the page by itself.
logo='"https://cdn.redoc.ly/redoc/logo-mini.svg"'
grep -q "$logo" bundles/redoc.standalone.js
sed "s|$logo|\"data:,\"|" bundles/redoc.standalone.js > "$work/redoc.standalone.js"

cd "$work"
sha256sum ./*.css ./*.html ./*.js | sed 's|\./||' > "$here/CHECKSUMS"
zopfli --i15 swagger-ui.css swagger-ui-bundle.js redoc.standalone.js
mv swagger-ui.css.gz swagger-ui-bundle.js.gz "$here/swagger-ui"
mv redoc.standalone.js.gz "$here/redoc"
