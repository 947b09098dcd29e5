import type { SessionStore } from '@fastify/session'

type Send = (...command: string[]) => Promise<unknown>

/**
 * Sends the commands of connect-redis. Each session is one value, written as a whole.
 * @param change sends a command that writes
 */
export function redisSessions(send: Send, change: Send, ttl_s: string): SessionStore {
  return {
    get(id, done) {
      const parse = (text: unknown) => (typeof text === 'string' ? JSON.parse(text) : null)
      send('GET', sessionKey(id)).then((text) => done(null, parse(text)), done)
    },
    set(id, session, done) {
      const command = ['SET', sessionKey(id), JSON.stringify(session), 'EX', ttl_s]
      change(...command).then(() => done(), done)
    },
    destroy(id, done) {
      send('DEL', sessionKey(id)).then(() => done(), done)
    },
  }
}

export function sessionKey(id: string): string {
  return `session:${id}`
}
