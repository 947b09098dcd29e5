/** Verifies a token that was just signed, and a damaged one, with the module that it is given. */
const { generateKeyPairSync, sign } = require('node:crypto')

const issuer = 'https://auth.example.com'
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

exports.check = async ({ createVerifier, isGatepassError }) => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'key-1', alg: 'ES256', use: 'sig' }
  const iat = Math.floor(Date.now() / 1000)
  const claims = {
    iss: issuer,
    sub: 'ada',
    aud: 'api',
    client_id: 'web',
    jti: '1',
    iat,
    exp: iat + 60,
  }
  const content = `${encode({ alg: 'ES256', typ: 'at+jwt', kid: 'key-1' })}.${encode(claims)}`
  const signature = sign('sha256', Buffer.from(content), {
    key: privateKey,
    dsaEncoding: 'ieee-p1363',
  })
  const token = `${content}.${signature.toString('base64url')}`

  const verifier = createVerifier({ issuer, audience: 'api', jwks: { keys: [jwk] } })
  await verifier.ready()
  const { sub } = await verifier.verify(token)
  const damaged = verifier.verify(`${content}.${'A'.repeat(86)}`)
  const code = await damaged.catch((error) => (isGatepassError(error) ? error.code : 'not ours'))
  await verifier.close()
  return { sub, code }
}

exports.expected = { sub: 'ada', code: 'token_signature' }
