import type { ReplyCode } from './protocol.ts'
import type { MemcachedCredentials } from './url.ts'

/** A command of the meta protocol, but for its opaque token. */
export interface Command {
  readonly head: string
  readonly data?: Buffer
  /** How it may be answered; an answer of another kind is not its own. */
  readonly codes: readonly ReplyCode[]
  /** Those before the connection is in use are answered one by one, and have no token. */
  readonly isHandshake?: true
}

/** A unix time in seconds; or, under 30 days, from now on. */
export type Expiry_s = number

/** What must be at the key: an item with this number, none, or anything. */
export type Precondition = { readonly cas: string } | 'absent' | 'any'

/** The value, and the number that changes with each store (`c`). */
export function get(key: string): Command {
  return { head: `mg ${key} v c`, codes: ['VA', 'EN'] }
}

/** The client flags and the number, without the value. */
export function peek(key: string): Command {
  return { head: `mg ${key} f c`, codes: ['HD', 'EN'] }
}

/** Sets the expiry, where there is an item. The number stays. */
export function touch(key: string, expiry: Expiry_s): Command {
  return { head: `mg ${key} T${expiry}`, codes: ['HD', 'EN'] }
}

export interface Item {
  readonly data: Buffer
  readonly expiry: Expiry_s
  /** 32 bits that `peek` gives back. */
  readonly flags?: number
}

/** Answers `HD` with the number that the item has now. */
export function put(key: string, { data, expiry, flags = 0 }: Item, on: Precondition): Command {
  const condition = on === 'any' ? '' : on === 'absent' ? ' ME' : ` C${on.cas}`
  return {
    head: `ms ${key} ${data.length} c T${expiry} F${flags}${condition}`,
    data,
    codes: ['HD', 'NS', 'EX', 'NF'],
  }
}

export function remove(key: string, on: Precondition = 'any'): Command {
  const condition = typeof on === 'string' ? '' : ` C${on.cas}`
  return { head: `md ${key}${condition}`, codes: ['HD', 'NF', 'EX'] }
}

/** Refused by a server that wants a password first. */
export const noop: Command = { head: 'mn', codes: ['MN', 'CLIENT_ERROR'], isHandshake: true }

/**
 * Looks like storing an item; the server looks at its value only. Should it store one all the same,
 * that has expired already.
 */
export function authenticate({ username, password }: MemcachedCredentials): Command {
  const data = Buffer.from(`${username} ${password}`)
  return {
    head: `set auth 0 -1 ${data.length}`,
    data,
    codes: ['STORED', 'CLIENT_ERROR'],
    isHandshake: true,
  }
}
