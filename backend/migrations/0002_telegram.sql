-- The emulated Telegram: bots, channels, messages and the files in them.
-- Bot tokens are here as SHA-256 only: enough to recognise one, not to use it.

CREATE TABLE telegram_bots (
    id           BIGINT  PRIMARY KEY,
    token_sha256 BLOB    NOT NULL UNIQUE,
    username     TEXT    NOT NULL,
    first_name   TEXT    NOT NULL,
    revoked      BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE TABLE telegram_chats (
    id              BIGINT PRIMARY KEY,
    kind            TEXT   NOT NULL,
    title           TEXT   NOT NULL,
    last_message_id BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE telegram_members (
    chat_id BIGINT NOT NULL REFERENCES telegram_chats (id),
    bot_id  BIGINT NOT NULL REFERENCES telegram_bots (id),
    rights  TEXT   NOT NULL,
    PRIMARY KEY (chat_id, bot_id)
);

CREATE TABLE telegram_files (
    sequence       INTEGER PRIMARY KEY,
    file_id        TEXT    NOT NULL UNIQUE,
    file_unique_id TEXT    NOT NULL,
    bot_id         BIGINT  NOT NULL REFERENCES telegram_bots (id),
    kind           TEXT    NOT NULL,
    file_name      TEXT    NOT NULL,
    mime_type      TEXT    NOT NULL,
    size_bytes     BIGINT  NOT NULL,
    sha256         TEXT    NOT NULL,
    -- Name of the content in the files folder.
    blob           TEXT    NOT NULL,
    -- Until when the path that getFile gave out can be downloaded.
    path_expires_at BIGINT
);

CREATE TABLE telegram_messages (
    chat_id     BIGINT NOT NULL REFERENCES telegram_chats (id),
    message_id  BIGINT NOT NULL,
    bot_id      BIGINT NOT NULL REFERENCES telegram_bots (id),
    date        BIGINT NOT NULL,
    file        BIGINT REFERENCES telegram_files (sequence),
    text        TEXT,
    caption     TEXT,
    parameters  TEXT   NOT NULL,
    PRIMARY KEY (chat_id, message_id)
);
