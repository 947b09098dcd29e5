import { randomInt, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { password } from '../support/accounts.ts'
import { postJson } from '../support/post-json.ts'
import { TestProcess } from '../support/processes.ts'
import { addUser, serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

const sessionCount = 40
const refreshesPerSession = 25
/** The issuer is killed after a random number of refreshes up to this. */
const maxRefreshesPerKill = 200

/** Repeats a request with the same key until it is answered. */
async function persist(url: string, body: object, key: string): Promise<Response> {
  for (;;) {
    try {
      const response = await postJson(url, body, { 'idempotency-key': key })
      if (response.status !== 503) return response
    } catch {
      // The issuer is killed or starting.
    }
    await sleep(50)
  }
}

/** An issuer that is killed after a random number of refreshes, while other refreshes are in progress. */
class KilledIssuer {
  kills = 0
  #refreshesLeft = 0
  #restarting: Promise<void> = Promise.resolve()
  #process: TestProcess | null = null
  readonly #start: () => TestProcess

  constructor(start: () => TestProcess) {
    this.#start = start
  }

  async start(): Promise<void> {
    const process = this.#start()
    await process.ready()
    this.#refreshesLeft = randomInt(1, maxRefreshesPerKill)
    this.#process = process
  }

  /** Counts a refresh, and kills and restarts the issuer when its number is reached. */
  refreshed(): void {
    this.#refreshesLeft -= 1
    const process = this.#process
    if (this.#refreshesLeft > 0 || process === null) return
    this.#process = null
    this.kills += 1
    this.#restarting = process.stop('SIGKILL').then(() => this.start())
  }

  async stop(): Promise<void> {
    await this.#restarting
    await this.#process?.stop()
  }
}

t.test('an issuer that is killed many times loses no session', async (t) => {
  const cwd = createTestFolder(t)
  const port = String(await freePort())
  const env = {
    ...serviceEnv,
    GATEPASS_PORT: port,
    // Each refresh rotates, so each lost response matters.
    GATEPASS_GRACE_S: '0',
  }
  await addUser({ cwd, env })
  const first = TestProcess.start(t, ['issuer'], { cwd, env })
  const { url } = await first.ready()
  const held: string[] = []
  for (let n = 0; n < sessionCount; n++) {
    const body = { username: 'ada', password, refresh_token_in: 'body' }
    const response = await persist(`${url}/login`, body, 'login')
    held.push(((await response.json()) as { refresh_token: string }).refresh_token)
  }
  await first.stop('SIGKILL')

  const issuer = new KilledIssuer(() => TestProcess.start(t, ['issuer'], { cwd, env }))
  await issuer.start()
  const refused: unknown[] = []
  await Promise.all(
    held.map(async (token, index) => {
      let refresh_token = token
      for (let n = 0; n < refreshesPerSession; n++) {
        const response = await persist(`${url}/refresh`, { refresh_token }, randomUUID())
        const answer = (await response.json()) as { refresh_token: string }
        if (response.status !== 200) return void refused.push({ index, n, answer })
        refresh_token = answer.refresh_token
        issuer.refreshed()
      }
      held[index] = refresh_token
    }),
  )
  await issuer.stop()
  t.same(refused, [], 'nobody was signed out')
  t.ok(issuer.kills > 3, `it was killed ${issuer.kills} times`)
  t.same(
    held.map((token) => token.split('.')[1]),
    held.map(() => String(refreshesPerSession)),
    'each session is at the generation of its client',
  )
})
