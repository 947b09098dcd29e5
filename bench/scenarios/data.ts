import type { Headers } from '../harness/http.ts'
import type { Server } from '../harness/processes.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { served } from '../harness/subjects.ts'
import { newSecret } from '../issuer.ts'
import { startOnRedis } from '../stores.ts'
import { bearer, createSigner, headerTraffic } from '../tokens.ts'

/** Sessions that send requests in turn. No session has two requests in progress. */
const sessions = 2_048
const peer = '@fastify/session'

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
    return cartSubjects(peer, start, signIn, bench)
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
    const comparedWith = name === peer ? [] : [`${peer}, ${what}`]
    const traffic = async (url: string) => {
      const signedIn = await signIn(url)
      // Each session has a cart before the load.
      for (const headers of signedIn) await fetch(url, { method: 'POST', headers })
      return headerTraffic(signedIn, { method, path: '/cart' })
    }
    return served({ name: `${name}, ${what}`, comparedWith, start, traffic }, bench)
  }
  return [subject('read', 'GET'), subject('change', 'POST')]
}
