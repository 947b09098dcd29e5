import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { run, TestProcess } from '../support/processes.ts'

const password = 'correct horse battery staple'
const sessionCount = 40
const refreshesPerSession = 250
const killEveryMs = { min: 200, max: 900 }

/** A client that asks again, with the same key, until there is an answer. */
async function persist(url: string, body: object, key: string): Promise<Response> {
  for (;;) {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
        body: JSON.stringify(body),
      })
      if (response.status !== 503) return response
    } catch {
      // It is being killed, or started again.
    }
    await sleep(20)
  }
}

/** Keeps one issuer running, and kills it at moments that nothing foresees, until it is told to end. */
async function killAgainAndAgain(
  t: Test,
  cwd: string,
  env: Record<string, string>,
  end: AbortSignal,
) {
  let kills = 0
  while (!end.aborted) {
    const issuer = TestProcess.start(t, ['issuer'], { cwd, env })
    await issuer.ready()
    await sleep(killEveryMs.min + Math.random() * (killEveryMs.max - killEveryMs.min))
    if (end.aborted) await issuer.stop('SIGTERM')
    else await issuer.stop('SIGKILL')
    kills += 1
  }
  return kills
}

t.test(
  'an issuer that is killed over and over loses no session and signs nobody out',
  async (t) => {
    const cwd = t.testdir()
    const port = String(await freePort())
    const env = {
      GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters',
      GATEPASS_PORT: port,
      GATEPASS_ADMIN_PORT: '0',
      // Each refresh rotates, so each answer that is lost is one that matters.
      GATEPASS_GRACE_S: '0',
      GATEPASS_ARGON2_MEMORY_KIB: '8',
    }
    await run(t, ['users', 'add', 'ada'], { cwd, env, input: password })
    const first = TestProcess.start(t, ['issuer'], { cwd, env })
    await first.ready()
    const url = `http://127.0.0.1:${port}`
    const held: string[] = []
    for (let n = 0; n < sessionCount; n++) {
      const body = { username: 'ada', password, refresh_token_in: 'body' }
      const response = await persist(`${url}/login`, body, 'login')
      held.push(((await response.json()) as { refresh_token: string }).refresh_token)
    }
    await first.stop('SIGKILL')

    const end = new AbortController()
    const killing = killAgainAndAgain(t, cwd, env, end.signal)
    const refused: unknown[] = []
    await Promise.all(
      held.map(async (token, index) => {
        let refresh_token = token
        for (let n = 0; n < refreshesPerSession; n++) {
          const response = await persist(`${url}/refresh`, { refresh_token }, randomUUID())
          const answer = (await response.json()) as { refresh_token: string }
          if (response.status === 503) {
            n -= 1
            continue
          }
          if (response.status !== 200) return void refused.push({ index, n, answer })
          refresh_token = answer.refresh_token
        }
        held[index] = refresh_token
      }),
    )
    end.abort()
    const kills = await killing
    t.same(refused, [], 'nobody was signed out')
    t.ok(kills > 3, `it was killed ${kills} times`)
    t.same(
      held.map((token) => token.split('.')[1]),
      held.map(() => String(refreshesPerSession)),
      'each session stands at the generation that its client has',
    )
  },
)
