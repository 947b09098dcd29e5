#!/usr/bin/env node
import { GatepassError } from '../core/errors.ts'
import type { CliContext } from './context.ts'
import { report } from './output.ts'

const context: CliContext = {
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
}

/** The library, which is in the same package, runs on Node 22. */
const nodeMin = 24

try {
  if (Number.parseInt(process.versions.node, 10) < nodeMin) {
    throw new GatepassError('config_invalid', {
      detail: `The service needs Node ${nodeMin} or later, and this is Node ${process.versions.node}.`,
    })
  }
  // What it imports is not there on an older Node.
  const { buildProgram } = await import('./program.ts')
  await buildProgram(context).parseAsync()
} catch (error) {
  // Whatever was opened before it failed (a timer, a channel to a parent) must not keep it alive.
  process.exit(report(error, process.stderr))
}
