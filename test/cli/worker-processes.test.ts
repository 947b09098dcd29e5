import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { password } from '../support/accounts.ts'
import { postJson } from '../support/post-json.ts'
import { run, TestProcess, untilStatus } from '../support/processes.ts'
import { addUser, serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

const env = { ...serviceEnv, GATEPASS_WORKERS: '2' }
const draining = { GATEPASS_DRAIN_S: '1', GATEPASS_SHUTDOWN_S: '60' }

async function startIssuer(t: Test, cwd: string, more: Record<string, string> = {}) {
  const issuer = TestProcess.start(t, ['issuer'], { cwd, env: { ...env, ...more } })
  const readyCount = () => issuer.stdout.match(/"msg":"ready"/g)?.length
  // Each process writes its own lines, in no order between them.
  await until('all processes are ready', () => readyCount() === 3)
  const { url, adminUrl: admin } = await issuer.ready()
  return { issuer, url, admin }
}

/** The ids of the worker processes that a process has started. */
function childrenOf({ pid }: TestProcess): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  return children.map(Number).filter(isWorker)
}

/** False until the new process runs Node: its parent waits for that, and would stop with it. */
function isWorker(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes('NODE_UNIQUE_ID=')
  } catch {
    return false
  }
}

/** The ids of both worker processes, once they are ready. */
async function workersOf(issuer: TestProcess): Promise<readonly [number, number]> {
  const isReady = (pid: number) => new RegExp(`"pid":${pid},.*"msg":"ready"`).test(issuer.stdout)
  let workers: number[] = []
  await until('both workers are ready', () => {
    workers = childrenOf(issuer)
    return workers.length === 2 && workers.every(isReady)
  })
  const [first = 0, second = 0] = workers
  return [first, second]
}

/** The id of a worker process that is neither of these, once it has begun. */
async function workerBeside(...known: readonly [number, number]): Promise<number> {
  const other = () => childrenOf(issuer).find((pid) => !known.includes(pid))
  await until('another worker has begun', () => other() !== undefined)
  return other() ?? 0
}

/** Resolves when the primary process has noticed that a worker exited. */
async function noticed(worker: number): Promise<void> {
  await issuer.line(new RegExp(`"worker":${worker},.*"a worker exited; replacing it"`))
}

const folder = createTestFolder(t)
await addUser({ cwd: folder, env })
// With port 0, the port changes when both workers have exited.
const more = { ...draining, GATEPASS_PORT: String(await freePort()) }
/** After a SIGWINCH, the machine lacks the memory for one more process. */
const lackMemory = `
  import { ChildProcess } from 'node:child_process'
  const { prototype } = ChildProcess
  const { spawn } = prototype
  process.on('SIGWINCH', () => {
    prototype.spawn = () => {
      prototype.spawn = spawn
      throw new Error('spawn ENOMEM')
    }
  })`
const options = `--import=data:text/javascript,${encodeURIComponent(lackMemory)}`
/** For tests that leave it with two workers. */
const { issuer, url, admin } = await startIssuer(t, folder, { ...more, NODE_OPTIONS: options })
/** A new connection for each request, so that the requests spread over the workers that run. */
const unpooled = { headers: { connection: 'close' } }

function login(url: string) {
  return postJson(`${url}/login`, { username: 'ada', password }, unpooled.headers)
}

t.test('several workers serve one port, and the admin port reports on all of them', async (t) => {
  await workersOf(issuer)
  let logins = 0
  await until('both workers have served', async () => {
    t.equal((await login(url)).status, 200)
    logins += 1
    const served = issuer.stdout.match(/"pid":(\d+)(?=.*"event":"login\.ok")/g)
    return new Set(served).size === 2
  })
  // A worker that is slow to report is missing in a response.
  const sum = `gatepass_events_total{event="login.ok"} ${logins}\n`
  const metrics = async () => (await fetch(`${admin}/metrics`)).text()
  await until('the metrics are those of both', async () => (await metrics()).includes(sum))
  await untilStatus(`${admin}/readyz`, 200)
  const ready = await fetch(`${admin}/readyz`)
  t.match(await ready.json(), { checks: { workers: String, sessions: String } })
})

t.test('a worker that exits is replaced', async (t) => {
  const [worker] = await workersOf(issuer)
  process.kill(worker, 'SIGKILL')
  await noticed(worker)
  t.equal((await fetch(`${url}/.well-known/jwks.json`, unpooled)).status, 200)
  t.notOk((await workersOf(issuer)).includes(worker))
  await untilStatus(`${admin}/readyz`, 200)
})

t.test(
  'a client of a worker that dies before it takes the connection is not left waiting',
  async (t) => {
    const [worker] = await workersOf(issuer)
    process.kill(worker, 'SIGSTOP')
    await until('the worker has stopped', () => isInState(worker, 'T'))
    const statuses: (number | 'lost')[] = []
    const answers = Array.from({ length: 4 }, async () => {
      const answer = fetch(`${url}/.well-known/jwks.json`, unpooled)
      statuses.push(
        await answer.then(
          ({ status }) => status,
          () => 'lost',
        ),
      )
    })
    // The stopped worker has the fourth.
    await until('three are answered', () => statuses.length === 3)
    process.kill(worker, 'SIGKILL')
    await Promise.all(answers)
    t.same(statuses, [200, 200, 200, 'lost'])
  },
)

t.test('the service is ready while a process that replaces another starts', async () => {
  const [first, second] = await workersOf(issuer)
  process.kill(first, 'SIGKILL')
  const third = await workerBeside(first, second)
  process.kill(third, 'SIGSTOP')
  await untilStatus(`${admin}/readyz`, 200)
  process.kill(second, 'SIGKILL')
  await untilStatus(`${admin}/readyz`, 503)
  process.kill(third, 'SIGCONT')
  await untilStatus(`${admin}/readyz`, 200)
})

/** Whether a process is in this state: T for stopped, Z for exited. */
const isInState = (pid: number, state: string) =>
  readFileSync(`/proc/${pid}/stat`, 'utf8').includes(`) ${state} `)

t.test('a worker that exits during a request for its report stops no other process', async (t) => {
  const [worker] = await workersOf(issuer)
  const socket = connect(Number(new URL(admin).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(socket, 'data')
  // The primary process receives the request first, and then learns of the exit.
  issuer.freeze()
  await new Promise((resolve) =>
    socket.write('GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n', resolve),
  )
  process.kill(worker, 'SIGKILL')
  await until('the worker has exited', () => isInState(worker, 'Z'))
  issuer.thaw()
  t.match(String(await once(socket, 'data')), /^HTTP\/1\.1 (200|503) /)
  await noticed(worker)
  await untilStatus(`${admin}/readyz`, 200)
})

t.test('no counter falls when a worker is slow or exits', async (t) => {
  const [first, second] = await workersOf(issuer)
  for (let n = 0; n < 6; n++) {
    const response = await fetch(`${url}/openapi.json`, unpooled)
    await response.arrayBuffer()
  }
  const served = async () => {
    const metrics = await (await fetch(`${admin}/metrics`)).text()
    const [, count] = /_count\{.*route="\/openapi.json",.*\} (\d+)/.exec(metrics) ?? []
    return Number(count)
  }
  await until('both workers have reported', async () => (await served()) === 6)
  process.kill(first, 'SIGSTOP')
  await until('the worker has stopped', () => isInState(first, 'T'))
  // Node warns if more than ten of anything listen to one worker.
  const scrapes = await Promise.all(Array.from({ length: 11 }, served))
  t.same(new Set(scrapes), new Set([6]), 'a slow worker')
  t.notMatch(issuer.stderr, /Warning/)
  process.kill(first, 'SIGKILL')
  await noticed(first)
  t.equal(await served(), 6, 'a worker that exited')
  process.kill(second, 'SIGKILL')
  await noticed(second)
  t.equal(await served(), 6, 'two workers that exited')
})

/** How often prom-client measures the lag of the event loop. */
const samplingMs = 10

t.test('a health check does not reset the measured lag of the event loop', async () => {
  const [worker] = await workersOf(issuer)
  await untilStatus(`${admin}/readyz`, 200)
  // The lag up to here does not count.
  await (await fetch(`${admin}/metrics`)).text()
  await until('the lag is in the metrics', async () => {
    // After each report, Node measures from its next sample on. A busy machine may take it later.
    await sleep(10 * samplingMs)
    process.kill(worker, 'SIGSTOP')
    await until('the worker has stopped', () => isInState(worker, 'T'))
    await sleep(500)
    process.kill(worker, 'SIGCONT')
    for (let n = 0; n < 3; n++) await untilStatus(`${admin}/readyz`, 200)
    const metrics = await (await fetch(`${admin}/metrics`)).text()
    const [, max] = /^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(metrics) ?? []
    return Number(max) > 0.2
  })
})

t.test('a worker that the machine cannot start is started later', async () => {
  const [worker] = await workersOf(issuer)
  issuer.limitFiles(3)
  process.kill(issuer.pid, 'SIGWINCH')
  process.kill(worker, 'SIGKILL')
  // Node throws the first error and emits the second.
  await issuer.line(/ENOMEM.*a worker could not be started; trying again/)
  await issuer.line(/EMFILE.*a worker could not be started; trying again/)
  issuer.limitFiles(1024)
  await workersOf(issuer)
  await untilStatus(`${admin}/readyz`, 200)
})

t.test('a SIGHUP while a worker starts reaches this worker', async () => {
  const [first, second] = await workersOf(issuer)
  process.kill(first, 'SIGKILL')
  const third = await workerBeside(first, second)
  process.kill(issuer.pid, 'SIGHUP')
  await issuer.line(new RegExp(`"pid":${third},.*"msg":"clients were reloaded"`))
  await issuer.line(new RegExp(`"pid":${second},.*"msg":"clients were reloaded"`))
})

t.test('with a busy port all processes exit, with a message', async (t) => {
  const { port } = new URL(url)
  const second = await run(t, ['issuer'], { cwd: folder, env: { ...env, GATEPASS_PORT: port } })
  t.equal(second.code, 1)
  t.match(second.stderr, `Port ${port} is in use by another program`)
  t.notMatch(second.stderr, 'internal_error')
})

// It stops the process of the tests above.
t.test('each worker drains once, and all processes exit in time', async (t) => {
  await workersOf(issuer)
  t.equal(await issuer.stop(), 0)
  t.equal(issuer.stdout.match(/"msg":"stopping"/g)?.length, 3)
  t.equal(issuer.stdout.match(/"msg":"stopped"/g)?.length, 3)
})

t.test('a stop while the workers start ends all processes', async (t) => {
  const more = { ...draining, GATEPASS_DRAIN_S: '0' }
  const cwd = createTestFolder(t)
  const issuer = TestProcess.start(t, ['issuer'], { cwd, env: { ...env, ...more } })
  await until('both workers have begun', () => childrenOf(issuer).length === 2)
  t.equal(await issuer.stop(), 0)
})

/** Kills a ready worker while the other one starts. @returns null if the other one was ready already */
async function killDuringStart(t: Test): Promise<TestProcess | null> {
  const issuer = TestProcess.start(t, ['issuer'], { cwd: createTestFolder(t), env })
  await until('both workers have begun', () => childrenOf(issuer).length === 2)
  const [first = 0, second = 0] = childrenOf(issuer)
  process.kill(second, 'SIGSTOP')
  await issuer.line(new RegExp(`"pid":${first},.*"msg":"ready"`))
  process.kill(first, 'SIGKILL')
  const wasReady = issuer.line(/a worker exited; replacing it/)
  const hasStarted = await Promise.race([
    issuer.exited.then(() => false),
    wasReady.then(
      () => true,
      () => false,
    ),
  ])
  if (!hasStarted) return issuer
  await issuer.stop('SIGKILL')
  process.kill(second, 'SIGKILL')
  return null
}

t.test('a worker that exits before all are ready is a failed start', async (t) => {
  let issuer = await killDuringStart(t)
  while (issuer === null) issuer = await killDuringStart(t)
  t.equal(await issuer.exited, 1)
  t.match(issuer.stderr, 'A worker did not start: it ended by SIGKILL.')
})

t.test(
  'a signal to all processes counts once, in any order with the message to stop',
  async (t) => {
    const { issuer } = await startIssuer(t, createTestFolder(t), draining)
    const workers = await workersOf(issuer)
    // The message and the signal wait for each worker. Node handles the message first.
    for (const worker of workers) process.kill(worker, 'SIGSTOP')
    const exited = issuer.stop()
    for (const worker of workers) process.kill(worker, 'SIGTERM')
    await issuer.line(/"msg":"stopping"/)
    for (const worker of workers) process.kill(worker, 'SIGCONT')
    t.equal(await exited, 0)
    t.notMatch(issuer.stdout, /second SIGTERM/)
    t.equal(issuer.stdout.match(/"msg":"stopped"/g)?.length, 3)
  },
)

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

t.test('workers exit when the primary process is killed', async (t) => {
  const { issuer } = await startIssuer(t, createTestFolder(t))
  const workers = await workersOf(issuer)
  await issuer.stop('SIGKILL')
  await until('the workers have exited', () => !workers.some(isAlive))
})

t.test('a second signal ends all processes at once, even one that hangs', async (t) => {
  const more = { GATEPASS_DRAIN_S: '300' }
  const { issuer } = await startIssuer(t, createTestFolder(t), more)
  const workers = await workersOf(issuer)
  const [hanging] = workers
  t.teardown(() => isAlive(hanging) && process.kill(hanging, 'SIGKILL'))
  process.kill(hanging, 'SIGSTOP')
  issuer.stop('SIGTERM')
  await issuer.line(/"msg":"stopping"/)
  t.equal(await issuer.stop('SIGINT'), 1)
  await until('the workers have exited', () => !workers.some(isAlive))
})
