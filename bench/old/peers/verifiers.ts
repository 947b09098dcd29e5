import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { JwtVerifier } from 'aws-jwt-verify'
import { createVerifier as createFastJwt } from 'fast-jwt'
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import jsonwebtoken from 'jsonwebtoken'
import { createVerifier } from '../../../src/verifier/verifier.ts'
import { tunedCache } from './tuned-cache.ts'

/** Whose tokens are taken, and by which keys. */
export interface Trust {
  readonly issuer: string
  readonly audience: string
  readonly jwks: JSONWebKeySet
}

/** Throws, or rejects, when it refuses the token. */
export type Check = (token: string) => unknown

/** So few tokens are kept that each is new when it comes again. */
const smallCache_bytes = 1024 ** 2

/** Each as its own documentation sets it up, for the same issuer, audience and algorithm. */
const verifiers = {
  gatepass: (trust: Trust): Check => {
    const verifier = gatepass(trust)
    return (token) => verifier.verify(token)
  },
  'gatepass, verifySync': (trust: Trust): Check => {
    const verifier = gatepass(trust)
    return (token) => verifier.verifySync(token)
  },
  'gatepass, nothing kept': (trust: Trust): Check => {
    const verifier = gatepass(trust, { maxBytes: smallCache_bytes })
    return (token) => verifier.verify(token)
  },
  'fast-jwt': fastJwt({ cache: true }),
  'fast-jwt, tuned': fastJwt(tunedCache),
  jose: ({ issuer, audience, jwks }: Trust): Check => {
    const keys = createLocalJWKSet(jwks)
    return (token) => jwtVerify(token, keys, { issuer, audience })
  },
  // A key that is ready: given as PEM it would be read anew at each call.
  jsonwebtoken: ({ issuer, audience, jwks }: Trust): Check => {
    const key = onlyKeyOf(jwks)
    return (token) => jsonwebtoken.verify(token, key, { algorithms: ['ES256'], issuer, audience })
  },
  'aws-jwt-verify': ({ issuer, audience, jwks }: Trust): Check => {
    const verifier = JwtVerifier.create({ issuer, audience, jwksUri: `${issuer}/jwks.json` })
    verifier.cacheJwks(jwks)
    return (token) => verifier.verify(token)
  },
} satisfies Record<string, (trust: Trust) => Check>

export type VerifierName = keyof typeof verifiers

export function createCheck(name: VerifierName, trust: Trust): Check {
  return verifiers[name](trust)
}

/** Whether it keeps tokens that it has found good, so that a first round of them counts for nothing. */
export function keepsTokens(name: VerifierName): boolean {
  return name.startsWith('gatepass') || name.startsWith('fast-jwt')
}

function gatepass({ issuer, audience, jwks }: Trust, cache?: { readonly maxBytes: number }) {
  return createVerifier({ issuer, audience, jwks, ...(cache && { cache }) })
}

function fastJwt(cache: { readonly cache: true } | typeof tunedCache) {
  return ({ issuer: allowedIss, audience: allowedAud, jwks }: Trust): Check => {
    const key = onlyKeyOf(jwks).export({ type: 'spki', format: 'pem' })
    const algorithms = ['ES256' as const]
    return createFastJwt({ key, ...cache, algorithms, allowedIss, allowedAud })
  }
}

function onlyKeyOf({ keys: [key] }: JSONWebKeySet): KeyObject {
  if (key === undefined) throw new Error('there is no key')
  return createPublicKey({ key: key as JsonWebKey, format: 'jwk' })
}
