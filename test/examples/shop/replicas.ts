import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import type { Test } from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { type ProcessOptions, TestProcess } from '../../support/processes.ts'
import { projectFolder } from '../../support/project.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { audience, claimsWith, issuer, makeKey, mint } from '../../support/tokens.ts'
import { JwksServer, serve } from '../../verifier/jwks-server.ts'

/** Replicas of the shop, as processes, and customers who call them. */

const key = makeKey('ES256')
const shop = [process.execPath, join(projectFolder, 'examples/shop/main.ts')]

/** The public half, for a verifier that needs no issuer. */
export const verificationKey = key.publicJwk

export const dataSecret = 's'.repeat(43)

/** Publishes the key of the tests like an issuer. Returns settings for replicas. */
export async function publishKeys(t: Test): Promise<Record<string, string>> {
  const keys = await JwksServer.open(t, serve([key]))
  return {
    GATEPASS_ISSUER: issuer,
    GATEPASS_AUDIENCE: audience,
    GATEPASS_JWKS_URL: `${keys.issuer}/jwks`,
    GATEPASS_REVOCATIONS: 'off',
  }
}

export interface Replica {
  readonly name: string
  readonly url: string
  readonly process: TestProcess
}

export async function startReplica(
  t: Test,
  name: string,
  { cwd, env }: Pick<ProcessOptions, 'cwd' | 'env'>,
): Promise<Replica> {
  const process = TestProcess.start(t, [], {
    cwd,
    command: shop,
    env: {
      SHOP_NAME: name,
      SHOP_PORT: '0',
      GATEPASS_DATA_SECRET: dataSecret,
      // A machine that runs tests is slow.
      GATEPASS_DATA_DEADLINE_MS: '5000',
      ...env,
    },
  })
  const { port } = await process.ready()
  return { name, url: `http://127.0.0.1:${port}`, process }
}

/** Several replicas with one store between them. */
export async function startReplicas(
  t: Test,
  count: number,
  env: Readonly<Record<string, string>>,
): Promise<Replica[]> {
  const options = { cwd: createTestFolder(t), env: { ...(await publishKeys(t)), ...env } }
  const names = Array.from({ length: count }, (_, n) => `shop-${n + 1}`)
  return Promise.all(names.map((name) => startReplica(t, name, options)))
}

/** A token of a new session of a new user, with changed claims. */
export function newToken(changes: Readonly<Record<string, unknown>> = {}): string {
  const now_s = Math.floor(Date.now() / 1000)
  const payload = claimsWith({
    sub: randomId(),
    sid: randomId(),
    scope: 'data:read data:write',
    iat: now_s,
    auth_time: now_s,
    exp: now_s + 300,
    ...changes,
  })
  return mint(key, { payload })
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for
  readonly body: any
}

interface CallOptions {
  readonly body?: unknown
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** A user with this token, who calls any replica. */
export function personWith(token: string) {
  async function call(
    method: string,
    replica: Replica | undefined,
    path: string,
    { body, key, headers }: CallOptions = {},
  ): Promise<Answer> {
    const response = await fetch(`${replica?.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(key !== undefined && { 'idempotency-key': key }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text && JSON.parse(text) }
  }
  return {
    call,
    get: (replica: Replica | undefined, path: string) => call('GET', replica, path),
    add: (replica: Replica | undefined, product: string, quantity = 1, key?: string) =>
      call('POST', replica, '/cart/items', {
        body: { product, quantity },
        ...(key !== undefined && { key }),
      }),
    checkOut: (replica: Replica | undefined, key?: string) =>
      call('POST', replica, '/checkout', key === undefined ? {} : { key }),
    /** The quantity of each product in the cart. Repeats the call until the replica answers. */
    async cart(replica: Replica | undefined): Promise<Record<string, number>> {
      const { answer } = await insist([replica], 0, (shop) => call('GET', shop, '/cart'))
      const items = answer.body.items as { product: string; quantity: number }[]
      return Object.fromEntries(items.map(({ product, quantity }) => [product, quantity]))
    },
  }
}

export type Person = ReturnType<typeof personWith>

export const newPerson = (changes: Readonly<Record<string, unknown>> = {}): Person =>
  personWith(newToken(changes))

/** Calls one replica after the other until one answers neither 412 nor a 5xx status. */
export async function insist(
  shops: readonly (Replica | undefined)[],
  first: number,
  act: (shop: Replica | undefined) => Promise<Answer>,
): Promise<{ readonly tries: number; readonly answer: Answer }> {
  for (let tries = 1; ; tries += 1) {
    try {
      const answer = await act(shops[(first + tries) % shops.length])
      if (answer.status < 500 && answer.status !== 412) return { tries, answer }
    } catch {
      // The replica died before or after it did this.
      await turn()
    }
  }
}
