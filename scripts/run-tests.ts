/**
 * Runs the test files that this machine can run, and counts those that it skips.
 *
 * `--fast` runs the tests that need no server, browser or second process. `--list` prints the files
 * instead. With `CI=true`, a missing program is a failure.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, globSync, mkdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, sep } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { projectFolder } from './project-files.ts'
import { type TestNeeds, testNeeds } from './test-needs.ts'
import { isInstalled, packageOf } from './test-packages.ts'

/** All test files load the same modules: the test library, its plugins and the sources. */
const compileCache = join(projectFolder, 'node_modules/.cache/gatepass-tests')
const isFast = process.argv.includes('--fast')

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

interface FileResult {
  readonly path: string
  readonly hasPassed: boolean
  readonly seconds: number
  /** The output about failures. */
  readonly failures: string
  readonly asserts: number
  readonly failed: number
  readonly skipped: number
}

const files = globSync('test/**/*.test.ts', { cwd: projectFolder })
  .map((path) => path.split(sep).join('/'))
  .sort()
const lacking = new Map(Object.keys(packageOf).map((one) => [one, !isInstalled(one)]))

function missingOf({ programs }: TestNeeds): string[] {
  return programs.filter((program) => lacking.get(program))
}

const skipped = new Map<string, string[]>()
/** The longest files begin first, so that none of them runs alone at the end. */
const chosen: Record<'builds' | 'starts' | 'alone' | 'elections', string[]> = {
  builds: [],
  starts: [],
  alone: [],
  elections: [],
}
for (const path of files) {
  const needs = testNeeds(join(projectFolder, path))
  const isAlone = !needs.processes && needs.programs.length === 0
  if (isFast && !isAlone) continue
  const missing = process.env.CI === 'true' ? [] : missingOf(needs)
  if (missing.length > 0) skipped.set(path, missing)
  else if (isAlone) chosen.alone.push(path)
  else if (path.startsWith('test/stores/redis/')) chosen.elections.push(path)
  else chosen[path.startsWith('test/package/') ? 'builds' : 'starts'].push(path)
}
const busy = [...chosen.builds, ...chosen.starts, ...chosen.alone]
/** These mostly wait for timers of servers. */
const idle = chosen.elections

if (process.argv.includes('--list')) {
  console.log([...busy, ...idle].sort().join('\n'))
} else {
  process.chdir(projectFolder)
  const startMs = performance.now()
  const env = {
    ...process.env,
    NODE_COMPILE_CACHE: compileCache,
    ...(!isFast && { TEST_SERVICE_PROGRAM: buildTestService() }),
  }
  const results = await runEach(env)
  report(results, (performance.now() - startMs) / 1000)
  process.exitCode = results.every(({ hasPassed }) => hasPassed) ? 0 : 1
}

if (skipped.size > 0) {
  const programs = [...new Set([...skipped.values()].flat())]
  console.error(
    `\nSkipped ${skipped.size} of ${files.length} test files: they need programs that are missing.`,
  )
  for (const program of programs.sort()) {
    const count = [...skipped.values()].filter((missing) => missing.includes(program)).length
    console.error(
      `  ${program}: ${count} ${count === 1 ? 'file' : 'files'} (Debian package ${packageOf[program]})`,
    )
  }
  console.error('To run them too: npm run test:deps (Debian and Ubuntu; asks for sudo)')
}

/**
 * Builds the service once for all tests, as its image has it: such a process starts in half the processor
 * time of one from the sources.
 *
 * @returns the program of `gatepass issuer`, `gatepass verifier` and `gatepass dev`
 */
function buildTestService(): string {
  const folder = join(projectFolder, 'node_modules/.cache/gatepass-tests-service')
  const dist = join(folder, 'dist')
  mkdirSync(folder, { recursive: true })
  copyFileSync(join(projectFolder, 'package.json'), join(folder, 'package.json'))
  // `npm run types` checks the types.
  for (const [script, ...options] of [['build', '--noCheck'], ['bundle'], ['warm-up']]) {
    execFileSync(process.execPath, [`scripts/${script}.ts`, dist, ...options], {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
  }
  return join(dist, 'cli/main.js')
}

/**
 * Runs the chosen files as programs, each queue in its order. The runner of tap would double the time that
 * each of them takes to load, and each process that they start.
 */
async function runEach(env: NodeJS.ProcessEnv): Promise<readonly FileResult[]> {
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

/** Failures come last, where readers of a log look first. */
function report(results: readonly FileResult[], seconds: number): void {
  const sum = (of: (result: FileResult) => number) => results.reduce((all, one) => all + of(one), 0)
  const failed = results.filter(({ hasPassed }) => !hasPassed)
  const slowest = results.toSorted((one, other) => other.seconds - one.seconds).slice(0, 10)
  console.log('The slowest files:')
  for (const { path, seconds } of slowest) console.log(`  ${seconds.toFixed(1)} s  ${path}`)
  for (const { path, failures } of failed) console.log(`\nFAIL  ${path}\n${failures}`)
  console.log(`
Asserts: ${sum((one) => one.asserts)}, failed ${sum((one) => one.failed)}, skipped ${sum((one) => one.skipped)}
Files: ${results.length - failed.length} of ${results.length} passed in ${seconds.toFixed(1)} s`)
  for (const { path } of failed) console.log(`FAIL  ${path}`)
}
