-- The accounts of the backend: users, where their files go, and what they uploaded.
-- Times are Unix seconds. A column called `…_sealed` holds ciphertext, never a secret in the clear.

CREATE TABLE users (
    id            TEXT   PRIMARY KEY,
    email         TEXT   NOT NULL UNIQUE,
    name          TEXT   NOT NULL,
    -- PHC string; NULL for an account that cannot log in with a password.
    password_hash TEXT,
    created_at    BIGINT NOT NULL
);

-- A bot and the channel it posts into. A bot without a channel is a set-up half done.
CREATE TABLE destinations (
    id               TEXT   PRIMARY KEY,
    user_id          TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    bot_username     TEXT   NOT NULL,
    bot_token_sealed BLOB   NOT NULL,
    channel_id       TEXT,
    created_at       BIGINT NOT NULL
);

-- One destination for each user.
CREATE UNIQUE INDEX destinations_by_user ON destinations (user_id);

-- A user's own Telegram account: not the bot's.
CREATE TABLE telegram_accounts (
    user_id          TEXT   PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    api_id           BIGINT NOT NULL,
    api_hash_sealed  BLOB   NOT NULL,
    session_sealed   BLOB   NOT NULL
);

CREATE TABLE files (
    id             TEXT   PRIMARY KEY,
    user_id        TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    file_name      TEXT   NOT NULL,
    message_id     BIGINT NOT NULL,
    file_id        TEXT   NOT NULL,
    file_unique_id TEXT,
    size_bytes     BIGINT,
    mime_type      TEXT,
    created_at     BIGINT NOT NULL,
    UNIQUE (user_id, file_id)
);

CREATE INDEX files_by_user ON files (user_id, created_at);

-- Upload events of the webhook. The key is the event's own id, which stays the same across retries.
CREATE TABLE upload_events (
    sequence    INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    headers     TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    received_at BIGINT  NOT NULL
);
