import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { GatepassError, isGatepassError, messagesOf } from '../../src/core/errors.ts'

t.test('there is no error with an unknown code', async (t) => {
  for (const unknown of ['token_expird', 'toString', undefined]) {
    const error = { name: 'TypeError', message: `There is no error code ${unknown}.` }
    t.throws(() => new GatepassError(unknown as never), error)
    t.throws(() => new GatepassError(unknown as never, { detail: 'A text.' }), error)
  }
})

t.test('an error of another copy of the module is known', async (t) => {
  const copy: typeof import('../../src/core/errors.ts') = await import(
    `${import.meta.resolve('../../src/core/errors.ts')}?copy`
  )
  const error = new copy.GatepassError('token_expired')
  t.notOk(error instanceof GatepassError)
  t.ok(isGatepassError(error))
  t.ok(isGatepassError(error, 'token_expired'))
  t.notOk(isGatepassError(error, 'token_revoked'))
  for (const other of [new Error('other'), { code: 'token_expired' }, undefined, null]) {
    t.notOk(isGatepassError(other))
  }
})

t.test('the codes of isGatepassError narrow the type, and leave the other errors', async (t) => {
  const isFinal = (error: GatepassError): boolean => {
    if (isGatepassError(error, 'token_expired', 'token_not_yet_valid')) {
      const code: 'token_expired' | 'token_not_yet_valid' = error.code
      return code === 'token_not_yet_valid'
    }
    return error.status === 401
  }
  const codes = ['token_expired', 'token_not_yet_valid', 'token_revoked'] as const
  const answers = codes.map((code) => isFinal(new GatepassError(code)))
  t.same(answers, [false, true, true])
})

t.test('the messages of an error say why each address of a host was not reached', async (t) => {
  const port = await freePort()
  const socket = connect({
    host: 'auth.example.com',
    port,
    lookup: (_host, _options, done) => {
      done(null, [
        { address: '::1', family: 6 },
        { address: '127.0.0.1', family: 4 },
      ])
    },
  })
  const cause = await once(socket, 'connect').catch((error) => error)
  t.ok(cause instanceof AggregateError)
  const text = messagesOf(new TypeError('fetch failed.', { cause }))
  t.match(text, /^fetch failed: connect E\w+ ::1.*, connect ECONNREFUSED 127\.0\.0\.1/)
})
