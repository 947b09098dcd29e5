import { CartBook, type CartItem } from '../client/cart-book.ts'
import { HeldSession } from '../client/held-session.ts'
import {
  type Answer,
  type Ask,
  type Call,
  type ClientScheme,
  isSession,
  type User,
} from '../system.ts'
import { type ActionKind, callFor, chooseAction } from './behaviour.ts'
import type { Recorder } from './recorder.ts'

/** A token as young as this that is refused would be refused again. */
const youngMs = 1_000

export interface VisitorDeps {
  readonly ask: Ask
  readonly scheme: ClientScheme
  readonly recorder: Recorder
  readonly products: readonly string[]
  /** How likely the answer to a refresh is to get lost. */
  readonly lossShare: number
}

export interface SignOut {
  /** What was good until then. */
  readonly headers: Readonly<Record<string, string>>
  readonly failure: Answer | null
}

const nothing: Answer = { status: 0, headers: {}, body: null }

/** One user on one device: does one thing at a time, and knows what was promised. */
export class Visitor {
  readonly user: User
  readonly #deps: VisitorDeps
  readonly #book = new CartBook()
  #held: HeldSession | null = null
  #signingIn: Promise<Answer | null> | null = null

  constructor(user: User, deps: VisitorDeps) {
    this.user = user
    this.#deps = deps
  }

  get isSignedIn(): boolean {
    return this.#held !== null
  }

  /** @returns what the server said in the place of a session; null when signed in */
  async signIn(): Promise<Answer | null> {
    const { scheme, ask, recorder } = this.#deps
    const bornMs = performance.now()
    const result = await scheme.login(ask, this.user)
    if (!isSession(result)) return result
    recorder.count('logins')
    this.#held = new HeldSession(
      scheme,
      ask,
      { session: result, bornMs },
      {
        lossShare: this.#deps.lossShare,
        renewed: () => recorder.count('refreshes'),
      },
    )
    return null
  }

  /**
   * Does the next thing.
   * @param dueMs when it was to begin, since the surge began
   */
  async act(dueMs: number): Promise<void> {
    const kind = this.#held === null ? 'sign in' : this.#choose()
    const failure = await this.#carryOut(kind)
    this.#deps.recorder.acted(kind, dueMs, failure)
  }

  /** Looks whether the cart is as it was promised. */
  async checkCart(): Promise<Answer | null> {
    return this.#carryOut('see cart')
  }

  /** Ends all sessions of the user, who has to be signed in. */
  async signOutEverywhere(): Promise<SignOut> {
    const { scheme, ask } = this.#deps
    const held = this.#held
    if (held === null) throw new Error(`${this.user.name} is not signed in`)
    await held.ensure()
    await held.settled()
    const { headers } = held.session
    const answer = (await scheme.signOutEverywhere?.(ask, held.session)) ?? nothing
    // As auth.logoutEverywhere has it: when an answer was lost, the repeat finds nobody signed in.
    const isOut = isGood(answer) || (answer.status === 401 && (await held.renew()) === 'over')
    if (!isOut) return { headers, failure: answer }
    this.#left()
    return { headers, failure: null }
  }

  #choose(): ActionKind {
    const kind = chooseAction(Math.random())
    const needsItems = kind === 'check out' || kind === 'remove'
    return needsItems && this.#book.isEmpty ? 'browse' : kind
  }

  async #carryOut(kind: ActionKind | 'sign in'): Promise<Answer | null> {
    if (kind === 'sign in') return this.signIn()
    if (kind === 'sign out and in') return this.#signOutAndIn()
    if (kind === 'add two at once') {
      const both = await Promise.all([this.#carryOut('add'), this.#carryOut('add')])
      return both.find((failure) => failure !== null) ?? null
    }
    const product = pick(kind === 'remove' ? this.#book.products : this.#deps.products)
    const answer = await this.#ask(callFor(kind, product))
    return this.#learn(kind, product, answer)
  }

  async #signOutAndIn(): Promise<Answer | null> {
    const { scheme, ask } = this.#deps
    await this.#held?.settled()
    if (this.#held !== null) {
      const answer = await scheme.logout(ask, this.#held.session)
      if (!isGood(answer)) return answer
    }
    this.#left()
    return this.signIn()
  }

  /** The user has signed out: the cart may have ended with the session. */
  #left(): void {
    this.#held = null
    this.#book.forget()
  }

  /** A request to the shop as auth.fetch makes it: with a token, and with the next one after a 401. */
  async #ask(call: Call): Promise<Answer> {
    const held = this.#held
    if (held === null) return nothing
    const ensured = await held.ensure()
    if (ensured === 'over') return this.#ended(held, call)
    const send = () => {
      const headers = { ...held.session.headers, ...call.headers }
      return this.#deps.ask({ ...call, headers })
    }
    const { session } = held
    const answer = await send()
    if (answer.status !== 401) return answer
    // It was renewed meanwhile, and what was refused is the old one.
    if (held.session !== session) return send()
    if (held.ageMs < youngMs || (await held.renew()) === 'over') {
      return this.#ended(held, call, answer)
    }
    return send()
  }

  /** Signed out without having asked for it: the user signs in again, and does it then. */
  async #ended(held: HeldSession, call: Call, refusal: Answer | null = null): Promise<Answer> {
    // Of two requests at once, the first sees to that for both.
    if (this.#held === held) {
      this.#deps.recorder.lostSession(held.refusal ?? refusal)
      this.#held = null
      this.#signingIn = this.signIn()
    }
    const loginRefusal = await this.#signingIn
    const now = this.#held as HeldSession | null
    if (now === null) return loginRefusal ?? nothing
    const headers = { ...now.session.headers, ...call.headers }
    return this.#deps.ask({ ...call, headers })
  }

  /** What an answer says of the cart. @returns the answer, when it is a failure */
  #learn(kind: ActionKind, product: string, answer: Answer): Answer | null {
    const isDone = isGood(answer)
    const body = (answer.body ?? {}) as { items?: CartItem[]; lines?: CartItem[]; code?: string }
    if (kind === 'add') this.#book.added(product, 1, isDone)
    if (kind === 'remove') this.#book.removed(product, isDone)
    if (kind === 'see cart' && isDone) this.#compare(body.items ?? [])
    if (kind === 'check out') {
      const isEmpty = answer.status === 409 && body.code === 'cart_empty'
      if (isDone || isEmpty) this.#compare(body.lines ?? [])
      this.#book.emptied(isDone || isEmpty)
      if (isEmpty) return null
    }
    return isDone ? null : answer
  }

  #compare(items: readonly CartItem[]): void {
    const { lost, doubled } = this.#book.compare(items)
    this.#deps.recorder.compared(this.user.name, lost, doubled)
  }
}

function isGood({ status }: Answer): boolean {
  return status >= 200 && status < 300
}

function pick(all: readonly string[]): string {
  return all[Math.floor(Math.random() * all.length)] ?? ''
}
