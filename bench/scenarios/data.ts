import { type Headers, inTurns } from '../harness/http.ts'
import type { Server } from '../harness/processes.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { serverSubject } from '../harness/subjects.ts'
import { newSecret } from '../issuer.ts'
import { startOnRedis } from '../stores.ts'
import { bearer, checkSamples, createSigner, headerTraffic } from '../tokens.ts'

/** Sessions that send requests in turn. A session has only one request in progress. */
const sessions = 2_048
/** Concurrent requests outside a measurement. */
const maxRequests = 32
const rival = '@fastify/session'

export const data: Scenario = {
  name: 'data',
  title: 'a guarded request that reads, or changes, a cart of the session on Redis',
  async ours(bench) {
    const signer = await createSigner()
    const tokens = await signer.signMany(sessions)
    const signedIn = tokens.map(bearer)
    const args = [newSecret(), JSON.stringify(signer.trust)]
    const start = () => startOnRedis('programs/data', args, bench)
    return cartSubjects('gatepass', start, async () => signedIn, bench)
  },
  async rivals(bench) {
    const start = () => startOnRedis('programs/session', [newSecret()], bench)
    const signIn = (url: string) => signInByCookie(url, sessions)
    return cartSubjects(rival, start, signIn, bench)
  },
}

/** Creates sessions of programs/session.ts. @returns their headers */
export async function signInByCookie(url: string, count: number): Promise<Headers[]> {
  const all: Headers[] = []
  for (let n = 0; n < count; n++) {
    const login = await fetch(`${url}/login`)
    await login.arrayBuffer()
    all.push({ cookie: login.headers.get('set-cookie')?.split(';')[0] ?? '' })
  }
  return all
}

function cartSubjects(
  name: string,
  start: () => Promise<Server>,
  signIn: (url: string) => Promise<readonly Headers[]>,
  bench: Bench,
): Subject[] {
  const subject = (what: string, method: 'GET' | 'POST') => {
    const comparedWith = name === rival ? [] : [`${rival}, ${what}`]
    const traffic = async (url: string) => {
      const signedIn = await signIn(url)
      await inTurns(signedIn, maxRequests, (headers) => fillCart(url, headers))
      return headerTraffic(signedIn, { method, path: '/cart' })
    }
    const check = (url: string) => checkSamples({ absent: '' }, url)
    return serverSubject({ name: `${name}, ${what}`, comparedWith, start, check, traffic }, bench)
  }
  return [subject('read', 'GET'), subject('change', 'POST')]
}

/** @throws if the cart is not stored */
async function fillCart(url: string, headers: Headers): Promise<void> {
  await (await fetch(url, { method: 'POST', headers })).arrayBuffer()
  const cart = await (await fetch(url, { headers })).json()
  if (!Object.hasOwn(cart as object, 'shirt')) throw new Error('A cart is not stored.')
}
