import t from 'tap'
import { run } from '../support/processes.ts'
import { runtime } from '../support/runtimes.ts'

t.test('an older Node gets an error message', async (t) => {
  const command = [runtime.node22(), 'src/cli/main.ts']
  const { code, stderr } = await run(t, ['--help'], { command, cwd: process.cwd() })
  t.equal(code, 2)
  t.match(
    stderr,
    /^gatepass: The service needs Node 24 or later\. This is Node 22\.\d+\.\d+\. \(config_invalid\)\n$/,
  )
})
