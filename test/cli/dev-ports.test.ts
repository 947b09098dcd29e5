import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePorts } from '../../scripts/free-port.ts'
import { requireFreePorts, ServiceProcess } from '../../src/cli/dev/processes.ts'
import { freeBasePort } from '../support/dev.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

const host = '127.0.0.1'

async function take(t: Test, port: number, address = host): Promise<void> {
  const server = createServer().listen(port, address)
  await once(server, 'listening')
  t.teardown(() => server.close())
}

/** The error message for a base port; '' if all ports are free. */
async function refusal(port: number, script?: string): Promise<string> {
  try {
    await requireFreePorts({ env: { npm_lifecycle_event: script } }, host, port)
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

t.test('the error names a busy port and a command with a free port', async (t) => {
  const port = await freeBasePort()
  t.equal(await refusal(port), '')
  await take(t, port + 101)
  for (const [script, command] of [
    ['start', 'npm start --'],
    ['gatepass', 'npm run gatepass -- dev'],
    [undefined, 'gatepass dev'],
  ] as const) {
    // Another test may take a port that was free.
    await until('the named port is free', async () => {
      const told = await refusal(port, script)
      t.match(told, `Port ${port + 101} is in use by another program. Run: ${command} --port `)
      return (await refusal(Number(/\d+$/.exec(told)?.[0]))) === ''
    })
  }
})

const addresses = Object.values(networkInterfaces()).flat()
const skip = !addresses.some((one) => one?.address === '::1') && 'there is no ::1'

t.test('a program at the other address of localhost is noticed', { skip }, async (t) => {
  const port = await freeBasePort()
  await take(t, port, '::1')
  t.match(await refusal(port), `Port ${port} is in use by another program.`)
})

t.test('the error names all busy ports', async (t) => {
  const port = await freePorts([0, 1, 100, 101, 200, 201, 300, 1100])
  for (const above of [1, 201, 1100]) await take(t, port + above)
  const told = await refusal(port)
  t.match(told, `The ports ${port + 1}, ${port + 201} are in use by other programs.`)
  t.not(Number(/\d+$/.exec(told)?.[0]), port + 1000, 'which is busy too')
})

t.test('a port that browsers refuse is neither accepted nor suggested', async (t) => {
  t.match(await refusal(6566), 'Browsers do not connect to port 6566. Run: gatepass dev --port ')
  t.match(await refusal(6466), 'Browsers do not connect to port 6566.')
  await take(t, 5567)
  t.not(/\d+$/.exec(await refusal(5566))?.[0], '6566')
})

t.test('an address of another machine is left to the process that listens', async (t) => {
  await requireFreePorts({ env: {} }, '203.0.113.1', await freeBasePort())
  t.pass('nothing is said')
})

t.test(
  'processes of two starts in one folder do not overwrite the log lines of each other',
  async (t) => {
    const cwd = createTestFolder(t, { 'a.log': 'of an earlier start\n' })
    const logPath = join(cwd, 'a.log')
    const write = (text: string) => {
      const command = ['-e', `process.once('message', () => console.log('${text}'))`]
      const process = new ServiceProcess({
        name: text,
        command,
        hasReadiness: false,
        env: {},
        cwd,
        logPath,
        stderr: globalThis.process.stderr,
      })
      process.ready.catch(() => {})
      return process
    }
    const both = [write('first'), write('second')]
    for (const process of both) {
      process.stop()
      await process.exited
    }
    t.equal(readFileSync(logPath, 'utf8'), 'first\nsecond\n')
  },
)
