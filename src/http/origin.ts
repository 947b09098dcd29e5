import type { IncomingMessage } from 'node:http'
import { GatepassError } from '../core/errors.ts'

/**
 * Refuses a call that a page of another site makes with the user's cookie (I3). A browser says who
 * calls in `Sec-Fetch-Site` and `Origin`, and no page can change them; what sends neither is not a
 * browser and has no cookies of a victim.
 */
export class OriginGuard {
  readonly #allowed: ReadonlySet<string>

  /** @param allowed the origin of the issuer itself, and those of its front ends */
  constructor(allowed: readonly string[]) {
    this.#allowed = new Set(allowed)
  }

  allows({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
    const site = headers['sec-fetch-site']
    if (site === 'same-origin' || site === 'none') return true
    const { origin } = headers
    return origin === undefined ? site === undefined : this.#allowed.has(origin)
  }

  /** @throws `origin_not_allowed` */
  check(request: Pick<IncomingMessage, 'headers'>): void {
    if (!this.allows(request)) throw new GatepassError('origin_not_allowed')
  }
}
