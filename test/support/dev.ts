import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePorts } from '../../scripts/free-port.ts'
import { type ProcessOptions, TestProcess } from './processes.ts'
import { projectFolder } from './project.ts'
import { keyRotation } from './services.ts'
import { until } from './until.ts'

const shop = join(projectFolder, 'examples/shop/main.ts')

interface DevOptions extends ProcessOptions {
  /** See `freeBasePort`. */
  readonly port?: number
  /** Whether replicas of the shop may be started. Default: true. */
  readonly hasShop?: boolean
}

/** Starts `gatepass dev` with the shop, as `npm start` does, and reads the password it prints. */
export async function startDev(t: Test, { port: chosen, hasShop = true, ...options }: DevOptions) {
  const port = chosen ?? (await freeBasePort())
  // `gatepass dev` sets its own drain time.
  const env = { ...keyRotation, ...options.env, GATEPASS_DRAIN_S: undefined }
  const args = ['dev', '--port', String(port), ...(hasShop ? ['--shop', shop] : [])]
  const dev = TestProcess.start(t, args, { ...options, env })
  await dev.line(/Ctrl-C stops everything/)
  const password = /password +(\S+)/.exec(dev.stdout)?.[1] ?? ''
  return { dev, password, issuer: `http://localhost:${port}` }
}

/** Reads the process id of a service from its log, which may be written after the service is ready. */
export async function pidOf(cwd: string, name: string): Promise<number> {
  const firstLine = () =>
    /^.*\n/.exec(readFileSync(join(cwd, `.gatepass/${name}.log`), 'utf8'))?.[0]
  await until(`${name} has written its log`, () => firstLine() !== undefined)
  return JSON.parse(firstLine() ?? '').pid
}

/** Returns a port with free ports at 1, 100, 101, 200, 201 and 300 above it. */
export function freeBasePort(): Promise<number> {
  return freePorts([0, 1, 100, 101, 200, 201, 300])
}
