import { type CliContext, configOf } from '../context.ts'
import { isoTime, print } from '../output.ts'
import { keyStatusesOf, openKeys } from '../parts.ts'

/** `gatepass keys list`: every key, and where it stands in its life. */
export async function listKeys(context: CliContext, options: { json: boolean }): Promise<void> {
  const { settings } = configOf(context, 'issuer')
  const keys = await keyStatusesOf(settings, context.cwd)
  const rows = keys.map((key) => ({
    name: key.name,
    kid: key.kid,
    alg: key.alg,
    state: key.state,
    activates_at: isoTime(key.activateAtMs),
    removed_at: isoTime(key.removedAtMs),
  }))
  print(context.stdout, rows, options.json)
}

/** `gatepass keys rotate`: the next key now, and not at the end of the epoch. */
export async function rotateKeys(context: CliContext, options: { json: boolean }): Promise<void> {
  const { settings } = configOf(context, 'issuer')
  const keys = await openKeys(settings, context.cwd)
  const { name, kid, alg, activateAtMs } = await keys.rotate()
  await keys.close()
  const row = { name, kid, alg, activates_at: isoTime(activateAtMs) }
  if (options.json) print(context.stdout, [row], true)
  else {
    context.stdout.write(
      `The key ${kid} (${alg}) is published. It signs from ${row.activates_at} on, when every verifier has it.\n`,
    )
  }
}
