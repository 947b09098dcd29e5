import t from 'tap'
import type { Revocation } from '../../../src/tokens/revocation-tokens.ts'
import { FakeClock } from '../../support/clock.ts'
import fc from '../../support/properties.ts'
import { makeKey, now_s } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { FeedServer } from './feed-server.ts'
import { follow } from './harness.ts'

type Step =
  | { readonly do: 'revoke'; readonly kind: 'session' | 'user'; readonly n: number; at: number }
  | { readonly do: 'lose'; readonly kind: 'session' | 'user'; readonly n: number; at: number }
  | { readonly do: 'replay'; readonly n: number }
  | { readonly do: 'cut' | 'restart' | 'refuse' | 'allow' | 'heartbeat' | 'reconnect' }

const subject = {
  kind: fc.constantFrom('session' as const, 'user' as const),
  n: fc.nat(3),
  at: fc.integer({ min: now_s - 20, max: now_s }),
}
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { arbitrary: fc.record({ do: fc.constant('revoke' as const), ...subject }), weight: 4 },
    { arbitrary: fc.record({ do: fc.constant('lose' as const), ...subject }), weight: 2 },
    { arbitrary: fc.record({ do: fc.constant('replay' as const), n: fc.nat(9) }), weight: 2 },
    {
      arbitrary: fc.record({
        do: fc.constantFrom('cut', 'restart', 'refuse', 'allow', 'heartbeat', 'reconnect' as const),
      }),
      weight: 4,
    },
  ) as fc.Arbitrary<Step>,
  { maxLength: 12 },
)

/** The latest time for each subject. */
class Model {
  readonly #times = new Map<string, number>()

  add({ kind, id, atMs }: Revocation): void {
    const name = `${kind} ${id}`
    this.#times.set(name, Math.max(atMs / 1000, this.#times.get(name) ?? 0))
  }

  isRevoked(kind: string, id: string, iat: number): boolean {
    const until_s = this.#times.get(`${kind} ${id}`)
    return until_s !== undefined && (kind === 'session' || iat <= until_s)
  }
}

t.test('the list converges, whatever is lost, cut, repeated or restarted', async (t) => {
  const key = makeKey('ES256')
  await fc.assert(
    fc.asyncProperty(steps, async (steps) => {
      const feed = await FeedServer.open(t, key)
      const clock = new FakeClock(now_s * 1000)
      const one = follow(t, feed, clock, [key.publicJwk])
      // A verifier may miss an entry that has left the log, but never invents one.
      const ever = new Model()
      try {
        for (const step of steps) await take(step, feed, ever)
        feed.onStream = null
        const must = new Model()
        for (const entry of feed.log) must.add(entry)
        const last = await feed.add('session', 'last')
        ever.add(last)
        await until('it has all that the log holds', () => agrees(one, must, ever))
      } finally {
        await one.verifier.close()
        await feed.close()
      }
    }),
    { numRuns: 25 },
  )
  t.pass('they agree')
})

async function take(step: Step, feed: FeedServer, ever: Model): Promise<void> {
  if (step.do === 'revoke' || step.do === 'lose') {
    const fate = step.do === 'lose' ? 'lost' : 'sent'
    ever.add(await feed.add(step.kind, `${step.kind}-${step.n}`, step.at, fate))
  } else if (step.do === 'replay') {
    const entry = feed.log[step.n]
    if (entry !== undefined) await feed.send(entry)
  } else if (step.do === 'cut') feed.cut()
  else if (step.do === 'restart') feed.restartLog()
  else if (step.do === 'refuse') {
    feed.onStream = (_request, response) => response.writeHead(503).end()
    feed.cut()
  } else if (step.do === 'allow') feed.onStream = null
  else if (step.do === 'heartbeat') feed.heartbeat()
  else await until('it follows', () => feed.onStream !== null || feed.followers > 0)
}

/** Whether all that must be refused is, and nothing that was never revoked. */
async function agrees(one: ReturnType<typeof follow>, must: Model, ever: Model): Promise<boolean> {
  if ((await one.answer({ sid: 'last' })) !== 'token_revoked') return false
  for (const n of [0, 1, 2, 3]) {
    for (const iat of [now_s - 20, now_s - 10, now_s]) {
      for (const kind of ['session', 'user']) {
        const claims = {
          iat,
          sid: 'session-x',
          sub: 'user-x',
          [kind === 'user' ? 'sub' : 'sid']: `${kind}-${n}`,
        }
        const isRefused = (await one.answer(claims)) === 'token_revoked'
        if (must.isRevoked(kind, `${kind}-${n}`, iat) && !isRefused) return false
        if (isRefused && !ever.isRevoked(kind, `${kind}-${n}`, iat)) {
          throw new Error(`${kind}-${n} was never revoked`)
        }
      }
    }
  }
  return true
}
