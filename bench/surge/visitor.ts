import { randomUUID } from 'node:crypto'
import { type Answer, noAnswer } from '../harness/http.ts'
import { CartBook, type CartItem } from './cart-book.ts'
import { HeldSession } from './client.ts'
import type { Recorder } from './recorder.ts'
import { type Ask, type Call, type ClientScheme, isGood, isSession, post } from './system.ts'

/** The actions of visitors of a shop, and their frequencies. */
const shares = [
  ['browse', 0.36],
  ['see cart', 0.17],
  ['add', 0.17],
  ['add two at once', 0.05],
  ['check out', 0.06],
  ['see orders', 0.13],
  ['see preferences', 0.05],
  ['sign out and in', 0.01],
] as const

type Action = (typeof shares)[number][0]

const paths = {
  browse: '/products',
  'see cart': '/cart',
  'see orders': '/orders',
  'see preferences': '/preferences',
}

/** A refusal of a token younger than this means that the session is over. */
const youngMs = 1_000
const notSignedIn = noAnswer('not signed in')

export interface VisitorDeps {
  readonly ask: Ask
  readonly scheme: ClientScheme
  readonly recorder: Recorder
  readonly products: readonly string[]
  /** Probability that the response to a refresh gets lost. */
  readonly lossShare: number
}

/** A user on one device, who remembers the changes of the cart. */
export class Visitor {
  readonly name: string
  readonly #deps: VisitorDeps
  readonly #book = new CartBook()
  #held: HeldSession | null = null
  #signingIn: Promise<Answer | null> | null = null

  constructor(name: string, deps: VisitorDeps) {
    this.name = name
    this.#deps = deps
  }

  get isSignedIn(): boolean {
    return this.#held !== null
  }

  /** @returns the response if the sign-in failed, or null */
  async signIn(): Promise<Answer | null> {
    const { scheme, ask, recorder, lossShare } = this.#deps
    const result = await scheme.login(ask, this.name)
    if (!isSession(result)) return result
    recorder.count('logins')
    const askToRefresh: Ask = (call) => ask({ ...call, lossShare })
    this.#held = new HeldSession(scheme, askToRefresh, result, () => recorder.count('refreshes'))
    return null
  }

  /** @returns whether the action succeeded */
  async act(dueMs: number): Promise<boolean> {
    const action = this.#held === null ? 'sign in' : this.#choose(Math.random())
    const failure = await this.#carryOut(action)
    this.#deps.recorder.acted(action, dueMs, failure)
    return failure === null
  }

  /** Compares the cart with the known changes. @returns the response if the cart cannot be read */
  checkCart(): Promise<Answer | null> {
    return this.#carryOut('see cart')
  }

  /**
   * Ends all sessions of the signed-in user.
   * @returns the headers of the ended session, and the failure, if any
   */
  async signOutEverywhere() {
    const { scheme, ask } = this.#deps
    const held = this.#held
    if (held === null) throw new Error(`${this.name} is not signed in`)
    await held.ensure()
    await held.settled()
    const { headers } = held.session
    const answer = (await scheme.signOutEverywhere?.(ask, held.session)) ?? notSignedIn
    // If the first response was lost, the retry is refused.
    const isOut = isGood(answer) || (answer.status === 401 && (await held.renew()) === 'over')
    if (!isOut) return { headers, failure: answer }
    this.#leave()
    return { headers, failure: null }
  }

  /** @param random from 0 to below 1 */
  #choose(random: number): Action {
    let rest = random
    for (const [action, share] of shares) {
      rest -= share
      if (rest >= 0) continue
      return action === 'check out' && this.#book.isEmpty ? 'browse' : action
    }
    return 'browse'
  }

  async #carryOut(action: Action | 'sign in'): Promise<Answer | null> {
    if (action === 'sign in') return this.signIn()
    if (action === 'sign out and in') return this.#signOutAndIn()
    if (action === 'add') return this.#add()
    if (action === 'check out') return this.#checkOut()
    if (action === 'add two at once') {
      const both = await Promise.all([this.#add(), this.#add()])
      return both.find((failure) => failure !== null) ?? null
    }
    const answer = await this.#request({ method: 'GET', path: paths[action] })
    if (!isGood(answer)) return answer
    if (action === 'see cart') this.#compare((answer.body as { items?: CartItem[] }).items)
    return null
  }

  async #add(): Promise<Answer | null> {
    const { products } = this.#deps
    const product = products[Math.floor(Math.random() * products.length)] ?? ''
    const answer = await this.#request(post('/cart/items', newKey(), { product, quantity: 1 }))
    this.#book.added(product, 1, isGood(answer))
    return isGood(answer) ? null : answer
  }

  async #checkOut(): Promise<Answer | null> {
    const answer = await this.#request(post('/checkout', newKey()))
    const { lines, code } = (answer.body ?? {}) as { lines?: CartItem[]; code?: string }
    const isEmpty = answer.status === 409 && code === 'cart_empty'
    const isDone = isGood(answer) || isEmpty
    if (isDone) this.#compare(lines)
    this.#book.emptied(isDone)
    return isDone ? null : answer
  }

  #compare(items: readonly CartItem[] = []): void {
    this.#deps.recorder.compared(this.name, this.#book.compare(items))
  }

  async #signOutAndIn(): Promise<Answer | null> {
    const { scheme, ask } = this.#deps
    await this.#held?.settled()
    if (this.#held !== null) {
      const answer = await scheme.logout(ask, this.#held.session)
      if (!isGood(answer)) return answer
    }
    this.#leave()
    return this.signIn()
  }

  /** Records a sign-out, which may have ended the cart. */
  #leave(): void {
    this.#held = null
    this.#book.forget()
  }

  /** Sends a request to the shop as @gatepass/browser does. After a 401 it refreshes the token once. */
  async #request(call: Call): Promise<Answer> {
    const held = this.#held
    if (held === null) return notSignedIn
    if ((await held.ensure()) === 'over') return this.#signInAgain(held, call)
    const send = () => this.#send(held, call)
    const { session } = held
    const answer = await send()
    if (answer.status !== 401) return answer
    // Another request has refreshed the session meanwhile.
    if (held.session !== session) return send()
    const isOver = held.ageMs < youngMs || (await held.renew()) === 'over'
    return isOver ? this.#signInAgain(held, call, answer) : send()
  }

  #send({ session }: HeldSession, call: Call): Promise<Answer> {
    return this.#deps.ask({ ...call, headers: { ...session.headers, ...call.headers } })
  }

  /** Signs in again after an unwanted sign-out, and sends the call. */
  async #signInAgain(held: HeldSession, call: Call, refusal: Answer | null = null) {
    // The first of two concurrent requests signs in for both.
    if (this.#held === held) {
      this.#deps.recorder.lostSession(held.refusal ?? refusal)
      this.#held = null
      this.#signingIn = this.signIn()
    }
    const failure = await this.#signingIn
    const now = this.#held as HeldSession | null
    return now === null ? (failure ?? notSignedIn) : this.#send(now, call)
  }
}

function newKey(): Readonly<Record<string, string>> {
  return { 'idempotency-key': randomUUID() }
}
