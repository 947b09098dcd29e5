import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

/** Seconds after which a test file counts as hung, as in .taprc. */
const timeoutSeconds = 600
/** A file that does not end by itself after its timeout is killed. */
const killMs = (timeoutSeconds + 60) * 1000
/** A process that a test has left behind may keep the output open. */
const outputMs = 5_000

const nodeOptions = [
  '--disable-warning=ExperimentalWarning',
  '--import',
  new URL('test-preload.ts', import.meta.url).href,
]

/** Lines of TAP that say nothing about a failure. */
const passed = /^( *(ok|# (Subtest|time)|\d+\.\.\d+|TAP version).*)?\n/gm
const summary = /^# \{ total: (\d+)(?:.*?fail: (\d+))?(?:.*?skip: (\d+))?/m

export interface FileResult {
  readonly path: string
  readonly hasPassed: boolean
  readonly seconds: number
  /** The output about failures. */
  readonly failures: string
  readonly asserts: number
  readonly failed: number
  readonly skipped: number
}

export interface TestQueues {
  readonly busy: readonly string[]
  /** Files that mostly wait for timers of servers, such as those of an election. */
  readonly idle: readonly string[]
}

/**
 * Runs test files as programs, each queue in its order. The runner of tap would double the time that
 * each of them takes to load, and each process that they start.
 */
export async function runEach(
  queues: TestQueues,
  env: NodeJS.ProcessEnv,
): Promise<readonly FileResult[]> {
  const busy = [...queues.busy]
  const idle = [...queues.idle]
  const results: FileResult[] = []
  const work = async (first: string[], second: string[]) => {
    for (;;) {
      const path = first.shift() ?? second.shift()
      if (path === undefined) return
      results.push(await runFile(path, env))
    }
  }
  // Two more than there are cores: busy files wait for servers now and then.
  const busyWorkers = Array.from({ length: availableParallelism() + 2 }, () => work(busy, idle))
  const idleWorkers = Array.from({ length: 2 }, () => work(idle, busy))
  await Promise.all([...busyWorkers, ...idleWorkers])
  return results
}

async function runFile(path: string, env: NodeJS.ProcessEnv): Promise<FileResult> {
  const startMs = performance.now()
  const child = spawn(process.execPath, [...nodeOptions, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...env, TAP_TIMEOUT: String(timeoutSeconds) },
    timeout: killMs,
    killSignal: 'SIGKILL',
  })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk) => chunks.push(chunk))
  const closed = once(child, 'close')
  const [code] = await once(child, 'exit')
  await Promise.race([closed, sleep(outputMs, null, { ref: false })])
  const output = Buffer.concat(chunks).toString()
  const counts = summary.exec(output)
  const [, asserts, failed, skipped] = counts ?? []
  // A file that ends before its tests do has no summary.
  const hasPassed = code === 0 && counts !== null
  return {
    path,
    hasPassed,
    seconds: (performance.now() - startMs) / 1000,
    failures: hasPassed ? '' : output.replaceAll(passed, '') || `It ended early (${code}).`,
    asserts: Number(asserts ?? 0),
    failed: Number(failed ?? 0),
    skipped: Number(skipped ?? 0),
  }
}
