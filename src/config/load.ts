import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import * as z from 'zod'
import { type FieldProblem, GatepassError } from '../core/errors.ts'
import { isJsonObject } from '../tokens/strict-decoding.ts'
import { crossCheck } from './checks.ts'
import {
  asJson,
  environmentName,
  type Role,
  type Setting,
  type SettingName,
  type Settings,
  settings,
  settingsOf,
} from './settings.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface LoadOptions {
  readonly role: Role
  readonly env: Environment
  /** Base folder of relative paths. */
  readonly cwd: string
  /** The settings file. Default: `gatepass.json` in `cwd`, if it exists. */
  readonly file?: string | undefined
  /** Defaults of `gatepass dev`. The settings file and the environment override them. */
  readonly defaults?: Readonly<Partial<Record<SettingName, unknown>>>
  /** Settings that the caller does not need: they may be missing or break a rule between settings. */
  readonly optional?: readonly SettingName[]
}

export interface EffectiveSetting {
  readonly setting: Setting
  readonly value: unknown
  /** `default`, `dev` (`gatepass dev`), the path of the settings file, or an environment variable. */
  readonly source: string
}

export interface LoadedConfig {
  readonly settings: Settings
  readonly effective: readonly EffectiveSetting[]
}

/** The environment variable that names the settings file. */
const configFileVariable = 'GATEPASS_CONFIG'
const defaultFile = 'gatepass.json'

/** Listed problems of a setting. A list of 1,000 clients can have more than the log takes. */
const maxProblems = 100

/**
 * Loads the settings of a role from the defaults, the settings file and the environment, in rising
 * precedence.
 *
 * @throws `config_invalid` with all problems
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
    const parsed = setting.schema.safeParse(found.value)
    if (parsed.success) {
      values[setting.name] = parsed.data
      effective.push({ setting, value: parsed.data, source: found.source })
      continue
    }
    if (found.value === undefined && options.optional?.includes(setting.name)) continue
    const { issues } = parsed.error
    for (const issue of issues.slice(0, maxProblems)) {
      problems.push({
        pointer: [found.pointer, ...issue.path].join('/'),
        detail: detailOf(setting, found.value, issue),
      })
    }
    const others = issues.length - maxProblems
    if (others > 0) problems.push({ pointer: found.pointer, detail: `has ${others} more problems` })
  }
  const ignored = options.optional?.map(environmentName)
  const broken = crossCheck(values as Partial<Settings>, options.role)
  problems.push(...broken.filter(({ pointer }) => !ignored?.includes(pointer)))
  if (problems.length > 0) throw new GatepassError('config_invalid', { problems })
  return { settings: values as Settings, effective }
}

/** Words for a value that the schema refuses. They never repeat the value. */
function detailOf(setting: Setting, value: unknown, issue: z.core.$ZodIssue): string {
  if (value === undefined || issue.message.endsWith(' received undefined')) {
    return 'is required and not set'
  }
  const { message = '' } = issue.code === 'invalid_key' ? (issue.issues[0] ?? issue) : issue
  if (issue.path.length > 0) return lowerFirst(message)
  if (setting.fromText === asJson && !Array.isArray(value)) {
    if (typeof value !== 'string') return 'must be a JSON list'
    return Array.isArray(asJson(value))
      ? 'must be a JSON list, without quotation marks'
      : 'is not valid JSON, or has a name twice'
  }
  const allowed = allowedValues(setting)
  if (allowed === null) return lowerFirst(message)
  const isQuoted =
    typeof value === 'string' && setting.schema.safeParse(setting.fromText(value)).success
  const range = typeof allowed === 'string' ? allowed : allowed.join(' or ')
  return `must be ${range}${isQuoted ? ', without quotation marks' : ''}`
}

/** The allowed values of an enumeration or a flag, or the range of a number; null for all others. */
export function allowedValues({ schema, unit }: Setting): readonly string[] | string | null {
  const form = z.toJSONSchema(schema, { io: 'input' })
  if (form.enum !== undefined) return form.enum.map(String)
  if (form.type === 'boolean') return ['true', 'false']
  return form.type === 'integer' ? `${form.minimum} to ${form.maximum} ${unit}`.trim() : null
}

interface SettingsFile {
  readonly path: string
  readonly values: Readonly<Record<string, unknown>>
}

function readSettingsFile(options: LoadOptions, problems: FieldProblem[]): SettingsFile {
  const named = options.file ?? textOf(options.env, configFileVariable)
  const path = resolve(options.cwd, named ?? defaultFile)
  let text: string
  try {
    text = readText(path)
  } catch (error) {
    if (named !== undefined || code(error) !== 'ENOENT') {
      problems.push({
        pointer: configFileVariable,
        detail: `${path} cannot be read (${code(error)})`,
      })
    }
    return { path, values: {} }
  }
  const values = asJson(text)
  if (isJsonObject(values)) return { path, values }
  problems.push({ pointer: path, detail: `is not a JSON object of settings${faultIn(text)}` })
  return { path, values: {} }
}

/**
 * Reads a file without a byte order mark, which editors on Windows add.
 * @throws for text that is not UTF-8: a replaced character would change a secret
 */
function readText(path: string): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path))
}

/** Says why the settings file is refused, without the text of the file, which may contain a secret. */
function faultIn(text: string): string {
  try {
    return isJsonObject(JSON.parse(text)) ? ': it has a name twice' : ''
  } catch (error) {
    return / \(line \d+ column \d+\)$/.exec(String(error))?.[0] ?? ''
  }
}

interface FoundValue {
  readonly value: unknown
  readonly source: string
  /** The name of the setting in its source, for a problem. */
  readonly pointer: string
}

function findValue(
  setting: Setting,
  options: LoadOptions,
  file: SettingsFile,
  problems: FieldProblem[],
): FoundValue | null {
  const variable = environmentName(setting.name)
  const fileVariable = `${variable}_FILE`
  const text = textOf(options.env, variable)
  const mounted = textOf(options.env, fileVariable)
  if (text !== undefined && mounted !== undefined) {
    problems.push({ pointer: variable, detail: `is set twice: ${fileVariable} is set too` })
    return null
  }
  if (text !== undefined) {
    return { value: setting.fromText(text), source: variable, pointer: variable }
  }
  if (mounted !== undefined) {
    try {
      // An editor adds a newline at the end, which is not part of a secret.
      const content = readText(resolve(options.cwd, mounted)).trimEnd()
      if (content === '') {
        problems.push({ pointer: fileVariable, detail: `${mounted} is empty` })
        return null
      }
      return { value: setting.fromText(content), source: fileVariable, pointer: fileVariable }
    } catch (error) {
      problems.push({ pointer: fileVariable, detail: `${mounted} cannot be read (${code(error)})` })
      return null
    }
  }
  if (Object.hasOwn(file.values, setting.name)) {
    return { value: file.values[setting.name], source: file.path, pointer: setting.name }
  }
  const dev = options.defaults?.[setting.name]
  if (dev !== undefined) return { value: dev, source: 'dev', pointer: variable }
  const value = setting.defaultByRole?.[options.role]
  return { value, source: 'default', pointer: variable }
}

/**
 * Returns the value of a variable. Compose and Kubernetes pass an unset variable as an empty one, and
 * Kubernetes sets `GATEPASS_PORT=tcp://10.0.0.1:4000` for a service named gatepass.
 */
function textOf(env: Environment, name: string): string | undefined {
  const text = env[name] || undefined
  const isOfKubernetes = name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(text ?? '')
  return isOfKubernetes ? undefined : text
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}

function code(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
}

/**
 * Reports names that are not settings. Every unknown name in the settings file is a problem. The
 * environment is shared (Kubernetes sets `GATEPASS_SERVICE_HOST` for a service named gatepass), so
 * only a likely typing error is a problem there.
 */
function unknownNames(env: Environment, file: Readonly<Record<string, unknown>>): FieldProblem[] {
  const names: string[] = settings.map((setting) => setting.name)
  const variables = [
    ...names.flatMap((name) => [environmentName(name), `${environmentName(name)}_FILE`]),
    configFileVariable,
  ]
  const problems: FieldProblem[] = []
  for (const name of Object.keys(file)) {
    if (names.includes(name)) continue
    const meant = nearest(name, names)
    problems.push({
      pointer: name,
      detail: `is not a setting${meant && `; did you mean ${meant}?`}`,
    })
  }
  for (const name of Object.keys(env)) {
    if (!name.startsWith('GATEPASS_') || variables.includes(name)) continue
    if (textOf(env, name) === undefined) continue
    // Every setting has a form with _FILE, so a user may expect one of the settings file.
    const meant =
      name === `${configFileVariable}_FILE` ? configFileVariable : nearest(name, variables)
    if (meant) problems.push({ pointer: name, detail: `is not a setting; did you mean ${meant}?` })
  }
  return problems
}

/** Returns a name within an edit distance of 2, or 3 for a long name; or ''. */
function nearest(name: string, names: readonly string[]): string {
  const limits = name.length < 20 ? [2] : [2, 3]
  for (const limit of limits) {
    const found = names.find((other) => levenshteinDistance(name, other) <= limit)
    if (found !== undefined) return found
  }
  return ''
}

function levenshteinDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = at(row, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, at(row, j) + 1, at(next, j - 1) + 1))
    }
    row = next
  }
  return at(row, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}
