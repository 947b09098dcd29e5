import { digest } from '../../core/secrets.ts'
import type { Migration, Schema } from '../migrations.ts'

const revocationsMigration: Migration = {
  name: 'revocations',
  // AUTOINCREMENT: no position is used twice, even if the newest row was removed.
  sql: `
    CREATE TABLE revocations (
      position INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL,
      id TEXT NOT NULL,
      at_ms INTEGER NOT NULL,
      expires_at_ms INTEGER NOT NULL
    ) STRICT;
  `,
}

const oneTimeMigration: Migration = {
  name: 'one-time values',
  sql: `
    CREATE TABLE one_time (
      id TEXT PRIMARY KEY,
      payload TEXT NOT NULL,
      taken_by TEXT,
      expires_at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX one_time_by_expiry ON one_time (expires_at_ms);
  `,
}

/** The sessions, the revocation log and the one-time values. */
export const sessionSchema: Schema = {
  name: 'sessions',
  migrations: [
    {
      name: 'sessions',
      sql: `
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
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX sessions_by_sub ON sessions (sub);
    `,
    },
    revocationsMigration,
    { name: 'session keys', sql: 'ALTER TABLE sessions ADD COLUMN jkt TEXT' },
    {
      name: 'sessions by number',
      // WITHOUT ROWID stores rows in inner pages too: a tree of a million sessions would be eight
      // pages deep. With a number as the rowid it is five pages deep.
      sql: `
      CREATE TABLE numbered_sessions (
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
      INSERT INTO numbered_sessions
        SELECT number_of(sid) AS number, * FROM sessions ORDER BY number;
      DROP TABLE sessions;
      ALTER TABLE numbered_sessions RENAME TO sessions;
      CREATE INDEX sessions_by_sub ON sessions (sub);
    `,
    },
    {
      name: 'retries and replays',
      sql: `
      ALTER TABLE sessions ADD COLUMN first_retry_at_ms INTEGER;
      ALTER TABLE sessions ADD COLUMN last_retry_at_ms INTEGER;
      ALTER TABLE sessions ADD COLUMN other_key BLOB;
      ALTER TABLE sessions ADD COLUMN replay_keys BLOB;
      ALTER TABLE sessions ADD COLUMN late_replay_at_ms INTEGER;
    `,
    },
    oneTimeMigration,
  ],
}

/** The smallest number. */
export const firstNumber = -(2n ** 63n)

const idBytes = 16
const idLength = 22
/** The last character of an id encodes two bits; the other four are zero. */
const lastCharacters = 'AQgw'
const scratch = Buffer.alloc(idBytes)

/**
 * Returns the rowid of a session: the halves of its id, 128 random bits, combined by XOR; for a text that is
 * not an id, the halves of its digest. Statements also compare the id, and `create` refuses a second
 * session of the same number, which is improbable in the life of a file.
 */
export function numberOf(sid: string): bigint {
  const isId =
    sid.length === idLength &&
    lastCharacters.includes(sid.charAt(idLength - 1)) &&
    scratch.write(sid, 'base64url') === idBytes
  const bytes = isId ? scratch : digest(sid)
  return bytes.readBigInt64BE(0) ^ bytes.readBigInt64BE(idBytes / 2)
}
