import t from 'tap'
import { claimsWith, mint, now_s } from '../../support/tokens.ts'
import { keys, openHarness, options } from '../harness.ts'

t.test('A17: exp as 1e400, a text, negative, missing', async (t) => {
  const expect = await openHarness(t)
  const claims = JSON.stringify(claimsWith({ exp: undefined })).slice(0, -1)
  const exps = [
    '1e400',
    '-1e400',
    `"${now_s + 60}"`,
    '-1',
    'null',
    'true',
    '[]',
    '{}',
    `${now_s}.5`,
    '1e16',
    '9007199254740993',
  ]
  for (const key of keys) {
    for (const exp of exps)
      await expect(mint(key, { payload: `${claims},"exp":${exp}}` }), 'token_claims', exp)
    await expect(mint(key, { payload: `${claims}}` }), 'token_claims', 'missing')
    await expect(mint(key, { payload: `${claims},"exp":0}` }), 'token_expired')
  }
})

t.test('A18: iss as an array', async (t) => {
  const expect = await openHarness(t)
  const { issuer } = options
  for (const key of keys) {
    for (const iss of [
      [issuer],
      [issuer, 'https://thief.test'],
      { [issuer]: 1 },
      `${issuer}/`,
      issuer.toUpperCase(),
      '',
      null,
      undefined,
    ]) {
      await expect(mint(key, { payload: claimsWith({ iss }) }), 'token_claims', JSON.stringify(iss))
    }
  }
})

t.test('A19: claims that are an array, a text, null', async (t) => {
  const expect = await openHarness(t)
  for (const key of keys) {
    for (const payload of [
      '[]',
      `[${JSON.stringify(claimsWith())}]`,
      '"text"',
      'null',
      '1',
      'true',
      '',
      ' ',
      '{',
      '{}',
    ]) {
      await expect(mint(key, { payload }), 'token_claims', payload)
    }
    const bytes = Buffer.from(JSON.stringify(claimsWith({ sub: 'Ã' })), 'latin1')
    await expect(mint(key, { payload: bytes }), 'token_claims', 'not UTF-8')
  }
})
