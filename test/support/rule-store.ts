import type {
  RotationRequest,
  RotationResult,
  Session,
  SessionStore,
} from '../../src/stores/ports.ts'
import { decideRotation, revoke } from '../../src/stores/rotation.ts'

/** The part of a session store that rotations need. */
export type RotatingStore = Pick<SessionStore, 'create' | 'rotate' | 'revoke' | 'find' | 'close'>

/** Sessions in memory, with `decideRotation` alone: fast enough for thousands of histories. */
export class RuleStore implements RotatingStore {
  readonly #sessions = new Map<string, Session>()

  async create(session: Session): Promise<number> {
    this.#sessions.set(session.sid, session)
    return this.#sessions.size
  }

  async rotate(request: RotationRequest): Promise<RotationResult> {
    const found = this.#sessions.get(request.sid)
    if (found === undefined) return { outcome: 'unknown', session: null }
    const decision = decideRotation(found, request)
    this.#sessions.set(request.sid, decision.session)
    return decision
  }

  async revoke(sid: string, nowMs: number, keptMs: number): Promise<boolean> {
    const found = await this.find(sid, nowMs)
    if (found !== null) this.#sessions.set(sid, revoke(found, nowMs, keptMs))
    return found !== null
  }

  async find(sid: string, nowMs: number): Promise<Session | null> {
    const found = this.#sessions.get(sid)
    const isLive = found?.revokedAtMs === null && nowMs < found.expiresAtMs
    return isLive ? found : null
  }

  async close(): Promise<void> {}
}
