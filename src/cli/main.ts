#!/usr/bin/env node
import { GatepassError } from '../core/errors.ts'
import type { CliContext } from './context.ts'
import { reportError } from './output.ts'

const context: CliContext = {
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
}

/** The service needs a later Node than the verifier library. */
const minNodeVersion = 24

try {
  if (Number.parseInt(process.versions.node, 10) < minNodeVersion) {
    throw new GatepassError('config_invalid', {
      detail: `The service needs Node ${minNodeVersion} or later. This is Node ${process.versions.node}.`,
    })
  }
  // An older Node cannot load the program's imports.
  const { buildProgram } = await import('./program.ts')
  await buildProgram(context).parseAsync()
} catch (error) {
  // An open timer or channel to a parent would keep the process running.
  process.exit(reportError(error, process.stderr))
}
