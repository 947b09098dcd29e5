-- A file as the third schema left it: made once by the code of that time, and not changed since.
CREATE TABLE migrations (
  schema TEXT, position INTEGER, name TEXT NOT NULL, checksum TEXT NOT NULL,
  PRIMARY KEY (schema, position)) STRICT, WITHOUT ROWID;
CREATE TABLE revocations (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL
    ) STRICT;
CREATE TABLE sessions (
  number INTEGER PRIMARY KEY,
  sid TEXT NOT NULL,
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
  revoked_at_ms INTEGER,
  jkt TEXT
) STRICT;
CREATE INDEX sessions_by_sub ON sessions (sub);
INSERT INTO sessions VALUES (1327575435595956313, 'bound-session-00000000', 'user-1', 'web', 'data:read', 'pwd', 'test/1.0', 4102444800000, 4102531200000, 4102448400000, 0, 4102444800000, 0, NULL, NULL, 'thumbprint-of-a-key');
INSERT INTO sessions VALUES (2957946031843386723, 'live-session-000000000', 'user-1', 'web', 'data:read', 'pwd', 'test/1.0', 4102444800000, 4102531200000, 4102448400000, 0, 4102444800000, 0, NULL, NULL, NULL);
INSERT INTO sessions VALUES (5433434063663861492, 'ended-session-00000000', 'user-2', 'web', 'data:read', 'pwd', 'test/1.0', 4102444800000, 4102531200000, 4102445100001, 0, 4102444800000, 0, NULL, 4102444800001, NULL);
INSERT INTO sessions VALUES (6446166154625159166, 'keyed-session-00000000', 'user-1', 'web', 'data:read', 'pwd', 'test/1.0', 4102444800000, 4102531200000, 4102448400000, 5, 4102444800000, 0, X'0707070707070707070707070707070707070707070707070707070707070707', NULL, NULL);
INSERT INTO sessions VALUES (7394473681377415827, 'seen-session-000000000', 'user-1', 'web', 'data:read', 'pwd', 'test/1.0', 4102444800000, 4102531200000, 4102448400000, 5, 4102444800000, 1, X'0707070707070707070707070707070707070707070707070707070707070707', NULL, NULL);
INSERT INTO revocations VALUES (1, 'session', 'ended-session-00000000', 4102444800001, 4102445100001);
INSERT INTO migrations VALUES ('sessions', 0, 'sessions', '88de334668913261f4bf8b5424a24385c5ebe665fba5f4e4597490364d98a18e');
INSERT INTO migrations VALUES ('sessions', 1, 'revocations', '35d5cab32e4a86fbffbcf2974d1a93925c3761a0be27fbe9b8ffd2bc6e5a9b88');
INSERT INTO migrations VALUES ('sessions', 2, 'session keys', '1a62dae715b56fa9c86fa386e33aa24024ba36ffed1ce0ef20d831551cbb4da0');
INSERT INTO migrations VALUES ('sessions', 3, 'sessions by number', 'aba7707d714fe6b42f4e666501ab8ad53371936040d321839af08e33cc994d6f');
