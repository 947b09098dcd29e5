import { join } from 'node:path'
import t from 'tap'
import { readSettings } from '../../../examples/shop/settings.ts'
import { createTestFolder } from '../../support/test-folder.ts'

t.test('every setting can be in a file, as those of Gatepass', async (t) => {
  const url = 'rediss://:password@redis.example.com'
  const folder = createTestFolder(t, { url: `\uFEFF${url}\n`, secret: `${'s'.repeat(43)}\n` })
  const settings = readSettings({
    GATEPASS_DATA_URL_FILE: join(folder, 'url'),
    GATEPASS_DATA_SECRET_FILE: join(folder, 'secret'),
    // A setting of the issuer, in an environment that all share.
    GATEPASS_SECRET_FILE: join(folder, 'of-the-issuer'),
  })
  t.equal(settings.GATEPASS_DATA_URL, url)
  t.same(settings.GATEPASS_DATA_SECRET, ['s'.repeat(43)])
})

t.test('encryption is off only if there is no secret', async (t) => {
  const secretsOf = (text: string) =>
    readSettings({ GATEPASS_DATA_SECRET: text }).GATEPASS_DATA_SECRET
  t.equal(secretsOf('off'), null)
  t.same(secretsOf(`off,${'s'.repeat(43)}`), ['off', 's'.repeat(43)], 'which prevents the start')
})

t.test('an empty variable counts as unset', async (t) => {
  const settings = readSettings({
    GATEPASS_DATA_SECRET: 's'.repeat(43),
    GATEPASS_DATA_SECRET_FILE: '',
    GATEPASS_DATA_URL: '',
  })
  t.equal(settings.GATEPASS_DATA_URL, 'sqlite:.gatepass/data.db')
})
