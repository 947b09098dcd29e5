import { readFileSync } from 'node:fs'
import {
  type Environment,
  type LoadedConfig,
  type LoadOptions,
  loadConfig,
} from '../config/load.ts'
import { environmentName, type Role, type SettingName } from '../config/settings.ts'
import { GatepassError } from '../core/errors.ts'

/** The environment, folder and streams that a command may use. */
export interface CliContext {
  readonly env: Environment
  readonly cwd: string
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
  /** The settings file of `--config`. */
  configFile?: string
}

/** Loads the settings of a role. @throws `config_invalid` with all problems */
export function configOf(
  context: CliContext,
  role: Role,
  options: Pick<LoadOptions, 'defaults' | 'optional'> = {},
): LoadedConfig {
  const { env, cwd, configFile: file } = context
  return loadConfig({ role, env, cwd, file, ...options })
}

/** Loads the issuer's settings for a command that issues no tokens and so needs no `GATEPASS_SECRET`. */
export function adminConfigOf(context: CliContext): LoadedConfig {
  return configOf(context, 'issuer', { optional: ['secret'] })
}

/** Loads the settings for a command of a user at a terminal, who runs no service. */
export function userConfigOf(context: CliContext): LoadedConfig {
  return configOf(context, 'verifier', { optional: ['admin_port', 'data_secret'] })
}

/** Returns the error of a setting whose value does not work on this machine. */
export function unusableSetting(
  name: SettingName,
  detail: string,
  cause?: NodeJS.ErrnoException,
): GatepassError {
  const problems = [{ pointer: environmentName(name), detail }]
  return new GatepassError('config_invalid', { problems, cause })
}

/** Names the setting of a store in the error if the store cannot be opened. */
export async function openedBy<T>(name: SettingName, store: Promise<T>): Promise<T> {
  try {
    return await store
  } catch (error) {
    if (!(error instanceof GatepassError)) throw error
    const detail = `${environmentName(name)}: ${error.message}`
    throw new GatepassError(error.code, { detail, cause: error.cause })
  }
}

export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
