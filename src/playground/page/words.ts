import type { AuditEvent } from '../../issuer/audit.ts'
import type { KeyState } from '../api.ts'

/** Explains each audit event. */
export const eventWords: Readonly<Record<AuditEvent, string>> = {
  'login.ok': 'a user signed in',
  'login.failed': 'a sign-in failed: wrong user name or password',
  'login.throttled': 'a sign-in was refused: too many attempts',
  'refresh.rotated': 'the refresh token was replaced',
  'refresh.replayed': 'a refresh was repeated and got the same tokens',
  'refresh.reused': 'a replaced refresh token came back: the session was revoked',
  'refresh.refused': 'a refresh was refused',
  logout: 'a user signed out',
  'logout.all': 'a user signed out on all devices',
  'session.revoked': 'a session was signed out from another device',
  'consent.granted': 'a user let an application use the account',
  'consent.withdrawn': 'a user withdrew the consent for an application',
  'client.refused': 'a client failed to authenticate',
  'token.issued': 'a service received an access token',
  'token.exchanged': 'a service exchanged the token of a user',
  'key.created': 'a signing key was created',
  'key.activated': 'a signing key became active',
  'key.removed': 'a key was removed from the published keys',
  'key.revoked': 'a key was revoked: its tokens are refused',
}

/** Explains each state of a signing key. */
export const keyStateWords: Readonly<Record<KeyState['state'], string>> = {
  pending: 'published; does not sign yet',
  active: 'signs new tokens',
  retiring: 'no new tokens; still verifies',
}

/** Explains the members of a token's header and claims. */
export const claimWords: Readonly<Record<string, string>> = {
  acr: 'sign-in level',
  alg: 'algorithm',
  aud: 'audience',
  amr: 'sign-in method',
  auth_time: 'signed in at',
  client_id: 'client',
  exp: 'expires at',
  iat: 'issued at',
  iss: 'issuer',
  jti: 'token id',
  kid: 'key id',
  scope: 'scope',
  sid: 'session',
  sub: 'user',
  typ: 'type',
}
