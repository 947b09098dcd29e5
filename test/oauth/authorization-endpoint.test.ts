import t from 'tap'
import {
  InteractionCodec,
  interactionLifetimeMs,
  unverifiedInteraction,
} from '../../src/oauth/authorization-endpoint.ts'
import { FakeClock } from '../support/clock.ts'
import { encode } from '../support/tokens.ts'

const secrets = [Buffer.from('a new secret'), Buffer.from('an old secret')] as const
const interaction = { parameters: { client_id: 'app', state: 'ä"<' }, startedAtMs: 0 }

t.test('a form is accepted from the browser that received it, for an hour', async (t) => {
  const clock = new FakeClock()
  const codec = new InteractionCodec([...secrets], clock)
  const given = { ...interaction, startedAtMs: clock.nowMs(), sid: 'a session', pushedId: 'par.x' }
  const text = codec.encode(given, 'browser')
  t.same(codec.decode(text, 'browser'), given)
  const expired = { code: 'form_expired' }
  t.throws(() => codec.decode(text, 'another browser'), expired)
  t.throws(() => codec.decode(text, undefined), expired)
  t.throws(() => codec.decode(undefined, 'browser'), expired)
  t.throws(() => codec.decode(`x${text}`, 'browser'), expired)
  t.throws(() => codec.decode(text.replace('.', 'x.'), 'browser'), expired)
  t.throws(() => new InteractionCodec([secrets[1]], clock).decode(text, 'browser'), expired)
  clock.advanceMs(interactionLifetimeMs + 1)
  t.throws(() => codec.decode(text, 'browser'), expired)
})

t.test('a form of an older secret is accepted', async (t) => {
  const clock = new FakeClock()
  const text = new InteractionCodec([secrets[1]], clock).encode(
    { ...interaction, startedAtMs: clock.nowMs() },
    'browser',
  )
  t.match(new InteractionCodec([...secrets], clock).decode(text, 'browser'), {
    parameters: interaction.parameters,
  })
})

t.test('the interaction of an unverified form is read, or there is none', async (t) => {
  const forge = (content: unknown) => encode(JSON.stringify(content))
  t.same(unverifiedInteraction(`${forge(interaction)}.mac`), interaction)
  for (const content of [
    { parameters: { state: { toString: null } } },
    { parameters: { state: ['a'] } },
    { parameters: ['a'] },
    {},
    null,
  ]) {
    t.equal(unverifiedInteraction(forge(content)), null, forge(content))
  }
  t.equal(unverifiedInteraction(''), null)
})
