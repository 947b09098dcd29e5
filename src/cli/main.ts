#!/usr/bin/env node

/** The service needs a later Node than the verifier library. */
const minNodeVersion = 24
const { node } = process.versions

// An older Node cannot load the program, so this module imports nothing else.
if (Number.parseInt(node, 10) < minNodeVersion) {
  const needed = `The service needs Node ${minNodeVersion} or later.`
  process.stderr.write(`gatepass: ${needed} This is Node ${node}. (config_invalid)\n`)
  process.exitCode = 2
} else {
  const { runProgram } = await import('./program.ts')
  const { env, stdin, stdout, stderr } = process
  await runProgram({ env, cwd: process.cwd(), stdin, stdout, stderr })
}

export {}
