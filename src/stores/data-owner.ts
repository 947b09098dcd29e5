import { digest } from '../core/secrets.ts'
import type { DataOwner } from './data-store.ts'

/** 192 bits: nobody finds two that have the same. */
const idLength = 32

/**
 * The owner that a session or a user is to the data store. The id is a digest of whose it is and who
 * says so. So the `sid` of one issuer never meets that of another, whatever it looks like; every id
 * fits into the keys of every store; and the store does not tell who the users are.
 *
 * @param issuer the `iss`
 * @param id the `sid` or the `sub`
 */
export function dataOwner(scope: DataOwner['scope'], issuer: string, id: string): DataOwner {
  const bytes = digest(JSON.stringify([issuer, id]))
  return { scope, id: bytes.toString('base64url').slice(0, idLength) }
}
