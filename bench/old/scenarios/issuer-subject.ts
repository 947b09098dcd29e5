import type { Session } from '../../../src/stores/ports.ts'
import { createRefreshTokenCodec } from '../../../src/tokens/refresh-token.ts'
import type { Bench } from '../harness/scenario.ts'
import type { ServedSubject } from '../harness/subjects.ts'
import { createAccountsOf } from './accounts.ts'
import { IssuerService } from './issuer-service.ts'
import { newSession } from './sessions.ts'

export interface IssuerSubject {
  readonly name: string
  /** How the issuer is told where its sessions are, and the like. */
  readonly settings: Readonly<Record<string, string>>
  readonly sessionCount: number
  /** How many of them are refreshed, from all over the store; by default all. */
  readonly refreshedCount?: number
  /** Stores sessions for an issuer that starts from this folder. */
  fill(sessions: Iterable<Session>, template: string): Promise<void>
  readonly store?: { readonly pid: number }
  /** Whether it runs on what the rounds before left, as a copy would take long. */
  readonly isKept?: boolean
}

/** No session is refreshed so often within a round. */
const generationsOfRound = 1_000_000

/**
 * An issuer that refreshes sessions, under the strict rule: within a grace window a second refresh
 * would rotate nothing.
 *
 * What the rounds before have left in a store of its own stays there. So each round begins with
 * tokens that are further on than those, as after a fail-over that lost writes; they rotate like any.
 */
export async function issuerSubject(
  { name, settings, sessionCount, refreshedCount, fill, store, isKept = false }: IssuerSubject,
  bench: Bench,
): Promise<ServedSubject> {
  const issuer = await IssuerService.create(bench, { GATEPASS_GRACE_S: '0', ...settings }, name)
  const noted: Pick<Session, 'sid' | 'sub'>[] = []
  await fill(newSessions(sessionCount, refreshedCount, noted), issuer.template)
  await createAccountsOf(
    noted.map(({ sub }) => sub),
    issuer.template,
  )
  const codec = createRefreshTokenCodec([Buffer.from(issuer.secret)])
  let round = 0
  return {
    name,
    server: () => (isKept ? issuer.specInPlace() : issuer.spec()),
    traffic() {
      const generation = generationsOfRound * round++
      return { kind: 'refresh', tokens: noted.map(({ sid }) => codec.mint({ sid, generation })) }
    },
    ...(store !== undefined && { store }),
  }
}

/** One after the other, as many would not fit into memory; the ids of some of them are noted. */
function* newSessions(
  count: number,
  notedCount = count,
  noted: Pick<Session, 'sid' | 'sub'>[],
): Generator<Session> {
  const step = Math.max(1, Math.floor(count / notedCount))
  for (let n = 0; n < count; n++) {
    const session = newSession()
    if (n % step === 0 && noted.length < notedCount) {
      noted.push({ sid: session.sid, sub: session.sub })
    }
    yield session
  }
}
