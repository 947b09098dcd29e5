import type { Settings } from '../config/settings.ts'
import { systemClock } from '../core/clock.ts'
import type { IssuerAppHooks } from '../http/issuer-app.ts'
import type { KeyManager } from '../keys/key-manager.ts'
import type { EventLog } from '../playground/event-log.ts'
import type { SessionStore } from '../stores/ports.ts'
import type { Verifier } from '../verifier/verifier.ts'
import { demoUser } from './dev/demo.ts'
import { FleetLink } from './dev/replica-processes.ts'

/** Of several workers none could speak for all, so then there is no playground. */
export function servesPlayground(settings: Settings): boolean {
  return settings.playground && settings.workers === 1
}

/** The log that the page shows; null where there is no playground. */
export async function openEventLog(settings: Settings): Promise<EventLog | null> {
  if (!servesPlayground(settings)) return null
  const { EventLog } = await import('../playground/event-log.ts')
  return new EventLog(systemClock)
}

interface PlaygroundParts {
  readonly events: EventLog | null
  readonly keys: KeyManager
  readonly sessions: SessionStore
  readonly verifier: Verifier
}

/** What the playground adds to the issuer: nothing where it is off, and its code is not loaded. */
export async function playgroundParts(
  settings: Settings,
  { keys, sessions, verifier, events }: PlaygroundParts,
): Promise<IssuerAppHooks> {
  if (events === null) return {}
  const { playground } = await import('../playground/playground.ts')
  const deps = {
    issuerUrl: settings.issuer,
    username: demoUser,
    accessTtlSeconds: settings.access_ttl_s,
    graceMs: settings.grace_s * 1000,
    clock: systemClock,
    keys,
    verifier,
    events,
    lineOf: (sid: string) => sessions.find(sid, systemClock.nowMs()),
  }
  return {
    onAudit: (event, fields) => events.add(event, fields),
    // Not before: the first who listens to the parent takes all that waited, and the end of a process
    // is told that way too.
    routes: [(scope) => playground(scope, { ...deps, replicas: new FleetLink(process) })],
  }
}
