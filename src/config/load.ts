import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type FieldProblem, GatepassError } from '../core/errors.ts'
import { crossCheck } from './checks.ts'
import { environmentName, type Role } from './setting.ts'
import { type SettingName, type Settings, type settings, settingsOf } from './settings.ts'
import { unknownNames } from './unknown-names.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface LoadOptions {
  readonly role: Role
  readonly env: Environment
  /** The folder that relative paths start from. */
  readonly cwd: string
  /** The settings file; without it `gatepass.json` in `cwd`, where there is one. */
  readonly file?: string
  /** What stands in for a default, below the settings file (`gatepass dev`). */
  readonly defaults?: Readonly<Partial<Record<SettingName, unknown>>>
  /** Required settings that this use can do without. */
  readonly optional?: readonly SettingName[]
}

/** Where the value of a setting came from. */
export type Source = 'default' | 'dev' | { readonly file: string } | { readonly env: string }

export interface EffectiveSetting {
  readonly name: SettingName
  readonly value: unknown
  readonly source: Source
}

export interface LoadedConfig {
  readonly settings: Settings
  readonly effective: readonly EffectiveSetting[]
}

/** The name of the environment variable that points to the settings file. */
export const configFileVariable = 'GATEPASS_CONFIG'
const defaultFile = 'gatepass.json'

/**
 * Reads the settings of a role: default, then settings file, then environment, the last one winning.
 *
 * @throws `config_invalid` with every problem that was found, not the first only
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const problems: FieldProblem[] = []
  const file = readSettingsFile(options, problems)
  problems.push(...unknownNames(options.env, file.values))

  const values: Record<string, unknown> = {}
  const effective: EffectiveSetting[] = []
  for (const setting of settingsOf(options.role)) {
    const found = findValue(setting, options, file, problems)
    if (found === null) continue
    if (found.value === undefined && options.optional?.includes(setting.name)) continue
    const parsed = setting.schema.safeParse(found.value)
    if (parsed.success) {
      values[setting.name] = parsed.data
      effective.push({ name: setting.name, value: parsed.data, source: found.source })
      continue
    }
    for (const issue of parsed.error.issues) {
      problems.push({
        pointer: [nameAt(found.source, setting.name), ...issue.path].join('/'),
        detail: found.value === undefined ? 'is required and not set' : lowerFirst(issue.message),
      })
    }
  }
  // Rules between settings make sense only once each is sound by itself.
  if (problems.length === 0) problems.push(...crossCheck(values as Partial<Settings>, options.role))
  if (problems.length > 0) throw new GatepassError('config_invalid', { problems })
  return { settings: values as Settings, effective }
}

interface SettingsFile {
  readonly path: string
  readonly values: Readonly<Record<string, unknown>>
}

function readSettingsFile(options: LoadOptions, problems: FieldProblem[]): SettingsFile {
  const named = options.file ?? options.env[configFileVariable]
  const path = resolve(options.cwd, named ?? defaultFile)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (named !== undefined) {
      problems.push({
        pointer: configFileVariable,
        detail: `${path} can't be read (${code(error)})`,
      })
    }
    return { path, values: {} }
  }
  try {
    const values: unknown = JSON.parse(text)
    if (typeof values !== 'object' || values === null || Array.isArray(values)) throw new Error()
    return { path, values: values as Record<string, unknown> }
  } catch {
    problems.push({ pointer: path, detail: 'is not a JSON object of settings' })
    return { path, values: {} }
  }
}

function findValue(
  setting: (typeof settings)[number],
  options: LoadOptions,
  file: SettingsFile,
  problems: FieldProblem[],
): { value: unknown; source: Source } | null {
  const variable = environmentName(setting.name)
  const fileVariable = `${variable}_FILE`
  // Compose and Kubernetes hand on an unset variable as an empty one.
  const text = options.env[variable] || undefined
  const mounted = options.env[fileVariable] || undefined
  if (text !== undefined && mounted !== undefined) {
    problems.push({ pointer: variable, detail: `is set twice: ${fileVariable} is set too` })
    return null
  }
  if (text !== undefined) return { value: setting.fromText(text), source: { env: variable } }
  if (mounted !== undefined) {
    try {
      // An editor's last newline does not belong to a secret.
      const content = readFileSync(resolve(options.cwd, mounted), 'utf8').trimEnd()
      return { value: setting.fromText(content), source: { env: fileVariable } }
    } catch (error) {
      problems.push({ pointer: fileVariable, detail: `${mounted} can't be read (${code(error)})` })
      return null
    }
  }
  if (Object.hasOwn(file.values, setting.name)) {
    return { value: file.values[setting.name], source: { file: file.path } }
  }
  const dev = options.defaults?.[setting.name]
  if (dev !== undefined) return { value: dev, source: 'dev' }
  return { value: setting.defaultByRole?.[options.role], source: 'default' }
}

function nameAt(source: Source, name: string): string {
  if (typeof source === 'string') return environmentName(name)
  return 'env' in source ? source.env : name
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}

function code(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
}
