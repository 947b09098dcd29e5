import t from 'tap'
import { logFailures } from '../../src/cli/serve.ts'
import { GatepassError } from '../../src/core/errors.ts'

t.test(
  'a readiness check is logged when its failure changes, and when it passes again',
  async (t) => {
    const lines: unknown[] = []
    const log = (...line: unknown[]) => lines.push(line)
    const logger = { info: log, warn: log } as unknown as Parameters<typeof logFailures>[1]
    let failure: Error | null = null
    const { store } = logFailures(
      {
        store: async () => {
          if (failure !== null) throw failure
        },
      },
      logger,
    )
    await store?.()
    t.same(lines, [])

    failure = new GatepassError('keys_unavailable')
    await t.rejects(Promise.resolve(store?.()))
    t.same(lines, [], 'the code says all')

    const cause = new Error('connection refused')
    failure = new GatepassError('store_unavailable', { cause })
    for (let time = 0; time < 3; time += 1) await t.rejects(Promise.resolve(store?.()))
    t.match(lines, [[{ check: 'store', code: 'store_unavailable', err: cause }, /fails/]])
    t.equal(lines.length, 1)

    const other = new GatepassError('store_unavailable', { cause: new Error('wrong password') })
    for (const one of [other, failure, other, failure]) {
      failure = one
      await t.rejects(Promise.resolve(store?.()))
    }
    t.match(lines.splice(1), [[{ check: 'store', err: other.cause }, /fails/]])

    failure = new Error('another')
    await t.rejects(Promise.resolve(store?.()))
    failure = null
    for (let time = 0; time < 3; time += 1) await store?.()
    t.match(lines.slice(1), [
      [{ check: 'store', err: { message: 'another' } }, /fails/],
      [{ check: 'store' }, /passes again/],
    ])
  },
)
