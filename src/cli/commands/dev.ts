import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { environmentName } from '../../config/setting.ts'
import type { SettingName, Settings } from '../../config/settings.ts'
import { GatepassError } from '../../core/errors.ts'
import { type CliContext, configOf } from '../context.ts'
import { demoUser, keepDemoUser, keepSecret, welcome } from '../dev/demo.ts'
import {
  basePortMax,
  DevProcesses,
  issuerAbove,
  requireFreePorts,
  verifiersAbove,
} from '../dev/processes.ts'
import { Fleet } from '../dev/replica-processes.ts'
import type { Child } from '../dev/service-process.ts'
import { openAccountParts } from '../issuer-wiring.ts'
import { servesPlayground } from '../playground-wiring.ts'

const stateFolder = '.gatepass'

/** The verifiers that are there from the start. */
const verifiers = verifiersAbove.map((above, index) => ({ name: `verifier-${index + 1}`, above }))

/** Rotated keys sign within seconds, so that one can watch. */
const jwksMaxAge_s = 10

/** `gatepass dev`: an issuer and two verifiers on embedded defaults, until Ctrl-C. */
export async function runDev(context: CliContext, options: { port: string }): Promise<void> {
  const basePort = parsePort(options.port)
  const state = join(context.cwd, stateFolder)
  mkdirSync(state, { recursive: true, mode: 0o700 })
  const { text: secret, isNew } = keepSecret(join(state, 'secret'))
  const made: Partial<Record<SettingName, string | number | boolean>> = {
    mode: 'development',
    issuer: `http://localhost:${basePort}`,
    secret,
    keys_url: `file:${stateFolder}/keys`,
    // A secret of the user's may come and go with the shell; the keys of the trial stay readable.
    keys_secret: secret,
    data_secret: keepSecret(join(state, 'data-secret')).text,
    jwks_max_age_s: jwksMaxAge_s,
    playground: true,
    // Nobody waits for a balancer after Ctrl-C.
    drain_s: 0,
  }
  const { settings, effective } = configOf(context, 'issuer', { defaults: made })
  await requireFreePorts(context, settings.host, basePort)

  // What the user has set stays; what we made up for them goes to the processes.
  const ours = effective.filter(({ source }) => source === 'dev').map(({ name }) => name)
  const env: Record<string, string | undefined> = { ...context.env }
  for (const name of ours) env[environmentName(name)] = String(made[name])
  // Node keeps what it compiled here: the next start takes a third less time.
  env.NODE_COMPILE_CACHE ??= join(state, 'compile-cache')

  const lost = Promise.withResolvers<Ended>()
  const processes = new DevProcesses({ context, settings, env, basePort, state })
  const fleet: Fleet = new Fleet({
    kinds: processes.kinds,
    start: (kind, name, above) => processes.replica(kind, name, above),
    tell: (message) => issuer.send(message),
    onLost: (name, code) => {
      if (verifiers.some((one) => one.name === name)) lost.resolve({ name, code })
      else context.stderr.write(`The ${name} ended (exit code ${code}); the others go on.\n`)
    },
  })
  const issuer = processes.issuer((message) => fleet.receive(message))
  const all: DevParts = { issuer, fleet, lost: lost.promise }
  stopOnSignal(all)
  try {
    const [password] = await Promise.all([
      demoPassword(settings, context.cwd, join(state, 'demo-password')),
      issuer.ready,
      ...verifiers.map(({ above }) => fleet.add('verifier', above)),
    ])
    context.stdout.write(
      welcome({
        issuer: settings.issuer,
        ports: [{ name: 'issuer', above: issuerAbove }, ...verifiers].map(({ name, above }) => ({
          name,
          port: basePort + above,
        })),
        user: demoUser,
        password,
        stateFolder,
        keysUrl: settings.keys_url,
        secretIsNew: isNew && ours.includes('secret'),
        hasPlayground: servesPlayground(settings),
        since_ms: Math.round(performance.now()),
      }),
    )
  } catch (error) {
    await stopAll(all)
    // The process that did not start has said why.
    if (!(error instanceof GatepassError && error.code === 'internal_error')) throw error
    process.exitCode = 1
    return
  }
  await stopTogether(all, context)
}

interface Ended {
  readonly name: string
  readonly code: number
}

interface DevParts {
  readonly issuer: Child
  readonly fleet: Fleet
  /** A verifier that ended by itself. */
  readonly lost: Promise<Ended>
}

async function demoPassword(settings: Settings, cwd: string, path: string): Promise<string | null> {
  // Somebody else's user base gets no user of ours.
  if (settings.accounts_url.startsWith('webhook+')) return null
  const parts = await openAccountParts(settings, cwd)
  try {
    return await keepDemoUser(parts.users, path)
  } finally {
    await parts.close()
  }
}

function stopOnSignal({ issuer, fleet }: DevParts): void {
  let asked = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (asked) {
        issuer.kill()
        fleet.kill()
      } else {
        issuer.stop()
        fleet.end()
      }
      asked = true
    })
  }
}

async function stopAll({ issuer, fleet }: DevParts): Promise<void> {
  issuer.stop()
  fleet.end()
  await Promise.all([issuer.exited, fleet.ended()])
}

/** Waits for the end; when one process ends by itself, the others end too. */
async function stopTogether(all: DevParts, context: CliContext): Promise<void> {
  const issuerEnded = all.issuer.exited.then((code): Ended => ({ name: 'issuer', code }))
  const first = await Promise.race([issuerEnded, all.lost])
  if (first.code !== 0) {
    context.stderr.write(`The ${first.name} ended (exit code ${first.code}); stopping.\n`)
    process.exitCode = 1
  }
  await stopAll(all)
  context.stdout.write(
    'Stopped. Users, sessions, their data and keys are kept for the next start.\n',
  )
  // Signal handlers would keep nothing alive, but leave no doubt.
  process.removeAllListeners('SIGINT').removeAllListeners('SIGTERM')
}

function parsePort(text: string): number {
  const port = Number(text)
  if (Number.isInteger(port) && port >= 1 && port <= basePortMax) return port
  throw new GatepassError('config_invalid', {
    detail: `The port must be a number from 1 to ${basePortMax}.`,
  })
}
