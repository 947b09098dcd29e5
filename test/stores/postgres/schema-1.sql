-- A database as the first schema left it: made once by the code of that time, and not changed since.
CREATE SCHEMA gatepass;
CREATE TABLE gatepass.accounts (
  created_at_ms bigint NOT NULL,
  updated_at_ms bigint NOT NULL,
  disabled boolean NOT NULL,
  sub text NOT NULL COLLATE pg_catalog."C",
  login_name text NOT NULL COLLATE pg_catalog."C",
  password_hash text NOT NULL,
  attributes text NOT NULL
)
WITH (fillfactor='90');
CREATE TABLE gatepass.keys (
  name text NOT NULL COLLATE pg_catalog."C",
  record text NOT NULL
);
CREATE TABLE gatepass.migrations (
  schema text NOT NULL,
  "position" integer NOT NULL,
  name text NOT NULL,
  checksum text NOT NULL
);
CREATE TABLE gatepass.revocations (
  "position" bigint NOT NULL,
  at_ms bigint NOT NULL,
  expires_at_ms bigint NOT NULL,
  kind text NOT NULL,
  id text NOT NULL
);
CREATE TABLE gatepass.revocations_end (
  only_row boolean DEFAULT true NOT NULL,
  "position" bigint NOT NULL,
  CONSTRAINT revocations_end_only_row_check CHECK (only_row)
);
CREATE TABLE gatepass.sessions (
  created_at_ms bigint NOT NULL,
  ends_at_ms bigint NOT NULL,
  expires_at_ms bigint NOT NULL,
  minted_at_ms bigint NOT NULL,
  revoked_at_ms bigint,
  generation bigint NOT NULL,
  presented boolean NOT NULL,
  idempotency_key bytea,
  sid text NOT NULL COLLATE pg_catalog."C",
  sub text NOT NULL COLLATE pg_catalog."C",
  client_id text NOT NULL,
  scope text NOT NULL,
  amr text NOT NULL,
  user_agent text NOT NULL
)
WITH (fillfactor='80');
INSERT INTO gatepass.accounts VALUES (4102444800000, 4102444800000, false, 'user-1', 'alice', '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaA', '{"name":"Alice"}');
INSERT INTO gatepass.accounts VALUES (4102444800000, 4102444800001, true, 'user-2', 'bob', '$2b$10$abcdefghijklmnopqrstuv', '{}');
INSERT INTO gatepass.keys VALUES ('epoch-1-ES256', '{
  "name": "epoch-1-ES256",
  "kid": "HSSeHegTKs6a9-TApdWqfJYBPDXfXFHQxjOJhKXXuzQ",
  "alg": "ES256",
  "createdAtMs": 4102444800000,
  "activateAtMs": 4102444800000,
  "encryptedKey": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiY3R5IjoiandrK2pzb24ifQ.._sMi4vhMOwJRafyt.Ak_cup4V6Yx3FIE2pZQCSKB0iHWg16WL6JXDC83tSdk_5-K2vDaJqd0yupUU0UiHa1_SbCriht1KMTmjPCN0q-5wZOPuTNDz0LzrfhVJ3ZWTAZ_XR8UHTvAb2asfPChKyhEVmBdVGF1Zo3KFDfAOMIWKu8duAxoMh-RnQHqPnipeWQwQ_nXFxjy9P_vdNuRodrSZY5cR-3c3mHpN2Hll-ax7xTDbBELuaYzkrHCryV8.GCX3NogCru5dHKd9M8t1Jw"
}
');
INSERT INTO gatepass.keys VALUES ('epoch-2-ES256', '{
  "name": "epoch-2-ES256",
  "kid": "YF1fe8-VJzs6attj5SrI0DErltOREsxh6ZAQeEFkWT4",
  "alg": "ES256",
  "createdAtMs": 4102444800000,
  "activateAtMs": 4102444800000,
  "encryptedKey": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiY3R5IjoiandrK2pzb24ifQ..O2YDvlf5dJX6HqDr.0vjBfYsf9gcVY8Nepg-ZHZSp9pEeXXBtw75usmB5MmAWcLirbMNHWGQs0WfPYmS0x5GC89yWwjPmQoBqJVcJIxBbBtaQ4Hs4JjFuO_-Koy9isOShjO5836p33hJIHk-rm1jUgT7U74IaCEOdutx3zJjbecNHfdhXsZyVZTLFGTKvgEdcFwxAJO_4ZMwZZpdo6cLaHWATHiz72BguUKcMNt42p82SC0RmPhgMBpHNvDs.aU5Y2AV0A34Yz_9k4QI0OA"
}
');
INSERT INTO gatepass.keys VALUES ('revoked-HSSeHegTKs6a9-TApdWqfJYBPDXfXFHQxjOJhKXXuzQ', '{
  "name": "revoked-HSSeHegTKs6a9-TApdWqfJYBPDXfXFHQxjOJhKXXuzQ",
  "kid": "HSSeHegTKs6a9-TApdWqfJYBPDXfXFHQxjOJhKXXuzQ",
  "revokedAtMs": 4102444800001
}
');
INSERT INTO gatepass.migrations VALUES ('accounts', 0, 'accounts', 'e73cfaed08bc99a496e177339d2392f0ddd53daaf2b18744e4dd7977b56c661c');
INSERT INTO gatepass.migrations VALUES ('sessions', 0, 'sessions', '83b99f5b699c39340e4bfa1c35da88f75a482e49e42e28631bfd49e2b140eab6');
INSERT INTO gatepass.migrations VALUES ('sessions', 1, 'revocations', '9f4c1cd129b7578d928b7465e264fd88e28c9c071c601c979a4ef1702f4d235c');
INSERT INTO gatepass.migrations VALUES ('keys', 0, 'keys', '6decb26332ee1b6b0ac216d1e0e6e6d5cb2f561b9dc3389ea4c910c6cc042824');
INSERT INTO gatepass.revocations VALUES (1795548845321, 4102444800001, 4102445100001, 'session', 'ended-session-00000000');
INSERT INTO gatepass.revocations VALUES (1795548845322, 4102444800002, 4102445100002, 'user', 'user-3');
INSERT INTO gatepass.revocations_end VALUES (true, 1795548845322);
INSERT INTO gatepass.sessions VALUES (4102444800000, 4102531200000, 4102448400000, 4102444800000, NULL, 0, false, NULL, 'live-session-000000000', 'user-1', 'web', 'data:read', 'pwd', 'test/1.0');
INSERT INTO gatepass.sessions VALUES (4102444800000, 4102531200000, 4102448400000, 4102444800000, NULL, 5, false, '\x0707070707070707070707070707070707070707070707070707070707070707', 'keyed-session-00000000', 'user-1', 'web', 'data:read', 'pwd', 'test/1.0');
INSERT INTO gatepass.sessions VALUES (4102444800000, 4102531200000, 4102445100001, 4102444800000, 4102444800001, 0, false, NULL, 'ended-session-00000000', 'user-2', 'web', 'data:read', 'pwd', 'test/1.0');
ALTER TABLE gatepass.accounts
  ADD CONSTRAINT accounts_login_name_key UNIQUE (login_name);
ALTER TABLE gatepass.accounts
  ADD CONSTRAINT accounts_pkey PRIMARY KEY (sub);
ALTER TABLE gatepass.keys
  ADD CONSTRAINT keys_pkey PRIMARY KEY (name);
ALTER TABLE gatepass.migrations
  ADD CONSTRAINT migrations_pkey PRIMARY KEY (schema, "position");
ALTER TABLE gatepass.revocations_end
  ADD CONSTRAINT revocations_end_pkey PRIMARY KEY (only_row);
ALTER TABLE gatepass.revocations
  ADD CONSTRAINT revocations_pkey PRIMARY KEY ("position");
ALTER TABLE gatepass.sessions
  ADD CONSTRAINT sessions_pkey PRIMARY KEY (sid);
CREATE INDEX sessions_by_sub ON gatepass.sessions USING btree (sub);
