# Runs one throw-away PostgreSQL cluster for the test process that holds the other end of standard input.
#
# `$1` is the directory of PostgreSQL's programs. Orders come one per line, and each is answered with one line: `ok` and what
# there is to say, or `failed` and why. When there are no more, because the test process ended in whatever way, nothing stays.
#
#   init PASSWORD     makes the cluster, with a superuser `usher`
#   start PORT        starts the server on 127.0.0.1:PORT
#   stop MODE         stops it; MODE is smart, fast or immediate, or kill for a signal that nothing survives

# Ctrl-C is meant for the test process; the orders end when it does.
trap '' INT TERM HUP
umask 077
bin=$1
dir=

failed() { # FILE: its last line that is not a mere hint says why
    printf 'failed %s\n' "$(grep -v -e HINT: -e '^$' "$1" | tail -n 1)"
}

killed() { # the server and all its processes, with a signal that cannot be caught, and waits until they are gone
    read -r postmaster <data/postmaster.pid || return
    all=$postmaster
    for process in /proc/[0-9]*/stat; do
        read -r pid name state parent rest 2>/dev/null <"$process" && [ "$parent" = "$postmaster" ] && all="$all $pid"
    done
    kill -KILL $all
    for pid in $all; do
        while kill -0 "$pid" 2>/dev/null; do :; done
    done
}

while read -r order argument; do
    case $order in
    init)
        # The first may be a directory that only root can enter.
        dir=$(mktemp -d "${TMPDIR:-/tmp}/usher-postgres.XXXXXX" 2>/dev/null) ||
            dir=$(mktemp -d /tmp/usher-postgres.XXXXXX) || exit
        cd "$dir" || exit
        printf '%s\n' "$argument" >password
        # MD5, since every connection would pay several milliseconds for SCRAM, and none of this outlives the tests.
        if "$bin/initdb" --pgdata="$dir/data" --username=usher --pwfile=password --auth=md5 \
            --encoding=UTF8 --locale=C --no-sync --no-instructions >init.log 2>&1 </dev/null; then
            # Nothing needs to survive a crash of the machine.
            cat >>data/postgresql.conf <<'CONF'
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
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
    start)
        : >server.log
        if "$bin/pg_ctl" start --pgdata=data --wait --silent --log=server.log --options="-p $argument" >/dev/null 2>&1 </dev/null; then
            echo ok
        else
            failed server.log
        fi
        ;;
    stop)
        if [ "$argument" = kill ]; then
            killed
            echo ok
        elif "$bin/pg_ctl" stop --pgdata=data --wait --silent --mode="$argument" >stop.log 2>&1 </dev/null; then
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
