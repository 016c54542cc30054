-- A store of version 1 with something in each table. Never changed: files like it are out there.

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

CREATE TABLE removed_rooms (
    id INTEGER PRIMARY KEY
) STRICT;

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

CREATE UNIQUE INDEX users_by_name ON users (lower(username));

CREATE TABLE shutdown (
    id    INTEGER PRIMARY KEY CHECK (id = 0),
    clean INTEGER NOT NULL
) STRICT;

INSERT INTO shutdown (id, clean) VALUES (0, 1);

PRAGMA application_id = 0x4d645376;
PRAGMA user_version = 1;

INSERT INTO rooms VALUES
    (42, 'alice', 'Harbour', '/cover.png', 'cam-1', 1, 0, 3, 2, 12.5, 1700000000000, 1700000001000),
    (43, 'bob', 'Closed', '', NULL, 2, 7, 1, 9, 0.0, 1700000000000, 1700000002000);
INSERT INTO messages VALUES
    (42, 3, 1, 1700000000500, '{"type":"danmu","seq":1}'),
    (42, 3, 2, 1700000000600, '{"type":"danmu","seq":2}');
INSERT INTO users VALUES ('u-1', 'Alice', '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA', 'anchor', 1700000000000);
INSERT INTO removed_rooms VALUES (41);
