import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { messagesOf } from '../../src/core/error-text.ts'

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

t.test('an error that is its own cause has an end', async (t) => {
  const error = new Error('again.')
  error.cause = error
  t.equal(messagesOf(error), `${'again: '.repeat(10)}again.`)
})
