import { existsSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { environmentName } from '../config/setting.ts'
import { settings as allSettings, dataUrl, type Settings } from '../config/settings.ts'
import type { ReplicaKind } from '../playground/replicas.ts'
import { Child, mainProgram } from './child.ts'
import type { CliContext } from './context.ts'
import { issuerAbove } from './dev-ports.ts'

/** The shop is among the examples of the repository; the published package has none. */
const shopProgram = fileURLToPath(new URL('../../examples/shop/main.ts', import.meta.url))

export interface DevProcessesOptions {
  readonly context: CliContext
  /** Those of the issuer. */
  readonly settings: Settings
  /** What all processes get. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly basePort: number
  /** The folder of logs. */
  readonly state: string
}

/** Starts the processes of `gatepass dev`. */
export class DevProcesses {
  readonly kinds: readonly ReplicaKind[]
  readonly #options: DevProcessesOptions

  constructor(options: DevProcessesOptions) {
    this.#options = options
    const hasShop = dataUrl(options.settings) !== null && existsSync(shopProgram)
    this.kinds = hasShop ? ['verifier', 'shop'] : ['verifier']
  }

  issuer(onMessage: (message: unknown) => void): Child {
    return this.#service('issuer', 'issuer', issuerAbove, onMessage)
  }

  /** @param above the base port; null takes free ports */
  replica(kind: ReplicaKind, name: string, above: number | null): Child {
    return kind === 'shop' ? this.#shop(name) : this.#service('verifier', name, above)
  }

  #service(
    role: 'issuer' | 'verifier',
    name: string,
    above: number | null,
    onMessage?: (message: unknown) => void,
  ): Child {
    const { context, env, basePort } = this.#options
    const { configFile } = context
    const port = above === null ? 0 : basePort + above
    return new Child({
      ...this.#common(name),
      // From the sources it takes the types out of the page's modules, of which Node warns.
      command: [
        ...(role === 'issuer' ? ['--disable-warning=ExperimentalWarning'] : []),
        mainProgram,
        ...(configFile === undefined ? [] : ['--config', configFile]),
        role,
      ],
      hasReadiness: true,
      env: {
        ...(role === 'issuer' ? env : withoutSecrets(env)),
        GATEPASS_PORT: String(port),
        GATEPASS_ADMIN_PORT: String(port === 0 ? 0 : port + 1),
      },
      ...(onMessage && { onMessage }),
    })
  }

  #shop(name: string): Child {
    const { settings, env, context } = this.#options
    return new Child({
      ...this.#common(name),
      command: ['--conditions=gatepass-source', shopProgram],
      hasReadiness: false,
      env: {
        ...withoutSecrets(env),
        SHOP_PORT: '0',
        SHOP_NAME: name,
        GATEPASS_ISSUER: settings.issuer,
        GATEPASS_AUDIENCE: settings.audience,
        GATEPASS_DATA_URL: absoluteUrl(dataUrl(settings) ?? '', context.cwd),
        GATEPASS_DATA_SECRET: settings.data_secret.join(','),
        GATEPASS_SESSION_MAX_S: String(settings.session_max_s),
        GATEPASS_ACCESS_TTL_S: String(settings.access_ttl_s),
      },
    })
  }

  #common(name: string) {
    const { context, state } = this.#options
    const { cwd, stderr } = context
    return { name, cwd, stderr, logPath: join(state, `${name}.log`) }
  }
}

/** What replicas get: none of the secrets that only an issuer has to know. */
function withoutSecrets(env: DevProcessesOptions['env']): DevProcessesOptions['env'] {
  const secret = allSettings.filter((one) => one.secret && !one.roles.includes('verifier'))
  const names = secret.map(({ name }) => environmentName(name))
  const unset = names.flatMap((name) => [name, `${name}_FILE`])
  return { ...env, ...Object.fromEntries(unset.map((name) => [name, undefined])) }
}

/** A file by its whole path, wherever the reader looks from. */
function absoluteUrl(url: string, cwd: string): string {
  const [, path] = /^sqlite:(.+)$/.exec(url) ?? []
  return path === undefined || isAbsolute(path) ? url : `sqlite:${join(cwd, path)}`
}
