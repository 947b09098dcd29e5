import { randomUUID } from 'node:crypto'
import { startServer } from '../harness/processes.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { served } from '../harness/subjects.ts'
import { startRedis } from '../stores.ts'
import { createSigner, headerTraffic } from '../tokens.ts'

/** So many sessions ask in turn: no two requests of one are under way at once. */
const sessions = 2_048

type Headers = Readonly<Record<string, string>>

export const data: Scenario = {
  name: 'data',
  title: 'a guarded request that reads, or changes, a cart of the session on Redis',
  packages: ['@fastify/session', '@redis/client'],
  async ours(bench) {
    const signer = await createSigner()
    const tokens = await signer.signMany(sessions)
    const signedIn = tokens.map((token) => ({ authorization: `Bearer ${token}` }))
    const args = [randomUUID() + randomUUID(), JSON.stringify(signer.trust)]
    return cartSubjects('gatepass', { program: 'programs/data', args }, async () => signedIn, bench)
  },
  async rivals(bench) {
    const args = [randomUUID() + randomUUID()]
    const signIn = async (url: string) => {
      const login = await fetch(`${url}/login`)
      await login.arrayBuffer()
      return { cookie: login.headers.get('set-cookie')?.split(';')[0] ?? '' }
    }
    const signInAll = async (url: string) => {
      const all: Headers[] = []
      for (let n = 0; n < sessions; n++) all.push(await signIn(url))
      return all
    }
    const server = { program: 'programs/session', args }
    return cartSubjects('@fastify/session', server, signInAll, bench)
  },
}

async function cartSubjects(
  name: string,
  { program, args }: { readonly program: string; readonly args: readonly string[] },
  signIn: (url: string) => Promise<readonly Headers[]>,
  bench: Bench,
): Promise<Subject[]> {
  const redis = await startRedis(`${bench.scratch}/${program}-redis`, bench)
  bench.defer(() => redis.stop())
  let signedIn: readonly Headers[] = []
  const subject = (what: string, method: 'GET' | 'POST') =>
    served(
      {
        name: `${name}, ${what}`,
        start: async () => {
          return {
            ...(await startServer(program, [redis.url, ...args], bench)),
            storePid: redis.pid,
          }
        },
        async check(url) {
          if (signedIn.length === 0) signedIn = await signIn(url)
          for (const headers of signedIn) await checkCart(`${url}/cart`, headers)
        },
        traffic: () => headerTraffic(signedIn, { method, path: '/cart' }),
      },
      bench,
    )
  return [subject('read', 'GET'), subject('change', 'POST')]
}

/** Puts a shirt into the cart of a session, and looks whether it is there. */
async function checkCart(url: string, headers: Headers): Promise<void> {
  const cartOf = async (method: string) => {
    const response = await fetch(url, { method, headers })
    return (await response.json()) as { readonly shirt?: number; readonly hat?: number }
  }
  const { shirt } = await cartOf('POST')
  const cart = await cartOf('GET')
  if (shirt === undefined || cart.shirt !== shirt || cart.hat !== 1) {
    throw new Error('a cart was not kept')
  }
}
