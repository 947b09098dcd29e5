import { type Clock, nowSeconds } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import { digestText } from '../core/secrets.ts'
import type { Client, Clients } from '../issuer/clients.ts'
import type { SessionStore } from '../stores/ports.ts'
import { type CompactJws, isKeyId, isMediaType, parseCompactJws } from '../tokens/access-token.ts'
import { type Algorithm, isAlgorithm } from '../tokens/algorithms.ts'
import { isFractionalDate, isJsonObject, parseStrictJson } from '../tokens/strict-decoding.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'
import {
  createFixedKeys,
  type KeyLookup,
  type KeySource,
  readKeySet,
} from '../verifier/keys/key-source.ts'
import { RemoteKeys } from '../verifier/keys/remote-keys.ts'
import { verifySignature } from '../verifier/signature.ts'
import { authenticationFailed } from './oauth-error.ts'

const maxAssertionBytes = 8192
const maxJtiLength = 256
/** Longest accepted lifetime of an assertion. Its `jti` is remembered until it expires. */
const maxLifetimeSeconds = 600
/** The `typ` of an assertion, if it has one. */
const acceptedTypes = ['jwt', 'client-authentication+jwt']

export interface ClientAssertionOptions {
  /** The only accepted `aud`. */
  readonly issuer: string
  readonly keys: ClientKeys
  /** Remembers each `jti` over all replicas. */
  readonly store: Pick<SessionStore, 'claimOnce'>
  readonly clock: Clock
  readonly clockToleranceSeconds: number
}

/** A parsed client assertion (RFC 7523 §3), not verified. */
export interface ClientAssertion {
  /** The client that it names, whose keys verify it. */
  readonly clientId: string
  readonly jws: CompactJws<{ readonly alg: Algorithm; readonly kid: string }>
  readonly claims: JsonObject
}

/**
 * Verifies a client assertion (`private_key_jwt`, RFC 7523 §3) and uses it up. The key and its
 * algorithm come from the settings of the client; `jwk`, `jku` and `x5c` of the header are ignored.
 *
 * @throws `client_authentication_failed`, `keys_unavailable`, `store_unavailable`
 */
export async function verifyClientAssertion(
  { jws, claims }: ClientAssertion,
  client: Client,
  options: ClientAssertionOptions,
): Promise<void> {
  const key = await options.keys.find(client, jws.header.kid, jws.header.alg)
  if (!(await verifySignature(jws, key))) throw authenticationFailed('its signature is invalid')
  const { expiresAtSeconds, jti } = checkClaims(claims, client.client_id, options)
  // This check comes last, so that only the owner of the key can use up an id. The id is stored as
  // a digest of fixed length.
  const id = `client_assertion.${digestText(JSON.stringify([client.client_id, jti]))}`
  if (!(await options.store.claimOnce(id, expiresAtSeconds * 1000))) {
    throw authenticationFailed('it was used before')
  }
}

/** @throws `client_authentication_failed` */
export function parseClientAssertion(text: string): ClientAssertion {
  const parsed = parseCompactJws(text, maxAssertionBytes)
  const claims = parsed && parseStrictJson(parsed.payload)
  if (!parsed || !isJsonObject(claims)) throw authenticationFailed('it is not an acceptable JWT')
  const { alg, kid, typ } = parsed.header
  if (!isAlgorithm(alg)) throw authenticationFailed('its alg is not accepted')
  if (!isKeyId(kid)) throw authenticationFailed('it has no acceptable kid')
  if (typ !== undefined && !acceptedTypes.some((type) => isMediaType(typ, type))) {
    throw authenticationFailed('its typ is not accepted')
  }
  const { sub: clientId } = claims
  if (typeof clientId !== 'string') throw authenticationFailed('its sub is missing')
  return { clientId, jws: { ...parsed, header: { alg, kid } }, claims }
}

/** RFC 7523 §3. */
function checkClaims(
  { iss, sub, aud, exp, nbf = 0, iat = 0, jti }: JsonObject,
  clientId: string,
  { issuer, clock, clockToleranceSeconds }: ClientAssertionOptions,
): { expiresAtSeconds: number; jti: string } {
  if (iss !== clientId || sub !== clientId)
    throw authenticationFailed('its iss or sub is not the client')
  const audience = Array.isArray(aud) && aud.length === 1 ? aud[0] : aud
  if (audience !== issuer) throw authenticationFailed('its aud is not the issuer')
  if (!isFractionalDate(exp) || !isFractionalDate(nbf) || !isFractionalDate(iat))
    throw authenticationFailed('its exp, nbf or iat is not a NumericDate')
  const now = nowSeconds(clock)
  if (now >= exp + clockToleranceSeconds) throw authenticationFailed('it has expired')
  if (exp > now + maxLifetimeSeconds + clockToleranceSeconds)
    throw authenticationFailed('its exp is too far ahead')
  if (Math.max(nbf, iat) > now + clockToleranceSeconds)
    throw authenticationFailed('its nbf or iat is in the future')
  if (typeof jti !== 'string' || jti === '' || jti.length > maxJtiLength) {
    throw authenticationFailed('it has no acceptable jti')
  }
  return { expiresAtSeconds: Math.ceil(exp) + clockToleranceSeconds + 1, jti }
}

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
    if (found === 'keys_unavailable') {
      const { lastError } = keys.status()
      const what = `the keys of the client ${client.client_id} cannot be fetched`
      const cause = lastError === null ? undefined : new Error(`${what}: ${lastError}`)
      throw new GatepassError('keys_unavailable', { retryAfterSeconds: 1, cause })
    }
    if (typeof found === 'string') throw authenticationFailed('its key is not known for its alg')
    return found
  }

  /**
   * Drops the keys of all clients but those with the same `jwks_uri` as before: fetched keys outlast
   * settings that are read again.
   */
  dropOthers(clients: Pick<Clients, 'find'>): void {
    for (const [clientId, { client, keys }] of this.#sources) {
      const { jwks_uri: jwksUri } = clients.find(clientId) ?? {}
      if (jwksUri !== undefined && jwksUri === client.jwks_uri) continue
      this.#sources.delete(clientId)
      void keys.close()
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sources.values()].map(({ keys }) => keys.close()))
  }

  #sourceOf(client: Client): KeySource {
    const known = this.#sources.get(client.client_id)
    if (known !== undefined) return known.keys
    const keys = this.#open(client)
    this.#sources.set(client.client_id, { client, keys })
    return keys
  }

  #open({ jwks, jwks_uri: jwksUri }: Client): KeySource {
    if (jwksUri === undefined) return createFixedKeys(readKeySet(jwks))
    return new RemoteKeys({
      jwksUri,
      fetchTimeoutMs,
      maxAgeSeconds,
      clock: this.#clock,
    })
  }
}
