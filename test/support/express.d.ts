/** The part of Express that we use; it ships no types. */
declare module 'express' {
  import type { RequestListener } from 'node:http'

  type Handler = (...parameters: never[]) => unknown

  interface Application extends RequestListener {
    set(name: string, value: unknown): void
    use(...handlers: Handler[]): void
    get(path: string, ...handlers: Handler[]): void
  }

  export default function express(): Application
}
