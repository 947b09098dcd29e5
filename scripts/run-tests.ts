/**
 * Runs the test files that this machine can run, and counts those that it skips.
 *
 * `--fast` runs the tests that need no server, browser or second process. `--list` prints the files
 * instead. Other arguments are for tap, which `--fast` does without. With `CI=true`, a missing
 * program is a failure.
 */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runEach } from './run-each.ts'
import { type TestNeeds, testNeeds } from './test-needs.ts'
import { isInstalled, packageOf } from './test-packages.ts'

const projectFolder = fileURLToPath(new URL('..', import.meta.url))
const tap = fileURLToPath(import.meta.resolve('tap')).replace(
  /dist.*/,
  join('dist', 'esm', 'run.mjs'),
)
/** All test files load the same modules: the test runner, its plugins and the sources. */
const compileCache = join(projectFolder, 'node_modules/.cache/gatepass-tests')
const own = ['--fast', '--list']
const tapOptions = process.argv.slice(2).filter((option) => !own.includes(option))
const isFast = process.argv.includes('--fast')

const files = globSync('test/**/*.test.ts', { cwd: projectFolder })
  .map((path) => path.split(sep).join('/'))
  .sort()
const lacking = new Map(Object.keys(packageOf).map((one) => [one, !isInstalled(one)]))

function missingOf({ programs }: TestNeeds): string[] {
  return programs.filter((program) => lacking.get(program))
}

const skipped = new Map<string, string[]>()
const chosen: string[] = []
for (const path of files) {
  const needs = testNeeds(join(projectFolder, path))
  if (isFast && (needs.processes || needs.programs.length > 0)) continue
  const missing = process.env.CI === 'true' ? [] : missingOf(needs)
  if (missing.length === 0) chosen.push(path)
  else skipped.set(path, missing)
}

if (process.argv.includes('--list')) {
  console.log(chosen.join('\n'))
} else {
  const paths = chosen.map((path) => relative(process.cwd(), join(projectFolder, path)))
  const env = { ...process.env, NODE_COMPILE_CACHE: compileCache }
  process.exitCode = isFast ? await runFast(paths, env) : runAll(paths, env)
}

function runAll(paths: readonly string[], env: NodeJS.ProcessEnv): number {
  const command = [tap, ...tapOptions, ...paths]
  return spawnSync(process.execPath, command, { stdio: 'inherit', env }).status ?? 1
}

async function runFast(paths: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const startMs = performance.now()
  const failed = await runEach(paths, env)
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  console.log(`${paths.length - failed.length} of ${paths.length} files passed in ${seconds} s`)
  for (const path of failed) console.log(`failed: ${path}`)
  return failed.length === 0 ? 0 : 1
}

if (skipped.size > 0) {
  const programs = [...new Set([...skipped.values()].flat())]
  console.error(
    `\nSkipped ${skipped.size} of ${files.length} test files: they need programs that are missing.`,
  )
  for (const program of programs.sort()) {
    const count = [...skipped.values()].filter((missing) => missing.includes(program)).length
    console.error(`  ${program}: ${count} files (Debian package ${packageOf[program]})`)
  }
  console.error('To run them too: npm run test:deps (Debian and Ubuntu; asks for sudo)')
}
