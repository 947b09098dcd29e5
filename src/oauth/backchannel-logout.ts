import { type BackoffLimits, backoffMs } from '../core/backoff.ts'
import { type Clock, nowSeconds } from '../core/clock.ts'
import { randomId } from '../core/secrets.ts'
import { SingleFlight } from '../core/single-flight.ts'
import type { Client, Clients } from '../issuer/clients.ts'
import type { RevocationFeed } from '../issuer/revocation-feed.ts'
import { followUpMs, logStart, type Session, type SessionStore } from '../stores/ports.ts'
import { type SigningKey, signJwt } from '../tokens/signing.ts'

/** The `typ` of a logout token (OpenID Connect Back-Channel Logout §2.4). */
const logoutTokenType = 'logout+jwt'
const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'
const tokenLifetimeSeconds = 120
const pageSize = 100
/**
 * Notifications that wait for their next attempt. At this number, further ones that fail are left for another
 * reading of the log.
 */
const defaultMaxWaiting = 10_000
/**
 * First attempts at the same time. Later attempts have the same limit of their own, so a client that
 * does not answer delays no first attempt at another client.
 */
const maxAttempts = 1_000
/** Posts to one client at the same time. Three clients that do not answer leave a quarter to the others. */
const maxPostsPerClient = 250
const readMs = 1_000
const postTimeoutMs = 4_000
/** Within this time only one replica posts. It is longer than the timeout of a post. */
const leaseMs = 5_000

export interface BackchannelLogoutOptions {
  readonly issuer: string
  readonly store: Pick<
    SessionStore,
    'putOneTime' | 'findOneTime' | 'deleteOneTime' | 'claimOnce' | 'revocationsAfter'
  >
  readonly clients: Clients
  readonly signingKey: () => SigningKey
  readonly clock: Clock
  /** Determines when a client is given up. Default: `clock`. */
  readonly expiryClock?: Clock | undefined
  /** Delays between attempts. Default: 1 s to 60 s. */
  readonly backoff?: BackoffLimits | undefined
  /** Default: 10,000. */
  readonly maxWaiting?: number | undefined
  /** Called when a client could not be notified in time. */
  readonly onFailure?: ((clientId: string, error: unknown) => void) | undefined
}

/** A session whose client must be notified of its end. */
type NotifiedSession = Pick<Session, 'sid' | 'sub' | 'endsAtMs'>

interface Recipient {
  readonly clientId: string
  readonly sub: string
}

const defaultBackoff: BackoffLimits = { minMs: 1_000, maxMs: 60_000 }

/**
 * Notifies clients at least once that a session has ended (OpenID Connect Back-Channel Logout). The
 * session store names the client until it has been notified. Each replica follows the revocation
 * log, after a restart from its start.
 */
export class BackchannelLogout {
  readonly #options: BackchannelLogoutOptions
  readonly #pending = new Map<string, Promise<void>>()
  readonly #attempting = { first: 0, later: 0 }
  readonly #posts = new PostLimit()
  readonly #closing = new AbortController()
  /** Ends the pause of each notification that waits for its next attempt. */
  readonly #pauses = new Set<() => void>()
  readonly #follow = new SingleFlight(() => this.#readLog())
  readonly #maxWaiting: number
  #position = logStart
  /** When the log is read again from its start, for the notifications that were left. */
  #rereadAtMs = Number.POSITIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #unsubscribe = () => {}

  constructor(options: BackchannelLogoutOptions) {
    this.#options = options
    this.#maxWaiting = options.maxWaiting ?? defaultMaxWaiting
  }

  /**
   * Returns whether the client will be notified. Afterwards check that the session is still live:
   * it may have ended, and its log entry may have been read, before this call.
   *
   * @throws `store_unavailable`
   */
  async register(client: Client, { sid, sub, endsAtMs }: NotifiedSession): Promise<boolean> {
    if (client.backchannel_logout_uri === undefined) return false
    const recipient: Recipient = { clientId: client.client_id, sub }
    const expiresAtMs = endsAtMs + followUpMs
    await this.#options.store.putOneTime(idOf(sid), JSON.stringify(recipient), expiresAtMs)
    return true
  }

  /** Starts, and handles each new entry as soon as the feed has it. */
  follow(feed: Pick<RevocationFeed, 'subscribe'>): void {
    this.#timer = setInterval(() => void this.#follow.run(), readMs).unref()
    this.#unsubscribe = feed.subscribe(() => void this.refresh())
    void this.refresh()
  }

  /** Reads the log again from its start: a client that was replaced may have an address only now. */
  readAgain(): void {
    this.#rereadAtMs = 0
  }

  /** Handles the new entries of the log. Never rejects. */
  refresh(): Promise<void> {
    return this.#follow.runAgain()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#unsubscribe()
    this.#closing.abort()
    for (const end of this.#pauses) end()
    await this.#follow.settled()
    await Promise.all(this.#pending.values())
  }

  async #readLog(): Promise<void> {
    const { clients, store, clock } = this.#options
    if (!clients.hasBackchannelLogout()) return
    if (clock.nowMs() >= this.#rereadAtMs) {
      this.#position = logStart
      this.#rereadAtMs = Number.POSITIVE_INFINITY
    }
    while (this.#attempting.first < maxAttempts && !this.#closing.signal.aborted) {
      const page = await store.revocationsAfter(this.#position, pageSize)
      for (const { kind, id, atMs } of page) {
        if (kind !== 'session' || this.#pending.has(id)) continue
        const delivered = this.#deliver(id, atMs).finally(() => this.#pending.delete(id))
        this.#pending.set(id, delivered)
      }
      this.#position = page.at(-1)?.position ?? this.#position
      if (page.length < pageSize) return
    }
  }

  async #deliver(sid: string, endedAtMs: number): Promise<void> {
    const { clock, expiryClock = clock, backoff = defaultBackoff, onFailure } = this.#options
    const { signal } = this.#closing
    const delivery = new Delivery(sid, this.#options, this.#posts, signal)
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      if (await this.#attempt(delivery, attempt === 0 ? 'first' : 'later')) return
      if (expiryClock.nowMs() > endedAtMs + followUpMs) {
        onFailure?.(delivery.clientId, delivery.lastError)
        return
      }
      if (this.#pauses.size >= this.#maxWaiting) {
        this.#rereadAtMs = Math.min(this.#rereadAtMs, clock.nowMs() + backoff.maxMs)
        return
      }
      if (!signal.aborted) await this.#pause(backoffMs(attempt, backoff))
    }
  }

  /**
   * Waits for a time, or until the close. An AbortSignal would compare each of 10,000 listeners with all
   * others, so each pause has a function of its own.
   */
  #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const end = () => {
      clearTimeout(timer)
      this.#pauses.delete(end)
      resolve()
    }
    const timer = setTimeout(end, ms).unref()
    this.#pauses.add(end)
    return promise
  }

  /** Returns whether there is nothing left to do. A later attempt is left out if there are too many. */
  async #attempt(delivery: Delivery, kind: 'first' | 'later'): Promise<boolean> {
    if (kind === 'later' && this.#attempting.later >= maxAttempts) return false
    this.#attempting[kind] += 1
    const isDone = await delivery.attempt()
    this.#attempting[kind] -= 1
    return isDone
  }
}

/** Limits the posts to each client: those to a client that does not answer take seconds to fail. */
class PostLimit {
  readonly #running = new Map<string, number>()

  /** @throws Error if too many posts to the client run; the error of the post */
  async run<T>(clientId: string, post: () => Promise<T>): Promise<T> {
    const running = this.#running.get(clientId) ?? 0
    if (running >= maxPostsPerClient) throw new Error('the client answers too slowly')
    this.#add(clientId, 1)
    return post().finally(() => this.#add(clientId, -1))
  }

  #add(clientId: string, posts: number): void {
    this.#running.set(clientId, (this.#running.get(clientId) ?? 0) + posts)
  }
}

/** One notification, which is attempted until it succeeds. */
class Delivery {
  readonly #sid: string
  readonly #options: BackchannelLogoutOptions
  readonly #posts: PostLimit
  readonly #closing: AbortSignal
  #lease = -1
  clientId = ''
  lastError: unknown = null

  constructor(
    sid: string,
    options: BackchannelLogoutOptions,
    posts: PostLimit,
    closing: AbortSignal,
  ) {
    this.#sid = sid
    this.#options = options
    this.#posts = posts
    this.#closing = closing
  }

  /** Returns whether there is nothing left to do. Never rejects. */
  async attempt(): Promise<boolean> {
    const { store, clients, clock } = this.#options
    try {
      const payload = await store.findOneTime(idOf(this.#sid), clock.nowMs())
      if (payload === null) return true
      const { clientId, sub } = JSON.parse(payload) as Recipient
      this.clientId = clientId
      const uri = clients.find(clientId)?.backchannel_logout_uri
      if (uri === undefined) return true
      return await this.#posts.run(clientId, async () => {
        if (!(await this.#hasLease())) return false
        await this.#post(uri, { clientId, sub })
        await store.deleteOneTime(idOf(this.#sid))
        return true
      })
    } catch (error) {
      this.lastError = error
      return false
    }
  }

  /** Replicas see the end of a session at the same time; one of them posts. */
  async #hasLease(): Promise<boolean> {
    const { store, clock } = this.#options
    const lease = Math.floor(clock.nowMs() / leaseMs)
    if (lease === this.#lease) return true
    const id = `${idOf(this.#sid)}.${lease}`
    if (!(await store.claimOnce(id, (lease + 2) * leaseMs))) return false
    this.#lease = lease
    return true
  }

  async #post(uri: string, { clientId, sub }: Recipient): Promise<void> {
    const { issuer, signingKey, clock } = this.#options
    const now = nowSeconds(clock)
    const claims = {
      iss: issuer,
      sub,
      aud: clientId,
      iat: now,
      exp: now + tokenLifetimeSeconds,
      // A new one for each attempt: a client may refuse a `jti` that it has seen.
      jti: randomId(),
      events: { [logoutEvent]: {} },
      sid: this.#sid,
    }
    const token = await signJwt(claims, logoutTokenType, signingKey())
    const response = await fetch(uri, {
      method: 'POST',
      body: new URLSearchParams({ logout_token: token }),
      redirect: 'error',
      signal: AbortSignal.any([this.#closing, AbortSignal.timeout(postTimeoutMs)]),
    })
    await response.body?.cancel()
    if (!response.ok) throw new Error(`the client answered ${response.status}`)
  }
}

/** Returns whether a client must still be notified of the end of a session. */
export async function hasRecipient(
  store: Pick<SessionStore, 'findOneTime'>,
  sid: string,
  nowMs: number,
): Promise<boolean> {
  return (await store.findOneTime(idOf(sid), nowMs)) !== null
}

function idOf(sid: string): string {
  return `logout.${sid}`
}
