import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { calculateJwkThumbprint, type JWK } from 'jose'
import type { Settings } from '../../config/settings.ts'
import { systemClock } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import type { KeyStatus } from '../../keys/lifecycle.ts'
import {
  type EncryptionCurve,
  generateEncryptionKeyPair,
  keyAgreement,
} from '../../tokens/encryption-key.ts'
import { adminConfigOf, type CliContext, configOf, unusableSetting } from '../context.ts'
import {
  listKeyStatuses,
  openKeys,
  openSessionStoreOf,
  revocationsKeptMs,
} from '../issuer-wiring.ts'
import { isoTime, print } from '../terminal.ts'

/** `gatepass keys list`: prints every key and its state. */
export async function listKeys(context: CliContext, options: { json: boolean }): Promise<void> {
  const { settings } = adminConfigOf(context)
  const keys = await listKeyStatuses(settings, context.cwd)
  const rows = keys.map((key) => ({
    name: key.name,
    kid: key.kid,
    alg: key.alg,
    state: key.state,
    activates_at: isoTime(key.activateAtMs),
    removed_at: isoTime(key.removedAtMs),
  }))
  await print(context.stdout, rows, options.json)
}

/** `gatepass keys rotate`: publishes the next key before the end of the epoch. */
export async function rotateKeys(context: CliContext, options: { json: boolean }): Promise<void> {
  const { settings } = configOf(context, 'issuer')
  await requireKeys(settings, context.cwd)
  const keys = await openKeys(settings, context.cwd)
  const { name, kid, alg, activateAtMs } = await keys.rotate()
  await keys.close()
  const row = { name, kid, alg, activates_at: isoTime(activateAtMs) }
  if (options.json) await print(context.stdout, [row], true)
  else {
    context.stdout.write(
      `The key ${kid} (${alg}) is published. It signs from ${row.activates_at}, when every verifier has it.\n`,
    )
  }
}

/**
 * Refuses an empty store, such as a volume that is not mounted: running issuers would adopt the new keys and
 * lose those that have signed their tokens.
 *
 * @throws `config_invalid`
 */
async function requireKeys(settings: Settings, cwd: string): Promise<void> {
  if ((await listKeyStatuses(settings, cwd)).length > 0) return
  throw unusableSetting(
    'keys_url',
    'has no keys: is it the store of the issuers, and is its volume mounted? An issuer creates the first key',
  )
}

/**
 * `gatepass keys revoke`: removes compromised keys at issuers and verifiers.
 * @param wanted kids, or names for a kid that looks like an option
 */
export async function revokeKeys(
  context: CliContext,
  wanted: readonly string[],
  options: { json: boolean },
): Promise<void> {
  const { settings } = configOf(context, 'issuer')
  const known = await listKeyStatuses(settings, context.cwd)
  const kids = wanted.map((one) => kidOf(one, known))
  // After the check, because it creates the first key of an empty store.
  const keys = await openKeys(settings, context.cwd)
  for (const kid of kids) await keys.revoke(kid)
  const { kid: signing, alg } = keys.signingKey()
  const rows = keys
    .list()
    .filter(({ kid }) => kids.includes(kid))
    .map((key) => ({ kid: key.kid, revoked_at: isoTime(key.revokedAtMs), signing }))
  await keys.close()
  await announceRevocation(settings, context.cwd, kids)
  if (options.json) return print(context.stdout, rows, true)
  for (const { kid } of rows) {
    context.stdout.write(
      `The key ${kid} is revoked. It is not published, and its tokens are refused.\n`,
    )
  }
  context.stdout.write(`The key ${signing} (${alg}) signs. Clients get new tokens by a refresh.\n`)
}

/** @throws `config_invalid` when the key does not exist */
function kidOf(wanted: string, keys: readonly KeyStatus[]): string {
  const key = keys.find(({ kid }) => kid === wanted) ?? keys.find(({ name }) => name === wanted)
  if (key !== undefined) return key.kid
  const detail = `There is no key ${wanted}. "gatepass keys list" shows all keys.`
  throw new GatepassError('config_invalid', { detail })
}

/** Adds the keys to the revocation log, which verifiers follow. */
async function announceRevocation(
  settings: Settings,
  cwd: string,
  kids: readonly string[],
): Promise<void> {
  try {
    const sessions = await openSessionStoreOf(settings, cwd)
    const nowMs = systemClock.nowMs()
    const keptMs = revocationsKeptMs(settings)
    for (const kid of kids) await sessions.appendRevocation('key', kid, nowMs, keptMs)
    await sessions.close()
  } catch (error) {
    throw new GatepassError('store_unavailable', {
      detail:
        'The key is revoked, but the session store is unavailable, so verifiers are not notified: they ' +
        'accept the key while their copy of the JWKS is fresh. Run the command again.',
      cause: error,
    })
  }
}

/**
 * `gatepass keys encryption`: creates a key pair for the encrypted tokens of an audience. The private
 * key goes to a new file that only its owner can read, for GATEPASS_DECRYPTION_KEYS. The public key
 * goes to standard output, for GATEPASS_AUDIENCES.
 */
export async function createEncryptionKey(
  context: CliContext,
  file: string,
  { curve }: { curve: EncryptionCurve },
): Promise<void> {
  const { publicJwk, privateJwk } = await createEncryptionKeyPair(curve)
  try {
    createPrivateFile(resolve(context.cwd, file), `${JSON.stringify([privateJwk], null, 2)}\n`)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const detail = `The file ${file} cannot be created (${code}).`
    throw new GatepassError('config_invalid', { detail })
  }
  context.stdout.write(`${JSON.stringify(publicJwk, null, 2)}\n`)
}

function createPrivateFile(path: string, text: string): void {
  const file = openSync(path, 'wx', 0o600)
  try {
    writeFileSync(file, text, { flush: true })
  } catch (error) {
    // A full disk leaves a part of the file, which would keep the command from being repeated.
    rmSync(path)
    throw error
  } finally {
    closeSync(file)
  }
}

/** Creates a key pair as JWKs; `kid` is the RFC 7638 thumbprint. */
async function createEncryptionKeyPair(
  crv: EncryptionCurve,
): Promise<{ publicJwk: JWK; privateJwk: JWK }> {
  const { publicKey, privateKey } = generateEncryptionKeyPair(crv)
  const jwk = publicKey.export({ format: 'jwk' }) as JWK
  const kid = await calculateJwkThumbprint(jwk)
  const named = (own: object) => ({ ...own, kid, use: 'enc', alg: keyAgreement }) as JWK
  return { publicJwk: named(jwk), privateJwk: named(privateKey.export({ format: 'jwk' })) }
}
