import { randomUUID } from 'node:crypto'
import type { Call } from '../system.ts'

/** What visitors of a shop do, and how often each of it. */
export type ActionKind =
  | 'browse'
  | 'see cart'
  | 'add'
  | 'add two at once'
  | 'remove'
  | 'check out'
  | 'see orders'
  | 'see preferences'
  | 'set preferences'
  | 'sign out and in'

const shares: readonly (readonly [ActionKind, number])[] = [
  ['browse', 0.36],
  ['see cart', 0.14],
  ['add', 0.15],
  ['add two at once', 0.05],
  ['remove', 0.04],
  ['check out', 0.05],
  ['see orders', 0.12],
  ['see preferences', 0.04],
  ['set preferences', 0.04],
  ['sign out and in', 0.01],
]

/** @param random from 0 up to 1 */
export function chooseAction(random: number): ActionKind {
  let rest = random
  for (const [kind, share] of shares) {
    rest -= share
    if (rest < 0) return kind
  }
  return 'browse'
}

/** The requests of the shop that are the same whatever was done before. */
const calls: Partial<Record<ActionKind, Call>> = {
  browse: { method: 'GET', path: '/products', isRepeatable: true },
  'see cart': { method: 'GET', path: '/cart', isRepeatable: true },
  'see orders': { method: 'GET', path: '/orders', isRepeatable: true },
  'see preferences': { method: 'GET', path: '/preferences', isRepeatable: true },
}

/** @param product which one an addition or a removal is about */
export function callFor(kind: ActionKind, product: string): Call {
  const key = { 'idempotency-key': randomUUID() }
  switch (kind) {
    case 'add':
    case 'add two at once': {
      const body = { product, quantity: 1 }
      return { method: 'POST', path: '/cart/items', headers: key, body, isRepeatable: true }
    }
    case 'remove':
      return { method: 'DELETE', path: `/cart/items/${product}`, isRepeatable: true }
    case 'check out':
      return { method: 'POST', path: '/checkout', headers: key, isRepeatable: true }
    case 'set preferences': {
      const body = { language: 'fr', newsletter: true }
      return { method: 'PUT', path: '/preferences', body, isRepeatable: true }
    }
    default:
      return calls[kind] ?? { method: 'GET', path: '/products', isRepeatable: true }
  }
}
