import { setTimeout as sleep } from 'node:timers/promises'
import type { Lane, RedisArguments, RedisReply, Route } from './connection.ts'
import { isAnswer, isUnknownScript, isWorthAnother, toldApart } from './errors.ts'
import type { Script } from './session-scripts.ts'

/** What a call may ask of Redis before its deadline. */
export interface RedisCall {
  /** Whether a command was sent again of which nobody knows whether it ran the first time. */
  readonly isInDoubt: boolean
  /**
   * @param route says which server; every key of the command must be there
   * @param isRepeatable whether it may be sent again when its answer was lost, though it may have run
   */
  command(route: Route, command: RedisArguments, isRepeatable?: boolean): Promise<RedisReply>
  /** A script of one key, or of several that are on one slot. */
  script(
    script: Script,
    keys: string | readonly string[],
    args: RedisArguments,
    isRepeatable?: boolean,
  ): Promise<RedisReply>
}

export type Send = (
  route: Route,
  command: RedisArguments,
  signal: AbortSignal,
  lane: Lane,
) => Promise<RedisReply>

/** How long to wait before a command is sent again. */
const repeatMinMs = 25
const repeatMaxMs = 200

/** One call, which sends its commands again until they are answered or its time is over. */
export class Call implements RedisCall {
  /** Why a command was sent again, the last time. */
  lastError: Error | null = null
  isInDoubt = false
  readonly #send: Send
  readonly #signal: AbortSignal
  readonly #lane: Lane

  constructor(send: Send, signal: AbortSignal, lane: Lane) {
    this.#send = send
    this.#signal = signal
    this.#lane = lane
  }

  async command(route: Route, command: RedisArguments, isRepeatable = true): Promise<RedisReply> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#send(route, command, this.#signal, this.#lane)
      } catch (error) {
        const mayRepeat = isWorthAnother(error) || (isRepeatable && !isAnswer(error))
        if (!mayRepeat || this.#signal.aborted) throw error
        this.lastError = toldApart(error)
        if (!isAnswer(error)) this.isInDoubt = true
        const delayMs = Math.min(repeatMaxMs, repeatMinMs * 2 ** attempt)
        await sleep(delayMs * (0.5 + Math.random() / 2), null, { signal: this.#signal })
      }
    }
  }

  async script(
    script: Script,
    keys: string | readonly string[],
    args: RedisArguments,
    isRepeatable = true,
  ): Promise<RedisReply> {
    const all = typeof keys === 'string' ? [keys] : keys
    const [first = ''] = all
    const given = [String(all.length), ...all, ...args]
    try {
      return await this.command(first, ['EVALSHA', script.sha, ...given], isRepeatable)
    } catch (error) {
      if (!isUnknownScript(error)) throw error
      return this.command(first, ['EVAL', script.text, ...given], isRepeatable)
    }
  }
}
