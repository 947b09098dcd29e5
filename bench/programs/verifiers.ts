import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import type { JSONWebKeySet } from 'jose'
import type { Trust } from '../tokens.ts'

/** Throws or rejects if it refuses the token. */
export type Check = (token: string) => unknown

/**
 * The fastest cache of fast-jwt and @fastify/jwt: room for all tokens, and the whole token as the key.
 * By default it keeps 1,000 tokens under their hashes.
 */
export const tunedCache = {
  cache: 131_072,
  cacheKeyBuilder: (token: string): string => token,
} as const

/**
 * Libraries that verify tokens, each as its own documentation sets it up, for the same issuer, audience
 * and algorithm. Each is imported only by the process that measures it.
 */
const verifiers = {
  'fast-jwt': (trust: Trust) => fastJwt(trust, { cache: true }),
  'fast-jwt, tuned': (trust: Trust) => fastJwt(trust, tunedCache),
  jose: async ({ issuer, audience, jwks }: Trust): Promise<Check> => {
    const { createLocalJWKSet, jwtVerify } = await import('jose')
    const keys = createLocalJWKSet(jwks as JSONWebKeySet)
    return (token) => jwtVerify(token, keys, { issuer, audience })
  },
  jsonwebtoken: async (trust: Trust): Promise<Check> => {
    const { default: jsonwebtoken } = await import('jsonwebtoken')
    const { issuer, audience } = trust
    // An object instead of PEM, which would be parsed at each call.
    const key = keyOf(trust)
    return (token) => jsonwebtoken.verify(token, key, { algorithms: ['ES256'], issuer, audience })
  },
  'aws-jwt-verify': async ({ issuer, audience, jwks }: Trust): Promise<Check> => {
    const { JwtVerifier } = await import('aws-jwt-verify')
    const verifier = JwtVerifier.create({ issuer, audience, jwksUri: `${issuer}/jwks.json` })
    verifier.cacheJwks(jwks)
    return (token) => verifier.verify(token)
  },
} satisfies Record<string, (trust: Trust) => Promise<Check>>

export type VerifierName = keyof typeof verifiers

export function createCheck(name: VerifierName, trust: Trust): Promise<Check> {
  return verifiers[name](trust)
}

async function fastJwt(
  trust: Trust,
  cache: { readonly cache: true } | typeof tunedCache,
): Promise<Check> {
  const { createVerifier } = await import('fast-jwt')
  const { issuer: allowedIss, audience: allowedAud } = trust
  const key = pemOf(trust)
  return createVerifier({ key, ...cache, algorithms: ['ES256'], allowedIss, allowedAud })
}

export function keyOf({ jwks: { keys } }: Trust): KeyObject {
  return createPublicKey({ key: keys[0] as JsonWebKey, format: 'jwk' })
}

export function pemOf(trust: Trust): string {
  return String(keyOf(trust).export({ type: 'spki', format: 'pem' }))
}
