#!/usr/bin/env node
import { existsSync } from 'node:fs'
import module from 'node:module'
import { fileURLToPath } from 'node:url'
import { GatepassError } from '../core/errors.ts'
import type { CliContext } from './context.ts'
import { reportError } from './terminal.ts'

const context: CliContext = {
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
}

/** The service needs a later Node than the verifier library. */
const minNodeVersion = 24

/** In the image, the build fills it. Node's default, in the folder of all users, could be poisoned. */
const compileCache = fileURLToPath(new URL('../compile-cache', import.meta.url))

try {
  if (Number.parseInt(process.versions.node, 10) < minNodeVersion) {
    throw new GatepassError('config_invalid', {
      detail: `The service needs Node ${minNodeVersion} or later. This is Node ${process.versions.node}.`,
    })
  }
  // Never throws. Without the right to write, Node only reads the cache.
  if (existsSync(compileCache)) module.enableCompileCache(compileCache)
  // An older Node cannot load the program's imports.
  const { buildProgram } = await import('./program.ts')
  await buildProgram(context).parseAsync()
} catch (error) {
  // An open timer or channel to a parent would keep the process running.
  process.exit(reportError(error, process.stderr))
}
