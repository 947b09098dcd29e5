import { readFileSync } from 'node:fs'
import {
  type Environment,
  type LoadedConfig,
  type LoadOptions,
  loadConfig,
} from '../config/load.ts'
import type { Role } from '../config/setting.ts'

/** What a command may touch of the world around it. */
export interface CliContext {
  readonly env: Environment
  readonly cwd: string
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
  /** The settings file named on the command line. */
  configFile?: string
}

/** @throws `config_invalid` with all problems */
export function configOf(
  context: CliContext,
  role: Role,
  options: Pick<LoadOptions, 'defaults' | 'optional'> = {},
): LoadedConfig {
  const { env, cwd, configFile } = context
  return loadConfig({
    role,
    env,
    cwd,
    ...(configFile !== undefined && { file: configFile }),
    ...options,
  })
}

/** The issuer's settings for a command that mints no tokens, and so can do without their secret. */
export function adminConfigOf(context: CliContext): LoadedConfig {
  return configOf(context, 'issuer', { optional: ['secret'] })
}

export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
