import type { Session } from '../ports.ts'
import { abridge, unabridge } from './abridge.ts'

/**
 * A session as one value of Redis: what refreshes change in fixed fields at the front, then the
 * fields that few sessions have, then what never changes, as JSON for people to read, with the
 * User-Agent abridged (abridge.ts).
 *
 * With its place in the list of its user it costs 240 bytes beyond their keys, if the User-Agent is a
 * browser's. As a hash the value alone would cost 780, since one field over 64 bytes makes Redis give up
 * its compact form.
 *
 * | byte | holds |
 * | --- | --- |
 * | 0 | the version of this layout: 1, plus 1 for a session bound to a key, plus 2 for a flag above 8 |
 * | 1 | flags: 4 the log lacks its revocation, 8 its end is unconfirmed, the others below |
 * | 2 | generation, 5 bytes |
 * | 7, 13, 19, 25, 31 | minted, expires, ends, created, revoked (0: it is not), 6 bytes each, ms |
 * | 37 | flag 2: the digest of the Idempotency-Key that minted the generation, 32 bytes |
 * | then | flag 16: the first and the last retry, 6 bytes each, ms |
 * | then | flag 32: the digest of the other key, 32 bytes |
 * | then | flag 64: how many bytes of replay keys follow, 1 byte, and those |
 * | then | flag 128: the late replay, 6 bytes, ms |
 * | then | version 2 or 4: the thumbprint of the key that the session is bound to, 32 bytes |
 * | then | `[sub, clientId, scope, amr, userAgent]` |
 *
 * Flag 1 says that the generation was presented. The scripts read and write the same (session-scripts.ts). An
 * issuer that does not know a version refuses the session, so it neither skips the proof of a key nor
 * loses a field.
 */
export const layout = {
  versionMin: 1,
  versionMax: 4,
  /** Added to the version. */
  bound: 1,
  extended: 2,
  header: '>BBI5I6I6I6I6I6',
  digestLength: 32,
  timeLength: 6,
} as const

export const flags = {
  presented: 1,
  hasDigest: 2,
  owesLogEntry: 4,
  isInDoubt: 8,
  hasRetries: 16,
  hasOtherKey: 32,
  hasReplayKeys: 64,
  hasLateReplay: 128,
} as const

/** The lowest flag that issuers of versions 1 and 2 do not know. */
export const firstExtendedFlag = flags.hasRetries

const headerLength = 37

export function sessionKey(sid: string): string {
  return `gp:s:${sid}`
}

/** The last time that six bytes hold, in the year 10889; it stands for `Number.MAX_SAFE_INTEGER`. */
const endlessMs = 2 ** 48 - 1

/** @throws RangeError for times and generations that no clock and no client reach */
export function encodeSession(session: Session): Buffer {
  const { idempotencyKey, firstRetryAtMs, lastRetryAtMs, otherKey, replayKeys } = session
  const { lateReplayAtMs, jkt } = session
  const bits =
    (session.presented ? flags.presented : 0) |
    (idempotencyKey === null ? 0 : flags.hasDigest) |
    (firstRetryAtMs === null ? 0 : flags.hasRetries) |
    (otherKey === null ? 0 : flags.hasOtherKey) |
    (replayKeys === null ? 0 : flags.hasReplayKeys) |
    (lateReplayAtMs === null ? 0 : flags.hasLateReplay)
  const header = Buffer.alloc(headerLength)
  const version =
    layout.versionMin +
    (jkt === null ? 0 : layout.bound) +
    (bits < firstExtendedFlag ? 0 : layout.extended)
  header.writeUInt8(version, 0)
  header.writeUInt8(bits, 1)
  header.writeUIntBE(session.generation, 2, 5)
  header.writeUIntBE(session.mintedAtMs, 7, 6)
  header.writeUIntBE(Math.min(session.expiresAtMs, endlessMs), 13, 6)
  header.writeUIntBE(Math.min(session.endsAtMs, endlessMs), 19, 6)
  header.writeUIntBE(session.createdAtMs, 25, 6)
  header.writeUIntBE(session.revokedAtMs ?? 0, 31, 6)
  const { sub, clientId, scope, amr, userAgent } = session
  return Buffer.concat([
    header,
    idempotencyKey ?? none,
    timeOf(firstRetryAtMs),
    timeOf(lastRetryAtMs),
    otherKey ?? none,
    replayKeys === null ? none : Buffer.from([replayKeys.length, ...replayKeys]),
    timeOf(lateReplayAtMs),
    Buffer.from(jkt ?? '', 'base64url'),
    Buffer.from(JSON.stringify([sub, clientId, scope, amr, abridge(userAgent)])),
  ])
}

const none = Buffer.alloc(0)

function timeOf(ms: number | null): Buffer {
  if (ms === null) return none
  const bytes = Buffer.alloc(layout.timeLength)
  bytes.writeUIntBE(ms, 0, layout.timeLength)
  return bytes
}

export function decodeSession(sid: string, row: Buffer): Session {
  const version = row[0] ?? 0
  if (version < layout.versionMin || version > layout.versionMax) {
    throw new Error('A session has a layout that is not known.')
  }
  const isBound = ((version - layout.versionMin) & layout.bound) !== 0
  const bits = row.readUInt8(1)
  let at = headerLength
  const bytes = (length: number) => {
    at += length
    return row.subarray(at - length, at)
  }
  const digest = (flag: number) =>
    (bits & flag) === 0 ? null : Buffer.from(bytes(layout.digestLength))
  const time = (flag: number) =>
    (bits & flag) === 0 ? null : bytes(layout.timeLength).readUIntBE(0, layout.timeLength)
  // In the order of the layout.
  const used = {
    presented: (bits & flags.presented) !== 0,
    idempotencyKey: digest(flags.hasDigest),
    firstRetryAtMs: time(flags.hasRetries),
    lastRetryAtMs: time(flags.hasRetries),
    otherKey: digest(flags.hasOtherKey),
    replayKeys: (bits & flags.hasReplayKeys) === 0 ? null : Buffer.from(bytes(bytes(1)[0] ?? 0)),
    lateReplayAtMs: time(flags.hasLateReplay),
    jkt: isBound ? bytes(layout.digestLength).toString('base64url') : null,
  }
  const rest: Rest = JSON.parse(row.toString('utf8', at))
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
    ...used,
    revokedAtMs: revokedAtMs === 0 ? null : revokedAtMs,
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
