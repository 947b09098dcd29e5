const verifier = require('@gatepass/verifier')
const { requireToken } = require('@gatepass/verifier/express')
const { check, expected } = require('./check.cjs')

test('a token is verified', async () => {
  expect(await check(verifier)).toEqual(expected)
  expect(typeof requireToken).toBe('function')
})
