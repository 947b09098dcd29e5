import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import type { Client } from '../issuer/clients.ts'
import type { Algorithm } from '../tokens/algorithms.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'
import { readKeySet } from '../verifier/keys/key-set.ts'
import { createFixedKeys, type KeyLookup, type KeySource } from '../verifier/keys/key-source.ts'
import { createRemoteKeys } from '../verifier/keys/remote-keys.ts'
import { authenticationFailed } from './client-credentials.ts'

const fetchTimeoutMs = 2_000
/** How long the last keys of a client are used while its `jwks_uri` does not answer. */
const maxAgeSeconds = 86_400

/** The public keys of clients: those in the settings, and those that clients publish. */
export class ClientKeys {
  readonly #clock: Clock
  readonly #sources = new Map<string, { readonly client: Client; readonly keys: KeySource }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Finds a key by its id and its one algorithm. An unknown id makes the issuer fetch the `jwks_uri`
   * of this client again, at most once in a few seconds.
   *
   * @throws `client_authentication_failed`; `keys_unavailable` if the keys cannot be fetched
   */
  async find(client: Client, kid: string, alg: Algorithm): Promise<VerificationKey> {
    const keys = this.#sourceOf(client)
    let found: KeyLookup = keys.find(kid, alg)
    if (found === 'token_key_unknown' || found === 'keys_unavailable') {
      await keys.refresh(kid)
      found = keys.find(kid, alg)
    }
    if (found === 'keys_unavailable')
      throw new GatepassError('keys_unavailable', { retryAfterSeconds: 1 })
    if (typeof found === 'string') throw authenticationFailed('its key is not known for its alg')
    return found
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sources.values()].map(({ keys }) => keys.close()))
  }

  #sourceOf(client: Client): KeySource {
    const known = this.#sources.get(client.client_id)
    if (known?.client === client) return known.keys
    // The settings were read again, and the clients may have changed.
    void known?.keys.close()
    const keys = this.#open(client)
    this.#sources.set(client.client_id, { client, keys })
    return keys
  }

  #open({ jwks, jwks_uri: jwksUri }: Client): KeySource {
    if (jwksUri === undefined) return createFixedKeys(readKeySet(jwks))
    return createRemoteKeys({
      jwksUri,
      fetchTimeoutMs,
      maxAgeSeconds,
      clock: this.#clock,
    })
  }
}
