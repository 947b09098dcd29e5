import type { Settings } from '../../config/settings.ts'
import { systemClock } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import { type JsonValue, parseJson } from '../../core/json.ts'
import { normalizeLoginName } from '../../issuer/login-name.ts'
import { type DataOwner, type DataStore, dataOwner } from '../../stores/data-store.ts'
import { adminConfigOf, type CliContext } from '../context.ts'
import { createDataService, openDataForCommand } from '../data-wiring.ts'
import { openAccountDeps } from '../issuer-wiring.ts'
import { exitCodes, print } from '../terminal.ts'

/** The data of a user, or of one of the user's active sessions. */
interface OwnedData {
  readonly owner: DataOwner
  readonly sid: string | null
}

/** Opens the stores, runs the work with the owners of a user's data, and closes the stores. */
async function withData(
  context: CliContext,
  loginName: string,
  work: (owners: readonly OwnedData[], data: DataStore, settings: Settings) => Promise<void>,
): Promise<void> {
  const { settings } = adminConfigOf(context)
  const data = await openDataForCommand(settings, context.cwd)
  if (data === null) {
    throw new GatepassError('config_invalid', {
      detail:
        'Session data is off. Set GATEPASS_DATA_URL, or GATEPASS_DATA_SECRET for the default store, as at the verifiers.',
    })
  }
  try {
    const deps = await openAccountDeps(settings, context.cwd)
    try {
      const account = await deps.accounts.findByLoginName(normalizeLoginName(loginName))
      if (account === null) throw new GatepassError('account_not_found')
      const sessions = await deps.sessions.listBySub(account.sub, systemClock.nowMs())
      const { issuer } = settings
      const owners = [
        { owner: dataOwner('user', issuer, account.sub), sid: null },
        ...sessions.map(({ sid }) => ({ owner: dataOwner('session', issuer, sid), sid })),
      ]
      await work(owners, data, settings)
    } finally {
      await deps.close()
    }
  } finally {
    await data.close()
  }
}

/** `gatepass data export`: prints all data of a user and the user's active sessions. */
export async function exportData(context: CliContext, options: { user: string; json: boolean }) {
  await withData(context, options.user, async (owners, data, settings) => {
    let unreadable = 0
    const service = createDataService(settings, data, {
      operation: () => {},
      fieldsRead: () => {},
      unreadable: () => {
        unreadable += 1
      },
    })
    const rows = []
    for (const { owner, sid } of owners) {
      for (const [field, { text }] of await service.exportAll(owner)) {
        const value = parseJson(text) as JsonValue
        rows.push({ scope: owner.scope, session_id: sid, field, value })
      }
    }
    await print(context.stdout, rows, options.json)
    if (unreadable === 0) return
    context.stderr.write(`Values that could not be decrypted and are missing: ${unreadable}.\n`)
    process.exitCode = exitCodes.failed
  })
}

/**
 * `gatepass data erase`: deletes all data of a user and the user's active sessions. The sessions
 * stay active and start empty.
 */
export async function eraseData(context: CliContext, options: { user: string }) {
  await withData(context, options.user, async (owners, data) => {
    const nowMs = systemClock.nowMs()
    for (const { owner } of owners) await data.end(owner, nowMs, nowMs)
    const sessions = owners.length - 1
    context.stderr.write(
      `Erased the data of ${options.user} and of ${sessions} active ${sessions === 1 ? 'session' : 'sessions'}.\n`,
    )
  })
}
