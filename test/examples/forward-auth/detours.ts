import type { Test } from 'tap'
import fc from '../../support/properties.ts'
import { bearer } from './answers.ts'
import type { Answer, RawHeaders } from './client.ts'
import { isNormal, normalTargets, oddTargets, plainTargets, trickyTargets } from './paths.ts'
import { serviceHeader } from './servers.ts'
import type { Place, ServiceAnswer } from './services.ts'
import type { Behind } from './start.ts'

/** Some proxies encode a character that the client has not, or the other way round. */
const decode = (target: string) => decodeURIComponent(target)

const callers = {
  nobody: [] as RawHeaders,
  'a user without the scope': bearer(),
  'a user with the scope': bearer({ scope: 'reports:read' }),
}

/** The status for each caller. 200 stands for the service's own response. */
const statuses: Readonly<Record<Place, readonly number[]>> = {
  public: [200, 200, 200],
  guarded: [401, 200, 200],
  reports: [401, 403, 200],
}

/** A32: no path leads past a rule of the proxy, whichever service reads it, and normal paths get through. */
export async function testDetours(t: Test, behind: Behind): Promise<void> {
  const { application, call } = behind
  const services = Object.keys(behind.services)

  async function ask(target: string, service: string, caller: RawHeaders) {
    const answer = await call({ path: target, headers: [serviceHeader, service, ...caller] })
    return { answer, reached: application.requests.splice(0).map(({ path }) => path) }
  }

  /** Describes a bypass, or a path that is not normal and reached the service. */
  async function problemOf(target: string, service: string, caller: RawHeaders) {
    const { answer, reached } = await ask(target, service, caller)
    const odd = reached.filter((path) => !isNormal(path))
    return bypassIn(answer) ?? (odd.length > 0 ? `${odd} reached the service` : undefined)
  }

  await t.test('A32: a normal path reaches its service, for allowed callers', async (t) => {
    for (const place of ['public', 'guarded', 'reports'] as const) {
      for (const target of normalTargets[place]) {
        for (const service of services) {
          const answered: (number | undefined)[] = []
          for (const caller of Object.values(callers)) {
            const { answer, reached } = await ask(target, service, caller)
            t.equal(bypassIn(answer), undefined, `${target} at ${service}`)
            t.same(reached.map(decode), reached.length > 0 ? [decode(target)] : [])
            answered.push(reached.length > 0 ? 200 : answer.status)
          }
          t.same(answered, statuses[place], `${target} at ${service}`)
        }
      }
    }
  })

  await t.test('A32: an ambiguous path bypasses no rule', async (t) => {
    for (const target of trickyTargets) {
      const problems: string[] = []
      for (const service of services) {
        for (const [who, caller] of Object.entries(callers)) {
          const problem = await problemOf(target, service, caller)
          if (problem !== undefined) problems.push(`${who} at ${service}: ${problem}`)
        }
      }
      t.same(problems, [], target)
    }
  })

  await t.test('A32, property: no path bypasses a rule', async () => {
    const [service, caller] = [
      fc.constantFrom(...services),
      fc.constantFrom(...Object.values(callers)),
    ]
    const property = fc.asyncProperty(oddTargets, service, caller, async (...request) => {
      const problem = await problemOf(...request)
      if (problem !== undefined) throw new Error(problem)
    })
    await fc.assert(property, { numRuns: 300 })
  })

  await t.test('A32, property: every normal path is forwarded', async () => {
    const property = fc.asyncProperty(plainTargets, async (target) => {
      const { reached } = await ask(target, 'none', callers['a user with the scope'])
      return reached.map(decode).join() === decode(target)
    })
    await fc.assert(property, { numRuns: 100 })
  })
}

/** Describes a response from a place that this caller may not reach, or an unexpected status. */
function bypassIn({ status = 0, body }: Answer): string | undefined {
  if (status !== 200) return [400, 401, 403, 404].includes(status) ? undefined : `answer ${status}`
  const { place, subject, scope = '' }: ServiceAnswer = JSON.parse(body)
  if (place === 'public') return undefined
  if (subject !== 'user-1') return `${place} was reached without a token`
  if (place === 'guarded' || scope.split(' ').includes('reports:read')) return undefined
  return 'reports was reached without its scope'
}
