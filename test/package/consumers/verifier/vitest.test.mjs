import * as verifier from '@gatepass/verifier'
import { requireToken } from '@gatepass/verifier/express'
import { expect, test } from 'vitest'
import { check, expected } from './check.cjs'

test('a token is verified', async () => {
  expect(await check(verifier)).toEqual(expected)
  expect(typeof requireToken).toBe('function')
})
