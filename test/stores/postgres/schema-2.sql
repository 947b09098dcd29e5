-- A database as the second schema left it: made once by the code of that time, and not changed since.
CREATE SCHEMA gatepass;
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
  user_agent text NOT NULL,
  jkt text
)
WITH (fillfactor='80');
INSERT INTO gatepass.migrations VALUES ('sessions', 0, 'sessions', '83b99f5b699c39340e4bfa1c35da88f75a482e49e42e28631bfd49e2b140eab6');
INSERT INTO gatepass.migrations VALUES ('sessions', 1, 'revocations', '9f4c1cd129b7578d928b7465e264fd88e28c9c071c601c979a4ef1702f4d235c');
INSERT INTO gatepass.migrations VALUES ('sessions', 2, 'session keys', 'c5df531fcc318046ca5af5fb3b2ed9472790da4b931eef725ceaf55a9259730b');
INSERT INTO gatepass.revocations VALUES (1795937567700, 4102444800001, 4102445100001, 'session', 'ended-session-00000000');
INSERT INTO gatepass.revocations_end VALUES (true, 1795937567700);
INSERT INTO gatepass.sessions VALUES (4102444800000, 4102531200000, 4102448400000, 4102444800000, NULL, 0, false, NULL, 'live-session-000000000', 'user-1', 'web', 'data:read', 'pwd', 'test/1.0', NULL);
INSERT INTO gatepass.sessions VALUES (4102444800000, 4102531200000, 4102448400000, 4102444800000, NULL, 5, false, '\x0707070707070707070707070707070707070707070707070707070707070707', 'keyed-session-00000000', 'user-1', 'web', 'data:read', 'pwd', 'test/1.0', NULL);
INSERT INTO gatepass.sessions VALUES (4102444800000, 4102531200000, 4102448400000, 4102444800000, NULL, 5, true, '\x0707070707070707070707070707070707070707070707070707070707070707', 'seen-session-000000000', 'user-1', 'web', 'data:read', 'pwd', 'test/1.0', NULL);
INSERT INTO gatepass.sessions VALUES (4102444800000, 4102531200000, 4102448400000, 4102444800000, NULL, 0, false, NULL, 'bound-session-00000000', 'user-1', 'web', 'data:read', 'pwd', 'test/1.0', 'thumbprint-of-a-key');
INSERT INTO gatepass.sessions VALUES (4102444800000, 4102531200000, 4102445100001, 4102444800000, 4102444800001, 0, false, NULL, 'ended-session-00000000', 'user-2', 'web', 'data:read', 'pwd', 'test/1.0', NULL);
ALTER TABLE gatepass.migrations
  ADD CONSTRAINT migrations_pkey PRIMARY KEY (schema, "position");
ALTER TABLE gatepass.revocations_end
  ADD CONSTRAINT revocations_end_pkey PRIMARY KEY (only_row);
ALTER TABLE gatepass.revocations
  ADD CONSTRAINT revocations_pkey PRIMARY KEY ("position");
ALTER TABLE gatepass.sessions
  ADD CONSTRAINT sessions_pkey PRIMARY KEY (sid);
CREATE INDEX sessions_by_sub ON gatepass.sessions USING btree (sub);
