import { createHmac } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'

/** Rows of better-auth as sign-ups and sign-ins leave them, laid out without as many hashes. */

const week_ms = 7 * 24 * 3600 * 1000

export function emailOf(n: number): string {
  return `user-${n}@example.com`
}

function sessionTokenOf(n: number): string {
  return `initial-${n}-`.padEnd(32, '0')
}

/** What a browser sends for the session of user `n`. */
export function sessionCookieOf(n: number, secret: string): string {
  const token = sessionTokenOf(n)
  const mac = createHmac('sha256', secret).update(token).digest('base64')
  return `better-auth.session_token=${encodeURIComponent(`${token}.${mac}`)}`
}

/** Users that share a password, each with one session. */
export function layOutUsers(database: DatabaseSync, count: number, passwordHash: string): void {
  const now = new Date().toISOString()
  const expiresAt = new Date(Date.now() + week_ms).toISOString()
  const addUser = database.prepare('INSERT INTO user VALUES (?, ?, ?, 0, NULL, ?, ?)')
  const addAccount = database.prepare(
    `INSERT INTO account (id, accountId, providerId, userId, password, createdAt, updatedAt)
     VALUES (?, ?, 'credential', ?, ?, ?, ?)`,
  )
  const addSession = database.prepare("INSERT INTO session VALUES (?, ?, ?, ?, ?, '', '', ?)")
  database.exec('BEGIN')
  for (let n = 0; n < count; n++) {
    const id = `user-${n}`
    addUser.run(id, `User ${n}`, emailOf(n), now, now)
    addAccount.run(`account-${n}`, id, id, passwordHash, now, now)
    addSession.run(`session-${n}`, expiresAt, sessionTokenOf(n), now, now, id)
  }
  database.exec('COMMIT')
}

/** Ends a session by time. */
export function expireSession(database: DatabaseSync, n: number): void {
  const past = new Date(Date.now() - week_ms).toISOString()
  database.prepare('UPDATE session SET expiresAt = ? WHERE id = ?').run(past, `session-${n}`)
}
