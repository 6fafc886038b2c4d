-- Secrets of the server's own, sealed as its users' are: they outlive the keys they were first sealed
-- under.
CREATE TABLE server_secrets (
    name         TEXT PRIMARY KEY,
    value_sealed BLOB NOT NULL
);
