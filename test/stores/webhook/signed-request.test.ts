import t from 'tap'
import { secretOf, sign } from '../../../examples/user-base/signature.ts'
import { isSigned, keyOfSecret, signatures } from '../../../src/stores/webhook/signed-request.ts'
import { otherSecret, secret } from './support.ts'

const message = { id: 'msg_1', timestamp: '1795478400', body: '{"type":"ping","data":{}}' }
const nowMs = 1_795_478_400_000
const [key, otherKey] = [keyOfSecret(secret), keyOfSecret(otherSecret)]

t.test('signs as Standard Webhooks does', async (t) => {
  // A test vector of the Standard Webhooks libraries.
  const example = {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    timestamp: '1614265330',
    body: '{"test": 2432232314}',
  }
  const exampleKey = keyOfSecret('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
  const expected = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
  t.equal(signatures(example, [exampleKey]), expected)
  t.ok(isSigned(example, expected, [exampleKey]))
  const body = Buffer.from(example.body)
  t.equal(sign({ ...example, body }, 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'), expected)
})

t.test('each key signs, and each signature is accepted', async (t) => {
  const both = signatures(message, [key, otherKey])
  t.equal(both.split(' ').length, 2)
  t.ok(isSigned(message, both, [key]))
  t.ok(isSigned(message, both, [otherKey]))
  t.ok(isSigned(message, signatures(message, [otherKey]), [key, otherKey]))
  t.notOk(isSigned(message, signatures(message, [otherKey]), [key]))
  t.notOk(isSigned(message, both, []))
})

t.test('no signed part can be changed', async (t) => {
  const good = signatures(message, [key])
  t.ok(isSigned(message, good, [key]))
  t.notOk(isSigned({ ...message, id: 'msg_2' }, good, [key]))
  t.notOk(isSigned({ ...message, timestamp: '1795478401' }, good, [key]))
  t.notOk(isSigned({ ...message, body: `${message.body} ` }, good, [key]))
  for (const bad of ['', 'v1,', good.slice(0, -1), good.replace('v1,', 'v1a,'), good.slice(3)]) {
    t.notOk(isSigned(message, bad, [key]), bad)
  }
})

t.test('a signature fits one message only', async (t) => {
  const good = signatures({ ...message, body: '1.{}' }, [key])
  const moved = { ...message, timestamp: `${message.timestamp}.1`, body: '{}' }
  t.equal(signatures(moved, [key]), good, 'it is the same text')
  t.notOk(isSigned(moved, good, [key]))
})

t.test('the sample server accepts our signatures within five minutes', async (t) => {
  const body = Buffer.from(message.body)
  const check = (changes: object, atMs = nowMs, secrets = [secret]) =>
    secretOf({ ...message, body, ...changes }, signatures(message, [key]), secrets, atMs)
  t.equal(check({}), secret)
  t.equal(check({}, nowMs, [otherSecret, secret]), secret)
  t.equal(check({}, nowMs + 300_000), secret)
  t.equal(check({}, nowMs - 300_000), secret)
  t.equal(check({}, nowMs + 301_000), undefined)
  t.equal(check({}, nowMs - 301_000), undefined)
  t.equal(check({}, nowMs, [otherSecret]), undefined)
  t.equal(check({ body: Buffer.from('{}') }), undefined)
  for (const id of ['', 'msg_2', 'msg_1.', 'x'.repeat(65)]) t.equal(check({ id }), undefined, id)
  for (const timestamp of ['', '1e9', '1795478400.0', 'NaN', '-1']) {
    t.equal(check({ timestamp }), undefined, timestamp)
  }
})
