import type { Settings } from '../config/settings.ts'
import { systemClock } from '../core/clock.ts'
import type { IssuerAppHooks } from '../http/issuer-app.ts'
import type { KeyManager } from '../keys/key-manager.ts'
import { EventLog, playground } from '../playground/playground.ts'
import { thirdPartyOrigin } from '../playground/third-party.ts'
import type { SessionStore } from '../stores/ports.ts'
import type { Verifier } from '../verifier/verifier.ts'
import { RemoteReplicas } from './dev/replica-processes.ts'

interface PlaygroundDeps {
  readonly keys: KeyManager
  readonly sessions: SessionStore
  readonly verifier: Verifier
}

/** Creates the playground of an issuer: its events, and the hooks that add it to the issuer's app. */
export function createPlayground(settings: Settings) {
  const events = new EventLog(systemClock)
  const hooks = ({ keys, sessions, verifier }: PlaygroundDeps): IssuerAppHooks => {
    const deps = {
      issuerUrl: settings.issuer,
      accessTtlSeconds: settings.access_ttl_s,
      graceMs: settings.grace_s * 1000,
      clock: systemClock,
      keys,
      verifier,
      events,
      thirdParty: thirdPartyOrigin(settings.clients),
      findSession: (sid: string) => sessions.find(sid, systemClock.nowMs()),
    }
    return {
      onAudit: (event, fields) => events.add(event, fields),
      // The first listener for messages of the parent receives all queued messages. Created here, after
      // the start, `RemoteReplicas` cannot take a stop message that the shutdown must receive.
      routes: [(scope) => playground(scope, { ...deps, replicas: new RemoteReplicas(process) })],
    }
  }
  return { events, hooks }
}
