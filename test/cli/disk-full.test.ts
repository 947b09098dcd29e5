import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { password } from '../support/accounts.ts'
import { patienceMs } from '../support/patience.ts'
import { run, TestProcess, untilStatus } from '../support/processes.ts'
import { serviceEnv } from '../support/services.ts'
import { type Disk, smallDisk } from '../support/small-disk.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

const sessionCount = 20
/** A request that takes longer hangs, even on a loaded machine. */
const deadlineMs = patienceMs
/** So that the log of the database does not fill a small disk by itself before it is wrapped. */
const pauseMs = 20

/** The size that the kernel lets files of the process have, as a quota does. */
function limitedDisk(t: Test): Disk {
  const limit = (pid: number, bytes: string) =>
    execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`])
  return {
    folder: createTestFolder(t),
    fill: (pid) => limit(pid, '0'),
    free: (pid) => limit(pid, 'unlimited'),
  }
}

interface Answer {
  readonly path: string
  readonly status: number
  readonly body: { readonly refresh_token: string; readonly code?: string }
}

/** The clients of an issuer, and whatever they were told that they should not have been. */
class Clients {
  readonly faults: unknown[] = []
  readonly counts: Record<string, number> = {}
  readonly #url: string

  constructor(url: string) {
    this.#url = url
  }

  /** An answer other than 200, or 503 with Retry-After, before the deadline is a fault. */
  async post(path: string, body: object, key = randomUUID()): Promise<Answer> {
    const startedAtMs = performance.now()
    const response = await fetch(`${this.#url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(deadlineMs),
    })
    const answer = {
      path,
      status: response.status,
      body: (await response.json()) as Answer['body'],
    }
    const tookMs = performance.now() - startedAtMs
    const isAllowed =
      answer.status === 200 || (answer.status === 503 && response.headers.has('retry-after'))
    if (!isAllowed)
      this.faults.push({ path, status: answer.status, code: answer.body.code, tookMs })
    const name = `${path} ${answer.status}`
    this.counts[name] = (this.counts[name] ?? 0) + 1
    return answer
  }

  login(username: string): Promise<Answer> {
    return this.post('/login', { username, password, refresh_token_in: 'body' })
  }

  count(name: string): number {
    return this.counts[name] ?? 0
  }
}

/** Refreshes over and over, each attempt by one key until it is answered. Gives the last token. */
async function keepRefreshing(clients: Clients, first: string, end: AbortSignal): Promise<string> {
  let refresh_token = first
  let key = randomUUID()
  for (;;) {
    const { status, body } = await clients.post('/refresh', { refresh_token }, key)
    if (status === 200) {
      refresh_token = body.refresh_token
      key = randomUUID()
      if (end.aborted) return refresh_token
    } else if (status !== 503) return ''
    await sleep(pauseMs)
  }
}

async function keepSigningIn(clients: Clients, username: string, end: AbortSignal) {
  while (!end.aborted) {
    await clients.login(username)
    await sleep(pauseMs)
  }
}

async function startOn(t: Test, { folder }: Disk) {
  const env = {
    ...serviceEnv,
    // Each refresh rotates, so each one writes.
    GATEPASS_GRACE_S: '0',
  }
  for (const name of ['ada', 'bob']) {
    await run(t, ['users', 'add', name], { cwd: folder, env, input: password })
  }
  const issuer = TestProcess.start(t, ['issuer'], { cwd: folder, env })
  const { url, adminUrl } = await issuer.ready()
  return { issuer, clients: new Clients(url), readyUrl: `${adminUrl}/readyz` }
}

/** Lets the disk be full under load for a while, and counts what that has cost. */
async function survives(t: Test, disk: Disk): Promise<void> {
  const { issuer, clients, readyUrl } = await startOn(t, disk)
  const held: string[] = []
  for (let n = 0; n < sessionCount; n++) {
    held.push((await clients.login('ada')).body.refresh_token)
  }

  const end = new AbortController()
  const load = Promise.all([
    Promise.all(held.map((token) => keepRefreshing(clients, token, end.signal))),
    keepSigningIn(clients, 'bob', end.signal),
  ])
  await until('it is under load', () => clients.count('/refresh 200') > 5 * sessionCount)
  disk.fill(issuer.pid)
  await until('both fail', () =>
    ['/refresh 503', '/login 503'].every((name) => clients.count(name) > sessionCount),
  )
  await untilStatus(readyUrl, 503)
  const { checks } = (await (await fetch(readyUrl)).json()) as { checks: Record<string, string> }
  t.equal(checks.sessions, 'store_unavailable', 'readiness says so')

  disk.free(issuer.pid)
  await untilStatus(readyUrl, 200)
  const before = { ...clients.counts }
  await until('both work', () =>
    ['/refresh 200', '/login 200'].every(
      (name) => clients.count(name) > (before[name] ?? 0) + sessionCount,
    ),
  )
  end.abort()
  const [last] = await load
  t.same(clients.faults, [], 'nothing but 200, and 503 with Retry-After')
  t.notOk(last.includes(''), 'nobody was signed out')
  const generations = last.map((token) => Number(token.split('.')[1]))
  const rotations = generations.reduce((sum, one) => sum + one, 0)
  t.equal(rotations, clients.count('/refresh 200'), 'each answer was one rotation')
  t.comment(JSON.stringify(clients.counts))
  t.equal(await issuer.stop(), 0, 'the process has lived through it')
}

t.test('a full disk delays requests and loses no session', async (t) => {
  const disk = smallDisk(t, '48m')
  if (disk === null) t.pass('where a file system can be mounted', { skip: true })
  else await survives(t, disk)
})

t.test('a quota delays requests and loses no session', (t) => survives(t, limitedDisk(t)))
