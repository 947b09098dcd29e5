import { CommanderError } from 'commander'
import { GatepassError } from '../core/errors.ts'

/** What a shell script can tell apart. */
export const exitCodes = { ok: 0, failed: 1, misused: 2 } as const

/** Says what went wrong in plain sentences and gives the exit code. A stack is for our own faults. */
export function report(error: unknown, stderr: NodeJS.WritableStream): number {
  // Commander has printed its own message by now.
  if (error instanceof CommanderError)
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.misused
  if (error instanceof GatepassError) {
    stderr.write(`gatepass: ${error.message} (${error.code})\n`)
    for (const { pointer, detail } of error.problems ?? []) {
      stderr.write(`  ${pointer} ${detail}\n`)
    }
    return error.code === 'config_invalid' ? exitCodes.misused : exitCodes.failed
  }
  const { code, path, message, stack } = error as NodeJS.ErrnoException
  // The operating system refused something: its word and the path say it all.
  if (typeof code === 'string' && path !== undefined) stderr.write(`gatepass: ${message}\n`)
  else stderr.write(`gatepass: ${stack ?? String(error)}\n`)
  return exitCodes.failed
}
