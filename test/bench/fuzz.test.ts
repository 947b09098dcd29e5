import t from 'tap'
import { fuzz } from '../../bench/old/fuzz/run.ts'

t.test('no input is accepted but good tokens, and none breaks the verifier', async (t) => {
  const { answers, failures } = await fuzz({ seed: 20_261_124, inputs: 10_000 })
  t.same(failures, [])
  const codes = [
    'accepted',
    'token_malformed',
    'token_algorithm',
    'token_type',
    'token_key_unknown',
    'token_signature',
    'token_claims',
    'token_expired',
    'token_not_yet_valid',
  ]
  for (const code of codes) t.ok((answers[code] ?? 0) > 0, `${code}: ${answers[code]}`)
  t.same(Object.keys(answers).sort(), codes.sort(), 'and no other answer')
})
