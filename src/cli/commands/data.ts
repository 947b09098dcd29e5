import type { Settings } from '../../config/settings.ts'
import { GatepassError } from '../../core/errors.ts'
import { normalizeLoginName } from '../../issuer/login-name.ts'
import { type DataOwner, type DataStore, dataOwner } from '../../stores/data-store.ts'
import { adminConfigOf, type CliContext } from '../context.ts'
import { dataService, openDataNow } from '../data-wiring.ts'
import { openAccountParts } from '../issuer-wiring.ts'
import { exitCodes, print } from '../output.ts'

/** A user, or one of the user's live sessions. */
interface Place {
  readonly owner: DataOwner
  readonly sid: string | null
}

/** Opens the stores, finds out where a user's data is, runs the work and closes them. */
async function withData(
  context: CliContext,
  loginName: string,
  work: (places: readonly Place[], data: DataStore, settings: Settings) => Promise<void>,
): Promise<void> {
  const { settings } = adminConfigOf(context)
  const data = await openDataNow(settings, context.cwd)
  if (data === null) {
    throw new GatepassError('config_invalid', {
      detail: 'No session data is kept: GATEPASS_DATA_URL is not set.',
    })
  }
  try {
    const parts = await openAccountParts(settings, context.cwd)
    try {
      const account = await parts.accounts.findByLoginName(normalizeLoginName(loginName))
      if (account === null) throw new GatepassError('account_not_found')
      const sessions = await parts.sessions.listBySub(account.sub, Date.now())
      const { issuer } = settings
      const places = [
        { owner: dataOwner('user', issuer, account.sub), sid: null },
        ...sessions.map(({ sid }) => ({ owner: dataOwner('session', issuer, sid), sid })),
      ]
      await work(places, data, settings)
    } finally {
      await parts.close()
    }
  } finally {
    await data.close()
  }
}

/** `gatepass data export`: all that is kept for a user and the user's live sessions. */
export async function exportData(context: CliContext, options: { user: string; json: boolean }) {
  await withData(context, options.user, async (places, data, settings) => {
    let unreadable = 0
    const service = dataService(settings, data, {
      operation: () => {},
      fieldsRead: () => {},
      unreadable: () => {
        unreadable += 1
      },
    })
    const rows = []
    for (const { owner, sid } of places) {
      for (const [field, { value }] of await service.exportAll(owner)) {
        rows.push({ scope: owner.scope, session_id: sid, field, value })
      }
    }
    print(context.stdout, rows, options.json)
    if (unreadable === 0) return
    context.stderr.write(`Values that could not be decrypted, and are left out: ${unreadable}.\n`)
    process.exitCode = exitCodes.failed
  })
}

/** `gatepass data erase`: removes the same, for good. Who is signed in stays so, and begins anew. */
export async function eraseData(context: CliContext, options: { user: string }) {
  await withData(context, options.user, async (places, data) => {
    const nowMs = Date.now()
    for (const { owner } of places) await data.end(owner, nowMs, nowMs)
    const sessions = places.length - 1
    context.stderr.write(
      `The data of ${options.user} is erased, and that of live sessions: ${sessions}.\n`,
    )
  })
}
