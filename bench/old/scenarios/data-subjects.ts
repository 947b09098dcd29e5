import { randomId } from '../../../src/core/secrets.ts'
import { DataService } from '../../../src/data/data-service.ts'
import { openDataStore } from '../../../src/stores/open-stores.ts'
import type { AccessTokenClaims } from '../../../src/tokens/claims.ts'
import type { Bench, Subject } from '../harness/scenario.ts'
import { type ServedSubject, served } from '../harness/subjects.ts'
import type { Store } from '../stores/daemon.ts'
import { roundTripsOf } from '../stores/redis.ts'
import { audience, createSigningKey, issuer, signTokens } from './access-tokens.ts'
import { linesTraffic } from './guarded-traffic.ts'

/** So many sessions ask in turn: no two requests of one are under way at once. */
const sessionCount = 2_048
/** What is in a cart, and what a request is answered. */
export const cart = { shirt: 2, hat: 1, 'shoes-42': 1 }
const countedRequests = 50

/** Servers that do one thing with one field of each of these sessions. */
export interface DataServers {
  subject(
    name: string,
    what: 'read' | 'update' | 'compare-and-set' | 'set' | 'set, encrypted',
  ): Subject
  /** The store answers while the server starts, and then nothing. */
  silenced(name: string, what: 'away' | 'away, unguarded'): Subject
}

export async function dataServers(bench: Bench, store: Store): Promise<DataServers> {
  const { key, jwks } = await createSigningKey()
  const tokens = await signTokens(sessionCount, key)
  const secret = randomId() + randomId()
  await fill(tokens, secret, store.url)
  const args = [store.url, secret, issuer, audience, JSON.stringify(jwks), JSON.stringify(cart)]
  const server = (what: string) => () => ({
    name: what,
    module: new URL('../servers/data.ts', import.meta.url),
    args: [what, ...args],
  })
  const traffic = () => linesTraffic('sessions', 'Authorization: Bearer ', tokens, bench)
  return {
    silenced: (name, what) => silenced({ name, server: server(what), traffic, store }, bench),
    subject: (name, what) =>
      counted(
        {
          name,
          server: server(what),
          ask: async (url) => {
            for (const token of tokens.slice(0, countedRequests)) {
              await askOnce(url, { authorization: `Bearer ${token}` })
            }
          },
          traffic,
          store,
        },
        bench,
      ),
  }
}

/** A server whose store stops answering before the load comes; it keeps its connections. */
function silenced(
  { store, ...subject }: Omit<ServedSubject, 'check' | 'store'> & { readonly store: Store },
  bench: Bench,
): Subject {
  const measured = served(
    { ...subject, check: async () => void process.kill(store.pid, 'SIGSTOP') },
    bench,
  )
  return {
    name: subject.name,
    async measure() {
      try {
        return await measured.measure()
      } finally {
        process.kill(store.pid, 'SIGCONT')
      }
    },
  }
}

async function fill(tokens: readonly string[], secret: string, url: string): Promise<void> {
  const store = await openDataStore(url, '.', { deadlineMs: 5_000, replicas: 0 })
  const lifetimes = { sessionMax_s: 86_400, accessTtl_s: 300, userTtl_s: 86_400 }
  const clock = { nowMs: () => Date.now() }
  const data = new DataService({ ...lifetimes, store, secrets: [secret], clock })
  await Promise.all(
    tokens.map((token) => data.fieldsOf('session', claimsOf(token)).set('cart', cart)),
  )
  await store.close()
}

function claimsOf(token: string): AccessTokenClaims {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

/** The same cart in the sessions of @fastify/session, on the same store. */
export function sessionSubject(name: string, bench: Bench, store: Store): Subject {
  const secret = randomId() + randomId()
  const cookies: string[] = []
  return counted(
    {
      name,
      server: () => ({
        name,
        module: new URL('../servers/fastify-session.ts', import.meta.url),
        args: ['{}', store.url, secret, JSON.stringify(cart)],
      }),
      async signIn(url) {
        if (cookies.length > 0) return
        for (let n = 0; n < sessionCount; n++) {
          const login = await fetch(`${url}/login`)
          await login.arrayBuffer()
          cookies.push(login.headers.get('set-cookie')?.split(';')[0] ?? '')
        }
      },
      ask: async (url) => {
        for (const cookie of cookies.slice(0, countedRequests)) await askOnce(url, { cookie })
      },
      traffic: () => linesTraffic('cookies', 'Cookie: ', cookies, bench),
      store,
    },
    bench,
  )
}

/** Answers are those of the cart, whatever has become of the shirts. */
async function askOnce(url: string, headers: Record<string, string>): Promise<void> {
  const response = await fetch(`${url}/cart`, { headers })
  const answer = (await response.json()) as typeof cart
  if (answer.hat !== cart.hat || !(answer.shirt >= cart.shirt)) throw new Error('it has no cart')
}

interface CountedSubject extends Omit<ServedSubject, 'check' | 'store'> {
  readonly store: Store
  signIn?(url: string): Promise<void>
  /** Sends some requests, each once. */
  ask(url: string): Promise<void>
}

/** A server under load, and how many round trips to its store a request is. */
function counted({ signIn, ask, ...subject }: CountedSubject, bench: Bench): Subject {
  let roundTrips = 0
  const measured = served(
    {
      ...subject,
      async check(url) {
        await signIn?.(url)
        // The first time may ask for more: a script that the store does not know yet.
        await ask(url)
        roundTrips = await roundTripsOf(subject.store.url, () => ask(url))
      },
    },
    bench,
  )
  const measure = async () => ({
    ...(await measured.measure()),
    round_trips: roundTrips / countedRequests,
  })
  return { name: subject.name, measure }
}
