import { createHash } from 'node:crypto'
import t from 'tap'
import {
  createClientSecret,
  isSecretHash,
  matchesSecretHash,
} from '../../src/oauth/client-secret.ts'

t.test('a secret matches its own hash, also beside another', async (t) => {
  const [first, second] = [createClientSecret(), createClientSecret()]
  t.ok(isSecretHash(first.hash))
  t.not(first.secret, second.secret)
  t.ok(matchesSecretHash(first.secret, [first.hash]))
  t.ok(matchesSecretHash(first.secret, [second.hash, first.hash]))
  t.notOk(matchesSecretHash(first.secret, [second.hash]))
  t.notOk(matchesSecretHash(first.secret), 'a client without secrets has none')
  t.notOk(matchesSecretHash('', [first.hash]))
})

t.test('a secret of another form does not match its own hash', async (t) => {
  const hash = `sha256.${createHash('sha256').update('hunter2').digest('base64url')}`
  t.ok(isSecretHash(hash))
  t.notOk(matchesSecretHash('hunter2', [hash]))
})
