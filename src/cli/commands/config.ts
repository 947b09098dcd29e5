import type { Source } from '../../config/load.ts'
import { environmentName, type Role } from '../../config/setting.ts'
import { settings as allSettings } from '../../config/settings.ts'
import { withoutSecrets } from '../../stores/open-stores.ts'
import { type CliContext, configOf } from '../context.ts'
import { print } from '../terminal.ts'

/** `gatepass config`: every effective setting, where it comes from, and its unit. */
export function showConfig(context: CliContext, options: { role: Role; json: boolean }): void {
  const { effective } = configOf(context, options.role, { optional: ['secret'] })
  const rows = effective.map(({ name, value, source }) => {
    const { secret, unit } = allSettings.find((setting) => setting.name === name) ?? {}
    return {
      setting: environmentName(name),
      value: secret ? `hidden (${(value as unknown[]).length})` : withoutPassword(value),
      unit: unit || null,
      source: sourceText(source),
    }
  })
  print(context.stdout, rows, options.json)
}

/** A URL may contain a password. */
function withoutPassword(value: unknown): unknown {
  return typeof value === 'string' ? withoutSecrets(value) : (value ?? null)
}

function sourceText(source: Source): string {
  if (typeof source === 'string') return source
  return 'env' in source ? source.env : source.file
}
