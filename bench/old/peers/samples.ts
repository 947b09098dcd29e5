import type { SigningKey } from '../../../src/tokens/sign.ts'
import { createSigningKey, signToken } from '../scenarios/access-tokens.ts'

/** Tokens that must be refused, by what is wrong with them, and one that must not. */
export interface Samples {
  readonly good: string
  readonly bad: Readonly<Record<string, string>>
}

const day_s = 24 * 3600

/** @param key whose tokens are trusted */
export async function createSamples(key: SigningKey): Promise<Samples> {
  const { key: stranger } = await createSigningKey(key.alg)
  const good = await signToken(key)
  return {
    good,
    bad: {
      forged: await signToken({ ...stranger, kid: key.kid }),
      altered: withOtherClaims(good),
      unsigned: unsigned(good),
      expired: await signToken(key, { age_s: day_s }),
      'for somebody else': await signToken(key, { aud: 'https://other.example.com' }),
    },
  }
}

/** Another subject under the same signature. */
function withOtherClaims(token: string): string {
  const [header, claims = '', signature] = token.split('.')
  const changed = { ...JSON.parse(Buffer.from(claims, 'base64url').toString()), sub: 'mallory' }
  return [header, encode(changed), signature].join('.')
}

/** `alg: none` (RFC 8725 §2.1). */
function unsigned(token: string): string {
  return [encode({ alg: 'none', typ: 'at+jwt' }), token.split('.')[1], ''].join('.')
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

/**
 * What somebody takes that ought to be refused; empty when all is well.
 * @throws when the good one is refused: then there is nothing to measure
 */
export async function wronglyTaken(
  samples: Samples,
  accepts: (token: string) => Promise<boolean>,
): Promise<string[]> {
  if (!(await accepts(samples.good))) throw new Error('it refuses a token that is good')
  const taken: string[] = []
  for (const [fault, token] of Object.entries(samples.bad)) {
    if (await accepts(token)) taken.push(fault)
  }
  return taken
}

/** The name of a row, which says what its subject takes and ought to refuse. */
export function rowName(name: string, taken: readonly string[]): string {
  return taken.length === 0 ? name : `${name} (takes tokens that are ${taken.join(', ')})`
}
