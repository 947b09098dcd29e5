import { installPeers } from '../peers/install.ts'
import { createSamples, type Samples } from '../peers/samples.ts'
import { audience, createSigningKey, issuer, signTokens } from './access-tokens.ts'

/** How many tokens there are, and whether any of them is met twice. */
export interface TokenMix {
  /** The end of a scenario's name. */
  readonly name: 'one' | '2048' | '100000' | 'new'
  readonly label: string
  readonly count: number
  /** For these, a cache of Gatepass is made too small to keep them, and no other is enlarged. */
  readonly areNew: boolean
}

const newCount = 32_768

export const tokenMixes: readonly TokenMix[] = [
  { name: 'one', label: 'one token, repeated', count: 1, areNew: false },
  { name: '2048', label: '2,048 tokens in turn', count: 2_048, areNew: false },
  { name: '100000', label: '100,000 tokens in turn', count: 100_000, areNew: false },
  { name: 'new', label: 'tokens that are all new', count: newCount, areNew: true },
]

export interface PeersMaterial {
  readonly trust: { readonly issuer: string; readonly audience: string; readonly jwks: KeySet }
  readonly tokens: readonly string[]
  readonly samples: Samples
}

interface KeySet {
  readonly keys: object[]
}

/** Installs the peers if need be, and makes what all of them are asked to check. */
export async function preparePeers(mix: TokenMix): Promise<PeersMaterial> {
  installPeers()
  const { key, jwks } = await createSigningKey()
  return {
    trust: { issuer, audience, jwks },
    tokens: await signTokens(mix.count, key),
    samples: await createSamples(key),
  }
}
