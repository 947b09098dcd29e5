import t from 'tap'
import { InteractionCodec, interactionLifetimeMs } from '../../src/oauth/authorization-endpoint.ts'
import { FakeClock } from '../support/clock.ts'
import { encode } from '../support/tokens.ts'

const secrets = [Buffer.from('a new secret'), Buffer.from('an old secret')] as const
const interaction = { parameters: { client_id: 'app', state: 'ä"<' }, startedAtMs: 0 }

t.test('a form is accepted from the browser that received it, for an hour', async (t) => {
  const clock = new FakeClock()
  const codec = new InteractionCodec([...secrets], clock)
  const given = { ...interaction, startedAtMs: clock.nowMs(), sub: 'a user', pushedId: 'par.x' }
  const text = await codec.encode(given, 'browser')
  t.match(await codec.decode(text, 'browser'), given)
  const expired = { code: 'form_expired' }
  await t.rejects(codec.decode(text, 'another browser'), expired)
  await t.rejects(codec.decode(text, undefined), expired)
  await t.rejects(codec.decode(null, 'browser'), expired)
  await t.rejects(codec.decode(`x${text}`, 'browser'), expired)
  await t.rejects(codec.decode(text.replace('.', 'x.'), 'browser'), expired)
  await t.rejects(new InteractionCodec([secrets[1]], clock).decode(text, 'browser'), expired)
  clock.advanceMs(interactionLifetimeMs + 1)
  await t.rejects(codec.decode(text, 'browser'), expired)
  t.match(await codec.read(text), given, 'its request can start again')
})

t.test('a form of an older secret is accepted', async (t) => {
  const clock = new FakeClock()
  const text = await new InteractionCodec([secrets[1]], clock).encode(
    { ...interaction, startedAtMs: clock.nowMs() },
    'browser',
  )
  t.match(await new InteractionCodec([...secrets], clock).decode(text, 'browser'), {
    parameters: interaction.parameters,
  })
})

t.test('a text that the issuer did not make is no interaction', async (t) => {
  const codec = new InteractionCodec([...secrets], new FakeClock())
  const jwe = (header: object) => `${encode(JSON.stringify(header))}.x.x.x.x`
  for (const text of [
    null,
    '',
    `${encode(JSON.stringify(interaction))}.mac`,
    jwe({ alg: 'dir', enc: 'A256GCM' }),
    jwe({ alg: 'PBES2-HS256+A128KW', enc: 'A256GCM', p2c: 1e9, p2s: 'x' }),
  ]) {
    t.equal(await codec.read(text), null)
  }
})
