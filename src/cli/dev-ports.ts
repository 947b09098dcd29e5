import { createServer } from 'node:net'
import { GatepassError } from '../core/errors.ts'
import type { CliContext } from './context.ts'

/** Each process of `gatepass dev` takes the port so far above the base port, and the next one. */
export const issuerAbove = 0
export const verifiersAbove = [100, 200] as const

const allAbove = [issuerAbove, ...verifiersAbove].flatMap((above) => [above, above + 1])
export const basePortMax = 65_000
const suggestionStep = 1_000

/**
 * Looks at all ports before a process starts: a process knows its own port only, and not that it
 * follows from `--port`.
 * @throws `port_in_use` with a command whose ports are free
 */
export async function requireFreePorts(
  { env }: Pick<CliContext, 'env'>,
  host: string,
  basePort: number,
): Promise<void> {
  const busy = await busyPorts(host, basePort)
  if (busy.length === 0) return
  const free = await freeBasePort(host, basePort)
  const remedy = `${commandOf(env)} --port ${free ?? '<number>'}`
  const which =
    busy.length === 1
      ? `Port ${busy[0]} is in use by another program.`
      : `The ports ${busy.join(', ')} are in use by other programs.`
  throw new GatepassError('port_in_use', { detail: `${which} Run: ${remedy}` })
}

async function busyPorts(host: string, basePort: number): Promise<number[]> {
  const ports = allAbove.map((above) => basePort + above)
  const isBusy = await Promise.all(ports.map((port) => isInUse(host, port)))
  return ports.filter((_, index) => isBusy[index])
}

async function freeBasePort(host: string, basePort: number): Promise<number | null> {
  for (let base = basePort + suggestionStep; base <= basePortMax; base += suggestionStep) {
    if ((await busyPorts(host, base)).length === 0) return base
  }
  return null
}

/** Any other reason than another program is for the process to tell that wants the port. */
async function isInUse(host: string, port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EADDRINUSE'))
    server.listen({ host, port }, () => server.close(() => resolve(false)))
  })
}

/** How this command was started; npm names the script that it runs. */
function commandOf({ npm_lifecycle_event: script }: CliContext['env']): string {
  if (script === 'start') return 'npm start --'
  return script === 'gatepass' ? 'npm run gatepass -- dev' : 'gatepass dev'
}
