#!/usr/bin/env node
import { executionAsyncResource } from 'node:async_hooks'
import { setFlagsFromString } from 'node:v8'

/** Has Argon2, and SQLite 3.51, which measures a WAL without a checkpoint. */
const minNodeVersion = '24.14'
const { node } = process.versions
const keptTicks: object[] = []

// An older Node cannot load the program, so it is imported below.
if (node.localeCompare(minNodeVersion, 'en', { numeric: true }) < 0) {
  const needed = `The service needs Node ${minNodeVersion} or later.`
  process.stderr.write(`gatepass: ${needed} This is Node ${node}. (config_invalid)\n`)
  process.exitCode = 2
} else {
  // V8 may take the objects of the first requests for long-lived, and allocate those of all later
  // requests in the old generation. Collecting them there costs as much as a signature.
  setFlagsFromString('--no-allocation-site-pretenuring')
  // If three garbage collections find no tick object, V8 forgets their shape, and from then on creates
  // each of them in its runtime, in six times the time. So one is kept.
  process.nextTick(() => keptTicks.push(executionAsyncResource()))
  const { runProgram } = await import('./program.ts')
  const { env, stdin, stdout, stderr } = process
  await runProgram({ env, cwd: process.cwd(), stdin, stdout, stderr })
}
