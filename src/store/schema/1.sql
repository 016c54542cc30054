-- Times are Unix milliseconds.

CREATE TABLE rooms (
    id           INTEGER PRIMARY KEY,
    anchor       TEXT    NOT NULL,
    title        TEXT    NOT NULL,
    cover        TEXT    NOT NULL,
    device       TEXT,
    status       INTEGER NOT NULL,
    viewer_count INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    last_seq     INTEGER NOT NULL,
    heat         REAL    NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;

-- Rooms that are gone and may have left messages behind, which are deleted little by little.
CREATE TABLE removed_rooms (
    id INTEGER PRIMARY KEY
) STRICT;

-- In the order of their arrival: a batch of many rooms' messages shares a few pages, and what it
-- changes all over the file are entries of 20 bytes, not texts.
CREATE TABLE messages (
    room  INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    text  TEXT    NOT NULL,
    PRIMARY KEY (room, epoch, seq)
) STRICT;

CREATE INDEX messages_by_time ON messages (at);

CREATE TABLE users (
    id            TEXT    PRIMARY KEY,
    username      TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    role          TEXT    NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- lower() folds ASCII letters, and usernames have no others.
CREATE UNIQUE INDEX users_by_name ON users (lower(username));

-- Whether the process that wrote last ended in order. One row.
CREATE TABLE shutdown (
    id    INTEGER PRIMARY KEY CHECK (id = 0),
    clean INTEGER NOT NULL
) STRICT;

INSERT INTO shutdown (id, clean) VALUES (0, 1);
