import type { Settings } from '../../config/settings.ts'
import { systemClock } from '../../core/clock.ts'
import { Clients } from '../../issuer/clients.ts'
import { hasRecipient } from '../../oauth/backchannel-logout.ts'
import { type DataStore, dataOwner } from '../../stores/data-store.ts'
import { adminConfigOf, type CliContext } from '../context.ts'
import { openDataForCommand } from '../data-wiring.ts'
import { createSessions, dataBlockedMs, openSessionStoreOf } from '../issuer-wiring.ts'

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
