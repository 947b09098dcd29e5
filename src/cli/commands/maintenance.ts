import {
  dataUrl,
  environmentName,
  type Role,
  type SettingName,
  type Settings,
} from '../../config/settings.ts'
import { systemClock } from '../../core/clock.ts'
import { Clients } from '../../issuer/clients.ts'
import { openKeyStore } from '../../keys/key-store.ts'
import { hasRecipient } from '../../oauth/backchannel-logout.ts'
import { type DataStore, dataOwner } from '../../stores/data-store.ts'
import {
  openAccountStore,
  openCounterStore,
  openSessionStore,
  webhookAddress,
  withoutSecrets,
} from '../../stores/open-stores.ts'
import { adminConfigOf, type CliContext, configOf, openedBy } from '../context.ts'
import { openDataForCommand } from '../data-wiring.ts'
import { createSessions, dataBlockedMs, openSessionStoreOf } from '../issuer-wiring.ts'
import { print } from '../terminal.ts'

/** `gatepass migrate`: brings the schema of every store up to date. It is safe to run twice. */
export async function migrateStores(context: CliContext): Promise<void> {
  const { settings } = adminConfigOf(context)
  for (const [name, open, setting] of [
    ['accounts', openAccountStore, 'accounts_url'],
    ['sessions', openSessionStore, 'sessions_url'],
    ['counters', openCounterStore, 'sessions_url'],
    ['keys', openKeyStore, 'keys_url'],
  ] as const) {
    const url = settings[setting]
    // An existing user base has its own schema.
    if (webhookAddress(url) !== null) continue
    // Opening a store migrates it.
    const store = await openedBy<{ close(): Promise<void> }>(setting, open(url, context.cwd))
    await store.close()
    context.stdout.write(`${name}: up to date (${withoutSecrets(url)})\n`)
  }
  const data = await openDataForCommand(settings, context.cwd)
  await data?.close()
  if (data) context.stdout.write(`data: up to date (${withoutSecrets(dataUrl(settings) ?? '')})\n`)
}

/** `gatepass config`: every effective setting, where it comes from, and its unit. */
export async function showConfig(
  context: CliContext,
  options: { role: Role; json: boolean },
): Promise<void> {
  const { effective } = configOf(context, options.role, { optional: ['secret'] })
  const rows = effective.map(({ setting: { name, secret, unit }, value, source }) => ({
    setting: environmentName(name),
    value: secret ? `hidden (${(value as unknown[]).length})` : shown(name, value),
    unit: unit || null,
    source,
  }))
  await print(context.stdout, rows, options.json)
}

/** The URL of a store may contain a password. */
function shown(name: SettingName, value: unknown): unknown {
  if (typeof value === 'string' && name.endsWith('_url')) return withoutSecrets(value)
  return value ?? null
}

/** Sessions between two progress messages. */
const progressStep = 10_000

/** `gatepass sessions end`: ends all sessions, or the sessions that were created before a time. */
export async function endSessions(context: CliContext, beforeMs: number): Promise<void> {
  const { settings } = adminConfigOf(context)
  const data = await openDataForCommand(settings, context.cwd)
  try {
    const store = await openSessionStoreOf(settings, context.cwd)
    try {
      const sessions = createSessions(settings, store)
      const isNotified = new Clients(settings.clients).hasBackchannelLogout()
      await sessions.checkClock()
      let revoked = 0
      const onRevoked = async (sids: readonly string[]) => {
        if (data !== null) await deleteDataOf(sids, data, settings)
        const steps = Math.floor(revoked / progressStep)
        revoked += sids.length
        if (Math.floor(revoked / progressStep) > steps) {
          context.stderr.write(`${revoked} sessions ended so far\n`)
        }
      }
      const count = await sessions.revokeCreatedBefore(
        beforeMs,
        onRevoked,
        async (sid) => isNotified && hasRecipient(store, sid, systemClock.nowMs()),
      )
      context.stdout.write(
        `Sessions ended: ${count}. Access tokens issued before now are refused.\n`,
      )
    } finally {
      await store.close()
    }
  } finally {
    await data?.close()
  }
}

/** The revocation log does not list these sessions one by one, so no issuer deletes their data. */
async function deleteDataOf(
  sids: readonly string[],
  data: DataStore,
  settings: Settings,
): Promise<void> {
  const nowMs = systemClock.nowMs()
  const untilMs = nowMs + dataBlockedMs(settings)
  const owners = sids.map((sid) => dataOwner('session', settings.issuer, sid))
  await Promise.all(owners.map((owner) => data.end(owner, untilMs, nowMs)))
}
