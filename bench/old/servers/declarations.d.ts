/** The part of oidc-provider that we use; it ships no types. */
declare module 'oidc-provider' {
  import type { RequestListener } from 'node:http'

  interface Grant {
    addResourceScope(resource: string, scope: string): void
    save(): Promise<string>
  }

  interface RefreshToken {
    save(): Promise<string>
  }

  export default class Provider {
    constructor(issuer: string, configuration: object)
    readonly Client: { find(id: string): Promise<object | undefined> }
    readonly Grant: new (
      properties: object,
    ) => Grant
    readonly RefreshToken: new (
      properties: object,
    ) => RefreshToken
    callback(): RequestListener
  }
}

declare module 'oidc-provider/lib/adapters/memory_adapter.js' {
  export default class MemoryAdapter {
    constructor(model: string, store: Map<string, unknown>)
  }
}
