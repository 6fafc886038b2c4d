PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO _sqlx_migrations VALUES(1,'accounts','2026-11-24 14:14:54',1,X'db936a449b00079267abb8181aaded0646281a9f7ba94d8b6d5e8c8724c9b5372a2b86cad09837272a70da75678d234b',3068907);
INSERT INTO _sqlx_migrations VALUES(2,'telegram','2026-11-24 14:14:54',1,X'3b3002bbb0fd88419c5801ec422a05ca9afb6df68b8056a08513e6075877eb0c6b87b9376f86d86b8da5a7bde1269480',9409205);
INSERT INTO _sqlx_migrations VALUES(3,'reference','2026-11-24 14:14:54',1,X'5d5ba940b3dc1c8fa9214d1f1fd3023027c32b58ff70ab274c09efb846d8716a805b9ce53bd5074a7fead703ceeb46a4',6711099);
INSERT INTO _sqlx_migrations VALUES(4,'append only','2026-11-24 14:14:54',1,X'19d25202471bd8a420305ba892a176bfc8c2be3a4ead9fa2392b4f5d9860e04a69d2baccc312ce52d88ca217bd5690e4',3171631);
INSERT INTO _sqlx_migrations VALUES(5,'server secrets','2026-11-24 14:14:54',1,X'b2c1616552f913f980e6f8396db4fa246fdbf3c70d9c3d7f67dc0971d2bd4729e208d088fd3fcac7cacc7bff365db24c',2627561);
CREATE TABLE users (
    id            TEXT   PRIMARY KEY,
    email         TEXT   NOT NULL UNIQUE,
    name          TEXT   NOT NULL,
    -- PHC string; NULL for an account that cannot log in with a password.
    password_hash TEXT,
    created_at    BIGINT NOT NULL
, plan TEXT NOT NULL DEFAULT 'free');
INSERT INTO users VALUES('57e6357a-8eab-4fad-91fc-04f973e8ac5d','demo@example.com','Demo',NULL,1795529694,'enterprise');
INSERT INTO users VALUES('c2aaec7b-7af1-4aa0-a496-137ef07551a5','user-c7943566afcd4ca6a7f1c2aaa5f43f46@example.com','Test user',NULL,1795529710,'enterprise');
CREATE TABLE destinations (
    id               TEXT   PRIMARY KEY,
    user_id          TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    bot_username     TEXT   NOT NULL,
    bot_token_sealed BLOB   NOT NULL,
    channel_id       TEXT,
    created_at       BIGINT NOT NULL
, label TEXT NOT NULL DEFAULT '', channel_title TEXT, preferred BIGINT NOT NULL DEFAULT 0);
INSERT INTO destinations VALUES('01a20de8-ddfc-76ac-9bdf-28d1324d81fe','57e6357a-8eab-4fad-91fc-04f973e8ac5d','telestore_3462047339_bot',X'54534b3168539c64cb5b1d715d67b92365d56f6a8aec413e67501aa908815e7ef9cbf66cb8f572d73f0e22c3c0e0319c85c36d9570876f392915166ab110565d85a913b3bb5deb4e5b210df779c8de3412315513d4f8d1ccffcd1c1e17b7b43a70235a','-1003763227361',1795529694,'','TeleStore files',1);
INSERT INTO destinations VALUES('01a20de9-1cb6-7711-96d8-6e2bdc86a755','c2aaec7b-7af1-4aa0-a496-137ef07551a5','telestore_4756258607_bot',X'54534b3168539c64cb5b1d71bbdbb7c8f347cb7b8f0fad861f0e3cbbb3a5d853623521ba57324457d98422ca88722b437d35f90a67be0b26174744909f4ccbcd2db2061fc4ce352a3b185df9fd6418681214a2b23f8c7d38b0b227326f287831a0ff77','-1001782093554',1795529710,'','TeleStore files',1);
CREATE TABLE telegram_accounts (
    user_id          TEXT   PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    api_id           BIGINT NOT NULL,
    api_hash_sealed  BLOB   NOT NULL,
    session_sealed   BLOB   NOT NULL
, channel_id TEXT, invite_sealed BLOB, connected_at BIGINT);
INSERT INTO telegram_accounts VALUES('57e6357a-8eab-4fad-91fc-04f973e8ac5d',123456,X'54534b3168539c64cb5b1d711623297ca9eeb1cf30f2afe716ef3f17c2b6d44129f96ab430f8004510f6ae26afd53aaa2fe36a4c05403a024a0a9a4c3efab445068bb79d46cd92e17f04f8077962eaf23c57edb1',X'54534b3168539c64cb5b1d71ff165fe7c016043b6869c96633b96ba2485742dfd01911179c6f29384fd85e2f7e57fd0ddba01822aa70ede14d38349c9cb0c4a64ff8c17c59278ceabc56ce95bfbcaf6974c2433028c1b6b87f995345',NULL,NULL,1795529694);
INSERT INTO telegram_accounts VALUES('c2aaec7b-7af1-4aa0-a496-137ef07551a5',123456,X'54534b3168539c64cb5b1d7146ec68ea714c5fdc1172438994d9c5dbe53064535bfdcc69a4dd3aef12a1aaa4211e3ac24d47fdfead46620e1131440daf32e1ea5760dae552e188c12e3779bca93bde526e2ba0a4',X'54534b3168539c64cb5b1d71104bc88ff29eb2ad60967d1729aa47e29d9c1822b18006314243750799e9e5d20a8b00ecf01a9df9911a97954d6745392c5f79ad597e8bbe4c7a92c3ddcffe1ae69621dee4b12d454ecfcd14d629d01d',NULL,NULL,1795529710);
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
INSERT INTO files VALUES('abbfac72-c331-4a86-b5ee-8c1323682743','57e6357a-8eab-4fad-91fc-04f973e8ac5d','hello.txt',1,'BQACAgIAAxLD3J0gnkhMSnSvMGZI16SzV9GZwx-O7nAAxxHI3W7TohuVO05V1jYp8G2sFy',NULL,16,NULL,1795529712);
CREATE TABLE upload_events (
    sequence    INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    headers     TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    received_at BIGINT  NOT NULL
);
INSERT INTO upload_events VALUES(1,'ev-1','{"accept":"*/*","content-length":"190","content-type":"application/x-www-form-urlencoded","host":"127.0.0.1:45623","user-agent":"curl/7.88.1","webhook-id":"ev-1"}','{"id":"ev-1","userId":"57e6357a-8eab-4fad-91fc-04f973e8ac5d","fileName":"hello.txt","messageId":1,"fileId":"BQACAgIAAxLD3J0gnkhMSnSvMGZI16SzV9GZwx-O7nAAxxHI3W7TohuVO05V1jYp8G2sFy","size":16}',1795529712);
CREATE TABLE telegram_bots (
    id           BIGINT  PRIMARY KEY,
    token_sha256 BLOB    NOT NULL UNIQUE,
    username     TEXT    NOT NULL,
    first_name   TEXT    NOT NULL,
    revoked      BOOLEAN NOT NULL DEFAULT FALSE
);
INSERT INTO telegram_bots VALUES(3462047339,X'6620a068e8060615b302d9880dd99f8fe48ea5c8caf36f1a765d2fc1e7633f2d','telestore_3462047339_bot','TeleStore',0);
INSERT INTO telegram_bots VALUES(4756258607,X'39317e411abb43dfb63048dd1f5b5bd7e4d879dd313981c209f132526392621c','telestore_4756258607_bot','TeleStore',1);
CREATE TABLE telegram_chats (
    id              BIGINT PRIMARY KEY,
    kind            TEXT   NOT NULL,
    title           TEXT   NOT NULL,
    last_message_id BIGINT NOT NULL DEFAULT 0
);
INSERT INTO telegram_chats VALUES(-1003763227361,'channel','TeleStore files',1);
INSERT INTO telegram_chats VALUES(-1001782093554,'channel','TeleStore files',0);
CREATE TABLE telegram_members (
    chat_id BIGINT NOT NULL REFERENCES telegram_chats (id),
    bot_id  BIGINT NOT NULL REFERENCES telegram_bots (id),
    rights  TEXT   NOT NULL,
    PRIMARY KEY (chat_id, bot_id)
);
INSERT INTO telegram_members VALUES(-1003763227361,3462047339,'administrator');
INSERT INTO telegram_members VALUES(-1001782093554,4756258607,'administrator');
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
INSERT INTO telegram_files VALUES(1,'BQACAgIAAxLD3J0gnkhMSnSvMGZI16SzV9GZwx-O7nAAxxHI3W7TohuVO05V1jYp8G2sFy','AgADmVs72JlM6mMs',3462047339,'document','hello.txt','text/plain',16,'416e2df47765e3826a1e94b2fe4786efc8b16cbbda5cad2e7704d7134229e99e','8fc40f47a09247a2afa3aee784d1293a',NULL);
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
INSERT INTO telegram_messages VALUES(-1003763227361,1,3462047339,1795529710,1,NULL,'old','{"caption":"old","chat_id":"-1003763227361","disable_content_type_detection":"true"}');
CREATE TABLE plans (
    name            TEXT   PRIMARY KEY,
    uploads_a_month BIGINT,
    bytes_a_month   BIGINT
);
INSERT INTO plans VALUES('free',5000,107374182400);
INSERT INTO plans VALUES('pro',50000,1099511627776);
INSERT INTO plans VALUES('enterprise',NULL,NULL);
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
CREATE TABLE usage_events (
    webhook_id  TEXT   PRIMARY KEY,
    user_id     TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    bytes       BIGINT NOT NULL,
    received_at BIGINT NOT NULL
);
INSERT INTO usage_events VALUES('ev-1','57e6357a-8eab-4fad-91fc-04f973e8ac5d',16,1795529712);
CREATE TABLE usage_days (
    user_id TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- Days since 1970-01-01, UTC.
    day     BIGINT NOT NULL,
    uploads BIGINT NOT NULL,
    bytes   BIGINT NOT NULL,
    PRIMARY KEY (user_id, day)
);
INSERT INTO usage_days VALUES('57e6357a-8eab-4fad-91fc-04f973e8ac5d',20781,1,16);
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
INSERT INTO audit_log VALUES(1,1795529694,'setup','57e6357a-8eab-4fad-91fc-04f973e8ac5d','telegram.connect',NULL,NULL,NULL,'ok');
INSERT INTO audit_log VALUES(2,1795529694,'setup','57e6357a-8eab-4fad-91fc-04f973e8ac5d','credentials.set',NULL,NULL,NULL,'ok');
INSERT INTO audit_log VALUES(3,1795529710,'setup','c2aaec7b-7af1-4aa0-a496-137ef07551a5','telegram.connect',NULL,NULL,NULL,'ok');
INSERT INTO audit_log VALUES(4,1795529710,'setup','c2aaec7b-7af1-4aa0-a496-137ef07551a5','credentials.set',NULL,NULL,NULL,'ok');
INSERT INTO audit_log VALUES(5,1795529712,'session','57e6357a-8eab-4fad-91fc-04f973e8ac5d','key.create',NULL,'127.0.0.1','a96383dc7d7941008d77498f583347ea','Unsupported Media Type');
CREATE TABLE seal_keys (
    id         TEXT   PRIMARY KEY,
    label      TEXT   NOT NULL,
    first_used BIGINT NOT NULL,
    -- NULL as long as something may be sealed under the key.
    retired_at BIGINT
);
INSERT INTO seal_keys VALUES('68539c64cb5b1d71','68539c64cb5b1d71',1795529694,NULL);
CREATE TABLE server_secrets (
    name         TEXT PRIMARY KEY,
    value_sealed BLOB NOT NULL
);
INSERT INTO server_secrets VALUES('jwt',X'54534b3168539c64cb5b1d71cde56a51f6e941199d61bd4a5310b3b61249ca2b10206dd0950f97af5671ca8678d59a1f0b5de0e59eb45fba6aaa61f267b5af6afb303e8c2ea0d94e141274a1248bbdf6b13dfb7fb9b1c016d38bac135a672b79');
CREATE INDEX files_by_user ON files (user_id, created_at);
CREATE INDEX api_keys_by_user ON api_keys (user_id, created_at);
CREATE INDEX destinations_by_user ON destinations (user_id, created_at);
CREATE UNIQUE INDEX preferred_destination ON destinations (user_id) WHERE preferred = 1;
CREATE INDEX telegram_logins_by_user ON telegram_logins (user_id, created_at);
CREATE INDEX usage_events_by_user ON usage_events (user_id, received_at);
CREATE INDEX audit_log_by_user ON audit_log (user_id, sequence);
CREATE TRIGGER audit_log_keeps_rows BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_log_keeps_words BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
COMMIT;
