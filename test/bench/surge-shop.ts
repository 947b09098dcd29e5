import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ClientScheme, RunningSystem, System } from '../../bench/old/surge/system.ts'

/** What may be wrong with a shop that is made up, in one process, with all it knows in memory. */
export interface Wrongs {
  /** Refuses so many of the renewals. */
  readonly forgets?: number
  /** Acknowledges so many of the additions, and keeps nothing of them. */
  readonly loses?: number
  /** Adds so many of the additions twice. */
  readonly doubles?: number
  /** Answers 500 to so many of the requests. */
  readonly breaks?: number
  /** Answers 503 to so many, which a repeat makes good. */
  readonly stumbles?: number
  /** How long a session is still accepted after a sign-out everywhere. */
  readonly lags_ms?: number
}

const products = ['hat', 'mug', 'map'].map((id) => ({ id }))
const life_ms = 600

interface Held {
  readonly user: string
  readonly cart: Map<string, number>
  untilMs: number
}

export function madeUpShop(wrongs: Wrongs = {}): System {
  return { name: 'made-up', title: 'Made up', start: () => startMadeUpShop(wrongs) }
}

async function startMadeUpShop(wrongs: Wrongs): Promise<RunningSystem> {
  const shop = new MadeUpShop(wrongs)
  const server = createServer((request, response) => void shop.answer(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    ...{ url, scheme, setUp: [] },
    guards: () => [`${url}/preferences`],
    act: async (action) => (action === 'kill-shop' ? 'nothing happened' : null),
    async stop() {
      server.closeAllConnections()
      server.close()
    },
  }
}

const post = { method: 'POST', isRepeatable: true } as const

const scheme: ClientScheme = {
  async login(ask, { name }) {
    const answer = await ask({ ...post, path: '/login', body: { name } })
    if (answer.status !== 200) return answer
    const { id } = answer.body as { id: string }
    return { headers: { 'x-session': id }, life_ms, secret: id }
  },
  async refresh(ask, { headers, secret }) {
    const answer = await ask({ ...post, path: '/refresh', headers })
    return answer.status === 200 ? { headers, life_ms, secret } : answer
  },
  logout: (ask, { headers }) => ask({ ...post, path: '/logout', headers }),
  signOutEverywhere: (ask, { headers }) => ask({ ...post, path: '/logout/all', headers }),
}

class MadeUpShop {
  readonly #wrongs: Wrongs
  readonly #sessions = new Map<string, Held>()
  readonly #keys = new Set<string>()

  constructor(wrongs: Wrongs) {
    this.#wrongs = wrongs
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part)
    const text = Buffer.concat(parts).toString()
    const call = `${request.method} ${request.url}`
    const [status, body] = this.#answer(call, request, text === '' ? {} : JSON.parse(text))
    const headers = { 'x-replica': 'only', 'content-type': 'application/json' }
    response.writeHead(status, headers).end(JSON.stringify(body))
  }

  #answer(call: string, { headers }: IncomingMessage, body: Body): [number, unknown?] {
    const id = String(headers['x-session'] ?? '')
    const held = this.#sessions.get(id)
    if (call === 'POST /login') return [200, { id: this.#begin(body.name ?? '') }]
    if (call === 'GET /products') return [200, { products }]
    if (call === 'POST /logout') return [this.#sessions.delete(id) ? 204 : 401]
    if (held === undefined || Date.now() > held.untilMs) return [401, { code: 'unknown' }]
    if (call === 'POST /refresh') return [chance(this.#wrongs.forgets) ? 401 : 200]
    if (call === 'POST /logout/all') return this.#end(held)
    if (call === 'GET /preferences') return [200, {}]
    if (chance(this.#wrongs.breaks)) return [500, { code: 'broken' }]
    if (chance(this.#wrongs.stumbles)) return [503]
    return this.#shop(call, held.cart, body, String(headers['idempotency-key']))
  }

  #shop(call: string, cart: Held['cart'], body: Body, key: string): [number, unknown?] {
    const [method, path] = call.split(' ')
    if (call === 'POST /cart/items') this.#add(cart, body.product ?? '', key)
    if (method === 'DELETE') cart.delete(path?.split('/').at(-1) ?? '')
    const items = [...cart].map(([product, quantity]) => ({ product, quantity }))
    if (call !== 'POST /checkout') return [200, { items }]
    cart.clear()
    return items.length === 0 ? [409, { code: 'cart_empty' }] : [201, { lines: items }]
  }

  #add(cart: Held['cart'], product: string, key: string): void {
    const { loses, doubles } = this.#wrongs
    if (this.#keys.has(key) || chance(loses)) return
    this.#keys.add(key)
    cart.set(product, (cart.get(product) ?? 0) + (chance(doubles) ? 2 : 1))
  }

  #begin(user: string): string {
    const id = randomUUID()
    this.#sessions.set(id, { user, cart: new Map(), untilMs: Number.POSITIVE_INFINITY })
    return id
  }

  #end({ user }: Held): [number] {
    const untilMs = Date.now() + (this.#wrongs.lags_ms ?? -1)
    for (const held of this.#sessions.values()) {
      // One that has ended before does not come back.
      if (held.user === user) held.untilMs = Math.min(held.untilMs, untilMs)
    }
    return [204]
  }
}

interface Body {
  readonly name?: string
  readonly product?: string
}

function chance(share = 0): boolean {
  return Math.random() < share
}
