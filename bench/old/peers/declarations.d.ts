/*
 * The parts of the peers that we use. They are declared here because they are installed by the first
 * run that needs them, and types are checked without them.
 */

declare module 'jsonwebtoken' {
  import type { KeyObject } from 'node:crypto'

  interface VerifyOptions {
    readonly algorithms: readonly string[]
    readonly issuer: string
    readonly audience: string
  }
  const jsonwebtoken: { verify(token: string, key: KeyObject, options: VerifyOptions): unknown }
  export default jsonwebtoken
}

declare module 'aws-jwt-verify' {
  interface Verifier {
    cacheJwks(jwks: object): void
    verify(token: string): Promise<unknown>
  }
  export const JwtVerifier: {
    create(options: { issuer: string; audience: string; jwksUri: string }): Verifier
  }
}

declare module 'express-oauth2-jwt-bearer' {
  export function auth(options: {
    readonly issuer: string
    readonly audience: string
    readonly jwksUri: string
  }): (...parameters: never[]) => unknown
}

declare module 'better-auth' {
  export interface Auth {
    readonly options: object
    readonly api: { getSession(request: { headers: Headers }): Promise<object | null> }
    readonly $context: Promise<{ password: { hash(password: string): Promise<string> } }>
    handler(request: Request): Promise<Response>
  }
  export function betterAuth(options: object): Auth
}

declare module 'better-auth/node' {
  import type { IncomingHttpHeaders } from 'node:http'

  export function fromNodeHeaders(headers: IncomingHttpHeaders): Headers
}

declare module 'better-auth/plugins' {
  export function jwt(options: object): object
}

declare module 'better-auth/db/migration' {
  export function getMigrations(options: object): Promise<{ runMigrations(): Promise<void> }>
}
