import { browser } from './platform.ts'
import { RedirectClient, type RedirectPage } from './redirect-client.ts'
import type { RedirectAuthClient, RedirectOptions } from './types.ts'

export { AuthClientError } from './issuer-calls.ts'
export type {
  AuthErrorCode,
  AuthState,
  DeviceSession,
  RedirectAuthClient,
  RedirectOptions,
  Returned,
  SignInRequest,
  User,
} from './types.ts'

/**
 * Creates a client of the issuer for a front end on another site. Users sign in on the page of the
 * issuer.
 *
 * ```ts
 * import { createAuthClient } from '@gatepass/browser/redirect'
 *
 * const auth = createAuthClient({
 *   issuer: 'https://auth.example.com',
 *   clientId: 'shop',
 *   redirectUri: 'https://shop.example/',
 * })
 * await auth.returned
 * if ((await auth.getAccessToken()) === null) await auth.login()
 * ```
 */
export function createAuthClient(options: RedirectOptions): RedirectAuthClient {
  return RedirectClient.create(options, browser, globalThis as unknown as RedirectPage)
}
