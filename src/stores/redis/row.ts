import type { Session } from '../ports.ts'
import { abridge, unabridge } from './abridge.ts'

/**
 * A session as one value of Redis: what refreshes change, in fixed fields at the front, then the
 * Idempotency-Key's digest if there is one, then what never changes, as JSON for people to read, with
 * the User-Agent abridged (abridge.ts).
 *
 * With its place in the list of its user it costs 240 bytes beyond their keys, if the User-Agent is a
 * browser's. As a hash the value alone would cost 780, since one field over 64 bytes makes Redis give up
 * its compact form.
 *
 * | byte | holds |
 * | --- | --- |
 * | 0 | the version of this layout: 2 when the session is bound to a key, else 1 |
 * | 1 | flags: 1 presented, 2 a digest follows, 4 the log has not heard of its revocation, 8 its end is in doubt |
 * | 2 | generation, 5 bytes |
 * | 7, 13, 19, 25, 31 | minted, expires, ends, created, revoked (0: it is not), 6 bytes each, ms |
 * | 37 | the digest, 32 bytes, or nothing |
 * | 37 or 69 | in version 2, the thumbprint of the key, 32 bytes |
 * | then | `[sub, clientId, scope, amr, userAgent]` |
 *
 * The scripts read and write the same (scripts.ts). Issuers that don't know version 2 refuse such a
 * session, rather than refresh it without a proof of its key.
 */
export const layout = {
  version: 1,
  boundVersion: 2,
  header: '>BBI5I6I6I6I6I6',
  digestLength: 32,
} as const

export const flags = { presented: 1, hasDigest: 2, owesLogEntry: 4, isInDoubt: 8 } as const

const headerLength = 37

export function sessionKey(sid: string): string {
  return `gp:s:${sid}`
}

/** The last time that six bytes hold, in the year 10889; it stands for `Number.MAX_SAFE_INTEGER`. */
const endlessMs = 2 ** 48 - 1

/** @throws RangeError for times and generations that no clock and no client reach */
export function encodeSession(session: Session): Buffer {
  const header = Buffer.alloc(headerLength)
  header.writeUInt8(session.jkt === null ? layout.version : layout.boundVersion, 0)
  header.writeUInt8(
    (session.presented ? flags.presented : 0) |
      (session.idempotencyKey === null ? 0 : flags.hasDigest),
    1,
  )
  header.writeUIntBE(session.generation, 2, 5)
  header.writeUIntBE(session.mintedAtMs, 7, 6)
  header.writeUIntBE(Math.min(session.expiresAtMs, endlessMs), 13, 6)
  header.writeUIntBE(Math.min(session.endsAtMs, endlessMs), 19, 6)
  header.writeUIntBE(session.createdAtMs, 25, 6)
  header.writeUIntBE(session.revokedAtMs ?? 0, 31, 6)
  const { sub, clientId, scope, amr, userAgent } = session
  const rest = Buffer.from(JSON.stringify([sub, clientId, scope, amr, abridge(userAgent)]))
  const jkt = Buffer.from(session.jkt ?? '', 'base64url')
  return Buffer.concat([header, session.idempotencyKey ?? Buffer.alloc(0), jkt, rest])
}

export function decodeSession(sid: string, row: Buffer): Session {
  const isBound = row[0] === layout.boundVersion
  if (row[0] !== layout.version && !isBound) {
    throw new Error('A session has a layout that is not known.')
  }
  const bits = row.readUInt8(1)
  const hasDigest = (bits & flags.hasDigest) !== 0
  const jktStart = headerLength + (hasDigest ? layout.digestLength : 0)
  const restStart = jktStart + (isBound ? layout.digestLength : 0)
  const rest: Rest = JSON.parse(row.toString('utf8', restStart))
  const [sub, clientId, scope, amr, userAgent] = rest
  const revokedAtMs = row.readUIntBE(31, 6)
  return {
    sid,
    sub,
    clientId,
    scope,
    amr,
    userAgent: unabridge(userAgent),
    createdAtMs: row.readUIntBE(25, 6),
    endsAtMs: endOf(row.readUIntBE(19, 6)),
    expiresAtMs: endOf(row.readUIntBE(13, 6)),
    generation: row.readUIntBE(2, 5),
    mintedAtMs: row.readUIntBE(7, 6),
    presented: (bits & flags.presented) !== 0,
    idempotencyKey: hasDigest ? Buffer.from(row.subarray(headerLength, jktStart)) : null,
    revokedAtMs: revokedAtMs === 0 ? null : revokedAtMs,
    jkt: isBound ? row.toString('base64url', jktStart, restStart) : null,
  }
}

/** Whether a session was ended, and replicas have not confirmed it. */
export function isEndInDoubt(row: Buffer): boolean {
  return (row.readUInt8(1) & flags.isInDoubt) !== 0
}

/** Whether a session was found reused, and the log has not heard of it. */
export function owesLogEntry(row: Buffer): boolean {
  return (row.readUInt8(1) & flags.owesLogEntry) !== 0
}

function endOf(storedMs: number): number {
  return storedMs === endlessMs ? Number.MAX_SAFE_INTEGER : storedMs
}

type Rest = [sub: string, clientId: string, scope: string, amr: string[], userAgent: string]
