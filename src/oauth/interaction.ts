import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { DerivedMac } from '../core/secrets.ts'
import { isJsonObject, parseStrictJson } from '../tokens/strict-decoding.ts'

/** How long a user may spend on the pages of one request. */
export const interactionLifetimeMs = 3_600_000

/** An authorization request while its user is on the pages of the issuer. */
export interface Interaction {
  /** The validated parameters of the request. */
  readonly parameters: Readonly<Record<string, string>>
  /** When the first page was requested. A later sign-in is a new one. */
  readonly startedAtMs: number
  /** The id of the pushed request, which gets one answer (RFC 9126 §4). */
  readonly pushedId?: string
  /** The session of the sign-in for which the user is asked for consent. */
  readonly sid?: string
}

/**
 * Carries interactions through the forms of the pages, without a store. A MAC binds the text in a form
 * to the browser's random id, which is a cookie, so a page of another site cannot make such a text.
 */
export class InteractionCodec {
  readonly #mac: DerivedMac
  readonly #clock: Clock

  constructor(secrets: readonly [Buffer, ...Buffer[]], clock: Clock) {
    this.#mac = new DerivedMac(secrets, 'gatepass interaction')
    this.#clock = clock
  }

  /** @param browserId the random id of the browser that gets the form */
  encode(interaction: Interaction, browserId: string): string {
    const payload = Buffer.from(JSON.stringify(interaction)).toString('base64url')
    return `${payload}.${this.#mac.of(`${browserId}.${payload}`)}`
  }

  /**
   * @throws `form_expired` if the form is too old, was made for another browser, or was not made by
   *   the issuer
   */
  decode(text: string | undefined, browserId: string | undefined): Interaction {
    const [payload = '', mac = ''] = text?.split('.') ?? []
    if (browserId === undefined || !this.#mac.isValid(`${browserId}.${payload}`, mac)) {
      throw new GatepassError('form_expired')
    }
    const interaction = parseStrictJson(Buffer.from(payload, 'base64url'))
    if (!isJsonObject(interaction)) throw new GatepassError('form_expired')
    const read = interaction as unknown as Interaction
    const ageMs = this.#clock.nowMs() - read.startedAtMs
    if (ageMs > interactionLifetimeMs) throw new GatepassError('form_expired')
    return read
  }
}
