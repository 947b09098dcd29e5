import { openAccountStore, openSessionStore } from '../../stores/open.ts'
import { type CliContext, configOf } from '../context.ts'

/** `gatepass migrate`: brings the schema of every store up to date; doing it twice changes nothing. */
export async function migrateStores(context: CliContext): Promise<void> {
  const { settings } = configOf(context, 'issuer')
  for (const [name, open, url] of [
    ['accounts', openAccountStore, settings.accounts_url],
    ['sessions', openSessionStore, settings.sessions_url],
  ] as const) {
    // Opening a store migrates it.
    const store = await open(url, context.cwd)
    await store.close()
    context.stdout.write(`${name}: up to date (${url})\n`)
  }
}
