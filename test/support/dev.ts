import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePorts } from '../../scripts/free-port.ts'
import { type ProcessOptions, TestProcess } from './processes.ts'
import { projectFolder } from './project.ts'
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
  // It has a drain time of its own.
  const env = { ...options.env, GATEPASS_DRAIN_S: undefined }
  const args = ['dev', '--port', String(port), ...(hasShop ? ['--shop', shop] : [])]
  const dev = TestProcess.start(t, args, { ...options, env })
  await dev.line(/Ctrl-C stops everything/)
  const password = /password +(\S+)/.exec(dev.stdout)?.[1] ?? ''
  return { dev, password, issuer: `http://localhost:${port}` }
}

/** The process that writes this log, by its first line: a service may be ready before its log is written. */
export async function pidOf(cwd: string, name: string): Promise<number> {
  const firstLine = () =>
    /^.*\n/.exec(readFileSync(join(cwd, `.gatepass/${name}.log`), 'utf8'))?.[0]
  await until(`${name} has written its log`, () => firstLine() !== undefined)
  return JSON.parse(firstLine() ?? '').pid
}

/** A port with free ones 1, 100, 101, 200, 201 and 300 above it. */
export function freeBasePort(): Promise<number> {
  return freePorts([0, 1, 100, 101, 200, 201, 300])
}
