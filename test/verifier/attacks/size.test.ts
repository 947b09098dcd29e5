import t from 'tap'
import { claimsWith, encode, mint } from '../../support/tokens.ts'
import { keyOf, openHarness } from '../harness.ts'

const es256 = keyOf('ES256')

t.test('A23: a huge token, thousands of dots, deep JSON', async (t) => {
  const expect = await openHarness(t)
  const huge = mint(es256, { payload: claimsWith({ padding: 'x'.repeat(8192) }) })
  await expect(huge, 'token_malformed', 'above the cap')
  await expect('.'.repeat(1_000_000), 'token_malformed', 'a million dots')
  await expect('.'.repeat(8000), 'token_malformed', 'dots below the cap')
  await expect('a'.repeat(8192), 'token_malformed', 'no dots')
  const deep = `${'['.repeat(2000)}${']'.repeat(2000)}`
  await expect(mint(es256, { header: deep }), 'token_malformed', 'a deep header')
  await expect(mint(es256, { payload: deep }), 'token_claims', 'deep claims')
  const nested = JSON.stringify(claimsWith()).replace(
    '}',
    `,"x":${'{"x":'.repeat(500)}1${'}'.repeat(501)}`,
  )
  await expect(mint(es256, { payload: nested }), 'token_claims', 'a deep claim')

  const roomy = await openHarness(t, { maxTokenBytes: 65_536 })
  await roomy(huge, 'accepted', 'the cap can be raised')
})

t.test('A25: encrypted tokens are refused unread', async (t) => {
  const expect = await openHarness(t)
  const header = {
    alg: 'PBES2-HS256+A128KW',
    enc: 'A128GCM',
    zip: 'DEF',
    p2c: 2 ** 31,
    typ: 'at+jwt',
  }
  await expect(`${encode(header)}.AAAA.AAAA.AAAA.AAAA`, 'token_malformed')
  await expect(`${encode(header)}.AAAA.AAAA`, 'token_algorithm')
})
