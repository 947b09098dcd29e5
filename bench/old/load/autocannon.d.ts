/** The part of autocannon that we use; it ships no types. */
declare module 'autocannon' {
  import type { EventEmitter } from 'node:events'

  namespace autocannon {
    interface Request {
      readonly method: string
      readonly path: string
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
      readonly onResponse?: (status: number, body: string) => void
    }

    /** One connection. */
    interface Client {
      /** What it sends in turn, from the first one on. */
      setRequests(requests: readonly Request[]): void
      /** The body of the request that it is at. */
      setBody(body: string): void
    }

    interface Options {
      readonly url: string
      readonly connections: number
      /** In seconds. */
      readonly duration?: number
      readonly amount?: number
      readonly overallRate?: number
      readonly setupClient: (client: Client) => void
    }

    interface Instance extends EventEmitter {
      stop(): void
    }

    interface Result {
      /** Connections lost, and requests without an answer in time. */
      readonly errors: number
    }
  }

  function autocannon(
    options: autocannon.Options,
    done: (error: Error | null, result: autocannon.Result) => void,
  ): autocannon.Instance

  export = autocannon
}
