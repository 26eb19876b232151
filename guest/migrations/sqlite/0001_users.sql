-- A table that somebody else has made is brought in line before this, and is left as it is here.
-- AUTOINCREMENT keeps the ids of deleted users from being given to new ones.
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    email TEXT NOT NULL CONSTRAINT users_email_key UNIQUE,
    version INTEGER NOT NULL DEFAULT 1
) STRICT;
