import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { environmentName } from '../../config/setting.ts'
import type { SettingName, Settings } from '../../config/settings.ts'
import { GatepassError } from '../../core/errors.ts'
import { Child } from '../child.ts'
import { type CliContext, configOf } from '../context.ts'
import { demoUser, keepDemoUser, keepSecret } from '../demo.ts'
import { openAccountParts } from '../parts.ts'
import { welcome } from '../welcome.ts'

const stateFolder = '.gatepass'

/** The processes of `gatepass dev`: their ports are so far above the base port. */
const processes = [
  { name: 'issuer', role: 'issuer', above: 0 },
  { name: 'verifier-1', role: 'verifier', above: 100 },
  { name: 'verifier-2', role: 'verifier', above: 200 },
] as const

/** `gatepass dev`: an issuer and two verifiers on embedded defaults, until Ctrl-C. */
export async function runDev(context: CliContext, options: { port: string }): Promise<void> {
  const basePort = parsePort(options.port)
  const state = join(context.cwd, stateFolder)
  mkdirSync(state, { recursive: true, mode: 0o700 })
  const { text: secret, isNew } = keepSecret(join(state, 'secret'))
  const made: Partial<Record<SettingName, string>> = {
    mode: 'development',
    issuer: `http://localhost:${basePort}`,
    secret,
    data_secret: keepSecret(join(state, 'data-secret')).text,
  }
  const { settings, effective } = configOf(context, 'issuer', { defaults: made })

  // What the user has set stays; what we made up for them goes to the processes.
  const ours = effective.filter(({ source }) => source === 'dev').map(({ name }) => name)
  const env: Record<string, string | undefined> = { ...context.env }
  for (const name of ours) env[environmentName(name)] = made[name]
  // Node keeps what it compiled here: the next start takes a third less time.
  env.NODE_COMPILE_CACHE ??= join(state, 'compile-cache')

  const children = processes.map(
    ({ name, role, above }) =>
      new Child({
        name,
        role,
        args: context.configFile === undefined ? [] : ['--config', context.configFile],
        env: {
          ...env,
          GATEPASS_PORT: String(basePort + above),
          GATEPASS_ADMIN_PORT: String(basePort + above + 1),
        },
        cwd: context.cwd,
        logPath: join(state, `${name}.log`),
        stderr: context.stderr,
      }),
  )
  stopOnSignal(children)
  try {
    const [password] = await Promise.all([
      demoPassword(settings, context.cwd, join(state, 'demo-password')),
      ...children.map((child) => child.ready),
    ])
    context.stdout.write(
      welcome({
        issuer: settings.issuer,
        ports: processes.map(({ name, above }) => ({ name, port: basePort + above })),
        user: demoUser,
        password,
        stateFolder,
        keysUrl: settings.keys_url,
        secretIsNew: isNew && ours.includes('secret'),
        since_ms: Math.round(performance.now()),
      }),
    )
  } catch (error) {
    for (const child of children) child.stop()
    await Promise.all(children.map((child) => child.exited))
    // The process that did not start has said why.
    if (!(error instanceof GatepassError && error.code === 'internal_error')) throw error
    process.exitCode = 1
    return
  }
  await stopTogether(children, context)
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

function stopOnSignal(children: readonly Child[]): void {
  let asked = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (asked) for (const child of children) child.kill()
      else for (const child of children) child.stop()
      asked = true
    })
  }
}

/** Waits for the end; when one process ends by itself, the others end too. */
async function stopTogether(children: readonly Child[], context: CliContext): Promise<void> {
  const first = await Promise.race(
    children.map(async (child) => ({ child, code: await child.exited })),
  )
  if (first.code !== 0) {
    context.stderr.write(`The ${first.child.name} ended (exit code ${first.code}); stopping.\n`)
    process.exitCode = 1
  }
  for (const child of children) child.stop()
  await Promise.all(children.map((child) => child.exited))
  context.stdout.write(
    'Stopped. Users, sessions, their data and keys are kept for the next start.\n',
  )
  // Signal handlers would keep nothing alive, but leave no doubt.
  process.removeAllListeners('SIGINT').removeAllListeners('SIGTERM')
}

function parsePort(text: string): number {
  const port = Number(text)
  if (Number.isInteger(port) && port >= 1 && port <= 65_000) return port
  throw new GatepassError('config_invalid', {
    detail: 'The port must be a number from 1 to 65000.',
  })
}
