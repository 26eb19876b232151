"""Inserts users into an SQLite file as fast as one loop does, without a server: one INSERT for each
commit, which waits for the disk.

usage: sqlite_loop.py FILE SECONDS

Prints the number of users, the seconds, the processor seconds of user and system, the voluntary
switches of the thread, the milliseconds of the median and of the slowest commit in a hundred, and
the bytes in RAM.
"""
import resource
import sqlite3
import sys
import time

path, seconds = sys.argv[1], float(sys.argv[2])
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA synchronous = FULL")
connection.execute(
    "CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, "
    "email TEXT NOT NULL CONSTRAINT users_email_key UNIQUE, version INTEGER NOT NULL DEFAULT 1) "
    "STRICT"
)
number = time.time_ns() // 1000
used = resource.getrusage(resource.RUSAGE_SELF)
begin = now = time.perf_counter()
times = []
while now - begin < seconds:
    number += 1
    connection.execute(
        "INSERT INTO users (name, email) VALUES (?, ?) RETURNING id, name, email, version",
        (f"User {number:016}", f"user.{number:016}@example.com"),
    ).fetchall()
    then, now = now, time.perf_counter()
    times.append(now - then)
elapsed = now - begin
after = resource.getrusage(resource.RUSAGE_SELF)
times.sort()
print(
    len(times),
    elapsed,
    after.ru_utime - used.ru_utime,
    after.ru_stime - used.ru_stime,
    after.ru_nvcsw - used.ru_nvcsw,
    times[len(times) // 2] * 1e3,
    times[len(times) * 99 // 100] * 1e3,
    after.ru_maxrss * 1024,
)
