import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { defaultClients } from '../../config/clients.ts'
import { environmentName, type SettingName, type Settings } from '../../config/settings.ts'
import { GatepassError, isGatepassError } from '../../core/errors.ts'
import { createFolder } from '../../core/files.ts'
import type { Client } from '../../issuer/clients.ts'
import { generatePassword, type Users } from '../../issuer/users.ts'
import { demoUser } from '../../playground/api.ts'
import { ThirdPartyServer, thirdPartyClient } from '../../playground/third-party.ts'
import { webhookAddress } from '../../stores/open-stores.ts'
import { type CliContext, configOf, unusableSetting } from '../context.ts'
import {
  DevProcesses,
  issuerPortOffset,
  maxBasePort,
  requireFreePorts,
  type ServiceProcess,
  thirdPartyPortOffset,
  verifierPortOffsets,
} from '../dev/processes.ts'
import { ReplicaProcesses } from '../dev/replica-processes.ts'
import { hasPlayground, openAccountDeps } from '../issuer-wiring.ts'
import { onStopSignal } from '../shutdown.ts'
import { exitCodes } from '../terminal.ts'

const stateFolder = '.gatepass'

/** The verifiers that start with `gatepass dev`. */
const verifiers = verifierPortOffsets.map((portOffset, index) => ({
  name: `verifier-${index + 1}`,
  portOffset,
}))

/** The values of GATEPASS_HOST with which a service takes calls at 127.0.0.1. */
const localHosts: readonly string[] = ['127.0.0.1', 'localhost', '0.0.0.0', '::']

/** A rotated key signs after seconds, so that a user of the playground can watch it. */
const jwksMaxAge_s = 10

export interface DevOptions {
  readonly port: string
  readonly shop?: string
}

/** `gatepass dev`: an issuer and two verifiers with embedded stores, until Ctrl-C. */
export async function runDev(context: CliContext, options: DevOptions): Promise<void> {
  const basePort = parsePort(options.port)
  const shop = options.shop === undefined ? null : findProgram(context.cwd, options.shop)
  const state = join(context.cwd, stateFolder)
  createFolder(state)
  const { text: secret, isNew } = readOrCreateSecret(join(state, 'secret'))
  const defaults = devDefaults(basePort, state, secret)
  const { settings, effective } = configOf(context, 'issuer', { defaults })
  requireLocalHost(settings)
  requireSharedDatabases(settings)
  await requireFreePorts(context, settings.host, basePort)

  // The processes read the user's settings from the environment or the file. This command adds the
  // defaults.
  const defaulted = effective
    .filter(({ source }) => source === 'dev')
    .map(({ setting }) => setting.name)
  const env: Record<string, string | undefined> = { ...context.env }
  for (const name of defaulted) env[environmentName(name)] = asText(defaults[name])
  // Node's compile cache makes the next start a third faster.
  env.NODE_COMPILE_CACHE ??= join(state, 'compile-cache')

  const exited = Promise.withResolvers<Exit>()
  const isOurs = hasPlayground(settings) && defaulted.includes('clients')
  const application = isOurs ? createApplication(settings, basePort) : null
  const thirdParty = application?.origin ?? null
  const processes = new DevProcesses({
    context,
    settings,
    env,
    basePort,
    shop,
    thirdParty,
    stateFolder: state,
  })
  const replicas: ReplicaProcesses = new ReplicaProcesses({
    kinds: processes.kinds,
    start: (kind, name, portOffset) => processes.startReplica(kind, name, portOffset),
    send: (message) => issuer.send(message),
    onStartTimeout: (name) =>
      context.stderr.write(
        `The ${name} is not ready, and ${stateFolder}/${name}.log says why. A verifier needs the keys of ${settings.issuer}.\n`,
      ),
    onUnexpectedExit: (name, code) => {
      if (verifiers.some((one) => one.name === name)) exited.resolve({ name, code })
      else
        context.stderr.write(
          `The ${name} exited (exit code ${code}). The other processes keep running.\n`,
        )
    },
  })
  const issuer = processes.startIssuer((message) => replicas.receive(message))
  const all: RunningProcesses = { issuer, replicas, application, exited: exited.promise }
  stopOnSignal(all)
  try {
    const [password] = await Promise.all([
      demoPassword(settings, context.cwd, join(state, 'demo-password')),
      issuer.ready,
      application?.start(),
      ...verifiers.map(({ portOffset }) => replicas.add('verifier', portOffset)),
    ])
    context.stdout.write(
      welcomeText({
        settings,
        basePort,
        password,
        isSecretNew: isNew && defaulted.includes('secret'),
        thirdParty,
      }),
    )
  } catch (error) {
    await stopAll(all)
    // The reason is printed: by the process that failed to start, or by `onStartTimeout`.
    if (!isGatepassError(error, 'internal_error')) throw error
    process.exitCode = exitCodes.failed
    return
  }
  await waitAndStop(all, context)
}

type Defaults = Partial<Record<SettingName, string | number | boolean | readonly Client[]>>

/** The settings of `gatepass dev` where the user sets none. */
function devDefaults(basePort: number, state: string, secret: string): Defaults {
  return {
    mode: 'development',
    issuer: `http://localhost:${basePort}`,
    secret,
    keys_url: `file:${stateFolder}/keys`,
    // The keys have a secret of their own: GATEPASS_SECRET of the shell may differ at the next
    // start, and the keys must stay readable.
    keys_secret: secret,
    data_secret: readOrCreateSecret(join(state, 'data-secret')).text,
    jwks_max_age_s: jwksMaxAge_s,
    playground: true,
    clients: [...defaultClients, thirdPartyClient(originOfThirdParty(basePort))],
    // No load balancer needs time to notice that this process stops.
    drain_s: 0,
  }
}

/** Not `localhost`: on another site, the cookies of the issuer are third-party cookies. */
function originOfThirdParty(basePort: number): string {
  return `http://127.0.0.1:${basePort + thirdPartyPortOffset}`
}

function createApplication({ issuer }: Settings, basePort: number): ThirdPartyServer {
  const api = `http://localhost:${basePort + verifierPortOffsets[0]}`
  return new ThirdPartyServer({ origin: originOfThirdParty(basePort), issuer, api })
}

/** A default as an environment variable. */
function asText(value: Defaults[SettingName]): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

interface Exit {
  readonly name: string
  readonly code: number
}

interface RunningProcesses {
  readonly issuer: ServiceProcess
  readonly replicas: ReplicaProcesses
  /** The third-party application, in this process. */
  readonly application: ThirdPartyServer | null
  /** Resolves when one of the first verifiers exits without being stopped. */
  readonly exited: Promise<Exit>
}

async function demoPassword(settings: Settings, cwd: string, path: string): Promise<string | null> {
  // An existing user base gets no demo user.
  if (webhookAddress(settings.accounts_url) !== null) return null
  const deps = await openAccountDeps(settings, cwd)
  try {
    return await ensureDemoUser(deps.users, path)
  } finally {
    await deps.close()
  }
}

/** The first signal stops the processes; the second one kills them. */
function stopOnSignal({ issuer, replicas }: RunningProcesses): void {
  let isStopping = false
  const stop = () => {
    if (isStopping) {
      issuer.kill()
      replicas.kill()
    } else {
      issuer.stop()
      replicas.shutDown()
    }
    isStopping = true
  }
  onStopSignal(stop)
}

async function stopAll({ issuer, replicas, application }: RunningProcesses): Promise<void> {
  application?.close()
  issuer.stop()
  replicas.shutDown()
  await Promise.all([issuer.exited, replicas.exited()])
}

/** Waits until a process exits, then stops the other processes. */
async function waitAndStop(all: RunningProcesses, context: CliContext): Promise<void> {
  const issuerExited = all.issuer.exited.then((code): Exit => ({ name: 'issuer', code }))
  const first = await Promise.race([issuerExited, all.exited])
  if (first.code !== 0) {
    context.stderr.write(
      `The ${first.name} exited (exit code ${first.code}). Stopping the other processes.\n`,
    )
    process.exitCode = exitCodes.failed
  }
  await stopAll(all)
  context.stdout.write(
    'Stopped. Users, sessions, session data and keys are kept for the next start.\n',
  )
  process.removeAllListeners('SIGINT').removeAllListeners('SIGTERM')
}

function parsePort(text: string): number {
  const port = Number(text)
  if (Number.isInteger(port) && port >= 1 && port <= maxBasePort) return port
  throw new GatepassError('config_invalid', {
    detail: `The port must be a number from 1 to ${maxBasePort}.`,
  })
}

/** The processes call each other at 127.0.0.1. @throws `config_invalid` */
function requireLocalHost({ host }: Settings): void {
  if (localHosts.includes(host)) return
  throw unusableSetting('host', `must be ${localHosts.join(' or ')} for "gatepass dev"`)
}

/** This process creates the demo user, and each replica reads session data. @throws `config_invalid` */
function requireSharedDatabases(settings: Settings): void {
  for (const name of ['accounts_url', 'data_url'] as const) {
    if (settings[name] !== 'sqlite::memory:') continue
    throw unusableSetting(
      name,
      'must be a file for "gatepass dev": each process would have its own',
    )
  }
}

function findProgram(cwd: string, file: string): string {
  const path = resolve(cwd, file)
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) return path
  throw new GatepassError('config_invalid', { detail: `The file of --shop is missing: ${path}` })
}

/** Reads a file, or creates it with text that only its owner can read. */
function readOrCreate(path: string, create: () => string): { text: string; isNew: boolean } {
  const isAbsent = !existsSync(path)
  const known = isAbsent ? '' : readFileSync(path, 'utf8').trim()
  // A full disk leaves an empty file.
  if (known !== '') return { text: known, isNew: false }
  const text = create()
  writeFileSync(path, `${text}\n`, { mode: 0o600, flag: isAbsent ? 'wx' : 'w' })
  return { text, isNew: true }
}

/** The secret in a file. The first start creates it. */
export function readOrCreateSecret(path: string) {
  return readOrCreate(path, () => randomBytes(32).toString('base64url'))
}

/** Makes sure that the demo user can sign in, and returns the password in the file. */
async function ensureDemoUser(users: Users, passwordPath: string): Promise<string> {
  const { text: password, isNew } = readOrCreate(passwordPath, generatePassword)
  const attributes = { name: 'Demo User', email: 'demo@example.com', roles: ['customer'] }
  try {
    await users.add({ loginName: demoUser, password, attributes })
  } catch (error) {
    if (!isGatepassError(error, 'account_exists')) throw error
    // The account exists, but the file with its password was deleted.
    if (isNew) await users.setPassword(demoUser, password)
  }
  return password
}

interface Welcome {
  readonly settings: Settings
  readonly basePort: number
  /** null if the users are in an existing user base. */
  readonly password: string | null
  readonly isSecretNew: boolean
  /** The origin of the third-party application; null if there is none. */
  readonly thirdParty: string | null
}

/** The text that `gatepass dev` prints when it is ready: addresses, and commands to paste. */
function welcomeText(welcome: Welcome): string {
  const { settings, basePort } = welcome
  const { issuer } = settings
  const user = welcome.password === null ? '<name>' : demoUser
  const password = welcome.password ?? '<password>'
  const urlOf = (offset: number) => `http://localhost:${basePort + offset}`
  const verifierUrls = verifierPortOffsets.map(urlOf)
  const jar = `${stateFolder}/cookies`
  const login = JSON.stringify({ username: user, password })
  const addresses = [{ name: 'issuer', portOffset: issuerPortOffset }, ...verifiers].map(
    ({ name, portOffset }) =>
      `  ${name.padEnd(11)} ${urlOf(portOffset)}   health and metrics ${urlOf(portOffset + 1)}/metrics`,
  )
  return `
Gatepass is ready (${Math.round(performance.now())} ms)
${hasPlayground(settings) ? playgroundLine(welcome) : ''}
${addresses.join('\n')}
  API         ${issuer}/openapi.json
  state       ${stateFolder}/ (users, sessions, session data, logs); signing keys in ${settings.keys_url}
${welcome.isSecretNew ? `  secret      generated for this installation, in ${stateFolder}/secret\n` : ''}
  demo user   ${user}
  password    ${password}

Sign in and keep the access token:

  TOKEN=$(curl -s -c ${jar} -H 'Content-Type: application/json' \\
    -d '${login}' \\
    ${issuer}/login | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

Each replica verifies the token by itself:

${verifierUrls.map((address) => `  curl -i -H "Authorization: Bearer $TOKEN" ${address}/verify`).join('\n')}
  curl -s -H "Authorization: Bearer $TOKEN" ${verifierUrls[0]}/whoami

Session data written through one replica can be read through every replica until sign-out:

  curl -i -X PUT -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -d '{"shirt":1}' ${verifierUrls[0]}/data/session/cart
  curl -s -H "Authorization: Bearer $TOKEN" ${verifierUrls[1]}/data/session/cart

Refresh, then sign out:

  curl -s -b ${jar} -c ${jar} -X POST ${issuer}/refresh
  curl -i -b ${jar} -c ${jar} -X POST ${issuer}/logout

Ctrl-C stops everything.
`
}

/** The password is in the fragment of the link, which a browser does not send to a server. */
function playgroundLine({ settings, password, thirdParty }: Welcome): string {
  const fragment = password === null ? '' : `#password=${encodeURIComponent(password)}`
  const third =
    thirdParty === null ? '' : `  third party ${thirdParty}/   signs users in by OAuth\n`
  return `
  playground  ${settings.issuer}/${fragment}
${third}`
}
