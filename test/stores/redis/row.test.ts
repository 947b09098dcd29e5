import { deepStrictEqual } from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { digest, randomId } from '../../../src/core/secrets.ts'
import { decodeSession, encodeSession } from '../../../src/stores/redis/row.ts'
import { RedisSessionStore } from '../../../src/stores/redis/sessions.ts'
import fc from '../../support/properties.ts'
import { startRedis } from '../../support/redis.ts'
import { session } from '../../support/sessions.ts'

t.test('property: what is read is what was written', async () => {
  const time = fc.integer({ min: 1, max: 2 ** 48 - 2 })
  const end = fc.oneof(time, fc.constant(Number.MAX_SAFE_INTEGER))
  const text = fc.string({ unit: 'grapheme' })
  const sessions = fc.record(
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
      idempotencyKey: fc.option(fc.string().map(digest)),
      revokedAtMs: fc.option(time),
      jkt: fc.option(fc.string().map((key) => digest(key).toString('base64url'))),
    },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(sessions, (one) =>
      deepStrictEqual(decodeSession(one.sid, encodeSession(one)), one),
    ),
  )
})

t.test('a row of another layout is not taken for a session', async (t) => {
  const row = encodeSession(session())
  row.writeUInt8(3, 0)
  t.throws(() => decodeSession('sid', row), /layout/)
})

t.test('a session takes less than 300 bytes beyond what its keys cost', async (t) => {
  const server = await startRedis(t)
  const store = await RedisSessionStore.open(server.url)
  t.teardown(() => store.close())
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
