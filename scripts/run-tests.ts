/**
 * Runs the test files that this machine can run, and counts those that it skips.
 *
 * `--fast` runs the tests that need no server, browser or second process. `--list` prints the files
 * instead. With `CI=true`, a missing program is a failure.
 */
import { globSync } from 'node:fs'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type FileResult, runEach } from './run-each.ts'
import { type TestNeeds, testNeeds } from './test-needs.ts'
import { isInstalled, packageOf } from './test-packages.ts'
import { buildTestService } from './test-service.ts'

const projectFolder = fileURLToPath(new URL('..', import.meta.url))
/** All test files load the same modules: the test library, its plugins and the sources. */
const compileCache = join(projectFolder, 'node_modules/.cache/gatepass-tests')
const isFast = process.argv.includes('--fast')

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
  const results = await runEach({ busy, idle }, env)
  report(results, (performance.now() - startMs) / 1000)
  process.exitCode = results.every(({ hasPassed }) => hasPassed) ? 0 : 1
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
