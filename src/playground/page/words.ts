import type { AuditEvent } from '../../issuer/audit.ts'
import type { KeyState } from '../api.ts'

/** What each audit event means, in the words of the page. */
export const eventWords: Readonly<Record<AuditEvent, string>> = {
  'login.ok': 'signed in',
  'login.failed': 'a password was wrong',
  'login.throttled': 'too many attempts',
  'refresh.rotated': 'the refresh token was replaced',
  'refresh.replayed': 'the same refresh token again: given the same answer',
  'refresh.reused': 'an old refresh token came back: the session has ended',
  'refresh.refused': 'a refresh was refused',
  logout: 'signed out',
  'logout.all': 'signed out everywhere',
  'session.revoked': 'signed out from another device',
  'client.refused': 'a client could not be authenticated',
  'token.issued': 'a service got a token of its own',
  'token.exchanged': 'a service exchanged the token of a user',
  'key.created': 'a signing key was made',
  'key.activated': 'tokens are signed by this key',
  'key.removed': 'the key was taken out of the published keys',
  'key.revoked': 'the key was revoked: its tokens are refused',
}

/** What each state of a signing key means. */
export const keyStateWords: Readonly<Record<KeyState['state'], string>> = {
  pending: 'published, does not sign yet',
  active: 'signs',
  retiring: 'signs no more, still checked',
}

/** What the members of a token mean. */
export const claimWords: Readonly<Record<string, string>> = {
  alg: 'algorithm',
  aud: 'for whom',
  amr: 'signed in by',
  auth_time: 'signed in at',
  client_id: 'front end',
  exp: 'ends at',
  iat: 'signed at',
  iss: 'issuer',
  jti: 'token id',
  kid: 'key',
  scope: 'allows',
  sid: 'session',
  sub: 'user',
  typ: 'type',
}
