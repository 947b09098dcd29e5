import t from 'tap'
import { run } from '../support/processes.ts'
import { readManifest } from '../support/project.ts'
import { runtime } from '../support/runtimes.ts'

const { engines } = readManifest()
const required = engines.node.replace('>=', '')

function refusal(version: string): RegExp {
  const needed = `The service needs Node ${required} or later.`
  return RegExp(`^gatepass: ${needed} This is Node ${version}. \\(config_invalid\\)\n$`)
}

t.test('an older Node gets an error message', async (t) => {
  const command = [runtime.node22(), 'src/cli/main.ts']
  const { code, stderr } = await run(t, ['--help'], { command, cwd: process.cwd() })
  t.equal(code, 2)
  t.match(stderr, refusal(String.raw`22\.\d+\.\d+`))
})

t.test('Node 24 without Argon2 or SQLite 3.51 is refused', async (t) => {
  const help = async (node: string) => {
    const versions = `{ value: { ...process.versions, node: '${node}' } }`
    const program = `Object.defineProperty(process, 'versions', ${versions})`
    const preload = `--import=data:text/javascript,${encodeURIComponent(program)}`
    const command = [process.execPath, preload, 'src/cli/main.ts']
    return await run(t, ['--help'], { command, cwd: process.cwd() })
  }
  for (const version of ['24.0.0', '24.6.0', '24.9.0', '24.13.1']) {
    const { code, stderr } = await help(version)
    t.equal(code, 2, version)
    t.match(stderr, refusal(version))
  }
  for (const version of ['24.14.0', '24.21.0', '26.0.0']) {
    t.equal((await help(version)).code, 0, version)
  }
})
