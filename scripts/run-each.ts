import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { text } from 'node:stream/consumers'

/** Seconds after which a test file counts as hung, as in .taprc. */
const timeoutSeconds = 300

/** Lines of TAP that say nothing about a failure. */
const passed = /^( *(ok|#|\d+\.\.\d+|TAP version).*)?\n/gm

/**
 * Runs test files as programs, without the runner of tap: a process that the runner starts takes twice
 * as long to load.
 * @returns the files that failed
 */
export async function runEach(
  paths: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<readonly string[]> {
  const waiting = [...paths]
  const failed: string[] = []
  const work = async () => {
    for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
      const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', path], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...env, TAP_TIMEOUT: String(timeoutSeconds) },
      })
      const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')])
      if (code === 0) continue
      failed.push(path)
      console.log(`${path} failed:\n${output.replaceAll(passed, '')}`)
    }
  }
  // Some files wait for timers meanwhile.
  await Promise.all(Array.from({ length: availableParallelism() + 1 }, work))
  return failed
}
