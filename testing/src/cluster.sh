# Runs one throw-away PostgreSQL cluster for the test process that holds the other end of standard
# input.
#
# `$1` is the directory of PostgreSQL's programs. Orders come one per line, and each is answered
# with one line: `ok` and what there is to say, or `failed` and why. When there are no more, because
# the test process ended in whatever way, nothing stays.
#
#   init PASSWORD     makes the cluster, with a superuser `usher`; nothing in it has to survive
#   durable PASSWORD  the same with PostgreSQL's own settings
#   pid               returns the process id of the server's first process, the parent of the others
#   start PORT        starts the server on 127.0.0.1:PORT
#   stop MODE         stops it; MODE is smart, fast, immediate, or kill for SIGKILL
#   standby PORT      starts it as a hot standby without a primary, which can only be read from
#   promote           makes a standby take writes
#   certify KIND NAME makes it offer TLS from its next start; clients trust data/ca.crt
#   limit BYTES       lets none of its files grow beyond this size; BYTES may be unlimited

# Ctrl-C is meant for the test process; the orders end when it does.
trap '' INT TERM HUP
umask 077
bin=$1
dir=

failed() { # FILE: its last line that is not a mere hint says why
    printf 'failed %s\n' "$(grep -v -e HINT: -e '^$' "$1" | tail -n 1)"
}

processes() { # the server's, the first being the parent of all others
    read -r postmaster <data/postmaster.pid || return
    all=$postmaster
    for process in /proc/[0-9]*/stat; do
        read -r pid name state parent rest 2>/dev/null <"$process" &&
            [ "$parent" = "$postmaster" ] && all="$all $pid"
    done
    echo "$all"
}

killed() { # with a signal that cannot be caught, and waits until they are gone
    # A process started after the list was made would wait forever for a lock of a dead one, and
    # hold the memory they shared. A parent that is stopped starts none.
    read -r postmaster <data/postmaster.pid && kill -STOP "$postmaster" || return
    while read -r pid name state rest <"/proc/$postmaster/stat" && [ "$state" != T ]; do :; done
    all=$(processes) || return
    kill -KILL $all
    for pid in $all; do
        while kill -0 "$pid" 2>/dev/null; do :; done
    done
}

certify() { # KIND NAME
    ec='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
    case $1 in
    authority*)
        openssl req -x509 $ec -days 2 -subj "/CN=Usher tests" -keyout ca.key -out data/ca.crt &&
            openssl req $ec -subj "/CN=$2" -keyout data/server.key -out server.csr || return
        ;;
    esac
    signed='openssl x509 -req -in server.csr -CA data/ca.crt -CAkey ca.key -CAcreateserial -days 2'
    signed="$signed -out data/server.crt"
    case $1 in
    authority) printf 'subjectAltName=DNS:%s\n' "$2" >server.ext && $signed -extfile server.ext ;;
    authority-address)
        printf 'subjectAltName=IP:%s\n' "$2" >server.ext && $signed -extfile server.ext
        ;;
    # Without extensions it is of version 1, at least by an OpenSSL that adds none.
    authority-v1) $signed ;;
    self)
        openssl req -new -x509 -days 2 -nodes -subj "/CN=$2" \
            -keyout data/server.key -out data/server.crt &&
            cp data/server.crt data/ca.crt
        ;;
    self-v1)
        openssl req -new $ec -subj "/CN=$2" -keyout data/server.key -out server.csr &&
            openssl x509 -req -in server.csr -signkey data/server.key -days 2 \
                -out data/server.crt &&
            cp data/server.crt data/ca.crt
        ;;
    esac
}

while read -r order argument; do
    case $order in
    init | durable)
        # The first may be a directory that only root can enter.
        dir=$(mktemp -d "${TMPDIR:-/tmp}/usher-postgres.XXXXXX" 2>/dev/null) ||
            dir=$(mktemp -d /tmp/usher-postgres.XXXXXX) || exit
        cd "$dir" || exit
        printf '%s\n' "$argument" >password
        # MD5 for tests, since every connection would pay several milliseconds for SCRAM, and none
        # of this outlives them.
        auth=md5
        [ "$order" = init ] || auth=scram-sha-256
        if "$bin/initdb" --pgdata="$dir/data" --username=usher --pwfile=password --auth=$auth \
            --encoding=UTF8 --locale=C --no-sync --no-instructions >init.log 2>&1 </dev/null; then
            cat >>data/postgresql.conf <<'CONF'
listen_addresses = '127.0.0.1'
# In the data directory.
unix_socket_directories = '.'
max_connections = 300
CONF
            # Nothing needs to survive a crash of the machine.
            [ "$order" = durable ] || cat >>data/postgresql.conf <<'CONF'
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
autovacuum = off
CONF
            echo ok
        else
            failed init.log
        fi
        ;;
    standby | start)
        [ "$order" = start ] || : >data/standby.signal
        : >server.log
        if "$bin/pg_ctl" start --pgdata=data --wait --silent --log=server.log \
            --options="-p $argument" >/dev/null 2>&1 </dev/null; then
            echo ok
        else
            failed server.log
        fi
        ;;
    pid)
        read -r postmaster <data/postmaster.pid && echo "ok $postmaster" ||
            echo 'failed it does not run'
        ;;
    promote)
        if "$bin/pg_ctl" promote --pgdata=data --wait --silent >promote.log 2>&1 </dev/null; then
            echo ok
        else
            failed promote.log
        fi
        ;;
    certify)
        if certify ${argument%% *} "${argument#* }" >certify.log 2>&1 </dev/null; then
            echo 'ssl = on' >>data/postgresql.conf
            echo ok
        else
            failed certify.log
        fi
        ;;
    limit)
        # The parent first, and only then all others: what it starts meanwhile has the limit from
        # it. The hard limit stays, so that this can be undone.
        : >limit.log
        read -r postmaster <data/postmaster.pid &&
            prlimit --pid "$postmaster" --fsize="$argument": 2>>limit.log || {
            failed limit.log
            continue
        }
        for pid in $(processes); do
            prlimit --pid "$pid" --fsize="$argument": 2>>limit.log ||
                ! kill -0 "$pid" 2>/dev/null || break
        done && echo ok || failed limit.log
        ;;
    stop)
        if [ "$argument" = kill ]; then
            killed
            echo ok
        elif "$bin/pg_ctl" stop --pgdata=data --wait --silent --mode="$argument" \
            >stop.log 2>&1 </dev/null; then
            echo ok
        else
            failed stop.log
        fi
        ;;
    esac
done

[ -n "$dir" ] || exit 0
"$bin/pg_ctl" stop --pgdata=data --wait --silent --mode=immediate >/dev/null 2>&1
cd / && rm -rf "$dir"
