#!/usr/bin/env node
import type { CliContext } from './context.ts'
import { report } from './errors.ts'
import { buildProgram } from './program.ts'

const context: CliContext = {
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
}

try {
  await buildProgram(context).parseAsync()
} catch (error) {
  // Whatever was opened before it failed (a timer, a channel to a parent) must not keep it alive.
  process.exit(report(error, process.stderr))
}
