import { Client } from './client.ts'
import { browser } from './platform.ts'
import type { AuthClient, AuthClientOptions } from './types.ts'

export { AuthClientError } from './issuer-calls.ts'
export type {
  AuthClient,
  AuthClientOptions,
  AuthErrorCode,
  AuthState,
  Credentials,
  DeviceSession,
  KeyPair,
  User,
} from './types.ts'

/**
 * Creates a client of the issuer for a front end: it signs a user in and keeps the user signed in.
 *
 * ```ts
 * import { createAuthClient } from '@gatepass/browser'
 *
 * const auth = createAuthClient({ issuer: 'https://auth.example.com' })
 * await auth.login({ username: 'ada', password: 'correct horse battery staple' })
 * const response = await auth.fetch('https://auth.example.com/sessions')
 * ```
 */
export function createAuthClient(options: AuthClientOptions): AuthClient {
  return new Client(options, browser)
}
