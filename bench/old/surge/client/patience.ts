import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer, Ask, Call } from '../system.ts'
import type { Exchange, Exchanger } from './exchange.ts'

/** Who hears of every request, the first of a call and its repeats. */
export interface RequestEvents {
  answered(call: Call, exchange: Exchange, isRepeat: boolean, mayPass: boolean): void
}

export const triesMax = 6
/** The first pause; each is twice as long as the one before, give or take a half, up to the longest. */
const pauseMsMin = 300
const pauseMsMax = 2_000
/** Who is told to come back later than this gives up. */
const retryAfterMsMax = 10_000

/**
 * The client's rule for trouble, which is that of gatepass/browser with two tries more. What may pass
 * (no answer, 429, and 502, 503, 504) is asked again after the longer of `Retry-After` and a pause; of
 * a call that can't be repeated only what was surely not carried out: a connection that was refused, and
 * 429. Any other answer is final.
 */
export function createAsk(
  exchanger: Exchanger,
  events: RequestEvents,
  headers: Readonly<Record<string, string>>,
  tries = triesMax,
): Ask {
  return async (call) => {
    for (let count = 1; ; count++) {
      const exchange = await exchanger.send(call, headers)
      const again = mayPass(exchange)
      events.answered(call, exchange, count > 1, again)
      const pauseMs = pauseOf(exchange, count)
      const canRepeat = call.isRepeatable || wasNotCarriedOut(exchange)
      if (!again || !canRepeat || count === tries || pauseMs > retryAfterMsMax) {
        return answerOf(exchange)
      }
      await sleep(pauseMs)
    }
  }
}

function mayPass({ status }: Exchange): boolean {
  return status === 0 || status === 429 || (status >= 502 && status <= 504)
}

function wasNotCarriedOut({ status, reason }: Exchange): boolean {
  return status === 429 || reason === 'ECONNREFUSED'
}

function pauseOf({ headers }: Exchange, tries: number): number {
  const backoffMs = Math.min(pauseMsMax, pauseMsMin * 2 ** (tries - 1)) * (0.5 + Math.random())
  return Math.max(Number(headers['retry-after'] ?? 0) * 1000, backoffMs)
}

function answerOf({ status, headers, text, reason }: Exchange): Answer {
  if (status === 0) return { status, headers, body: { code: reason } }
  return { status, headers, body: parse(text) }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
