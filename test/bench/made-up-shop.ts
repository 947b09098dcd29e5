import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Test } from 'tap'
import type { Fleet } from '../../bench/surge/fleet.ts'
import { type ClientScheme, isGood, post } from '../../bench/surge/system.ts'
import { startHttpServer } from '../support/http-server.ts'

/** Faults of a fake shop. Each is a share, from 0 to 1, unless it says otherwise. */
export interface Faults {
  /** Refreshes that are refused. */
  readonly forgets?: number
  /** Additions that are acknowledged and not stored. */
  readonly loses?: number
  /** Additions that are made twice. */
  readonly doubles?: number
  /** Requests with a response 500. */
  readonly breaks?: number
  /** Requests with a response 503, which a retry repairs: no user gets two in a row. */
  readonly stumbles?: number
  /** How long a session is accepted after a sign-out everywhere, in milliseconds. */
  readonly lagsMs?: number
}

const products = ['hat', 'mug', 'map'].map((id) => ({ id }))
const lifetimeMs = 600

interface Held {
  readonly user: string
  readonly cart: Map<string, number>
  untilMs: number
  hasStumbled: boolean
}

interface Body {
  readonly username?: string
  readonly product?: string
}

const scheme: ClientScheme = {
  async login(ask, username) {
    const answer = await ask(post('/login', {}, { username }))
    if (!isGood(answer)) return answer
    const { id } = answer.body as { id: string }
    return { headers: { 'x-session': id }, lifetimeMs, secret: id }
  },
  async refresh(ask, { headers, secret }) {
    const answer = await ask(post('/refresh', headers))
    return isGood(answer) ? { headers, lifetimeMs, secret } : answer
  },
  logout: (ask, { headers }) => ask(post('/logout', headers)),
  signOutEverywhere: (ask, { headers }) => ask(post('/logout/all', headers)),
}

export async function startMadeUpShop(t: Test, faults: Faults = {}): Promise<Fleet> {
  const shop = new MadeUpShop(faults)
  const { url } = await startHttpServer(
    t,
    (request, response) => void shop.answer(request, response),
  )
  const disrupt: Fleet['disrupt'] = async (name) =>
    name === 'kill-shop' ? 'nothing happened' : null
  return { url, scheme, disrupt, guards: () => [`${url}/preferences`], processorTime_s: () => ({}) }
}

class MadeUpShop {
  readonly #faults: Faults
  readonly #sessions = new Map<string, Held>()
  readonly #keys = new Set<string>()

  constructor(faults: Faults) {
    this.#faults = faults
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part)
    const text = Buffer.concat(parts).toString()
    const call = `${request.method} ${request.url}`
    const [status, body] = this.#answer(call, request, text === '' ? {} : JSON.parse(text))
    response.writeHead(status).end(JSON.stringify(body))
  }

  #answer(call: string, { headers }: IncomingMessage, body: Body): [number, unknown?] {
    const id = String(headers['x-session'] ?? '')
    const held = this.#sessions.get(id)
    if (call === 'POST /login') return [200, { id: this.#begin(body.username ?? '') }]
    if (call === 'GET /products') return [200, { products }]
    if (call === 'POST /logout') return [this.#sessions.delete(id) ? 204 : 401]
    if (held === undefined || Date.now() > held.untilMs) return [401, { code: 'unknown' }]
    if (call === 'POST /refresh') return [chance(this.#faults.forgets) ? 401 : 200]
    if (call === 'POST /logout/all') return this.#end(held)
    if (call === 'GET /preferences') return [200, {}]
    if (chance(this.#faults.breaks)) return [500, { code: 'broken' }]
    held.hasStumbled = !held.hasStumbled && chance(this.#faults.stumbles)
    if (held.hasStumbled) return [503]
    if (call === 'POST /cart/items') this.#add(held.cart, body, String(headers['idempotency-key']))
    const items = [...held.cart].map(([product, quantity]) => ({ product, quantity }))
    if (call !== 'POST /checkout') return [200, { items }]
    held.cart.clear()
    return items.length === 0 ? [409, { code: 'cart_empty' }] : [201, { lines: items }]
  }

  #add(cart: Held['cart'], { product = '' }: Body, key: string): void {
    const { loses, doubles } = this.#faults
    if (this.#keys.has(key) || chance(loses)) return
    this.#keys.add(key)
    cart.set(product, (cart.get(product) ?? 0) + (chance(doubles) ? 2 : 1))
  }

  #begin(user: string): string {
    const id = randomUUID()
    const untilMs = Number.POSITIVE_INFINITY
    this.#sessions.set(id, { user, cart: new Map(), untilMs, hasStumbled: false })
    return id
  }

  #end({ user }: Held): [number] {
    const untilMs = Date.now() + (this.#faults.lagsMs ?? -1)
    for (const held of this.#sessions.values()) {
      // A session that has ended stays ended.
      if (held.user === user) held.untilMs = Math.min(held.untilMs, untilMs)
    }
    return [204]
  }
}

function chance(share = 0): boolean {
  return Math.random() < share
}
