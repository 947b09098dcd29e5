-- A file as the second schema left it: made once by the code of that time, and not changed since.
CREATE TABLE migrations (
   schema TEXT, position INTEGER, name TEXT NOT NULL, checksum TEXT NOT NULL,
   PRIMARY KEY (schema, position)) STRICT, WITHOUT ROWID;
CREATE TABLE accounts (
  sub TEXT PRIMARY KEY,
  login_name TEXT NOT NULL UNIQUE,
  password_hash TEXT NOT NULL,
  attributes TEXT NOT NULL,
  disabled INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE sessions (
  sid TEXT PRIMARY KEY,
  sub TEXT NOT NULL,
  client_id TEXT NOT NULL,
  scope TEXT NOT NULL,
  amr TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  ends_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  minted_at_ms INTEGER NOT NULL,
  presented INTEGER NOT NULL,
  idempotency_key BLOB,
  revoked_at_ms INTEGER
, jkt TEXT) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_sub ON sessions (sub);
CREATE TABLE revocations (
position INTEGER PRIMARY KEY AUTOINCREMENT,
kind TEXT NOT NULL,
id TEXT NOT NULL,
at_ms INTEGER NOT NULL,
expires_at_ms INTEGER NOT NULL
    ) STRICT;
INSERT INTO sessions VALUES ('bound-session-00000000', 'user-1', 'web', 'data:read', 'pwd', 'test/1.0', 4102444800000, 4102531200000, 4102448400000, 0, 4102444800000, 0, NULL, NULL, 'thumbprint-of-a-key');
INSERT INTO sessions VALUES ('ended-session-00000000', 'user-2', 'web', 'data:read', 'pwd', 'test/1.0', 4102444800000, 4102531200000, 4102445100001, 0, 4102444800000, 0, NULL, 4102444800001, NULL);
INSERT INTO revocations VALUES (1, 'session', 'ended-session-00000000', 4102444800001, 4102445100001);
INSERT INTO migrations VALUES ('accounts', 0, 'accounts', 'e2893223ebfedcbdd0a2147b2f99d512fcf494ef7e6b8625cc353eca2d14dff1');
INSERT INTO migrations VALUES ('sessions', 0, 'sessions', '88de334668913261f4bf8b5424a24385c5ebe665fba5f4e4597490364d98a18e');
INSERT INTO migrations VALUES ('sessions', 1, 'revocations', '35d5cab32e4a86fbffbcf2974d1a93925c3761a0be27fbe9b8ffd2bc6e5a9b88');
INSERT INTO migrations VALUES ('sessions', 2, 'session keys', '1a62dae715b56fa9c86fa386e33aa24024ba36ffed1ce0ef20d831551cbb4da0');
