import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { pidOf, startDev } from '../support/dev.ts'
import { TestProcess } from '../support/processes.ts'
import { serviceEnv, signIn } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

interface Listed {
  readonly name: string
  readonly kind: string
  readonly ready: boolean
}

/** The playground as its page asks it. */
class Caller {
  readonly #issuer: string

  constructor(issuer: string) {
    this.#issuer = issuer
  }

  ask(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { origin: this.#issuer, ...(init.headers as Record<string, string>) }
    return fetch(`${this.#issuer}/playground/${path}`, { ...init, headers })
  }

  async state(): Promise<{
    replicas: Listed[]
    keys: { kid: string; state: string }[]
    events: { event: string }[]
  }> {
    return (await this.ask('state')).json() as never
  }

  /** The names of those that take requests. */
  async ready(): Promise<string[]> {
    const { replicas } = await this.state()
    return replicas.filter(({ ready }) => ready).map(({ name }) => name)
  }

  async add(kind: string): Promise<string> {
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ kind })
    const answer = await this.ask('replicas', { method: 'POST', body, headers })
    t.equal(answer.status, 201)
    return ((await answer.json()) as { name: string }).name
  }
}

async function environmentOf(cwd: string, name: string): Promise<string> {
  return readFileSync(`/proc/${await pidOf(cwd, name)}/environ`, 'utf8')
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`)
}

t.test('replicas are killed and added while requests continue', async (t) => {
  const cwd = createTestFolder(t)
  const { dev, password, issuer } = await startDev(t, { cwd })
  const caller = new Caller(issuer)
  const { access_token } = await signIn(issuer, { username: 'demo', password })
  const headers = { authorization: `Bearer ${access_token}` }
  t.match(dev.stdout, `playground  ${issuer}/#password=${password}`)
  t.same(await caller.ready(), ['verifier-1', 'verifier-2'])
  t.match(await environmentOf(cwd, 'issuer'), '\0GATEPASS_SECRET=')
  const environment = await environmentOf(cwd, 'verifier-1')
  t.notMatch(environment, '\0GATEPASS_SECRET=', 'replicas need no such thing')
  t.match(environment, '\0GATEPASS_DATA_SECRET=')

  // Requests, one after the other, through all that is done below.
  const met = new Map<string, number>()
  const wrong: number[] = []
  let isOver = false
  const traffic = Promise.all(
    [0, 1].map(async () => {
      while (!isOver) {
        const { status, headers: answered } = await caller.ask('verifier/verify', { headers })
        const replica = answered.get('x-replica') ?? 'none'
        met.set(replica, (met.get(replica) ?? 0) + 1)
        if (status !== 200) wrong.push(status)
      }
    }),
  )
  const pid = await pidOf(cwd, 'verifier-1')
  const stopped = await caller.ask('replicas/verifier-1', { method: 'DELETE' })
  t.equal(stopped.status, 204)
  t.notOk(isAlive(pid), 'it is dead, and not told to end')
  t.equal(await caller.add('verifier'), 'verifier-3')
  const meetsNew = () => (met.get('verifier-3') ?? 0) > 0
  await until('the new one answers', meetsNew)
  t.equal((await caller.ask('replicas/verifier-2', { method: 'DELETE' })).status, 204)

  const rotated = await caller.ask('keys/rotate', { method: 'POST' })
  const { kid } = (await rotated.json()) as { kid: string }
  const { keys, events } = await caller.state()
  t.match(
    keys.map((key) => `${key.state} ${key.kid}`),
    [/^active /, `pending ${kid}`],
  )
  t.match(
    events.map(({ event }) => event),
    ['key.created', 'key.activated', 'login.ok', 'key.created'],
  )

  // The shop came with the first look at the state.
  await until('the shop is there', async () => (await caller.ready()).includes('shop-2'))
  const cart = await caller.ask('shop/cart', { headers })
  t.equal(cart.status, 200)
  t.match(cart.headers.get('x-replica'), /^shop-[12]$/)
  isOver = true
  await traffic
  t.same(wrong, [], 'nobody noticed')

  // One that was added may die by itself, and takes nothing along.
  t.equal(await caller.add('verifier'), 'verifier-4')
  process.kill(await pidOf(cwd, 'verifier-3'), 'SIGKILL')
  const lost = 'The verifier-3 exited (exit code 137). The other processes keep running.\n'
  await until('it is said', () => dev.stderr === lost)
  t.same((await caller.ready()).sort(), ['shop-1', 'shop-2', 'verifier-4'])
  t.equal(await dev.stop('SIGINT'), 0)
  t.equal(dev.stderr, lost)
  for (const name of ['issuer', 'verifier-4']) t.notOk(isAlive(await pidOf(cwd, name)), name)
})

t.test('the playground can be disabled, and `gatepass issuer` has none', async (t) => {
  const cwd = createTestFolder(t)
  const { dev, issuer } = await startDev(t, { cwd, env: { GATEPASS_PLAYGROUND: 'false' } })
  t.equal((await fetch(`${issuer}/`)).status, 404)
  t.notMatch(dev.stdout, 'playground')
  await dev.stop()
  const env = {
    ...serviceEnv,
    GATEPASS_MODE: 'development',
    GATEPASS_SECRET: undefined,
    GATEPASS_SECRET_FILE: join(cwd, '.gatepass/secret'),
  }
  const plain = TestProcess.start(t, ['issuer'], { cwd, env })
  const { url } = await plain.ready()
  t.equal((await fetch(url)).status, 404)
  t.equal(await plain.stop(), 0)
})
