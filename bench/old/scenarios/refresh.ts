import { createRefreshTokenCodec } from '../../../src/tokens/refresh-token.ts'
import { byRate } from '../harness/compare.ts'
import { isInMemory } from '../harness/machine.ts'
import type { Scenario } from '../harness/scenario.ts'
import { loop, served } from '../harness/subjects.ts'
import type { Traffic } from '../load/traffic.ts'
import { createAccountsOf } from './accounts.ts'
import { bareSpec } from './bare-server.ts'
import { IssuerService } from './issuer-service.ts'
import { fillSqlite, newSession } from './sessions.ts'
import { signingSpec } from './signing-route.ts'

/** So many that the rows of one commit lie far apart, as they do where each is somebody else's. */
const sessionCount = 65_536
const path = '/refresh'
const headers = { 'content-type': 'application/json' }

export const refresh: Scenario = {
  name: 'refresh',
  title: `the issuer rotating ${sessionCount.toLocaleString('en-US')} sessions on SQLite, each rotation durable before its answer`,
  async prepare(bench) {
    if (isInMemory(bench.scratch)) {
      throw new Error('a flush to memory costs nothing: set TMPDIR to a folder on a disk')
    }
    // The strict rule: within a grace window a second refresh would rotate nothing.
    const issuer = await IssuerService.create(bench, { GATEPASS_GRACE_S: '0' })
    const tokens = await createSessions(issuer)
    const body = JSON.stringify({ refresh_token: tokens[0] })
    const answer = await issuer.sampleAnswer(bench, path, { method: 'POST', headers, body })
    const same = (): Traffic => ({
      kind: 'fixed',
      requests: [{ method: 'POST', path, headers, body }],
    })
    return {
      subjects: [
        served(
          {
            name: 'issuer',
            server: () => issuer.spec(),
            traffic: () => ({ kind: 'refresh', tokens }),
          },
          bench,
        ),
        served({ name: 'signing route', server: () => signingSpec(answer), traffic: same }, bench),
        served({ name: 'bare route', server: () => bareSpec(answer), traffic: same }, bench),
        loop({ name: 'raw signing', module: new URL('../raw/sign.ts', import.meta.url) }, bench),
      ],
      comparisons: [
        ...byRate({ subject: 'issuer', target: { atLeast: 10_000 } }),
        ...byRate({ subject: 'issuer', limit: 'signing route' }),
        ...byRate({ subject: 'issuer', limit: 'raw signing' }),
        ...byRate({ subject: 'issuer', limit: 'bare route' }),
      ],
    }
  },
}

/** Lays out the sessions as logins would; returns the refresh token of each. */
async function createSessions({ template, secret }: IssuerService): Promise<string[]> {
  const codec = createRefreshTokenCodec([Buffer.from(secret)])
  const sessions = Array.from({ length: sessionCount }, newSession)
  await fillSqlite(sessions, template)
  await createAccountsOf(
    sessions.map(({ sub }) => sub),
    template,
  )
  return sessions.map((session) => codec.mint(session))
}
