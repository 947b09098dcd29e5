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
  process.exitCode = report(error, process.stderr)
}
