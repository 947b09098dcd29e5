import { HeldToken, type SharedToken, type TokenAnswer } from './access-token.ts'
import type { AuthClientError, IssuerCalls } from './issuer-calls.ts'
import type { Channel, Item, Platform } from './platform.ts'
import type { AuthState } from './types.ts'

/** How long a tab waits for another that is refreshing. */
const turnMsMax = 5_000
/** After a refresh that failed, one that nobody waits for is not begun for so long. */
const restMs = 5_000

/** What tabs tell one another. */
interface Message {
  readonly token?: SharedToken
  /** The session that has ended; empty where it is not known which. */
  readonly ended?: string
}

const ignore = () => {}
const signedOut: AuthState = Object.freeze({ status: 'signed-out' })

/**
 * The session that all tabs of an origin share, as one of them knows it. The tabs take turns to
 * refresh and tell one another what they got. Where they can't, or it goes wrong, the issuer gives
 * each of them the same answer: nothing but speed depends on it.
 */
export class TabSession {
  state: AuthState = Object.freeze({ status: 'unknown' })
  readonly listeners = new Set<(state: AuthState) => void>()
  readonly #name: string
  readonly #platform: Platform
  readonly #calls: IssuerCalls
  readonly #attempt: Attempt
  readonly #channel: Channel
  readonly #stopWaking: () => void
  #wakers: (() => void)[] = []
  #held: HeldToken | null = null
  #refreshing: Promise<HeldToken | null> | null = null
  /** Counts sign-ins and sign-outs: what was asked before one is moot after it. */
  #turn = 0
  /** Until when, by the monotonic clock, no refresh is begun that nobody waits for. */
  #restingMs = 0
  /** The session that ended last, of which a late message may still speak. */
  #ended: string | undefined

  /** @param name what the tabs of one session have in common */
  constructor(name: string, platform: Platform, calls: IssuerCalls, attempt: Attempt) {
    this.#name = name
    this.#platform = platform
    this.#calls = calls
    this.#attempt = attempt
    this.#channel = platform.channel(name, (message) => this.#receive(message as Message))
    this.#stopWaking = platform.onWake((wasAway) => this.#wake(wasAway))
  }

  /** A token that may be sent; null when nobody is signed in. */
  async current(): Promise<HeldToken | null> {
    const held = this.#held
    if (!held) return this.state === signedOut ? null : this.renew(null)
    if (!held.isGood) return this.renew(held)
    // Nobody waits for the next one while this one will do, nor fails with it.
    if (held.isDue && this.#platform.monotonicMs() >= this.#restingMs) {
      this.renew(held).catch(ignore)
    }
    return held
  }

  /** The token after this one, asked for once however many want it; null when it was the last. */
  async renew(stale: HeldToken | null): Promise<HeldToken | null> {
    if (this.#held !== stale) return this.#held
    this.#refreshing ??= this.#platform
      .alone(this.#name, turnMsMax, () => this.#refresh(stale))
      .finally(() => {
        this.#refreshing = null
      })
    return this.#refreshing
  }

  /** Signs in: in turn with refreshes, as the cookie of one under way must not replace the new one. */
  async begin(login: RequestInit): Promise<void> {
    await this.#platform.alone(this.#name, turnMsMax, async () => {
      if (this.#attempt.isLeaving) await this.#calls.post('/logout', {}).catch(ignore)
      const held = await this.#ask('/login', login)
      this.#attempt.begin()
      this.#adopt(held)
    })
  }

  /** Signs out, here at once; rejects when the issuer could not be told, which is then left to do. */
  async leave(): Promise<void> {
    const held = this.#held
    this.#attempt.leave()
    this.#end(held?.answer.session_id ?? '')
    await this.#tellIssuer(held)
  }

  close(): void {
    this.#channel.close()
    this.#stopWaking()
    this.listeners.clear()
  }

  async #refresh(stale: HeldToken | null): Promise<HeldToken | null> {
    const turn = this.#turn
    const attempt = this.#attempt
    const session = stale?.answer.session_id
    // Somebody has signed in or out meanwhile, or another tab has shared what it got.
    const isMoot = () => turn !== this.#turn || this.#held !== stale || attempt.isLeaving
    let sent = ''
    const call = async () => {
      sent = attempt.send()
      const [key = ''] = sent.split('.')
      const held = await this.#ask('/refresh', { headers: { 'idempotency-key': key } })
      attempt.end(sent)
      return held
    }
    try {
      const next = await this.#calls.persist(call, isMoot, (ms) => this.#pause(ms))
      if (next && !isMoot()) this.#adopt(next)
    } catch (error) {
      if (!isMoot() && !saysOver(error)) {
        this.#restingMs = this.#platform.monotonicMs() + restMs
        throw error
      }
      if (!isMoot()) {
        attempt.end(sent)
        this.#end(session)
      }
    }
    if (attempt.isLeaving) {
      this.#forget(session)
      await this.#tellIssuer(null).catch(ignore)
    }
    return this.#held
  }

  /** Ends the session at the issuer, unless somebody has signed in since. */
  async #tellIssuer(held: HeldToken | null): Promise<void> {
    const attempt = this.#attempt
    try {
      await this.#calls.persist(
        () => this.#calls.post('/logout', {}, held?.answer),
        () => !attempt.isLeaving,
        (ms) => this.#pause(ms),
      )
    } catch (error) {
      // No session is left to end, or none that this browser has the cookie of.
      if ((error as AuthClientError).status !== 401 && !saysOver(error)) throw error
    }
    attempt.end()
  }

  async #ask(path: string, init: RequestInit): Promise<HeldToken> {
    const sentMs = this.#platform.monotonicMs()
    const answer = (await this.#calls.post(path, init)) as TokenAnswer
    return new HeldToken(answer, this.#platform.monotonicMs() - sentMs, this.#platform)
  }

  #adopt(held: HeldToken): void {
    this.#take(held)
    this.#channel.post({ token: held.share() } satisfies Message)
  }

  #take(held: HeldToken): void {
    if (held.answer.session_id !== this.#held?.answer.session_id) this.#turn++
    this.#held = held
    const { session_id: sessionId, scope } = held.answer
    const { expiresAtMs: accessTokenExpiresAtMs } = held
    this.#change(Object.freeze({ status: 'signed-in', sessionId, scope, accessTokenExpiresAtMs }))
  }

  /** @param session which one, for the other tabs; undefined when they find out by themselves */
  #end(session: string | undefined): void {
    this.#forget(session)
    if (session !== undefined) this.#channel.post({ ended: session } satisfies Message)
  }

  #forget(session: string | undefined): void {
    this.#turn++
    this.#ended = session
    this.#held = null
    if (this.state !== signedOut) this.#change(signedOut)
  }

  #receive({ token, ended }: Message): void {
    const held = this.#held
    const session = held?.answer.session_id
    if (token) {
      const { session_id } = token.answer
      if (session_id === this.#ended || this.#attempt.isLeaving) return
      const shared = HeldToken.shared(token, this.#platform)
      if (session_id !== session || shared.ageMs < (held as HeldToken).ageMs) this.#take(shared)
    } else if (ended === session || this.#attempt.isLeaving) {
      this.#forget(session ?? ended)
    } else {
      this.#ended = ended
    }
  }

  #change(state: AuthState): void {
    this.state = state
    // What a listener throws is no failure of ours.
    for (const listener of this.listeners) queueMicrotask(() => listener(this.state))
  }

  #pause(ms: number): Promise<unknown> {
    const woken = new Promise<void>((resolve) => this.#wakers.push(resolve))
    return Promise.race([this.#platform.pause(ms), woken])
  }

  /** @param wasAway whether messages of other tabs may have been missed */
  #wake(wasAway: boolean): void {
    for (const wake of this.#wakers.splice(0)) wake()
    const held = this.#held
    if (this.#attempt.isLeaving) this.#tellIssuer(null).catch(ignore)
    else if (held && (wasAway || held.isDue)) this.renew(held).catch(ignore)
  }
}

/** Whether the issuer has said that this browser has no session, or can't go on with it. */
function saysOver(error: unknown): boolean {
  const { code, status } = error as Partial<AuthClientError>
  return code === 'cookie_duplicated' || (status === 401 && /^(refresh|dpop)_/.test(code ?? ''))
}

/** In the place of a key: the user has signed out, and the issuer may not have heard of it. */
const leaving = 'leaving'

/**
 * The `Idempotency-Key` of the refresh that is under way, kept where all tabs and the next page find
 * it until its answer has come. By it a lost answer can be had again, by whichever of them asks.
 *
 * Kept is `<key>.<how often it was sent>`: a tab that took long to read its answer must not put away
 * a key that another has sent since, whose answer may be lost.
 */
export class Attempt {
  readonly #item: Item

  constructor(item: Item) {
    this.#item = item
  }

  get isLeaving(): boolean {
    return this.#item.get() === leaving
  }

  /** To be called for each request. @returns what is kept now; the key is before the dot */
  send(): string {
    const [key = '', count = 0] = this.#item.get()?.split('.') ?? []
    const sent = key ? `${key}.${Number(count) + 1}` : `${randomKey()}.1`
    this.#item.set(sent)
    return sent
  }

  /** The answer came: what is kept goes, if it is still this. */
  end(kept: string = leaving): void {
    if (this.#item.get() === kept) this.#item.set(null)
  }

  leave(): void {
    this.#item.set(leaving)
  }

  /** A new session: what was kept is of another. */
  begin(): void {
    this.#item.set(null)
  }
}

function randomKey(): string {
  // There is no randomUUID where the page is not secure.
  return crypto.getRandomValues(new Uint32Array(4)).join('-')
}
