import { openKeys } from '../../src/cli/issuer-wiring.ts'
import { loadConfig } from '../../src/config/load.ts'

/** Creates the first key of a folder, as the start of an issuer does. */
export async function createFirstKey(
  cwd: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const { settings } = loadConfig({ role: 'issuer', env, cwd })
  const keys = await openKeys(settings, cwd)
  await keys.close()
}
