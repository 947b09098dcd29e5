import { deepStrictEqual } from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { digest, randomId } from '../../../src/core/secrets.ts'
import type { Session } from '../../../src/stores/ports.ts'
import {
  abbreviate,
  decodeRow,
  encodeHead,
  encodeRow,
  expand,
  toStored,
} from '../../../src/stores/redis/session-row.ts'
import { RedisSessionStore } from '../../../src/stores/redis/session-store.ts'
import { replayKeyBytes, replayKeysBytes } from '../../../src/stores/rotation.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import fc from '../../support/properties.ts'
import { startRedis } from '../../support/redis.ts'
import { rotation, session, t0 } from '../../support/sessions.ts'

/** Sets KEYS[1] to the hexadecimal bytes of ARGV[1]. */
const setHex = `
local function toByte(digits) return string.char(tonumber(digits, 16)) end
redis.call('SET', KEYS[1], (string.gsub(ARGV[1], '..', toByte)))
`

t.test('property: a row is decoded as it was encoded', async () => {
  const time = fc.integer({ min: 1, max: 2 ** 48 - 2 })
  const end = fc.oneof(time, fc.constant(Number.MAX_SAFE_INTEGER))
  const text = fc.string({ unit: 'grapheme' })
  const keys = fc
    .uint8Array({ minLength: replayKeyBytes, maxLength: replayKeysBytes })
    .map((bytes) => Buffer.from(bytes))
  const key = fc.option(fc.string().map(digest))
  const records = fc.record(
    {
      sid: fc.string(),
      sub: text,
      clientId: text,
      scope: text,
      amr: fc.array(text),
      userAgent: text,
      createdAtMs: time,
      endsAtMs: end,
      expiresAtMs: end,
      generation: fc.nat(9_999_999_999),
      mintedAtMs: time,
      presented: fc.boolean(),
      idempotencyKey: key,
      otherKey: key,
      replayKeys: fc.option(keys),
      lateReplayAtMs: fc.option(time),
      retries: fc.option(fc.tuple(time, time)),
      revokedAtMs: fc.option(time),
      jkt: fc.option(fc.string().map((key) => digest(key).toString('base64url'))),
      lacksLogEntry: fc.boolean(),
      isEndUnconfirmed: fc.boolean(),
    },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(records, ({ retries, lacksLogEntry, isEndUnconfirmed, ...record }) => {
      const [firstRetryAtMs, lastRetryAtMs] = retries ?? [null, null]
      const one = { ...record, firstRetryAtMs, lastRetryAtMs }
      const stored = { session: one, lacksLogEntry, isEndUnconfirmed }
      deepStrictEqual(decodeRow(one.sid, encodeRow(stored)), stored)
    }),
  )
})

t.test('a row of an unknown layout is refused', async (t) => {
  const row = encodeRow(toStored(session()))
  for (const version of [0, 5]) {
    row.writeUInt8(version, 0)
    t.throws(() => decodeRow('sid', row), /by a newer version of Gatepass/)
  }
})

t.test('rows of earlier versions are read and changed', async (t) => {
  const server = await startRedis(t)
  const store = closedWith(t, await RedisSessionStore.open(server.url, patient))
  const key = Buffer.alloc(32, 7)
  const jkt = Buffer.alloc(32, 9).toString('base64url')
  const scope = 'data:read'
  const plain = session({
    sid: 'plain',
    scope,
    generation: 5,
    presented: true,
    idempotencyKey: key,
  })
  const bound = session({ sid: 'bound', scope, generation: 5, jkt })
  const times = '000000000503bb2cc3d80003bb2cfac68003bb31ea340003bb2cc3d800000000000000'
  const rest = Buffer.from('["user-1","web","data:read",["pwd"],"test/1.0"]').toString('hex')
  const rows: [Session, string][] = [
    [plain, `0103${times}${'07'.repeat(32)}${rest}`],
    [bound, `0200${times}${'09'.repeat(32)}${rest}`],
  ]
  for (const [one, hex] of rows) {
    await server.ask('EVAL', setHex, '1', `gp:s:${one.sid}`, hex)
    t.same(await store.find(one.sid, t0), one)
    t.equal(encodeRow(toStored(one)).toString('hex'), hex, 'and others are still written so')
    const request = { sid: one.sid, generation: 5, jkt: one.jkt, idempotencyKey: digest('key') }
    t.match(await store.rotate(rotation(request)), { outcome: 'replayed' })
    const changed = {
      ...one,
      presented: true,
      replayKeys: digest('key').subarray(0, replayKeyBytes),
    }
    t.same(await store.find(one.sid, t0), changed)
    t.equal(encodeHead(toStored(changed))[0], one === plain ? 3 : 4)
  }
})

t.test('a session takes less than 300 bytes beyond its keys', async (t) => {
  const server = await startRedis(t)
  const store = closedWith(t, await RedisSessionStore.open(server.url, patient))
  const usage = async (key: string) => Number(await server.ask('MEMORY', 'USAGE', key))
  const userAgent =
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'
  const [sid, sub] = [randomId(), randomUUID()]
  await store.create(session({ sid, sub, userAgent, idempotencyKey: digest('key') }))
  let bytes = 0
  for (const key of [`gp:s:${sid}`, `gp:u:${sub}`]) {
    bytes += await usage(key)
    await server.ask('SET', key, '', 'KEEPTTL')
    bytes -= await usage(key)
  }
  t.ok(bytes > 200 && bytes < 300, `${bytes} bytes`)
})

const chrome =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'

t.test('abbreviations halve the User-Agent of a browser', async (t) => {
  const browsers = [
    chrome,
    `${chrome} Edg/140.0.0.0`,
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15',
    'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
  ]
  for (const text of browsers) {
    t.ok(abbreviate(text).length < text.length, text)
    t.equal(expand(abbreviate(text)), text)
  }
  t.ok(abbreviate(chrome).length * 2 < chrome.length + 4, abbreviate(chrome))
})

t.test('a User-Agent without abbreviations is read as it is', async (t) => {
  t.equal(expand(chrome), chrome)
  t.equal(expand(abbreviate('curl/8.5.0')), 'curl/8.5.0')
})

t.test('property: any text comes back, with marks in it too', async () => {
  const piece = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom('\x7f', '\x7fM', 'M', 'K', chrome, 'Mozilla/5.0 ('),
  )
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const text = pieces.join('')
      return expand(abbreviate(text)) === text
    }),
  )
})
