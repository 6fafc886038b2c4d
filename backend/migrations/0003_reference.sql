-- What makes the mock a reference backend: plans, API keys, several destinations for a user, logins
-- to Telegram, usage, an audit log, and which keys secrets are sealed under.

-- How much a user may upload in a calendar month (UTC). NULL: without limit.
CREATE TABLE plans (
    name            TEXT   PRIMARY KEY,
    uploads_a_month BIGINT,
    bytes_a_month   BIGINT
);

INSERT INTO plans (name, uploads_a_month, bytes_a_month) VALUES
    ('free', 5000, 107374182400),
    ('pro', 50000, 1099511627776),
    ('enterprise', NULL, NULL);

-- A name in plans. Without REFERENCES: SQLite adds no such column with a default other than NULL.
ALTER TABLE users ADD COLUMN plan TEXT NOT NULL DEFAULT 'free';
-- Whoever was here before there were plans had no limit, and keeps none.
UPDATE users SET plan = 'enterprise';

-- A key is known by its SHA-256 only: 32 random bytes need no slow hash.
CREATE TABLE api_keys (
    id            TEXT   PRIMARY KEY,
    user_id       TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name          TEXT   NOT NULL,
    key_sha256    BLOB   NOT NULL UNIQUE,
    -- The first characters of the key, to tell one from another.
    preview       TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    -- NULL as long as the key is active.
    revoked_at    BIGINT,
    last_used_at  BIGINT,
    request_count BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX api_keys_by_user ON api_keys (user_id, created_at);

-- Several destinations for each user, and one of them preferred.
DROP INDEX destinations_by_user;
ALTER TABLE destinations ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE destinations ADD COLUMN channel_title TEXT;
-- 1 or 0.
ALTER TABLE destinations ADD COLUMN preferred BIGINT NOT NULL DEFAULT 0;
UPDATE destinations SET preferred = 1;
CREATE INDEX destinations_by_user ON destinations (user_id, created_at);
CREATE UNIQUE INDEX preferred_destination ON destinations (user_id) WHERE preferred = 1;

-- The channel that was made for the user when the account was connected.
ALTER TABLE telegram_accounts ADD COLUMN channel_id TEXT;
ALTER TABLE telegram_accounts ADD COLUMN invite_sealed BLOB;
ALTER TABLE telegram_accounts ADD COLUMN connected_at BIGINT;

-- A login to Telegram under way: waiting -> (password ->) done, failed or expired.
CREATE TABLE telegram_logins (
    id               TEXT   PRIMARY KEY,
    user_id          TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    method           TEXT   NOT NULL CHECK (method IN ('qr', 'code')),
    state            TEXT   NOT NULL
                     CHECK (state IN ('waiting', 'password', 'done', 'failed', 'expired')),
    api_id           BIGINT,
    api_hash_sealed  BLOB,
    phone_sealed     BLOB,
    session_sealed   BLOB,
    -- SHA-256 of the code that was sent, or of the QR code's token.
    challenge_sha256 BLOB,
    -- Wrong answers so far.
    attempts         BIGINT NOT NULL DEFAULT 0,
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL
);

CREATE INDEX telegram_logins_by_user ON telegram_logins (user_id, created_at);

-- One row for each upload event that counts: the key makes a repeated event count once.
CREATE TABLE usage_events (
    webhook_id  TEXT   PRIMARY KEY,
    user_id     TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    bytes       BIGINT NOT NULL,
    received_at BIGINT NOT NULL
);

CREATE INDEX usage_events_by_user ON usage_events (user_id, received_at);

-- The sums of usage_events by day, made in the transaction that makes the event's row.
CREATE TABLE usage_days (
    user_id TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- Days since 1970-01-01, UTC.
    day     BIGINT NOT NULL,
    uploads BIGINT NOT NULL,
    bytes   BIGINT NOT NULL,
    PRIMARY KEY (user_id, day)
);

-- Who did what, and when. It outlives the users it tells of, so it references none.
CREATE TABLE audit_log (
    sequence   INTEGER PRIMARY KEY,
    at         BIGINT NOT NULL,
    -- How the caller proved who it is: session, key:<id>, token:<label>, cli.
    actor      TEXT   NOT NULL,
    -- Whose things it is about.
    user_id    TEXT,
    action     TEXT   NOT NULL,
    target     TEXT,
    address    TEXT,
    request_id TEXT,
    result     TEXT   NOT NULL
);

CREATE INDEX audit_log_by_user ON audit_log (user_id, sequence);

-- The keys that secrets were sealed under. The id stands in every ciphertext.
CREATE TABLE seal_keys (
    id         TEXT   PRIMARY KEY,
    label      TEXT   NOT NULL,
    first_used BIGINT NOT NULL,
    -- NULL as long as something may be sealed under the key.
    retired_at BIGINT
);
