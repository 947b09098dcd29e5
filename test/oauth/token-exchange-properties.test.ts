import t from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import { actorsOf, narrow } from '../../src/oauth/token-exchange.ts'
import fc from '../support/properties.ts'

const names = ['a', 'b', 'c', 'data:read', 'data:write']
const scope = fc.array(fc.constantFrom(...names), { maxLength: 6 }).map((list) => list.join(' '))
const clientId = fc.constantFrom('one', 'two', 'three')
const step = fc.record({ clientId, scope: fc.option(scope, { nil: undefined }) })

const scopesOf = (text: string) => new Set(text.split(' ').filter((name) => name !== ''))

t.test('property: an exchanged token allows no more than its subject token', async (t) => {
  const property = fc.property(
    scope,
    fc.nat(),
    fc.array(step, { minLength: 1, maxLength: 12 }),
    (first, exp, steps) => {
      let subject: Parameters<typeof narrow>[0] = { scope: first, exp }
      const actors: string[] = []
      for (const { clientId, scope: wanted } of steps) {
        const held = scopesOf(subject.scope ?? '')
        let next: ReturnType<typeof narrow>
        try {
          next = narrow(subject, clientId, wanted)
        } catch (error) {
          if (!isGatepassError(error)) throw error
          const asksForMore = [...scopesOf(wanted ?? '')].some((name) => !held.has(name))
          return asksForMore ? error.code === 'scope_not_allowed' : actors.length === 8
        }
        actors.unshift(clientId)
        const isNarrower = [...scopesOf(next.scope)].every((name) => held.has(name))
        const isNamed = actorsOf(next.act).join() === actors.join()
        if (!isNarrower || !isNamed || next.maxExpiresAtSeconds !== exp) return false
        subject = { scope: next.scope, exp: next.maxExpiresAtSeconds, act: next.act }
      }
      return true
    },
  )
  t.doesNotThrow(() => fc.assert(property))
})
